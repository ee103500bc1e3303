"""What a data build would do, in lines for people: the rows, the calls and tokens and dollars that they still cost, the places touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from planact.layout import NotBuilt, base_model_identity, data_folder, data_store, missing_kinds, wanted_kinds
from planact.recipe import Endpoint, Recipe
from planact.spending import spent
from planact.store import read_run
from planact_data.estimate import NOTHING, Range, StageEstimate, estimate, train_tasks
from planact_data.trajectories import KIND as TRAJECTORY
from planact_envs.suites import Suite, load_suite

_HEADER = ("stage", "asks", "items", "done", "calls", "prompt tokens", "completion tokens", "USD")


def describe(recipe: Recipe, runs: Path) -> list[str]:
    """Reads tasks, store and manifest, writes nothing, asks nobody."""
    if recipe.data is None:
        return ["data      not part of this recipe"]
    suite = load_suite(recipe.data.suite)
    folder = data_folder(recipe, suite.version, runs)
    missing = missing_kinds(recipe, folder)
    states = [f"{kind} ({'to build' if kind in missing else 'built'})" for kind in wanted_kinds(recipe)]
    lines = [f"data      {folder}", f"          {_tasks(recipe, suite, runs)}", f"          rows: {', '.join(states)}"]
    if missing:
        lines += ["", *table(recipe, estimate(recipe, suite, runs, missing)), *_spending(recipe, suite, runs)]
    return [*lines, "", *touched(recipe, suite, runs)]


def _tasks(recipe: Recipe, suite: Suite, runs: Path) -> str:
    pool = {task.id for task in train_tasks(suite)}
    path, done = data_store(recipe, suite.version, runs), 0
    if path.exists():
        with read_run(path) as store:
            done = len(store.keys(TRAJECTORY) & pool)
    tasks = min(recipe.data.tasks or len(pool), len(pool))
    if not pool:
        files = ", ".join(f"{path}{'' if Path(path).exists() else ' (not there)'}" for path in recipe.data.imports.values())
        return f"{suite.name} {suite.version} has no training tasks; imported: {files or 'nothing'}; teacher {recipe.data.teacher}"
    return f"{tasks} of {len(pool)} training tasks of {suite.name} {suite.version}, {done} rolled out; teacher {recipe.data.teacher}"


def table(recipe: Recipe, stages: Sequence[StageEstimate]) -> list[str]:
    """A line for each stage, one for each role when there are several, and the total; ranges are low to high."""
    roles = list(dict.fromkeys(stage.role for stage in stages))
    rows = [_HEADER]
    rows += [(one.stage, one.role, _range(one.wanted), f"{one.done:,}", *_amounts(recipe, [one])) for one in stages]
    if len(roles) > 1:
        rows += [("all stages", role, "", "", *_amounts(recipe, [one for one in stages if one.role == role])) for role in roles]
    rows.append(("total", "", "", "", *_amounts(recipe, stages)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) if n < 2 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]


def _amounts(recipe: Recipe, stages: Sequence[StageEstimate]) -> tuple[str, ...]:
    """Calls, tokens and dollars of some stages together."""
    sums = [_range(sum((getattr(one, name) for one in stages), NOTHING)) for name in ("calls", "prompt", "completion")]
    return (*sums, _price(recipe, [one.usd(_endpoint(recipe, one.role)) for one in stages]))


def _endpoint(recipe: Recipe, role: str) -> Endpoint | None:
    """What plays `role`: its own endpoint, else the teacher's; None for the scripted teacher."""
    return None if recipe.data.teacher == "scripted" else recipe.endpoints.get(role, recipe.endpoints.get("teacher"))


def _price(recipe: Recipe, parts: Sequence[Range | None]) -> str:
    """The dollars that are known, and whether there are others."""
    if recipe.data.teacher == "scripted":
        return "free"
    known = [part for part in parts if part is not None]
    total = sum(known, NOTHING)
    told = _span(f"{total.low:,.2f}", f"{total.high:,.2f}")
    return told if len(known) == len(parts) else f"{told} + unknown" if total.high else "price unknown"


def _range(amount: Range) -> str:
    return _span(_short(amount.low), _short(amount.high))


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} - {high}"


def _short(number: float) -> str:
    """1,234 below ten thousand, then 12k, 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            value = number / (1e3 if letter == "k" else size)
            return f"{value:.1f}{letter}" if value < 10 else f"{value:,.0f}{letter}"
    return f"{number:,.0f}"


def _spending(recipe: Recipe, suite: Suite, runs: Path) -> list[str]:
    """What the store has cost already, and the limit, where money is involved."""
    if recipe.data.teacher == "scripted":
        return []
    lines, path = [], data_store(recipe, suite.version, runs)
    if path.exists():
        with read_run(path) as store:
            usd = spent(store).usd
        lines.append(f"spent so far: {'price unknown' if usd is None else f'{usd:,.2f} USD'}")
    limit = recipe.data.max_usd
    lines.append(f"limit: {f'{limit:,.2f} USD, what is spent included' if limit is not None else 'none; set one with --max-usd'}")
    if recipe.data.imports:
        lines.append("imported trajectories get plans too; how many there are is known when they are read (webrl: about 1,113)")
    return lines


def touched(recipe: Recipe, suite: Suite, runs: Path) -> list[str]:
    """What a build reads, writes and connects to."""
    folder = data_folder(recipe, suite.version, runs)
    reads = [*recipe.data.imports.values(), *filter(None, [recipe.data.failures_of])]
    asked = {} if recipe.data.teacher == "scripted" else recipe.endpoints
    servers = dict.fromkeys(f"{endpoint.base_url or 'vLLM in this process'}, {endpoint.model}" for endpoint in asked.values())
    lines = [f"writes    {data_store(recipe, suite.version, runs)}, {folder}/"]
    lines += [f"reads     {', '.join(reads)}"] if reads else []
    lines += [f"asks      {server}" for server in servers]
    return [*lines, f"Hub       {_hub(recipe)}"]


def _hub(recipe: Recipe) -> str:
    try:
        on_the_hub = base_model_identity(recipe.base_model) == recipe.base_model
    except NotBuilt:
        on_the_hub = False
    return f"{f'{recipe.base_model} is fetched to train and evaluate' if on_the_hub else 'nothing is fetched'}; nothing is pushed"
