"""Score the saved episodes of a run again, with any scorer that can work without the world, and show where scorers disagree.

    text = rescore(Path("runs/eval/miniweb-react-0123456789"), ["vab"])

The run itself is only read. What a scorer cannot know from the evidence (planact_envs.evidence) stays unscored, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from planact.cache import ResponseCache
from planact.layout import write_json
from planact.llm import LLM, Budget, Completion, Message, ModelError
from planact.parallel import run_all
from planact.recipe import RecipeError
from planact.types import Judgement, Outcome, Trajectory, Usage, content_hash, to_dict
from planact_envs import evidence
from planact_envs.suites import OfflineScorer, Suite, load_suite
from planact_eval.asking import identity
from planact_eval.intervals import wilson
from planact_eval.markdown import escaped, table
from planact_eval.metrics import BROKEN
from planact_eval.players import open_endpoint
from planact_eval.run_folder import RunFolder, open_run
from planact_eval.runner import KIND

FOLDER = "rescored"  # in the run's folder: <scorer>.json, judge.sqlite, disagreements.md
REPORT = "disagreements.md"
REPLIES = "judge.sqlite"
IN_FLIGHT = 16  # episodes scored at a time, where a judge is asked; ours
SHOWN = 20  # disagreements that the terminal shows; the file has all

Verdicts = Mapping[str, Mapping[str, Outcome]]  # scorer -> episode -> outcome


def rescore(folder: Path, scorers: Sequence[str], ask_judge: bool = True) -> str:
    """Score the run in `folder` with each of `scorers`. Returns what a user should read.

    Judge replies are kept in the folder, and those that the run has paid for are taken from it. Raises RecipeError for a scorer
    that does not work on this suite's saved episodes, and for a run that is not finished.
    """
    with open_run(folder) as run:
        if run.missing:
            raise RecipeError(run.missing)
        known = {name: offline_scorer(load_suite(run.recipe.eval.suite), name) for name in dict.fromkeys(scorers)}
        if left := len(set(run.planned) - run.store.keys(KIND)):
            raise RecipeError(
                f"{left} of {len(run.planned)} episodes of {folder} have not been run; "
                f"finish it first, with the command that started it, such as python scripts/evaluate.py --config {folder / 'recipe.yaml'}"
            )
        trajectories = {key: run.trajectory(key) for key in run.planned}
        of = {key: identity(run.store.get(key, KIND)) for key in run.planned}
        verdicts = asyncio.run(_rescore(run, trajectories, known, ask_judge))
        own = f"{run.settings['scorer']} (the run)"
        verdicts = {own: {key: trajectory.outcome for key, trajectory in trajectories.items()}, **verdicts}
    for name in known:
        counts = to_dict(tally(verdicts[name]))
        outcomes = {key: to_dict(outcome) for key, outcome in verdicts[name].items()}
        write_json(folder / FOLDER / f"{name}.json", {"scorer": name, "counts": counts, "outcomes": outcomes, "of": of})
    report = folder / FOLDER / REPORT
    report.write_text(f"# {escaped(folder.name)}, scored again\n\n{tables(verdicts)}\n{listing(verdicts)}", encoding="utf-8")
    return f"{tables(verdicts)}\n{listing(verdicts, SHOWN)}\nverdicts  {folder / FOLDER}/<scorer>.json\nreport    {report}"


def offline_scorer(suite: Suite, name: str) -> OfflineScorer:
    """Raises RecipeError with the scorers that can work on saved episodes of the suite."""
    try:
        known = suite.offline()
    except ImportError as error:
        raise RecipeError(f"scoring again needs a package that is not installed: {error}; pip install 'planact[browser]'") from error
    if name not in known:
        offered = f"those that do are {', '.join(known)}" if known else "it has none that does"
        raise RecipeError(f"{suite.name} has no scorer {name!r} that works on saved episodes; {offered}")
    return known[name]


async def _rescore(
    run: RunFolder, trajectories: Mapping[str, Trajectory], scorers: Mapping[str, OfflineScorer], ask_judge: bool
) -> dict[str, dict[str, Outcome]]:
    found: dict[str, dict[str, Outcome]] = {name: {} for name in scorers}
    async with open_known_judge(run, trajectories, ask_judge) as judge:

        async def work(key: str) -> None:
            saved = saved_episode(run, key, trajectories[key], judge)
            for name, score in scorers.items():
                found[name][key] = replace(saved, scorer=name) if isinstance(saved, Outcome) else await score(saved)

        await run_all(trajectories, work, IN_FLIGHT)
    return {name: {key: outcomes[key] for key in trajectories} for name, outcomes in found.items()}


def saved_episode(run: RunFolder, key: str, trajectory: Trajectory, judge: LLM | None) -> evidence.Saved | Outcome:
    """What scorers are given; an outcome where no scorer can say anything."""
    if trajectory.stop_reason in BROKEN:
        return Outcome(None, reason=f"the episode broke: {trajectory.stop_reason}")
    task = run.task_of(trajectory)
    if task is None:
        return Outcome(None, reason="the task is another one now than when the run was made")
    if not task.eval:
        return Outcome(None, reason="the task has no evaluation")
    return evidence.Saved(task, trajectory, evidence.evidence_of(run.store.get(key, evidence.KIND), trajectory), judge)


# ---- the judge -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnownJudge:
    """The judge of a run. What the run has paid for is not asked again; without `judge` nothing else is asked."""

    name: str
    answers: Mapping[str, str]  # hash of the messages -> the reply
    judge: LLM | None

    async def complete(self, messages: Sequence[Message], **settings: Any) -> Completion:
        if (reply := self.answers.get(content_hash(list(messages)))) is not None:
            return Completion(reply, Usage(), cached=True)
        if self.judge is None:
            raise ModelError(f"{self.name} was not asked this in the run; leave out --no-judge, and name it in endpoints.judge")
        return await self.judge.complete(messages, **settings)


@asynccontextmanager
async def open_known_judge(run: RunFolder, trajectories: Mapping[str, Trajectory], ask: bool) -> AsyncIterator[LLM | None]:
    """None when the run knows no judge. The limit is the recipe's `eval.max_usd`, for this scoring alone."""
    judgements = [judgement for trajectory in trajectories.values() for judgement in trajectory.outcome.judgements]
    endpoint = run.recipe.endpoints.get("judge") if ask else None
    if endpoint is None:
        names = [judgement.model for judgement in judgements]
        yield KnownJudge(names[0], known_answers(judgements, names[0]), None) if names else None
        return
    (run.folder / FOLDER).mkdir(exist_ok=True)
    with ResponseCache(run.folder / FOLDER / REPLIES) as cache:
        async with open_endpoint("judge", endpoint, Budget(run.recipe.eval.max_usd), cache=cache) as judge:
            yield KnownJudge(judge.name, known_answers(judgements, judge.name), judge)


def known_answers(judgements: Sequence[Judgement], model: str) -> dict[str, str]:
    """Replies of this model that gave a verdict; one that gave none may have been an error, and is asked for again."""
    return {one.prompt_hash: one.response for one in judgements if one.model == model and one.verdict is not None}


# ---- what is shown -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tally:
    """Verdicts of one scorer. `rate` is success / planned: what was not scored is never a success and never left out."""

    planned: int
    success: int
    failure: int
    unscored: int
    rate: float
    low: float  # 95 % Wilson interval
    high: float


def tally(outcomes: Mapping[str, Outcome]) -> Tally:
    verdicts = [outcome.success for outcome in outcomes.values()]
    n, success = len(verdicts), verdicts.count(True)
    return Tally(n, success, verdicts.count(False), verdicts.count(None), success / n, *wilson(success, n))


def tables(verdicts: Verdicts) -> str:
    """How many episodes each scorer passes, and for each pair of scorers how often they agree."""
    lines = [["scorer", "planned", "success", "failure", "unscored", "rate", "95% interval"]]
    for name, outcomes in verdicts.items():
        t = tally(outcomes)
        counts = [str(count) for count in (t.planned, t.success, t.failure, t.unscored)]
        lines.append([name, *counts, f"{t.rate:.1%}", f"[{100 * t.low:.1f}, {100 * t.high:.1f}]"])
    pairs = [["one", "other", "both pass", "only one", "only other", "both fail", "unscored by either"]]
    for one, other in combinations(verdicts, 2):
        both = [(verdicts[one][key].success, verdicts[other][key].success) for key in verdicts[one]]
        counts = [both.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        pairs.append([one, other, *map(str, counts), str(sum(None in pair for pair in both))])
    return f"{table(lines)}\n{table(pairs, words=2)}"


def disagreements(verdicts: Verdicts) -> list[str]:
    """Episodes that one scorer passes and another fails."""
    return [key for key in next(iter(verdicts.values())) if {True, False} <= {outcomes[key].success for outcomes in verdicts.values()}]


def listing(verdicts: Verdicts, most: int | None = None) -> str:
    """The first `most` episodes that scorers disagree about, with every scorer's reason."""
    keys = disagreements(verdicts)
    if not keys:
        return "The scorers agree on every episode that they score.\n"
    lines = [["episode", "scorer", "verdict", "why"]]
    for key in keys[:most]:
        lines += [[key, name, verdict_word(outcomes[key]), outcomes[key].reason or "-"] for name, outcomes in verdicts.items()]
    more = f"\n{len(keys) - most} more are in the report.\n" if most and len(keys) > most else ""
    return f"{len(keys)} episodes that one scorer passes and another fails:\n\n{table(lines, words=4)}{more}"


def verdict_word(outcome: Outcome) -> str:
    return {True: "success", False: "failure", None: "unscored"}[outcome.success]
