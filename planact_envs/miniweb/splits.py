"""How templates become tasks: each template's instances cut into splits, and the splits' sizes shared out over the templates.

`miniweb` has WebArena-Lite's sizes (165 test tasks) with as many validation tasks and 1,113 training tasks. A third of its
test tasks come from templates that no other split uses. `miniweb-short` is for laptops and tiny models: the short templates,
each with the same share of each split. What both have is in the same split of both.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Iterable, Mapping

from planact.types import Task
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.templates.base import Database, Params, Template

SPLITS = ("test", "validation", "train")
SPLIT_SEED = 11
SHORT_SIZES = {"test": 4, "validation": 2, "train": 120}  # of each short template; train takes what is left, up to this
HELD_OUT = 4  # of a long template's things, at most one in so many goes to test and one to validation, when it also trains


@dataclass(frozen=True)
class Sizes:
    test: int  # of these, `unseen` from unseen templates
    unseen: int
    validation: int
    train: int


GROUPS = {  # test sizes of WebArena-Lite (arXiv 2408.06327) and of its training set in all; the rest is ours
    "shop": Sizes(45, 15, 45, 303),
    "admin": Sizes(35, 12, 35, 236),
    "code": Sizes(30, 10, 30, 202),
    "map": Sizes(26, 9, 26, 175),
    "forum": Sizes(19, 6, 19, 129),
    "two-site": Sizes(10, 3, 10, 68),
}

Splits = dict[str, list[Task]]


def short_tasks(templates: Iterable[Template], db: Database) -> list[Task]:
    """The tasks of miniweb-short."""
    return [task for template in templates if template.short for tasks in cut(template, db, SHORT_SIZES).values() for task in tasks]


def full_tasks(templates: Iterable[Template], db: Database) -> list[Task]:
    """The tasks of miniweb. A group whose templates have too few instances gets fewer tasks."""
    known = tuple(templates)
    return [task for name, sizes in GROUPS.items() for task in group_tasks([t for t in known if t.group == name], sizes, db)]


def group_tasks(templates: list[Template], sizes: Sizes, db: Database) -> list[Task]:
    seen = [template for template in templates if not template.unseen]
    things = {t.name: len(group_by_main(t, t.instances(db))) for t in templates if not t.short}

    def room(split: str) -> dict[Template, int]:
        return {t: SHORT_SIZES[split] if t.short else things[t.name] // HELD_OUT for t in seen}

    test = share(sizes.test - sizes.unseen, room("test")) | share(sizes.unseen, {t: things[t.name] for t in templates if t.unseen})
    validation = share(sizes.validation, room("validation"))
    # A short template is cut as in miniweb-short, so that no task trains in one suite and tests in the other.
    pools = {t: cut(t, db, SHORT_SIZES if t.short else {"test": test[t], "validation": validation.get(t, 0)}) for t in templates}
    train = share(sizes.train, {t: len(pools[t]["train"]) for t in seen})
    counts = {"test": test, "validation": validation, "train": train}
    return [task for t in templates for split in SPLITS for task in pools[t][split][: counts[split].get(t, 0)]]


def share(total: int, room: Mapping[Template, int]) -> dict[Template, int]:
    """`total` tasks over templates by weight (Webster's method), none above its room; less than `total` when there is no more room."""
    counts = dict.fromkeys(room, 0)
    for _ in range(min(total, sum(room.values()))):
        open_ = [template for template in room if counts[template] < room[template]]
        counts[max(open_, key=lambda template: template.weight / (2 * counts[template] + 1))] += 1
    return counts


def cut(template: Template, db: Database, sizes: Mapping[str, int]) -> Splits:
    """The template's tasks by split: test and validation as large as `sizes` says, train from all that is left, up to its size."""
    rng = random.Random(f"{SPLIT_SEED}:{template.name}")
    groups = group_by_main(template, template.instances(db))
    rng.shuffle(groups)
    found: Splits = {split: [] for split in SPLITS}

    def add(split: str, params: Params, phrasing: str) -> None:
        found[split].append(make_task(template, db, split, sum(map(len, found.values())), params, phrasing))

    for split in ("test", "validation"):
        chosen, groups = groups[: sizes[split]], groups[sizes[split] :]
        for group in chosen:
            add(split, rng.choice(group), rng.choice(template.phrasings))
    # Training asks for one thing in several wordings: a planner that never met that learns names instead of requests.
    left = [(params, phrasing) for group in groups for params in group for phrasing in template.phrasings]
    for params, phrasing in rng.sample(left, min(sizes.get("train", len(left)), len(left))):
        add("train", params, phrasing)
    return found


def group_by_main(template: Template, instances: list[Params]) -> list[list[Params]]:
    """Instances about the same thing go to one split together: no split tests what another one trains on."""
    groups: dict[tuple[str, ...], list[Params]] = {}
    for params in instances:
        groups.setdefault(tuple(params[name] for name in template.main), []).append(params)
    return list(groups.values())


def make_task(template: Template, db: Database, split: str, index: int, params: Params, phrasing: str) -> Task:
    return Task(
        id=f"{template.name}.{index:03d}",
        suite="miniweb",
        split=split,
        sites=template.sites,
        intent=phrasing.format(**params),
        start_url=HOME[template.sites[0]],
        template=template.name,
        params=params,
        eval=template.evaluate(db, params),
    )
