"""The oracle's knowledge of one task: which moves solve it, which plan step each move belongs to, and what becomes known when.

A `Solution` is what the scripted teacher answers from. Elements are named as pages name them (role and name), never
by id, because ids belong to one rendering of one page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from planact.types import Op


@dataclass(frozen=True)
class Move:
    """One oracle action. `text` is what to type, the option to select, or the answer of a stop."""

    op: Op
    role: str = ""  # "link", "button", "textbox", "combobox"; empty when the move needs no element
    name: str = ""
    text: str = ""


@dataclass(frozen=True)
class Fact:
    """A value that can only be read on the way. Before `seen_after` moves are done, a plan says `unknown` in its place."""

    value: str
    unknown: str
    seen_after: int


@dataclass(frozen=True)
class Stage:
    """One plan step with the contiguous moves that carry it out. `step` and `reasoning` may name facts as {name}."""

    step: str
    reasoning: str
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class Solution:
    stages: tuple[Stage, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def moves(self) -> tuple[Move, ...]:
        return tuple(move for stage in self.stages for move in stage.moves)

    @property
    def needs_replanning(self) -> bool:
        """True when a move depends on a value that the start page and the intent do not show."""
        return bool(self.facts)

    def wording(self, text: str, moves_done: int) -> str:
        """`text` with each {fact} as its value when it has been seen, and as its description before."""
        seen = {k: f.value if moves_done >= f.seen_after else f.unknown for k, f in self.facts.items()}
        return text.format(**seen)
