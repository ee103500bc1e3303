"""WebArena's scorers on saved episodes. None asks a page: what checks read was kept when the episode ended (planact_envs.evidence)."""

from __future__ import annotations

from dataclasses import replace
from typing import Awaitable, Callable

from planact.env import EnvError
from planact.types import Outcome, Task
from planact_envs.evidence import Saved
from planact_envs.scoring import browsergym, released, vab, verified
from planact_envs.scoring.ending import Ending, SavedPage
from planact_envs.suites import OfflineScorer
from planact_envs.webarena.sites import Sites

BY_RULES = {"vab": vab.score, "browsergym": browsergym.score, "webarena": browsergym.score_webarena}


def by_rules(name: str, score: Callable[[Task, Ending], Awaitable[Outcome]]) -> OfflineScorer:
    async def scored(saved: Saved) -> Outcome:
        try:
            return await score(resolved(saved), ending_of(saved))
        except EnvError as error:
            return Outcome(None, name, str(error))

    return scored


async def by_release(saved: Saved) -> Outcome:
    try:
        return await released.score(resolved(saved), ending_of(saved), saved.trajectory)
    except EnvError as error:
        return Outcome(None, released.NAME, str(error))


async def by_events(saved: Saved) -> Outcome:
    """Raises RecipeError when webarena-verified is not installed."""
    verified.check_installed()
    if saved.evidence.events is None:
        return Outcome(None, verified.NAME, f"this task cannot be scored by {verified.NAME}: its network events were not saved")
    return await verified.score(saved.task, ending_of(saved))


def ending_of(saved: Saved) -> Ending:
    evidence = saved.evidence
    page, sites = SavedPage(evidence.url, "; ".join(evidence.left_out)), Sites(evidence.sites, {})
    return Ending(saved.trajectory.answer, page, sites, saved.judge, evidence.events or (), dict(evidence.readings))


def resolved(saved: Saved) -> Task:
    """The task with the addresses that the sites had then. Raises EnvError when that of a site was not saved."""
    try:
        return replace(saved.task, eval=Sites(saved.evidence.sites, {}).resolve(saved.task.eval))
    except EnvError as error:
        raise EnvError(f"where the sites were was not saved: {error}") from error


SCORERS: dict[str, OfflineScorer] = {
    **{name: by_rules(name, score) for name, score in BY_RULES.items()},
    verified.NAME: by_events,
    released.NAME: by_release,
}
