"""miniweb in Chromium: what a step costs beside the same step in process, and beside Chromium driven by hand.

    python benchmarks/chromium.py [--json]

A step is a link click and the new observation. By hand, the same click is three mouse events, the wait for the load event and
`Accessibility.getFullAXTree`, without any of our code. All of it is measured in one run on the same pages, so that the ratios hold
on a busy machine too. Needs the extra `browser` and a Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from statistics import median
from typing import Any

from planact.types import Action, Op
from planact_envs.chromium.settle import settle
from planact_envs.miniweb.chromium_env import ChromiumMiniwebEnv
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import World, load_suite

STEPS = 60
RESETS = 40
AIMS = {"in_process_step_ms": 3.0, "chromium_over_in_process": 50.0, "by_hand_over_chromium": 0.6, "settle_ms": 50.0, "reset_ms": 2.0}


async def timed(work: Any) -> tuple[Any, float]:
    """The result, and milliseconds."""
    start = time.perf_counter()
    found = await work
    return found, 1000 * (time.perf_counter() - start)


async def measure() -> dict[str, float]:
    suite = load_suite("miniweb-chromium")
    task = suite.tasks("train")[0]
    async with suite.open(World()) as make_env:
        here, there = MiniwebEnv(), make_env()
        await here.reset(task)
        await there.reset(task)
        cdp = await there.session.context.new_cdp_session(there.session.page)
        await cdp.send("Page.enable")
        times: dict[str, list[float]] = {"here": [], "there": [], "by_hand": [], "settle": [], "reset": []}
        for number in range(STEPS):
            action = some_link(here, number)
            seen, spent = await timed(here.step(action))
            times["here"].append(spent)
            start = there.session.page.url
            x, y = await middle_of(there, action.element)
            times["by_hand"].append((await timed(by_hand(cdp, x, y)))[1])
            await there.session.goto(start)
            await there.session.observe()
            other, spent = await timed(there.step(action))
            times["there"].append(spent)
            assert seen == other, "the two back ends do not show the same page"
            times["settle"].append((await timed(settle(there.session.tab)))[1])
        for _ in range(RESETS):
            times["reset"].append((await timed(here.reset(task)))[1])
        await here.close()
        await there.close()
    return figures({name: median(values) for name, values in times.items()})


def some_link(env: MiniwebEnv, number: int) -> Action:
    """A link of the page that leads to another one."""
    tab = env.browser.tab
    links = [key for key, node in tab.page.nodes.items() if node.role == "link"]
    return Action(Op.CLICK, links[number % len(links)])


async def middle_of(env: ChromiumMiniwebEnv, element: str) -> tuple[float, float]:
    from planact_envs.chromium.hands import number_of

    tab = env.session.tab
    found = await tab.call("locate", number_of(tab, element))
    return found["x"], found["y"]


async def by_hand(cdp: Any, x: float, y: float) -> None:
    """The least that a click and a reading cost over CDP."""
    loaded = asyncio.Event()
    cdp.once("Page.loadEventFired", lambda _: loaded.set())
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        await cdp.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **button})
    await loaded.wait()
    await cdp.send("Accessibility.getFullAXTree")


def figures(medians: dict[str, float]) -> dict[str, float]:
    found = {"in_process_step_ms": medians["here"], "chromium_step_ms": medians["there"], "by_hand_step_ms": medians["by_hand"]}
    found |= {
        "chromium_over_in_process": medians["there"] / medians["here"],
        "by_hand_over_chromium": medians["by_hand"] / medians["there"],
    }
    found |= {"settle_ms": medians["settle"], "reset_ms": medians["reset"]}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    found = asyncio.run(measure())
    if args.json:
        print(json.dumps(found | {"steps": STEPS, "aims": AIMS}))
        return
    for name, value in found.items():
        aim = "" if name not in AIMS else f"  (aim {'at least' if '_over_' in name else 'at most'} {AIMS[name]:g})"
        print(f"{name:26} {value:8.2f}{aim}")


if __name__ == "__main__":
    main()
