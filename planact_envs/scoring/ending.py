"""What an episode leaves behind for a scorer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from planact.llm import LLM

if TYPE_CHECKING:
    from playwright.async_api import Page

    from planact_envs.webarena.sites import Sites


class Unscorable(ValueError):
    """The task's evaluation asks for something that the scorer does not know. The task stays unscored."""


@dataclass(frozen=True)
class Ending:
    answer: str  # what the agent reported, "" when nothing
    page: Page  # the tab that the episode ended on
    sites: Sites
    judge: LLM | None = None
    events: Sequence[Mapping[str, Any]] = ()  # network events as HAR entries, in order
