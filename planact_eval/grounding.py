"""Action grounding: whether the executor's actions hit what is on the page, and what the task is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from planact.types import ELEMENT_OPS, Action, Op, Trajectory
from planact_envs.observation import Element, read_elements
from planact_envs.suites import Step

ROLES: Mapping[Op, frozenset[str]] = {  # what can be typed into or chosen from; anything can be clicked
    Op.TYPE: frozenset({"textbox", "searchbox", "combobox", "spinbutton"}),
    Op.SEARCH: frozenset({"textbox", "searchbox", "combobox"}),
    Op.SELECT: frozenset({"combobox", "listbox"}),
}


@dataclass(frozen=True)
class Grounding:
    """Counts of actions on elements. `right` counts those of tasks whose oracle is known only, of which there are `judged`."""

    actions: int = 0
    exists: int = 0  # the id stands on the page that the executor saw
    role: int = 0  # ... and the element is of a kind that the operation works on
    judged: int = 0
    right: int = 0  # the oracle acts on an element of that role and name at some point of the task

    def __add__(self, other: Grounding) -> Grounding:
        return Grounding(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def rates(self) -> dict[str, float | None]:
        """Shares, 0 to 1; None where nothing was counted."""
        of_actions = {name: getattr(self, name) / self.actions if self.actions else None for name in ("exists", "role")}
        return of_actions | {"element": self.right / self.judged if self.judged else None}


def grounding(trajectory: Trajectory, form: str, oracle: Sequence[Step] | None = None) -> Grounding:
    """Counts over the turns of an episode whose pages have the observation form `form`. An unreadable answer is no action."""
    known = {(step.role, step.name) for step in oracle} if oracle is not None else None
    total = Grounding()
    for turn in trajectory.turns:
        if turn.action and turn.action.op in ELEMENT_OPS:
            total += ground(turn.action, turn.observation.text, form, known)
    return total


def ground(action: Action, text: str, form: str, known: Collection[tuple[str, str]] | None = None) -> Grounding:
    """The counts of one action on an element of the page `text`; `known` are role and name of the elements that the oracle acts on."""
    element = element_of(text, action.element, form)
    return Grounding(
        actions=1,
        exists=element is not None,
        role=element is not None and element.role in ROLES.get(action.op, {element.role}),
        judged=known is not None,
        right=known is not None and element is not None and (element.role, element.name) in known,
    )


def element_of(text: str, id: str, form: str) -> Element | None:
    """The element with an id on a page, None when there is none."""
    return next((element for element in read_elements(text, form) if element.id == id), None)
