"""pass^k of repeated episodes, for `evaluate.load("planact_eval/hf_metrics/pass_hat_k")`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import datasets
import evaluate

from planact_eval.intervals import pass_hat_k

DESCRIPTION = "The chance that k episodes of one task all succeed, mean over tasks (Yao 2024, arXiv 2406.12045)."
INPUTS = """predictions: whether each episode succeeded
references: the id of each episode's task
k: episodes that must all succeed; every task needs at least so many"""


class PassHatK(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("bool"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=DESCRIPTION, citation="", inputs_description=INPUTS, features=features)

    def _compute(self, predictions: Sequence[bool], references: Sequence[str], k: int = 1) -> dict[str, float]:
        """Raises ValueError when a task has fewer than k episodes."""
        episodes = Counter(references)
        solved = Counter(task for task, success in zip(references, predictions, strict=True) if success)
        return {f"pass_hat_{k}": pass_hat_k([(solved[task], n) for task, n in episodes.items()], k), "tasks": len(episodes)}
