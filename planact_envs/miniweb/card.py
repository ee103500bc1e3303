"""The tables of the benchmark card docs/MINIWEB.md, from the tasks themselves.

python -m planact_envs.miniweb.card     # prints them; a test holds the card to this
"""

from __future__ import annotations

import statistics
from typing import Iterable, Sequence

from planact.types import Task
from planact_envs.miniweb.splits import GROUPS, SPLITS
from planact_envs.miniweb.tasks import load_tasks, solution, template_of
from planact_envs.miniweb.templates import TEMPLATES
from planact_envs.miniweb.templates.base import KINDS

LONG = 12  # oracle actions, the final one included, from which a task counts as long


def tables() -> dict[str, str]:
    """Markdown tables by name, all about the full benchmark."""
    tasks = {split: load_tasks(split) for split in SPLITS}
    return {"groups": groups(tasks), "kinds": kinds(tasks), "oracle": oracle(tasks["test"]), "templates": templates(tasks)}


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def groups(tasks: dict[str, tuple[Task, ...]]) -> str:
    def row(name: str, names: Sequence[str]) -> list[object]:
        members = [template for template in TEMPLATES.values() if template.group in names]
        mine = {split: [template_of(task) for task in tasks[split] if template_of(task).group in names] for split in SPLITS}
        unseen = sum(template.unseen for template in members), sum(template.unseen for template in mine["test"])
        return [name, f"{len(members)} ({unseen[0]})", f"{len(mine['test'])} ({unseen[1]})", len(mine["validation"]), len(mine["train"])]

    head = ["group", "templates (unseen)", "test (unseen)", "validation", "train"]
    return markdown(head, [*(row(name, [name]) for name in GROUPS), row("all", list(GROUPS))])


def kinds(tasks: dict[str, tuple[Task, ...]]) -> str:
    def row(kind: str) -> list[object]:
        members = [template for template in TEMPLATES.values() if template.kind == kind]
        counts = [sum(template_of(task).kind == kind for task in tasks[split]) for split in SPLITS]
        return [kind, len({template.group for template in members}), len(members), *counts]

    return markdown(["kind", "groups", "templates", *SPLITS], map(row, KINDS))


def oracle(tasks: Sequence[Task]) -> str:
    def row(name: str, names: Sequence[str]) -> list[object]:
        known = [solution(task) for task in tasks if template_of(task).group in names]
        lengths = [len(one.moves) for one in known]
        shares = (sum(length >= LONG for length in lengths), sum(one.needs_replanning for one in known))
        percent = [f"{100 * count / len(known):.0f} %" for count in shares]
        return [name, f"{statistics.median(lengths):g}", f"{min(lengths)} to {max(lengths)}", *percent]

    head = ["group", "median actions", "range", f"{LONG} or more", "needs information from the way"]
    return markdown(head, [*(row(name, [name]) for name in GROUPS), row("all", list(GROUPS))])


def templates(tasks: dict[str, tuple[Task, ...]]) -> str:
    def row(name: str) -> list[object]:
        template = TEMPLATES[name]
        mine = {split: [task for task in tasks[split] if task.template == name] for split in SPLITS}
        lengths = [len(solution(task).moves) for split in SPLITS for task in mine[split]]
        note = "unseen" if template.unseen else "short" if template.short else ""
        return [name, template.kind, note, *(len(mine[split]) for split in SPLITS), f"{statistics.median(lengths):g}" if lengths else "-"]

    names = sorted(TEMPLATES, key=lambda name: list(GROUPS).index(TEMPLATES[name].group))
    return markdown(["template", "kind", "", *SPLITS, "median actions"], map(row, names))


if __name__ == "__main__":
    for title, table in tables().items():
        print(f"<!-- {title} -->\n{table}\n")
