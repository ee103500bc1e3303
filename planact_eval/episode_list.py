"""The list of a run's episodes: one line of facts for each, and what a reader may choose them by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from planact.failures import explain
from planact.store import StoreError
from planact_eval.episode_view import MAX_TEXT, usd
from planact_eval.metrics import tokens, verdict
from planact_eval.run_folder import RunFolder

MIN_TEXT = 1_000  # characters of a page that are shown however many pages there are; ours
CHOICES = {"verdict": "Verdict", "kind": "Why it failed", "stop": "How it ended", "site": "Site", "template": "Template"}

Choice = tuple[str, str, list[tuple[str, str]]]  # (field, label, options as (value, words))


@dataclass(frozen=True)
class Line:
    """What the list says of one episode."""

    run: str
    key: str
    task_id: str
    task_hash: str
    intent: str
    site: str  # "" where the task is not known
    template: str
    verdict: str
    kind: str  # of failure (planact.failures); "" for a solved task
    evidence: str
    stop: str
    turns: int
    replans: int
    tokens: int
    seconds: float
    usd: float | None
    texts: tuple[int, ...]  # characters of each page and answer
    repeats: str = ""  # how the task's repeats went; "" when it was run once


def lines_of(run: RunFolder, name: str) -> dict[str, Line]:
    """The episodes that are done, by key. Raises StoreError when there is none."""
    done = run.keys()
    lines = {key: _line(run, name, key) for key in done}
    if not lines:
        raise StoreError(f"{run.folder} has no finished episode yet; wait for the first, or go on with evaluate.py")
    solved: dict[str, list[bool]] = {}
    for line in lines.values():
        solved.setdefault(line.task_id, []).append(line.verdict == "success")
    words = {id: f"{sum(each)} of {len(each)} repeats solved" if len(each) > 1 else "" for id, each in solved.items()}
    return {key: replace(line, repeats=words[line.task_id]) for key, line in lines.items()}


def _line(run: RunFolder, name: str, key: str) -> Line:
    t = run.trajectory(key)
    task, failure = run.task_of(t), explain(t)
    texts = [len(text) for turn in t.turns for text in (turn.observation.text, turn.response, turn.plan_response)]
    return Line(
        run=name,
        key=key,
        task_id=t.task_id,
        task_hash=t.task_hash,
        intent=t.intent,
        site="+".join(task.sites) if task else "",
        template=task.template if task else "",
        verdict=verdict(t),
        kind=failure.kind if failure else "",
        evidence=failure.message if failure else "",
        stop=str(t.stop_reason),
        turns=len(t.turns),
        replans=t.replans,
        tokens=tokens(t.planner_usage) + tokens(t.executor_usage),
        seconds=t.seconds,
        usd=usd(t),
        texts=(*texts, len(t.final.text) if t.final else 0),
    )


def keys_of(runs: Sequence[Mapping[str, Line]]) -> list[str]:
    """Each episode of any run once, in the order of the first run."""
    return list(dict.fromkeys(key for lines in runs for key in lines))


def difference(sides: Sequence[Line | None]) -> str:
    """How the verdicts of two runs on one episode differ: "first" or "second" alone solved it, or "other".

    "" when they do not, and when one of them has not run it.
    """
    verdicts = [side.verdict for side in sides if side]
    if len(verdicts) < 2 or len(set(verdicts)) == 1:
        return ""
    return {0: "first", 1: "second"}[verdicts.index("success")] if "success" in verdicts else "other"


def choices(runs: Sequence[Mapping[str, Line]]) -> list[Choice]:
    """What can be chosen, with the number of episodes; a field with one value only is no choice."""
    found: list[Choice] = []
    for field, label in CHOICES.items():
        counts = Counter(getattr(line, field) for lines in runs for line in lines.values())
        if len(counts) > 1:
            found.append((field, label, [(value, f"{value.replace('_', ' ')} ({counts[value]})") for value in sorted(counts) if value]))
    if len(runs) == 2:
        found.append(("differs", "Between the runs", _differences(runs)))
    return found


def _differences(runs: Sequence[Mapping[str, Line]]) -> list[tuple[str, str]]:
    counts = Counter(difference([lines.get(key) for lines in runs]) for key in keys_of(runs))
    names = [next(iter(lines.values())).run for lines in runs]
    any_ = sum(counts.values()) - counts[""]
    options = [("any", f"verdict differs ({any_})")]
    return options + [(value, f"only {name} solved it ({counts[value]})") for value, name in zip(("first", "second"), names)]


def text_limit(lengths: Sequence[int], room: int) -> int:
    """The largest number of characters that every text may keep so that all of them fit into `room`; MIN_TEXT to MAX_TEXT."""
    limit, ordered = MAX_TEXT, sorted(lengths)
    for i, length in enumerate(ordered):
        share = room // (len(ordered) - i)
        if length > share:
            limit = share
            break
        room -= length
    return min(max(limit, MIN_TEXT), MAX_TEXT)
