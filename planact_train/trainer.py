"""TRL's SFTTrainer, with the language-model head kept off the prompt when training on one CPU.

TRL scores every position of a batch on CPU and masks the prompt afterwards (on a GPU it scores the answer alone). Prompts
are pages, ten times as long as answers, so on CPU more than half of the time would go into logits that are thrown away.
"""

from __future__ import annotations

import torch
from peft import PeftModel
from trl import SFTTrainer


class AnswerTrainer(SFTTrainer):
    """Same loss as SFTTrainer: mean negative log-likelihood of the answer's tokens over the accumulated batch."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if not self.args.use_cpu or self.accelerator.num_processes > 1 or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        lm = self.accelerator.unwrap_model(model)
        lm = lm.get_base_model() if isinstance(lm, PeftModel) else lm
        with self.compute_loss_context_manager():
            hidden_B_T_D = lm.base_model(
                input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"), use_cache=False
            ).last_hidden_state
            labels_B_T = inputs["labels"][:, 1:]
            mask_B_T = labels_B_T != -100
            logits_N_V = lm.get_output_embeddings()(hidden_B_T_D[:, :-1][mask_B_T])  # N: tokens of answers
        labels_N = labels_B_T[mask_B_T]
        total = torch.nn.functional.cross_entropy(logits_N_V.float(), labels_N, reduction="sum")
        count = mask_B_T.sum() if num_items_in_batch is None else num_items_in_batch
        mode = "train" if self.model.training else "eval"
        right = (logits_N_V.argmax(-1) == labels_N).float().mean() if len(labels_N) else torch.zeros(())
        self._metrics[mode]["mean_token_accuracy"].append(right.item())
        return total / torch.as_tensor(count).clamp(min=1)
