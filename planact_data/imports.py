"""Import of other people's data (`data.imports`): files of records into trajectories, and into pairs of request and plan.

    trajectories, counts = import_trajectories("webrl", "web_policy_sft.json", gate)
    write_rejected("web_policy_sft.json", folder, counts)

Every record of a file is used, or counted by the reason why not and named by its line. planact_data/foreign.py knows the formats.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

from planact.recipe import RecipeError
from planact.types import FINAL_OPS, Op, Outcome, Plan, StopReason, Trajectory, Turn, content_hash
from planact_data.foreign import PlannedTask, Step, Unreadable, read_record
from planact_data.leaks import Gate
from planact_data.pairs import Pair, site_of
from planact_data.records import read_records

FORMATS = ("webrl", "released")
QUARANTINED = "quarantined records"  # the key of the counts that `write_rejected` empties into a file

Place = tuple[int, int]  # number of a record in its file and the line that it begins on, both from 1
Placed = tuple[Place, Step]


def check_imports(imports: Mapping[str, str]) -> None:
    """Raises RecipeError for a file that is not there: before anything is paid for."""
    for format_, path in imports.items():
        if not Path(path).is_file():
            raise RecipeError(
                f"data.imports.{format_} names {path}, which is no file; put it there (docs/DATA.md), or name it: "
                f"--set data.imports.{format_}=<path>"
            )


def import_trajectories(format_: str, path: str, gate: Gate) -> tuple[list[Trajectory], dict[str, Any]]:
    """The episodes in a file of actions, one for each request; and counts, for the card. Raises RecipeError when the file cannot be read.

    Records may come in any order. A request that was run several times gives the first run that is whole (the paper: 1,124
    runs, 1,113 requests). They are taken for solved, as whoever trained on them took them.
    """
    book = _Book()
    tasks: dict[str, list[Placed]] = {}
    for place, item in _items(format_, path, book):
        if isinstance(item, Step):
            tasks.setdefault(item.intent, []).append((place, item))
        else:
            book.others += 1
    found, refused = [], Counter()
    for intent, steps in tasks.items():
        if reason := gate.refusal(intent):
            book.reject_all(steps, f"leak: {reason}")
        elif not (run := _whole_run(steps)):
            reason = "the episode lacks rounds"
            book.reject_all(steps, reason)
        else:
            used = {place for place, _ in run}
            book.reject_all([(place, step) for place, step in steps if place not in used], "another run of the same request")
            found.append(_trajectory(format_, [step for _, step in run]))
        refused.update([reason] if reason else [])
    tasks_counted = {"requests": len(tasks), "trajectories": len(found), "requests without one": dict(sorted(refused.items()))}
    endless = sum(trajectory.stop_reason == StopReason.MAX_TURNS for trajectory in found)
    return found, book.counts() | tasks_counted | {"trajectories without a final action": endless}


def import_pairs(format_: str, path: str, gate: Gate) -> tuple[list[Pair], dict[str, Any]]:
    """The requests with a first plan in a file of plans, without repetitions; and counts. Raises RecipeError as above."""
    book = _Book()
    found: dict[str, Pair] = {}
    for place, item in _items(format_, path, book):
        if isinstance(item, Step):
            book.others += 1
            continue
        key = content_hash([item.intent, item.page.outline])
        if key in found:
            book.reject(place, "a request that an earlier record has")
        elif reason := gate.refusal(item.intent, item.plan):
            book.reject(place, f"leak: {reason}")
        else:
            found[key] = Pair(f"{format_}/{key}", item.intent, item.page, item.plan, site_of(item.page.url), format_)
    return list(found.values()), book.counts() | {"pairs": len(found)}


def write_rejected(path: str, folder: Path, *counts: dict[str, Any]) -> Path | None:
    """Move the rejected records of the file `path` from `counts` into `<file>.rejected.jsonl` in `folder`; None when there are none."""
    rejected = {record["record"]: record for count in counts for record in count.pop(QUARANTINED, [])}
    if not rejected:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{Path(path).name}.rejected.jsonl"
    target.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for _, record in sorted(rejected.items())), encoding="utf-8")
    return target


class _Book:
    """What became of each record."""

    def __init__(self) -> None:
        self.records = 0
        self.others = 0  # readable, but plans where actions are asked for, or the reverse
        self.rejected: list[dict[str, Any]] = []

    def reject(self, place: Place, reason: str, text: str = "") -> None:
        record, line = place
        self.rejected.append({"record": record, "line": line, "reason": reason} | ({"text": text} if text else {}))

    def reject_all(self, steps: Iterable[Placed], reason: str) -> None:
        for place, _ in steps:
            self.reject(place, reason)

    def counts(self) -> dict[str, Any]:
        """Records = used + rejected + of the other kind."""
        reasons = dict(sorted(Counter(record["reason"] for record in self.rejected).items()))
        used = self.records - len(self.rejected) - self.others
        in_order = sorted(self.rejected, key=lambda record: record["record"])
        kinds = {"records": self.records, "records used": used, "records of the other kind": self.others}
        return kinds | {"rejected": reasons, QUARANTINED: in_order}


def _items(format_: str, path: str, book: _Book) -> Iterator[tuple[Place, Step | PlannedTask]]:
    """What the readable records of a file hold, with their places; the others go into the book."""
    if format_ not in FORMATS:
        raise RecipeError(f"data.imports: unknown format {format_!r}; formats are {', '.join(FORMATS)}")
    try:
        for record in read_records(Path(path)):
            book.records, place = record.number, (record.number, record.line)
            if record.value is None:
                book.reject(place, record.problem, record.text)
                continue
            try:
                yield place, read_record(format_, record.value)
            except Unreadable as error:
                book.reject(place, str(error))
    except OSError as error:
        raise RecipeError(
            f"data.imports.{format_}: {path} cannot be read ({error.strerror}); give the path of the downloaded file"
        ) from error


def _whole_run(steps: Sequence[Placed]) -> list[Placed]:
    """The rounds 0, 1, ... of one run: the first that ends with an answer, else the longest; empty when its first rounds are missing.

    Each record tells the answers before it, so that runs of the same request are kept apart.
    """
    following: dict[tuple[str, ...], dict[str, Placed]] = {}  # past answers -> answer -> its record
    for place, step in steps:
        following.setdefault(_same(step.past), {}).setdefault(*_same([step.response]), (place, step))
    ends = [step for _, step in steps if step.action.op in FINAL_OPS]
    for last in (*ends, *sorted((step for _, step in steps), key=lambda step: -len(step.past))):
        answers, run = _same([*last.past, last.response]), []
        while len(run) < len(answers) and (placed := following.get(answers[: len(run)], {}).get(answers[len(run)])):
            run.append(placed)
        if len(run) == len(answers):
            return run
    return []


def _same(answers: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(answer.split()) for answer in answers)


def _trajectory(format_: str, steps: Sequence[Step]) -> Trajectory:
    turns = tuple(Turn(n, Plan(), step.page, step.response, step.action) for n, step in enumerate(steps))
    last, intent = steps[-1].action, steps[0].intent
    reason = {Op.STOP: StopReason.ANSWERED, Op.INFEASIBLE: StopReason.INFEASIBLE}.get(last.op, StopReason.MAX_TURNS)
    return Trajectory(
        task_id=f"{format_}-{content_hash(intent)}",
        task_hash=content_hash(intent),
        intent=intent,
        turns=turns,
        stop_reason=reason,
        outcome=Outcome(True, scorer=format_, reason="imported as solved"),
        answer=last.text if last.op == Op.STOP else "",
    )
