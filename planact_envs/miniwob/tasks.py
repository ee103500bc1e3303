"""The MiniWoB++ tasks: 125 pages, each drawn from five seeds, in BrowserGym's split of 62 training and 63 test pages.

The page writes its own goal. `pages.json` holds what the pinned version writes for each seed, so that tasks are known
without a browser; an episode whose page says something else is refused. `python -m planact_envs.miniwob.goals` renews it.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from planact.recipe import RecipeError
from planact.types import Task

SUITE = "miniwob"
VERSION = "1.1.0+browsergym0.13.3"  # of the pages and of the package that reads them and acts on them
SEEDS = 5  # draws of each page (BrowserGym's benchmark)
SPLITS = ("train", "test")
PAGES = Path(__file__).with_name("pages.json")  # page → its split and its goals by seed


def load_tasks(split: str) -> tuple[Task, ...]:
    """The tasks of "train" or "test". Raises RecipeError for another split."""
    if split not in SPLITS:
        raise RecipeError(f"miniwob has no {split} split; set eval.split to {' or '.join(SPLITS)}")
    return tuple(task for task in _all_tasks() if task.split == split)


@functools.cache
def _all_tasks() -> tuple[Task, ...]:
    pages = json.loads(PAGES.read_text())
    return tuple(_task(name, page["split"], seed, goal) for name, page in pages.items() for seed, goal in enumerate(page["goals"]))


def _task(page: str, split: str, seed: int, goal: str) -> Task:
    return Task(
        id=f"miniwob.{page}.{seed}",
        suite=SUITE,
        split=split,
        sites=(SUITE,),
        intent=goal,
        start_url=f"{page}.html",
        template=page,
        params={"seed": str(seed)},
    )
