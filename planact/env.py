"""What the loop needs of a world. Every suite implements this protocol; none is imported here.

An environment may also have `async def evidence(self) -> dict`: what its episode leaves behind, to be scored again without the
world (planact_envs.evidence). It is asked after `score` and before `close`.
"""

from __future__ import annotations

from typing import Protocol

from planact.types import Action, Observation, Outcome, Task


class EnvError(RuntimeError):
    """The world broke (site down, browser gone). Ends the episode unscored; an action that merely fails does not raise."""


class Env(Protocol):
    """One episode at a time; each instance is isolated from every other."""

    async def reset(self, task: Task) -> Observation:
        """Fresh state and the task's start page."""

    async def step(self, action: Action) -> Observation:
        """Carry out an action that is not final. One that cannot be carried out leaves the page as it is and says why in `error`."""

    async def score(self, answer: str) -> Outcome:
        """Judge the final state and the answer ("" when none was given)."""

    async def close(self) -> None:
        """Free what the episode holds."""
