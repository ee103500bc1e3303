"""What 500 episodes in one Chromium leave behind: contexts, file descriptors, processes, temporary files, memory.

    python benchmarks/leaks.py [--episodes N] [--json]

An episode is a reset, two clicks and a close; every figure is what is there after the last one less what was there after the first
ones. Needs the extra `browser` and a Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from planact.types import Action, Op, Task
from planact_envs.chromium.launch import open_browsers
from planact_envs.miniweb.chromium_env import ChromiumMiniwebEnv
from planact_envs.miniweb.server import serve
from planact_envs.miniweb.tasks import load_tasks

WARM = 20  # episodes before the first count: caches fill, spare processes start


async def measure(episodes: int) -> dict[str, float]:
    tasks = load_tasks("train")
    with tempfile.TemporaryDirectory() as folder:  # other programs write to the system's
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        return await leaked(tasks, episodes)


async def leaked(tasks: Sequence[Task], episodes: int) -> dict[str, float]:
    async with open_browsers() as running, serve() as server:
        first: dict[str, float] = {}
        for number in range(WARM + episodes):
            if number == WARM:
                first = await counts(await running())
            env = ChromiumMiniwebEnv(running, server)
            await env.reset(tasks[number % len(tasks)])
            for element in ("1", "2"):
                await env.step(Action(Op.CLICK, element))
            await env.close()
        last = await counts(await running())
        more = {name: last[name] - first[name] for name in last}
    return {**more, "megabytes_per_100_episodes": round(100 * more.pop("megabytes") / episodes, 2)} | {"episodes": episodes}


async def counts(browser) -> dict[str, float]:
    await asyncio.sleep(2)  # Chromium ends the processes of closed pages a moment later
    family = descendants(os.getpid())
    return {
        "contexts": len(browser.contexts),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes": sum(not is_service(pid) for pid in family),
        "temporary_files": len(os.listdir(tempfile.gettempdir())),
        "megabytes": sum(resident(pid) for pid in (os.getpid(), *family)) / 1024,
    }


def descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:  # gone meanwhile
        return []
    return children + [one for child in children for one in descendants(child)]


def is_service(pid: int) -> bool:
    """Chromium's own services start by the clock (one after three minutes), whatever the episodes do."""
    try:
        return b"--type=utility" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # gone meanwhile


def resident(pid: int) -> int:
    """KiB in memory that belong to this process alone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    found = asyncio.run(measure(args.episodes))
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:28} {value:8g}{'  (aim 0)' if name in ('contexts', 'descriptors', 'processes', 'temporary_files') else ''}")


if __name__ == "__main__":
    main()
