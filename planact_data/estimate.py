"""What a recipe's data build will still cost: calls, tokens and dollars by stage, as ranges, before anything is spent.

How a range comes about. Each stage makes so many items (`_stages`); what a later stage gets depends on how many items of an earlier
one are accepted, a share that is measured on the store where it holds enough items and else one of the ranges below. The tokens of an
item are the average of what the stored items of its kind used, give or take `MARGIN`, where there are enough; else its prompt is
taken apart into system prompt, pages, actions and plans (`SHAPES`), whose sizes are known in ranges. Items in the store are paid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from planact.layout import data_store
from planact.prompts import executor_messages
from planact.recipe import Endpoint, Recipe
from planact.spending import usage_of
from planact.store import RunStore, read_run
from planact.teaching.expansion import SEEDS, WANTED
from planact.types import Observation, Task, Usage
from planact_data.pairs import site_of
from planact_data.trajectories import KIND as TRAJECTORY
from planact_envs.suites import Suite

ENOUGH = 10  # stored items of a kind from which their average is used; ours
ATTEMPT = "validation attempt"  # kind in the store (planact_data/attempts.py)
SYNTHETIC = "synthetic."  # how the ids of the teacher's own tasks begin (planact_data/synthesis.py, slow to import as attempts.py is)
SAMPLE = 100  # stored items of a kind that are looked at; ours
MARGIN = 0.15  # by which the items to come may differ from the stored ones on average; ours


@dataclass(frozen=True)
class Range:
    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        other = other if isinstance(other, Range) else Range(other, other)
        return Range(self.low * other.low, self.high * other.high)

    def __truediv__(self, share: Range) -> Range:
        """How many it takes when only `share` of them is accepted."""
        return Range(self.low / share.high, self.high / share.low)

    def without(self, done: float) -> Range:
        return Range(max(0.0, self.low - done), max(0.0, self.high - done))


def exactly(number: float) -> Range:
    return Range(number, number)


def around(number: float) -> Range:
    return Range(number * (1 - MARGIN), number * (1 + MARGIN))


NOTHING = exactly(0)

# Tokens are a quarter of the characters. Pages and turns of miniweb and pages of MiniWoB++ are measured on training tasks; those of other
# suites are WebArena's: WebRL cuts pages at 4,000 tokens, the paper's solved and failed episodes have 7.5 and 13.4 actions (figure 4).
PAGES = {"miniweb": Range(90, 200), "miniwob": Range(80, 300), "": Range(1500, 6000)}
TURNS = {"miniweb": Range(5, 10), "miniwob": Range(1, 4), "": Range(7.5, 13.4)}
ACTION = Range(20, 60)  # tokens of one action as prompts name it; ours
PLAN = Range(80, 400)  # tokens; ours
SOLVED = Range(0.35, 0.95)  # of the episodes; the paper's fine-tuned actor solves 0.36 of the test tasks, miniweb's scripted one 0.9
USABLE = Range(0.4, 0.9)  # of the requests written: new, no leak, feasible; ours
PLANNED = Range(0.8, 1.0)  # of the trajectories get a plan that passes; ours
ACCEPTED = Range(0.4, 0.9)  # of the pairs written pass rules and verdict; ours
CONCERNED = Range(0.3, 1.0)  # of the seed pairs are of a site with failures; ours
ANSWERS = Range(1.0, 1.5)  # calls for one question, repairs included; ours


# What an imported file holds, by format: WebArena-Lite's training set has 1,113 requests (paper; its list names 1,123) on five sites.
IMPORTED = {"webrl": Range(1000, 1123)}  # trajectories; the leak gate refuses some
IMPORTED_SITES = 5


@dataclass(frozen=True)
class Shape:
    """One call: tokens of its system prompt, what its user message holds, and tokens of its answer."""

    system: int
    answer: Range
    pages: int = 0
    plans: int = 0
    episode: float = 0.0  # share of an episode's actions that is listed

    def prompt(self, page: Range, turns: Range) -> Range:
        return exactly(self.system) + page * self.pages + PLAN * self.plans + ACTION * turns * self.episode


EPISODES = (TRAJECTORY, ATTEMPT)  # kinds whose items are asked for once a turn
SHAPES = {  # by kind in the store; system prompts measured, the rest ours
    **dict.fromkeys(EPISODES, Shape(250, Range(20, 100), pages=1, episode=0.5)),
    "query": Shape(300, Range(150, 500), pages=1),
    "feasibility": Shape(180, Range(5, 120), pages=1),
    "judge": Shape(200, Range(5, 150), pages=1, episode=1),
    "orm": Shape(60, exactly(1), pages=1, episode=1),
    "plan": Shape(210, Range(150, 700), pages=1, episode=1),
    "replan": Shape(270, Range(100, 600), pages=1, plans=1, episode=1),
    "expansion": Shape(390, PLAN * WANTED + Range(200, 600), pages=SEEDS, plans=SEEDS),
    "pair verdict": Shape(250, Range(50, 600), pages=3, plans=WANTED),
    "failure classes": Shape(230, Range(100, 600), pages=10, plans=10, episode=10),
    "failure class of a pair": Shape(600, Range(40, 200), plans=1),
    "variant": Shape(450, PLAN + Range(20, 60), pages=1, plans=1),
    "reasoning": Shape(450, Range(100, 2000), pages=1, plans=2, episode=1),  # reasoning models think before they write it
}


@dataclass(frozen=True)
class StageEstimate:
    """What is left of one stage. `wanted` counts its items, `done` those in the store; tokens are of all calls together."""

    stage: str
    role: str
    wanted: Range
    done: int
    calls: Range
    prompt: Range
    completion: Range

    def usd(self, endpoint: Endpoint | None) -> Range | None:
        """Dollars; None when the price is unknown. The scripted teacher (no endpoint) and vLLM in this process (no URL) are free."""
        if endpoint is None or not endpoint.base_url or not self.calls.high:
            return NOTHING
        if endpoint.usd_per_m_prompt is None or endpoint.usd_per_m_completion is None:
            return None
        return self.prompt * (endpoint.usd_per_m_prompt / 1e6) + self.completion * (endpoint.usd_per_m_completion / 1e6)


@dataclass(frozen=True)
class Stored:
    """What is in the store, by kind: how many items, and the average of what one used."""

    counts: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)
    tried: frozenset[str] = frozenset()  # ids of the tasks with a trajectory
    turns: Range | None = None  # of an episode
    solved: Range | None = None  # share of the episodes

    def count(self, kind: str) -> int:
        return self.counts.get(kind, 0)


def read_stored(path: Path) -> Stored:
    """Raises StoreError for a store that cannot be read; nothing is stored where there is none yet."""
    if not path.exists():
        return Stored()
    with read_run(path) as store:
        counts = {kind: store.count(kind) for kind in store.kinds()}
        usage = {kind: mean for kind in counts if (mean := _mean_usage(store, kind))}
        episodes = [episode for _, episode in islice(store.items(TRAJECTORY), SAMPLE)]
        turns = solved = None
        if len(episodes) >= ENOUGH:
            turns = around(sum(len(e["turns"]) for e in episodes) / len(episodes))
            share = around(sum(e["outcome"]["success"] is True for e in episodes) / len(episodes))
            solved = Range(min(max(share.low, 0.02), 1.0), min(max(share.high, 0.05), 1.0))  # a share of nothing promises no end
        return Stored(counts, usage, frozenset(store.keys(TRAJECTORY)), turns, solved)


def _mean_usage(store: RunStore, kind: str) -> Usage | None:
    found = [usage_of(item) for _, item in islice(store.items(kind), SAMPLE)]
    paid = [usage for usage in found if usage.prompt_tokens]
    if len(paid) < ENOUGH:
        return None
    total, n = sum(paid, Usage()), len(paid)
    return Usage(round(total.prompt_tokens / n), round(total.completion_tokens / n), max(1, round(total.calls / n)))


def estimate(recipe: Recipe, suite: Suite, runs: Path, kinds: Collection[str]) -> list[StageEstimate]:
    """What rows of `kinds` still cost. Reads the tasks and the store; no model, no network. Raises StoreError."""
    stored = read_stored(data_store(recipe, suite.version, runs))
    name = suite.name.split("-")[0]
    page, turns = PAGES.get(name, PAGES[""]), stored.turns or TURNS.get(name, TURNS[""])
    found = []
    for stage, kind, role, wanted, done in _stages(recipe, suite, kinds, stored, turns):
        left = wanted.without(done)
        if usage := stored.usage.get(kind):
            work = (left * around(n) for n in (usage.calls, usage.prompt_tokens, usage.completion_tokens))
        else:
            calls, shape = left * (turns if kind in EPISODES else ANSWERS), SHAPES.get(kind, SHAPES["reasoning"])
            shape = replace(shape, system=_actor_system(recipe)) if kind in EPISODES else shape
            work = (calls, calls * shape.prompt(page, turns), calls * shape.answer)
        found.append(StageEstimate(stage, role, wanted, done, *work))
    return found


def train_tasks(suite: Suite) -> tuple[Task, ...]:
    """None for a benchmark that is for testing only, whose training data is imported."""
    return suite.tasks("train") if "train" in suite.splits else ()


def _actor_system(recipe: Recipe) -> int:
    """Tokens of the actor's system prompt, which a recipe has the choice of."""
    system, *_ = executor_messages(recipe.agent, "", None, (), Observation("", "", ""))
    return len(system["content"]) // 4


def _stages(
    recipe: Recipe, suite: Suite, kinds: Collection[str], stored: Stored, turns: Range
) -> Iterator[tuple[str, str, str, Range, int]]:
    """(stage, kind in the store, role, items wanted, items stored), in the order of the pipeline."""
    data = recipe.data
    pool = {task.id: task for task in train_tasks(suite)}
    seeds = min(data.tasks or len(pool), len(pool))
    share, count = stored.solved or SOLVED, stored.count
    yield "seed roll-outs", TRAJECTORY, "actor", exactly(seeds), len(stored.tried & pool.keys())
    solved = sum((IMPORTED[format_] for format_ in data.imports if format_ in IMPORTED), exactly(seeds) * share)
    if data.synthetic:
        tries = exactly(data.synthetic) / share
        written = tries / USABLE
        yield "new requests", "query", "teacher", written * (1 / WANTED), count("query")
        yield "feasible requests", "feasibility", "teacher", written * Range(0.5, 1.0), count("feasibility")
        made = sum(key.startswith(SYNTHETIC) for key in stored.tried)
        yield "synthetic roll-outs", TRAJECTORY, "actor", tries, made
        if data.outcome_filter != "environment":
            yield "outcomes", data.outcome_filter, data.outcome_filter, tries, count(data.outcome_filter)
        solved += exactly(data.synthetic)
    yield "grounded plans", "plan", "teacher", solved, count("plan")
    planned = solved * PLANNED
    pairs = planned
    if data.expansion:
        yield "expansion", "expansion", "teacher", exactly(data.expansion / WANTED) / ACCEPTED, count("expansion")
        pairs += exactly(data.expansion)
    if data.targeted:
        yield from _targeting(recipe, suite, planned, stored)
        pairs += exactly(data.targeted)
    if data.expansion or data.targeted:
        wanted = exactly((data.expansion + data.targeted) / WANTED) / ACCEPTED
        yield "verdicts on pairs", "pair verdict", "teacher", wanted, count("pair verdict")
    if any(kind.startswith(("replan", "act_dynamic")) for kind in kinds):
        yield "replans", "replan", "teacher", planned * turns.without(1), count("replan")
    rows = {"plan_cot": pairs, "replan_cot": planned * turns.without(1)}
    for kind in sorted(kind for kind in kinds if kind.endswith("_cot")):
        yield f"reasoning of {kind}", kind, "reasoner", rows.get(kind, planned * turns), count(kind)


def _targeting(recipe: Recipe, suite: Suite, planned: Range, stored: Stored) -> Iterator[tuple[str, str, str, Range, int]]:
    if not recipe.data.failures_of and "validation" in suite.splits:
        yield "validation attempts", ATTEMPT, "actor", exactly(len(suite.tasks("validation"))), stored.count(ATTEMPT)
    sites = len({site_of(task.start_url) for task in train_tasks(suite)})
    yield "failure classes", "failure classes", "teacher", Range(1, sites or IMPORTED_SITES), stored.count("failure classes")
    classified = "failure class of a pair"
    yield "pairs by class", classified, "teacher", planned * CONCERNED, stored.count(classified)
    yield "variants", "variant", "teacher", exactly(recipe.data.targeted) / ACCEPTED, stored.count("variant")
