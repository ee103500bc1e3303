"""What an episode leaves behind for a scorer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from planact.llm import LLM

if TYPE_CHECKING:
    from playwright.async_api import Page

    from planact_envs.webarena.sites import Sites


class Unscorable(ValueError):
    """The task's evaluation asks for something that the scorer does not know. The task stays unscored."""


@dataclass(frozen=True)
class SavedPage:
    """Stands for the tab of an episode that is long over: its address is known, and no page can be read any more."""

    url: str
    why: str = ""  # what of the episode could not be saved


@dataclass(frozen=True)
class Ending:
    answer: str  # what the agent reported, "" when nothing
    page: Page | SavedPage  # the tab that the episode ended on
    sites: Sites
    judge: LLM | None = None
    events: Sequence[Mapping[str, Any]] = ()  # network events as HAR entries, in order
    readings: dict[str, str] = field(default_factory=dict)  # what page checks have read, by `planact_envs.evidence.reading_key`
