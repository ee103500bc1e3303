"""Writes the goals in `pages.json` anew, after another version of `miniwob` or BrowserGym was pinned:

python -m planact_envs.miniwob.goals
"""

from __future__ import annotations

import asyncio
import json

from planact_envs.miniwob.browser import BrowserThread, open_threads
from planact_envs.miniwob.gym import pages_url, task_classes
from planact_envs.miniwob.tasks import PAGES, SEEDS


def read_goal(thread: BrowserThread, page: str, seed: int) -> str:
    """What the page asks for when it is drawn from `seed`; in the thread."""
    task = task_classes()[page](seed=seed, base_url=pages_url())
    context = thread.new_context(viewport=task.viewport)
    try:
        return task.setup(context.new_page())[0]
    finally:
        context.close()


async def main() -> None:
    pages = json.loads(PAGES.read_text())
    async with open_threads(1) as threads:
        thread = next(threads)
        for name, page in pages.items():
            page["goals"] = [await thread.run(read_goal, thread, name, seed) for seed in range(SEEDS)]
    PAGES.write_text(json.dumps(pages, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
