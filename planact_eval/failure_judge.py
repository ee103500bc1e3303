"""Why the episodes of a run failed: by rules, and for what rules can only guess, by a judge model.

    text = explain_run(Path("runs/eval/tiny-react-0123456789"), "guesses")

What the judge said stays in the run store under "failure", where the viewer and targeted augmentation find it. What the rules
say is not stored: it costs nothing, and better rules say it better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from planact.failures import CERTAIN, KINDS, UNKNOWN, UNSCORED, explain
from planact.layout import write_json
from planact.llm import Completion
from planact.recipe import load_recipe
from planact.teaching import AnswerError
from planact.types import FailureInfo, Trajectory, to_dict
from planact_eval.asking import Asking, Question, answers, identity, majority
from planact_eval.failure_prompt import failure_messages, parse_failure
from planact_eval.markdown import table
from planact_eval.run_folder import RunFolder, open_run
from planact_eval.runner import KIND as TRAJECTORY

KIND = "failure"  # in the run store
REPORT, RESULTS = "failures.md", "failures.json"

Ask = Literal["", "guesses", "all"]  # whom the judge is asked about: nobody, what the rules guess, every failure of the agent


@dataclass(frozen=True)
class Failed:
    """One episode without success."""

    key: str
    task: str
    site: str
    template: str  # "" where the task is not known here
    kind: str
    message: str
    source: str  # "rules" or "judge"
    rule: str  # what the rules say


def explain_run(folder: Path, ask: Ask = "", votes: int = 1, changes: Sequence[str] = ()) -> str:
    """Write failures.json and failures.md into the run's folder. Returns what a user should read.

    `changes` are `key=value` overrides of the run's recipe, which names the judge and the limit of dollars.
    Raises StoreError, RecipeError, ModelError, BudgetExceeded.
    """
    with open_run(folder) as run:
        keys = run.keys()
        episodes = {key: run.trajectory(key) for key in keys}
        found = {key: why for key, trajectory in episodes.items() if (why := explain(trajectory))}
        asked = [key for key, why in found.items() if ask and to_be_asked(episodes[key], why, ask)]
        questions = [Question(key, identity(run.store.get(key, TRAJECTORY)), failure_messages(episodes[key])) for key in asked]
    said = {}
    if questions:
        said = answers(folder, load_recipe(folder / "recipe.yaml", changes), asking(votes), questions)
    with open_run(folder) as run:
        failed = [_failed(run, key, episodes[key], why) for key, why in found.items()]
    write_json(folder / RESULTS, {"episodes": len(episodes), "failures": [to_dict(one) for one in failed]})
    (folder / REPORT).write_text(f"# Why episodes of {folder.name} failed\n\n{tables(failed)}\n{listing(failed)}", encoding="utf-8")
    told, unclear = Counter(one.source for one in failed), sum(record["kind"] == UNKNOWN for record in said.values())
    note = f"; of {len(said)} answers of the judge {unclear} were not clear" if unclear else ""
    return f"{tables(failed)}\n{told['judge']} told by a judge, {told['rules']} by rules{note}\nreport  {folder / REPORT}"


def to_be_asked(trajectory: Trajectory, rule: FailureInfo, ask: Ask) -> bool:
    return bool(trajectory.turns) and rule.kind not in (UNSCORED if ask == "all" else CERTAIN)


def asking(votes: int = 1) -> Asking:
    return Asking(KIND, "judge", read_votes, votes)


def read_votes(replies: Sequence[Completion | None]) -> dict[str, Any]:
    """What is stored: the kind that most answers name, with the evidence of the first of them; unknown on a tie."""
    votes = [_read(reply) for reply in replies]
    kind = majority([vote.kind if vote else None for vote in votes])
    if kind is None:
        said = ", ".join(vote.kind if vote else "unreadable" for vote in votes)
        why = FailureInfo(UNKNOWN, f"the judge gave no clear answer: {said}")
    else:
        why = next(vote for vote in votes if vote and vote.kind == kind)
    return {"kind": why.kind, "message": why.message, "source": "judge", "votes": [vote.kind if vote else None for vote in votes]}


def _read(reply: Completion | None) -> FailureInfo | None:
    try:
        return parse_failure(reply.text) if reply else None
    except AnswerError:
        return None


def _failed(run: RunFolder, key: str, trajectory: Trajectory, rule: FailureInfo) -> Failed:
    """A judge that does not know leaves the rules their word; what it said of an episode that was replaced since does not count."""
    said = run.store.get(key, KIND)
    counts = said is not None and said["of"] == identity(run.store.get(key, TRAJECTORY)) and said["kind"] != UNKNOWN
    kind, message, source = (said["kind"], said["message"], said["source"]) if counts else (rule.kind, rule.message, "rules")
    task = run.task_of(trajectory)
    site = "+".join(task.sites) if task else _host(trajectory)
    return Failed(key, trajectory.task_id, site, task.template if task else "", kind, message, source, rule.kind)


def _host(trajectory: Trajectory) -> str:
    return urlsplit(trajectory.turns[0].observation.url).netloc if trajectory.turns else ""


def tables(failed: Sequence[Failed]) -> str:
    """Episodes by kind of failure: on each site, and of each template that is known."""
    if not failed:
        return "No episode failed.\n"
    parts = [counts(failed, "site", lambda one: one.site)]
    if any(one.template for one in failed):
        parts.append(counts(failed, "template", lambda one: one.template or "-"))
    return "\n".join(parts)


def counts(failed: Sequence[Failed], name: str, part: Callable[[Failed], str]) -> str:
    kinds = [kind for kind in (*KINDS, *UNSCORED) if any(one.kind == kind for one in failed)]
    by_part: Mapping[str, Counter[str]] = {value: Counter() for value in sorted({part(one) for one in failed})}
    for one in failed:
        by_part[part(one)][one.kind] += 1
    lines = [[value, *(str(found[kind]) for kind in kinds), str(found.total())] for value, found in by_part.items()]
    everything = Counter(one.kind for one in failed)
    return table([[name, *kinds, "all"], *lines, ["all", *(str(everything[kind]) for kind in kinds), str(len(failed))]])


def listing(failed: Sequence[Failed]) -> str:
    lines = [[one.key, one.kind, one.source, one.message] for one in failed]
    return table([["episode", "kind", "told by", "evidence"], *lines], words=4) if lines else ""
