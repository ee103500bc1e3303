"""miniweb-short in a world that kills its own process: a Ray worker dies as it would of memory or a lost machine.

PLANACT_DEADLY_FOLDER holds one file for each task that kills: `once-ID` is removed first, `always-ID` stays.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from planact.types import Observation, Task
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import MakeEnv, Suite, World, load_suite

FOLDER = "PLANACT_DEADLY_FOLDER"


class DeadlyEnv(MiniwebEnv):
    async def reset(self, task: Task) -> Observation:
        folder, name = Path(os.environ[FOLDER]), task.id.replace("/", "-")
        once = folder / f"once-{name}"
        if once.exists() or (folder / f"always-{name}").exists():
            once.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().reset(task)


@asynccontextmanager
async def open_world(world: World) -> AsyncIterator[MakeEnv]:
    yield lambda: DeadlyEnv(world.form)


def suite() -> Suite:
    return replace(load_suite("miniweb-short"), open=open_world)
