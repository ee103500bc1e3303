"""Waiting until a page has answered an action: by events, with a deadline, and never for a fixed time."""

from __future__ import annotations

import asyncio

from planact_envs.chromium.tab import Navigated, Tab

ACTIVITY = 'window[Symbol.for("planact.activity")]?.({quiet}, {patience}, {limit}) ?? ""'  # settle.js
MARGIN = 0.5  # s, for the answer of a page that keeps its own deadline


async def settle(tab: Tab) -> None:
    """Return when the navigation, the requests, the short timers and the changes that an action set in motion are over.

    What is not over at its deadline is stopped and noted for the agent. Raises Hung and Crashed.
    """
    limits = tab.limits
    quiet, patience, limit = (round(1000 * seconds) for seconds in (limits.quiet, limits.patience, limits.action))
    while True:
        await loaded(tab)
        try:
            left = await tab.evaluate(ACTIVITY.format(quiet=quiet, patience=patience, limit=limit), seconds=limits.action + MARGIN)
        except Navigated:
            continue
        if not tab.idle.is_set():
            continue
        if isinstance(left, str) and left:
            tab.slow.append(f"the page was still waiting for {left[:20]} after {limits.action:g} s")
        return


async def loaded(tab: Tab) -> None:
    """Wait until the page has answered and loaded."""
    limits = tab.limits
    if not await _happens(tab, tab.answered, limits.navigation):
        tab.failure = f"the site did not answer within {limits.navigation:g} s"
    elif not await _happens(tab, tab.idle, limits.action):
        tab.slow.append(f"the page was still loading after {limits.action:g} s and was stopped")
    else:
        return
    await tab.send("Page.stopLoading")
    tab.stays()


async def _happens(tab: Tab, event: asyncio.Event, seconds: float) -> bool:
    """Whether the event happens in time; a crash ends the waiting too, and the next call says so."""
    if event.is_set():
        return True
    waits = [asyncio.ensure_future(one.wait()) for one in (event, tab.crashed)]
    done, left = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in left:
        wait.cancel()
    return bool(done)
