"""New tasks with their trajectories (paper 4.1): a teacher writes requests, says which can be met, an actor tries them, a filter keeps.

It goes in rounds. A round asks once for each site: five seed requests that start there make up to ten new ones. How many
trajectories are wanted decides only how many rounds there are, so a larger number keeps what a smaller one had.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Sequence

from planact.recipe import Recipe, RecipeError
from planact.store import RunStore
from planact.teaching.queries import SEEDS, WANTED, feasibility_messages, parse_feasibility, parse_queries, query_messages
from planact.types import Observation, Outcome, Task, Trajectory, content_hash, to_dict
from planact_data.desk import Desk, Question
from planact_data.distinct import Distinct
from planact_data.leaks import Gate
from planact_data.models import Models
from planact_data.outcome import JUDGE, ORM, judged
from planact_data.pairs import site_of
from planact_data.trajectories import hosts_of, load_trajectories, rejection, roll_out
from planact_envs.suites import Suite

QUERY, FEASIBILITY, VERDICT = "query", "feasibility", "verdict"  # kinds in the store
TEMPLATE = "synthetic"  # of the tasks that a teacher wrote
MAX_IDLE = 3  # rounds in a row without a solved trajectory, after which no more are tried; ours
TEMPERATURE = 1.0  # of the writing of requests (WebRL)


Tried = tuple[Task, Trajectory]


@dataclass(frozen=True)
class Request:
    """A seed task or a new one, with the page that it starts on."""

    task: Task
    page: Observation


@dataclass
class Counts:
    """Where the requests of all rounds went: written = rejected + kept."""

    rounds: int = 0
    written: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)  # whole answers, in which no request could be read

    def as_dict(self, wanted: int) -> dict[str, Any]:
        return {
            "trajectories wanted": wanted,
            "rounds": self.rounds,
            "answers without requests": dict(sorted(self.unusable.items())),
            "requests written": self.written,
            "rejected": dict(sorted(self.rejected.items())),
            "trajectories kept": min(self.kept, wanted),
            "solved beyond what was wanted": max(self.kept - wanted, 0),
        }


async def synthesize(
    tasks: Sequence[Task],
    suite: Suite,
    recipe: Recipe,
    models: Models,
    desk: Desk,
    store: RunStore,
    gate: Gate,
    imported: Sequence[Trajectory] = (),
) -> tuple[list[Trajectory], dict[str, Any]]:
    """At most `recipe.data.synthetic` solved trajectories of new requests, and what was dropped on the way and why.

    Seeds are `tasks`, whose trajectories are in `store`, and what was `imported`. All new trajectories go into the store, those that
    are not kept too, with what the filter said of them as items of the kind VERDICT. Raises RecipeError for a suite that cannot score
    new requests.
    """
    if recipe.data.outcome_filter == "environment" and suite.task_of is None:
        raise RecipeError(f"{suite.name} cannot score new requests; set data.outcome_filter to judge or orm")
    seeds = [*zip(tasks, load_trajectories(tasks, store), strict=True), *((imported_task(one, suite), one) for one in imported)]
    rounds, wanted, idle = Rounds(seeds, suite, recipe, models, desk, store, gate), recipe.data.synthetic, 0
    kept: list[Trajectory] = []
    while rounds.sites and len(kept) < wanted and idle < MAX_IDLE:
        solved = await rounds.next()
        kept += solved
        idle = 0 if solved else idle + 1
    if len(kept) < wanted:
        why = f"the last {idle} rounds brought none" if rounds.sites else "no seed task has a first page"
        print(f"WARNING: {len(kept)} of {wanted} synthetic trajectories: {why}; see the counts in the card", file=sys.stderr)
    return kept[:wanted], rounds.counts.as_dict(wanted)


class Rounds:
    """The rounds so far: every request that was written in them, and where it went."""

    def __init__(self, seeds: Sequence[Tried], suite: Suite, recipe: Recipe, models: Models, desk: Desk, store: RunStore, gate: Gate):
        self.suite, self.recipe, self.models, self.desk, self.store, self.gate = suite, recipe, models, desk, store, gate
        self.sites = seeds_by_site(seeds)
        self.counts = Counts()
        self.distinct = Distinct(recipe.data.near_duplicate)
        for task, _ in seeds:
            self.distinct.is_new(task.id, task.intent)

    async def next(self) -> list[Trajectory]:
        """One more round. Returns its solved trajectories."""
        fresh = [request for request in await self.write() if self.is_fresh(request)]
        feasible = await self.only_feasible(fresh)
        solved = await self.only_solved([request.task for request in feasible])
        self.counts.rounds += 1
        return solved

    async def write(self) -> list[Request]:
        """What the teacher writes for each site; the first request of every site comes first, so that any number is a fair mix."""
        number = self.counts.rounds
        found: dict[str, list[Request]] = {}

        async def work(site: str) -> None:
            dice = random.Random(f"{self.recipe.seed}/synthesis/{site}/{number}")
            seeds = dice.sample(self.sites[site], min(SEEDS, len(self.sites[site])))
            messages = query_messages(seeds[0].page, [one.task.intent for one in seeds])
            question = Question(f"{number}/{site}", messages, parse_queries, temperature=TEMPERATURE)
            answer = await self.desk.ask(QUERY, self.models.teacher, question)
            self.counts.unusable.update([answer.rejected] if answer.rejected else [])
            found[site] = [Request(new_task(intent, seeds, self.suite), seeds[0].page) for intent in answer.value or ()]

        await self.desk.each(f"new requests, round {number + 1}", self.sites, work, [QUERY])
        requests = [found[site][rank] for rank in range(WANTED) for site in self.sites if rank < len(found[site])]
        self.counts.written += len(requests)
        return requests

    def is_fresh(self, request: Request) -> bool:
        """No (near-)duplicate of a seed or of an earlier request, whatever became of that one, and nothing of the held-out tasks."""
        intent = request.task.intent
        reason = self.gate.refusal(intent) if self.distinct.is_new(request.task.id, intent) else "near-duplicate"
        self.counts.rejected.update([reason] if reason else [])
        return not reason

    async def only_feasible(self, requests: Sequence[Request]) -> list[Request]:
        """Those that the teacher says the site can meet."""
        refused: dict[str, str] = {}

        async def work(request: Request) -> None:
            question = Question(request.task.id, feasibility_messages(request.task.intent, request.page), parse_feasibility)
            answer = await self.desk.ask(FEASIBILITY, self.models.teacher, question)
            if not answer.value:
                refused[request.task.id] = f"feasibility not told ({answer.rejected})" if answer.rejected else "not feasible"

        await self.desk.each("feasible requests", requests, work, [FEASIBILITY])
        self.counts.rejected.update(refused.values())
        return [request for request in requests if request.task.id not in refused]

    async def only_solved(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """The trajectories of `tasks` that the outcome filter keeps, with its outcome."""
        recipe, models = self.recipe, self.models
        how, hosts = recipe.data.outcome_filter, hosts_of(recipe)
        await roll_out(tasks, self.suite, recipe.agent, models.actor, self.store, recipe.seed, models.in_flight, hosts=hosts)
        tried, outcomes = load_trajectories(tasks, self.store), dict[str, Outcome]()

        async def work(trajectory: Trajectory) -> None:
            outcomes[trajectory.task_id] = await judged(trajectory, how, models, self.desk)

        await self.desk.each("outcomes", tried, work, [] if how == "environment" else [how])
        solved = []
        for trajectory in (replace(one, outcome=outcomes[one.task_id]) for one in tried):
            reason = _why_dropped(trajectory)
            verdict = {"intent": trajectory.intent, "rejected": reason, "outcome": to_dict(trajectory.outcome)}
            self.store.put(f"{trajectory.task_id}/{how}", verdict, VERDICT, replace=True)
            self.counts.rejected.update([reason] if reason else [])
            solved += [] if reason else [trajectory]
        self.counts.kept += len(solved)
        return solved


def seeds_by_site(seeds: Sequence[Tried]) -> dict[str, list[Request]]:
    """The tasks by the host that they start on, without those whose episode never saw a page or does not tell on which site it was."""
    sites: dict[str, list[Request]] = {}
    for task, trajectory in seeds:
        if trajectory.turns and (site := site_of(trajectory.turns[0].observation.url)):
            sites.setdefault(site, []).append(Request(task, trajectory.turns[0].observation))
    return dict(sorted(sites.items()))


def imported_task(trajectory: Trajectory, suite: Suite) -> Task:
    """What an imported episode was asked to do; it starts on the first page that the file shows."""
    url = trajectory.turns[0].observation.url
    sites = (site,) if (site := site_of(url)) else ()
    return Task(trajectory.task_id, suite.name, "train", sites, trajectory.intent, url, template="imported")


def new_task(intent: str, seeds: Sequence[Request], suite: Suite) -> Task:
    """A request as a training task that starts where the first seed does; with an evaluation where the suite has one for it."""
    first = seeds[0].task
    known = suite.task_of(intent, first.start_url) if suite.task_of else None
    return Task(
        id=f"{TEMPLATE}.{content_hash([first.suite, first.start_url, intent])}",
        suite=first.suite,
        split="train",
        sites=known.sites if known else tuple(dict.fromkeys(site for seed in seeds for site in seed.task.sites)),
        intent=intent,
        start_url=first.start_url,
        template=TEMPLATE,
        eval=known.eval if known else {},
    )


def _why_dropped(trajectory: Trajectory) -> str:
    if trajectory.outcome.success is None and trajectory.outcome.scorer in (JUDGE, ORM):
        return f"unscored ({trajectory.outcome.reason})"
    return rejection(trajectory)
