"""What a suite needs of this machine and of the user's sites, and whether it is there: the logic of scripts/doctor.py."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from planact.env import EnvError
from planact.recipe import RecipeError
from planact.types import Task
from planact_envs.suites import load_suite

DISK = 2.0  # GiB that a run with traces and screenshots may fill (ours)
IN_PROCESS = ("miniweb", "miniweb-short")  # suites without a browser
WEBARENA = ("webarena-lite", "webarena")
MARKS = {True: "ok", False: "MISSING", None: "note"}


@dataclass(frozen=True)
class Finding:
    """`ok` None: worth knowing, and nothing stops without it."""

    what: str
    ok: bool | None
    said: str

    def __str__(self) -> str:
        return f"{MARKS[self.ok]:8} {self.what:16} {self.said}"


def examine(name: str, runs: Path, judge: str | None, scorer: str | None = None) -> list[Finding]:
    """Everything that can be looked at before a run. `judge` is the judge's endpoint in words, None when the recipe names none."""
    findings, tasks = tasks_of(name)
    if name in WEBARENA:
        findings += [*asyncio.run(sites_of(tasks)), *package_of(scorer)]
    if judge or any(map(asks_a_judge, tasks)):
        findings.append(judge_of(tasks, judge))
    if name not in IN_PROCESS:
        findings.append(chromium())
    return [*findings, disk(runs)]


def tasks_of(name: str) -> tuple[list[Finding], Sequence[Task]]:
    try:
        tasks = load_suite(name).tasks("test")
    except RecipeError as error:
        return [Finding("tasks", False, str(error))], ()
    return [Finding("tasks", True, f"{len(tasks)} of {name}")], tasks


async def sites_of(tasks: Sequence[Task]) -> list[Finding]:
    from planact_envs.webarena.sites import NOT_HOSTED, needed_sites, probe, sites_from_environment

    needed = needed_sites(tasks)
    try:
        sites = sites_from_environment(needed)
    except RecipeError as error:
        return [Finding("sites", False, str(error))]
    probes = await asyncio.gather(*(probe(sites, site) for site in needed if site in sites.urls))
    findings = [
        Finding(found.site, found.answers, f"{found.url}  {found.error or f'status {found.status}'}  {found.milliseconds:.0f} ms")
        for found in probes
    ]
    count = {site: sum(site in task.sites for task in tasks) for site in needed}
    absent = [site for site in needed if site not in sites.urls]
    return findings + [Finding(site, None, f"{NOT_HOSTED}: its {count[site]} tasks end unscored") for site in absent]


def judge_of(tasks: Sequence[Task], judge: str | None) -> Finding:
    count = sum(map(asks_a_judge, tasks))
    if judge:
        return Finding("judge", True, f"{judge}  (asked by {count} of {len(tasks)} tasks)")
    return Finding("judge", None, f"none: {count} of {len(tasks)} tasks may end unscored; add endpoints.judge to the recipe")


def asks_a_judge(task: Task) -> bool:
    """Every question of WebVoyager does, and WebArena's tasks that have a fuzzy match."""
    if task.suite == "webvoyager":
        return True
    required = [check["required_contents"] for check in task.eval.get("program_html", ())]
    return any("fuzzy_match" in place for place in [task.eval.get("reference_answers") or {}, *required])


def package_of(scorer: str | None) -> list[Finding]:
    from planact_envs.scoring import verified

    if scorer != verified.NAME:
        return []
    try:
        verified.check_installed()
    except RecipeError as error:
        return [Finding("scorer", False, str(error))]
    return [Finding("scorer", True, f"{scorer} is installed")]


def chromium() -> Finding:
    """Starts it once: a program that is there may still not run."""
    from planact_envs.chromium.launch import find_chromium, open_browser

    async def version() -> str:
        async with open_browser() as browser:
            return browser.version

    try:
        return Finding("Chromium", True, f"{asyncio.run(version())} ({find_chromium() or 'the one of Playwright'})")
    except EnvError as error:
        return Finding("Chromium", False, str(error))


def disk(folder: Path) -> Finding:
    """The room in the nearest folder above that exists already."""
    there = next(place for place in [folder.absolute(), *folder.absolute().parents] if place.exists())
    free = shutil.disk_usage(there).free / 2**30
    return Finding("disk", free >= DISK, f"{free:.1f} GiB free for {folder}" + ("" if free >= DISK else f"; a run may need {DISK:.0f}"))
