"""What the model answers while it is trained: held-out rows, by greedy generation, read the way an episode reads them.

Token accuracy is measured with the right answer before the model's eyes. Only generation shows whether a plan is readable at all, and
whether an action is the right one to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Mapping

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTTrainer

from planact.actions import ActionFormatError, parse_action
from planact.plans import PlanFormatError, parse_plan
from planact.recipe import Recipe

LONGER = 2  # times the longest right answer: what is longer is a model repeating itself, and costs time (ours)
Text = str | None  # None: the model did not come to an end


@dataclass(frozen=True)
class Question:
    """One held-out row: its prompt as tokens, and what reads an answer to it."""

    ids: list[int]
    gold: str
    noun: str  # "plan" or "action"
    read: Callable[[str], Any]  # raises PlanFormatError or ActionFormatError


class AnswerCheck(TrainerCallback):
    """Answers held-out rows every `every` steps and after the last; logs `plan_valid`, `plan_exact`, `action_valid`, `action_exact`.

    Valid: the answer ends and can be read. Exact: its steps, or its action, are those of the row. Training is left as it was: the model's
    mode, the random numbers, and TRL's running means.
    """

    def __init__(self, trainer: SFTTrainer, rows: Dataset, every: int, limit: int, grammar: str):
        self.trainer, self.every = trainer, every
        self.questions = list(questions(rows, trainer.processing_class, grammar))
        longest = max(len(trainer.processing_class(q.gold, add_special_tokens=False)["input_ids"]) for q in self.questions)
        self.limit = min(limit, LONGER * longest)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.every and state.global_step < state.max_steps:
            return
        should_log, training = control.should_log, self.trainer.model.training
        with torch.random.fork_rng(devices=[args.device] if args.device.type == "cuda" else []), torch.no_grad():
            self.trainer.model.eval()  # while it logs too: in training mode TRL would log and forget the means of the steps so far
            self.trainer.log(check(self.trainer, self.questions, self.limit))
            self.trainer.model.train(training)
        control.should_log = should_log  # logging clears it, and the loss of this step may still have to be logged


def answer_checks(trainer: SFTTrainer, recipe: Recipe, role: str, held_out: Dataset | None) -> list[AnswerCheck]:
    """What `training.answer_every` asks for: one check of the first `training.answer_rows` held-out rows, or none."""
    training = recipe.training
    if training.answer_every is None or held_out is None:
        return []
    rows = held_out.select(range(min(training.answer_rows, len(held_out))))  # they are shuffled already
    return [AnswerCheck(trainer, rows, training.answer_every, getattr(recipe.agent, f"{role}_max_tokens"), recipe.agent.grammar)]


def questions(rows: Iterable[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, grammar: str) -> Iterator[Question]:
    for row in rows:
        ids = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        gold = row["completion"][-1]["content"]
        if "plan" in row["kind"]:  # plan, replan
            yield Question(ids, gold, "plan", lambda text: [step.step for step in parse_plan(text).steps])
        else:
            yield Question(ids, gold, "action", lambda text: parse_action(text, grammar))


def check(trainer: SFTTrainer, asked: list[Question], limit: int) -> dict[str, float]:
    """Shares of valid and of exact answers, by noun. The processes share the work, and each of them gets the shares."""
    accelerator, model = trainer.accelerator, trainer.accelerator.unwrap_model(trainer.model_wrapped)
    nouns = sorted({question.noun for question in asked})
    counts = torch.zeros(len(nouns), 3, device=accelerator.device)  # answers, valid ones, exact ones
    for batch, mine in shared(asked, accelerator, trainer.args.per_device_eval_batch_size):
        texts = answers(model, trainer.processing_class, [question.ids for question in batch], limit, accelerator)
        for question, text in zip(batch, texts, strict=True) if mine else ():
            counts[nouns.index(question.noun)] += torch.tensor([1, *judged(question, text)], device=accelerator.device)
    total, valid, exact = accelerator.reduce(counts, "sum").T.tolist()
    shares = zip(nouns, total, valid, exact, strict=True)
    return {key: part / of for noun, of, *both in shares for key, part in zip((f"{noun}_valid", f"{noun}_exact"), both, strict=True)}


def shared(asked: list[Question], accelerator: Accelerator, size: int) -> Iterator[tuple[list[Question], bool]]:
    """The batches of this process, as many as every other's: who has none left answers one more that is not counted.

    Sharded weights are gathered by all processes together, so that one which stopped early would leave the others waiting.
    """
    parts = [asked[rank :: accelerator.num_processes] for rank in range(accelerator.num_processes)]
    for start in range(0, len(parts[0]), size):  # the first part is the longest
        mine = parts[accelerator.process_index][start : start + size]
        yield (mine, True) if mine else (asked[:1], False)


def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], limit: int, accelerator: Accelerator
) -> list[Text]:
    """Greedy answers to prompts of any length, as one batch; None for one that does not end within `limit` tokens."""
    width = max(map(len, prompts))
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    left = [width - len(ids) for ids in prompts]  # padding goes before the prompts, so that all answers begin together
    ids_B_T = torch.tensor([[pad] * n + ids for n, ids in zip(left, prompts, strict=True)], device=accelerator.device)
    mask_B_T = torch.tensor([[0] * n + [1] * (width - n) for n in left], device=accelerator.device)
    known = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(known if isinstance(known, list) else [known])} - {None}
    output = model.generate(
        input_ids=ids_B_T,
        attention_mask=mask_B_T,
        do_sample=False,
        max_new_tokens=limit,
        use_cache=True,
        eos_token_id=sorted(ends),
        pad_token_id=pad,
        synced_gpus=accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED),
    )
    return [_text(tokens, ends, tokenizer) for tokens in output[:, width:].tolist()]


def _text(tokens: list[int], ends: set[int], tokenizer: PreTrainedTokenizerBase) -> Text:
    end = next((i for i, token in enumerate(tokens) if token in ends), None)
    return None if end is None else tokenizer.decode(tokens[:end], skip_special_tokens=True)


def judged(question: Question, text: Text) -> tuple[bool, bool]:
    """Whether the answer is valid, and whether it is exact."""
    if text is None:
        return False, False
    try:
        found = question.read(text)
    except (PlanFormatError, ActionFormatError):
        return False, False
    return True, found == question.read(question.gold)
