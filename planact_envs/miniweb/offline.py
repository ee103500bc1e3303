"""Scorers on saved episodes of miniweb: its own, and WebArena's on what of an evaluation has WebArena's form.

The forms differ in three points. The difference of the database has no counterpart: WebArena sees no side effect. A page check of
miniweb reads what the page shows, and so the others are given that text. An address of miniweb is compared without its order of
parameters and without the `done` notice; the others compare it their way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planact.types import Outcome, Task
from planact_envs.evidence import Saved, reading_key
from planact_envs.miniweb import scorer
from planact_envs.suites import OfflineScorer


class NotSaved(Exception):
    """A check reads a page that was not saved."""


async def by_miniweb(saved: Saved) -> Outcome:
    evidence = saved.evidence

    async def fetch(url: str) -> str:
        if url not in evidence.pages:
            raise NotSaved(f"it needs the page {url}, which was not saved")
        return evidence.pages[url]

    try:
        if evidence.database is None:
            raise NotSaved("it needs the changes of the database, which were not saved")
        answer, url = saved.trajectory.answer, evidence.url
        return await scorer.verdict(saved.task.eval, answer=answer, url=url, changes=evidence.database, fetch=fetch)
    except NotSaved as error:
        return Outcome(None, scorer.SCORER, f"this task cannot be scored by {scorer.SCORER}: {error}")


def in_webarena_form(saved: Saved) -> Saved:
    """The episode with an evaluation that WebArena's scorers read, and what its page checks read."""
    spec, evidence = saved.task.eval, saved.evidence
    checks = [{**check, "locator": ""} for check in spec.get("program_html", ())]
    readings = {}
    for check in checks:
        address = scorer.page_address(check, evidence.url)
        if address in evidence.pages:
            readings[reading_key(check)] = scorer.visible_text(evidence.pages[address])
    form: dict[str, Any] = {
        "eval_types": spec["eval_types"],
        "reference_answers": spec.get("reference_answers"),
        "reference_url": spec.get("reference_url", ""),
        "program_html": checks,
    }
    task: Task = replace(saved.task, eval=form)
    return replace(saved, task=task, evidence=replace(evidence, readings=readings))


def scorers() -> dict[str, OfflineScorer]:
    """By name. Raises ImportError without what WebArena's scorers need (the extra `browser`)."""
    from planact_envs.scoring.verified import NAME
    from planact_envs.webarena.offline import SCORERS

    def converted(score: OfflineScorer) -> OfflineScorer:
        async def scored(saved: Saved) -> Outcome:
            return await score(in_webarena_form(saved))

        return scored

    return {scorer.SCORER: by_miniweb, **{name: converted(score) for name, score in SCORERS.items() if name != NAME}}
