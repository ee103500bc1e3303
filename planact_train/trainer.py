"""TRL's SFTTrainer, with the language-model head kept off the prompt when training on one CPU, and one progress line.

TRL scores every position of a batch on CPU and masks the prompt afterwards (on a GPU it scores the answer alone). Prompts
are pages, ten times as long as answers, so most of those logits would be thrown away.
"""

from __future__ import annotations

import copy
import itertools
import random
from pathlib import Path
from typing import Iterator

import torch
from peft import PeftModel
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from planact.layout import RUN
from planact.progress import Progress
from planact_train.model_card import write_card
from planact_train.muon import MuonAdamW
from planact_train.resumable import ResumableTrainer
from planact_train.saving import gathered
from planact_train.tokens import Lengths, measure

# Settings of models that scale or cap their logits; TRL's code knows what each of them means.
SCALED = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
SORTED_BATCHES = 4  # batches cut from rows sorted by length together: a fifth fewer tokens than in random order; ours


class AnswerTrainer(ResumableTrainer):
    """Same loss as SFTTrainer: mean negative log-likelihood of the answer's tokens over the accumulated batch.

    `muon` takes planact_train.muon's optimizer in place of the one that the arguments name.
    """

    def __init__(self, *args, muon: bool = False, **kwargs):
        self.muon = muon
        self.whole: dict[str, Lengths] = {}  # "train" and names of held-out data -> lengths of its rows, nothing cut
        super().__init__(*args, **kwargs)
        for callback in (ProgressCallback, PrinterCallback):
            self.remove_callback(callback)  # ProgressLine stands in for both
        if getattr(self.model, "is_quantized", False):
            adapter_in_float32(self.model)

    def _prepare_dataset(self, dataset, processing_class, args, packing, formatting_func, dataset_name):
        """TRL's preparation in two halves, so that the rows are counted (planact_train.tokens) before any is cut."""
        unlimited = copy.copy(args)
        unlimited.max_length, unlimited.shuffle_dataset = None, False
        whole = super()._prepare_dataset(dataset, processing_class, unlimited, False, formatting_func, dataset_name)
        self.whole[dataset_name] = measure(whole)
        cut = copy.copy(args)
        cut.dataset_num_proc = None  # several processes would each pack their own rows, into other sequences and so another model
        return super()._prepare_dataset(whole, processing_class, cut, packing, None, dataset_name)

    def create_model_card(self, *args, **kwargs):
        """TRL's card knows neither rows nor recipe, nor what a local base is; ours comes with each checkpoint and with the model."""

    def save_model(self, output_dir=None, _internal_call=False):
        """Also a sharded checkpoint holds an adapter that loads: transformers writes none there, or gathers the whole base for it."""
        if not (self.is_fsdp_enabled and isinstance(self.model, PeftModel)):
            return super().save_model(output_dir, _internal_call)
        weights = gathered(self)
        if self.args.should_save:
            self._save(output_dir, state_dict=weights)
        return None

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, state_dict)
        if (Path(self.args.output_dir) / RUN).exists():
            write_card(Path(self.args.output_dir), into=Path(output_dir or self.args.output_dir), step=self.state.global_step)

    def create_optimizer(self, model=None):
        if self.muon and self.optimizer is None:
            parameters = (self.model if model is None else model).named_parameters()
            self.optimizer = MuonAdamW(parameters, self.args.learning_rate, self.args.adam_beta2, self.args.weight_decay)
        return super().create_optimizer(model)

    def _get_train_sampler(self, train_dataset=None):
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            return EpochSampler(sampler.batch_size, sampler.lengths, seed)
        return sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if not self.own_head or inputs.keys() - {"input_ids", "attention_mask", "labels"}:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        lm = self.accelerator.unwrap_model(model)
        lm = lm.get_base_model() if isinstance(lm, PeftModel) else lm
        with self.compute_loss_context_manager(), self.accelerator.autocast():  # accelerate casts in the `forward` that is gone around here
            hidden_B_T_D = lm.base_model(
                input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"), use_cache=False
            ).last_hidden_state
            labels_B_T = inputs["labels"][:, 1:]
            mask_B_T = labels_B_T != -100
            logits_N_V = lm.get_output_embeddings()(hidden_B_T_D[:, :-1][mask_B_T])  # N: tokens of answers
        labels_N = labels_B_T[mask_B_T]
        total = torch.nn.functional.cross_entropy(logits_N_V.float(), labels_N, reduction="sum")
        right_B_T = mask_B_T.masked_scatter(mask_B_T, logits_N_V.argmax(-1) == labels_N)
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["mean_token_accuracy"].append((right_B_T.sum() / mask_B_T.sum().clamp(min=1)).item())
        metrics["exact"].append(exact_answers(right_B_T, mask_B_T))
        count = mask_B_T.sum() if num_items_in_batch is None else num_items_in_batch
        loss = total / torch.as_tensor(count).clamp(min=1)
        return (loss, {}) if return_outputs else loss

    @property
    def own_head(self) -> bool:
        """Whether the loss of padded rows is computed here: plain log-likelihood, an unscaled head, one CPU process."""
        args, model = self.args, self.model.config.get_text_config()
        special = self.aux_loss_enabled or self.label_smoother or any(getattr(model, key, None) for key in SCALED)
        on_one_cpu = args.use_cpu and self.accelerator.num_processes == 1
        return bool(on_one_cpu and args.loss_type == "nll" and not special)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        return super().prediction_step(model, inputs, True, ignore_keys)  # the metrics above are all that is wanted


def adapter_in_float32(model: torch.nn.Module) -> None:
    """TRL keeps an adapter on a quantized base in bfloat16, whose numbers lie further apart than a step of AdamW at 2e-5 is long.

    A weight of 0.01 would have to move by 3e-5 at once to become another one; in float32, as on any other base, steps add up.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def exact_answers(right_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> float:
    """Share of answers whose every token is the most likely one: what greedy decoding gets exactly right.

    An answer is a run of unmasked positions; a chat has one for each assistant turn.
    """
    padded = torch.nn.functional.pad(mask_B_T.int(), (1, 0))
    starts_B_T = (padded[:, 1:] - padded[:, :-1]) == 1
    answer_B_T = starts_B_T.flatten().cumsum(0).view(mask_B_T.shape) * mask_B_T  # number of the answer, 0 outside
    answers = int(starts_B_T.sum())
    wrong = torch.unique(answer_B_T[mask_B_T & ~right_B_T.bool()])
    return 1 - len(wrong) / answers if answers else 0.0


class EpochSampler(LengthGroupedSampler):
    """Rows of like length together, in an order that the seed and the epoch alone decide.

    transformers sorts fifty batches at a time, and rows of one length are often rows of one template, which teaches less
    (docs/LOG.md); and it draws the order from the global generator, so that a resumed training sees some rows twice.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int):
        super().__init__(batch_size, lengths=lengths)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        dice = random.Random(f"{self.seed}:{self.epoch}")
        order = dice.sample(range(len(self.lengths)), len(self.lengths))
        for group in _parts(order, SORTED_BATCHES * self.batch_size):
            batches = _parts(sorted(group, key=self.lengths.__getitem__), self.batch_size)
            yield from itertools.chain(*dice.sample(batches, len(batches)))


def _parts(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


NOTES = {  # key of a log entry -> what the progress line says of it
    "loss": "loss {:.3f}",
    "mean_token_accuracy": "token accuracy {:.3f}",
    "eval_mean_token_accuracy": "held-out {:.3f}",
    "plan_valid": "valid plans {:.0%}",
    "plan_exact": "exact plans {:.0%}",
    "action_valid": "valid actions {:.0%}",
    "action_exact": "exact actions {:.0%}",
}


class ProgressLine(TrainerCallback):
    """Steps done, and the latest of what is measured: loss and accuracy, on held-out rows too, and how good generated answers are."""

    def __init__(self, label: str):
        self.label, self.latest = label, {}

    @property
    def note(self) -> str:
        return ", ".join(form.format(self.latest[key]) for key, form in NOTES.items() if key in self.latest)

    def on_train_begin(self, args, state, control, **kwargs):
        self.progress = Progress(self.label, state.max_steps, done=state.global_step, unit="steps")

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.latest |= {key: float(value) for key, value in (logs or {}).items() if key in NOTES}

    def on_step_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero and state.global_step < state.max_steps:
            self.progress.update(self.note)

    def on_train_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.progress.update(self.note, steps=state.global_step - self.progress.done)  # here, after the last step's figures are known
        self.progress.__exit__()
