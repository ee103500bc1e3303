"""Two runs of one benchmark, episode by episode: which solves what, whether the difference may be chance, and what it costs.

text = compare(Path("runs/eval/miniweb-react-0123456789"), Path("runs/eval/miniweb-static-9876543210"))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

from planact.recipe import RecipeError
from planact.store import differences
from planact.types import Outcome, Task, Trajectory, from_dict, to_dict
from planact_eval.asking import identity
from planact_eval.intervals import cluster_bootstrap
from planact_eval.markdown import escaped, table
from planact_eval.metrics import tokens
from planact_eval.rescoring import FOLDER, verdict_word
from planact_eval.run_folder import RunFolder, open_run
from planact_eval.runner import KIND

SAME = ("suite", "suite_version", "split")
COSTS: dict[str, Callable[[Trajectory], float]] = {
    "turns": lambda t: len(t.turns),
    "planner tokens": lambda t: tokens(t.planner_usage),
    "executor tokens": lambda t: tokens(t.executor_usage),
    "seconds": lambda t: t.seconds,
}


@dataclass(frozen=True)
class Pair:
    """One task's episode in both runs."""

    key: str
    task: Task
    one: Trajectory
    other: Trajectory
    verdicts: tuple[Outcome, Outcome]

    @property
    def success(self) -> tuple[bool | None, bool | None]:
        return self.verdicts[0].success, self.verdicts[1].success


def compare(one: Path, other: Path, scorer: str | None = None) -> str:
    """The comparison as Markdown. With `scorer`, the verdicts are those that scripts/rescore.py wrote.

    Raises RecipeError when the runs are not of one suite, version and split, not of one scorer, or share no episode.
    """
    with open_run(one) as first, open_run(other) as second:
        check_comparable(first, second, scorer)
        pairs = paired(first, second, scorer)
        alone = [len(run.store.keys(KIND)) - len(pairs) for run in (first, second)]
        configs = differences(to_dict(first.recipe), to_dict(second.recipe))
        settings = differences(first.settings, second.settings)
        measured = f"{' '.join(first.settings[name] for name in SAME)}, scorer {scorer or first.settings['scorer']}"
    title = f"# {escaped(one.name)} (A) and {escaped(other.name)} (B)\n\n{escaped(measured)}: {len(pairs)} episodes in both"
    left = f"; {alone[0]} in A alone and {alone[1]} in B alone are left out" if any(alone) else ""
    sections = [f"{title}{left}.", verdicts_of(pairs), costs_of(pairs), discordant(pairs), config(configs, settings)]
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def check_comparable(one: RunFolder, other: RunFolder, scorer: str | None) -> None:
    for name in SAME:
        if one.settings[name] != other.settings[name]:
            raise RecipeError(
                f"these runs cannot be compared: their {name} is {one.settings[name]!r} and {other.settings[name]!r}; "
                "name two runs of one suite, version and split"
            )
    scorers = [run.settings["scorer"] for run in (one, other)]
    if scorer is None and scorers[0] != scorers[1]:
        name = scorers[0]
        commands = "\n".join(f"  python scripts/rescore.py {run.folder} --scorer {name}" for run in (one, other))
        raise RecipeError(
            f"the verdicts of these runs are by different scorers, {name} and {scorers[1]}; score both with one and compare them "
            f"with --scorer {name}:\n{commands}"
        )
    if missing := one.missing or other.missing:
        raise RecipeError(missing)


def paired(one: RunFolder, other: RunFolder, scorer: str | None) -> list[Pair]:
    """The episodes that both runs have of a task that is the same in both, in the order of the first."""
    outcomes = [outcomes_of(run, scorer) for run in (one, other)]
    both = other.store.keys(KIND)
    pairs = []
    for key in filter(both.__contains__, one.keys()):
        first, second = one.trajectory(key), other.trajectory(key)
        if first.task_hash == second.task_hash and (task := one.task_of(first)):
            own = tuple(found.get(key, t.outcome) for found, t in zip(outcomes, (first, second), strict=True))
            pairs.append(Pair(key, task, first, second, own))
    if not pairs:
        raise RecipeError(f"{one.folder} and {other.folder} have no episode of one task in common")
    return pairs


def outcomes_of(run: RunFolder, scorer: str | None) -> Mapping[str, Outcome]:
    """The verdicts of scripts/rescore.py; none without a scorer, and then the run's own count."""
    if scorer is None:
        return {}
    path = run.folder / FOLDER / f"{scorer}.json"
    if not path.is_file():
        raise RecipeError(f"{run.folder} was not scored by {scorer} again; type: python scripts/rescore.py {run.folder} --scorer {scorer}")
    stored = json.loads(path.read_text(encoding="utf-8"))
    if later := [key for key, trajectory in run.store.items(KIND) if stored["of"].get(key) != identity(trajectory)]:
        command = f"python scripts/rescore.py {run.folder} --scorer {scorer}"
        raise RecipeError(f"{path} knows nothing of {len(later)} episodes that were run later; score the run again: {command}")
    return {key: from_dict(Outcome, outcome) for key, outcome in stored["outcomes"].items()}


def mcnemar(only_one: int, only_other: int) -> float:
    """The two-sided p-value that so uneven a split of the episodes which only one of two runs solves is chance.

    min(1, 2 · Σ_{i=0..min(b,c)} C(b+c, i) / 2^(b+c)): the sign test on the discordant pairs b and c, the exact form of Q. McNemar 1947,
    Psychometrika 12:153-157; as in Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91. 1 without such an episode.
    It takes episodes for independent; those of one template are not quite.
    """
    n = only_one + only_other
    return min(1.0, 2 * sum(comb(n, i) for i in range(min(only_one, only_other) + 1)) / 2**n)


def verdicts_of(pairs: Sequence[Pair]) -> str:
    """The four-field table and McNemar's test. Episodes that either run left unscored are counted apart."""
    scored = [pair.success for pair in pairs if None not in pair.success]
    both, a, b, neither = (scored.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False)))
    unscored = len(pairs) - len(scored)
    lines = [["", "B succeeds", "B fails"], ["A succeeds", str(both), str(a)], ["A fails", str(b), str(neither)]]
    text = f"## Success\n\n{table(lines)}\n"
    if scored:
        n = len(scored)
        low, high = cluster_bootstrap(by_template([pair for pair in pairs if None not in pair.success], gain))
        text += (
            f"Of {n} episodes that both scored, A solves {both + a} ({(both + a) / n:.1%}) and B {both + b} ({(both + b) / n:.1%}). "
            f"B minus A: {(b - a) / n:+.1%}, 95% interval [{low:+.1%}, {high:+.1%}] (templates drawn again). "
            f"McNemar's exact test of {a} against {b}: p = {mcnemar(a, b):.3g}.\n"
        )
    return text + (
        f"{unscored} episodes broke or were not scored in A or in B; they are in no figure of this section.\n" if unscored else ""
    )


def gain(pair: Pair) -> float:
    return float(pair.success[1] is True) - float(pair.success[0] is True)


def by_template(pairs: Sequence[Pair], value: Callable[[Pair], float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for pair in pairs:
        found.setdefault(pair.task.template, []).append(value(pair))
    return found


def costs_of(pairs: Sequence[Pair]) -> str:
    """Means per episode over all pairs, and the paired difference with its bootstrap interval."""
    lines = [["mean per episode", "A", "B", "B - A", "95% interval"]]
    n = len(pairs)
    for name, cost in COSTS.items():
        one, other = (sum(cost(t) for t in found) / n for found in ([p.one for p in pairs], [p.other for p in pairs]))
        low, high = cluster_bootstrap(by_template(pairs, lambda pair, cost=cost: cost(pair.other) - cost(pair.one)))
        lines.append([name, f"{one:.1f}", f"{other:.1f}", f"{other - one:+.1f}", f"[{low:+.1f}, {high:+.1f}]"])
    return f"## Cost\n\n{table(lines)}"


def discordant(pairs: Sequence[Pair]) -> str:
    """Where only one run succeeds: counts by site and template, then every episode with the reasons."""
    apart = [pair for pair in pairs if set(pair.success) == {True, False}]
    if not apart:
        return "## Episodes that one run alone solves\n\nNone."
    counts = [["site", "template", "A alone", "B alone"]]
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in apart:
        groups.setdefault(("+".join(pair.task.sites), pair.task.template), []).append(pair)
    for (site, template), found in sorted(groups.items()):
        counts.append([site, template, *(str(sum(pair.success[side] is True for pair in found)) for side in (0, 1))])
    lines = [["episode", "task", "A", "B", "why it failed"]]
    for pair in apart:
        failed = pair.verdicts[0] if pair.success[1] else pair.verdicts[1]
        lines.append([pair.key, pair.task.intent, *map(verdict_word, pair.verdicts), failed.reason or "-"])
    return f"## Episodes that one run alone solves\n\n{table(counts, words=2)}\n{table(lines, words=5)}"


def config(recipes: Sequence[str], settings: Sequence[str]) -> str:
    """What differs between the recipes, and in what the runs were started with."""

    def listed(lines: Sequence[str]) -> str:
        return "\n".join(f"- {escaped(line)}" for line in lines) or "- nothing"

    return f"## Configuration (A -> B)\n\nThe recipes:\n\n{listed(recipes)}\n\nThe settings of the runs:\n\n{listed(settings)}"
