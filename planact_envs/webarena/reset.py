"""Bring the user's sites back to their first state, before a run: by a reset server, or by a command of the user's own.

`WA_FULL_RESET` is the address of WebArena's reset server (BrowserGym's variable): `GET /reset` starts it, `GET /status` tells
when it is done. `PLANACT_WEBARENA_RESET` is a command line; it is split by the shell's rules and run without a shell.
Neither is set: nothing is reset.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from typing import Mapping

import httpx

from planact.recipe import RecipeError

READY = "Ready for duty!"  # the reset server's word
PATIENCE = 600.0  # seconds for a full reset, which takes about 300 (BrowserGym's limit)
COMMAND_PATIENCE = 1800.0  # seconds for the user's own command
POLL = 5.0  # seconds


async def reset_sites(environ: Mapping[str, str] = os.environ) -> bool:
    """Reset if the environment says how; returns whether it does. Raises RecipeError when the reset failed."""
    if url := environ.get("WA_FULL_RESET"):
        await by_server(url.rstrip("/"))
    elif command := environ.get("PLANACT_WEBARENA_RESET"):
        await by_command(command)
    else:
        return False
    return True


async def by_server(url: str, patience: float = PATIENCE, poll: float = POLL) -> None:
    deadline = time.monotonic() + patience
    status = "no answer"
    async with httpx.AsyncClient(timeout=60.0) as client:
        try:
            (await client.get(f"{url}/reset")).raise_for_status()
            while time.monotonic() < deadline:
                status = (await client.get(f"{url}/status")).text.strip()
                if READY in status:
                    return
                await asyncio.sleep(poll)
        except httpx.HTTPError as error:
            raise RecipeError(f"the reset server of WA_FULL_RESET failed: {type(error).__name__} {error}; start it, or unset it") from error
    raise RecipeError(f"the reset server of WA_FULL_RESET was not ready after {patience:.0f} s; it says {status[:200]!r}")


async def by_command(command: str, patience: float = COMMAND_PATIENCE) -> None:
    """Run it with the terminal as its output: it is the user's, and what it prints may be secret."""
    try:
        process = await asyncio.create_subprocess_exec(*shlex.split(command))
    except (OSError, ValueError) as error:
        raise RecipeError(f"the command in PLANACT_WEBARENA_RESET cannot be run: {error}") from error
    try:
        code = await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RecipeError(f"the command in PLANACT_WEBARENA_RESET was not done after {patience:.0f} s") from None
    if code:
        raise RecipeError(f"the command in PLANACT_WEBARENA_RESET ended with code {code}")
