"""What the progress line of an evaluation tells: success so far, what broke, tokens and dollars, the judge's included."""

from __future__ import annotations

from collections import Counter

from planact.types import Trajectory, Usage
from planact_eval.intervals import wilson
from planact_eval.metrics import tokens, verdict


class Live:
    """Counts episodes as they end."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()  # stop reason -> episodes without a verdict
        self.usage = Usage()

    def add(self, trajectory: Trajectory) -> None:
        self.verdicts[verdict(trajectory)] += 1
        if trajectory.outcome.success is None:
            self.broken[str(trajectory.stop_reason)] += 1
        self.usage += trajectory.planner_usage + trajectory.executor_usage + trajectory.judge_usage

    def note(self) -> str:
        """E.g. `success 12.5% [5%, 27%], unscored: 1 env_error, 1.2M tokens, $0.31`."""
        done = self.verdicts.total()
        low, high = wilson(self.verdicts["success"], done)
        parts = [f"success {self.verdicts['success'] / max(done, 1):.1%} [{low:.0%}, {high:.0%}]"]
        if self.broken:
            parts.append("unscored: " + ", ".join(f"{count} {reason}" for reason, count in sorted(self.broken.items())))
        parts.append(f"{short(tokens(self.usage))} tokens")
        if self.usage.usd:
            parts.append(f"${self.usage.usd:.2f}")
        return ", ".join(parts)


def short(count: int) -> str:
    """950, 12.3k or 4.5M."""
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if count >= scale:
            return f"{count / scale:.1f}{letter}"
    return str(count)
