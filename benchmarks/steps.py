"""How fast miniweb is in process: the time of one step (an action and the new observation) and of one reset.

    python benchmarks/steps.py [--json]

Steps are 300 random link clicks and searches, the same on every machine; the aim is a median of 3 ms or less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from statistics import median, quantiles

from planact.types import Action, Observation, Op
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks
from planact_envs.observation import read_elements

STEPS = 300
EPISODE = 15  # steps between two resets
AIM = 3.0  # ms


async def measure(form: str) -> dict[str, float]:
    """Milliseconds: median and 95th percentile of a step, median of a reset."""
    dice, tasks, env = random.Random(0), load_tasks("train"), MiniwebEnv(form)
    steps, resets = [], []
    await env.reset(tasks[0])  # the first one builds the world and compiles the templates
    while len(steps) < STEPS:
        page, seconds = await timed(env.reset(dice.choice(tasks)))
        resets.append(seconds)
        for _ in range(EPISODE):
            page, seconds = await timed(env.step(random_action(page, form, dice)))
            steps.append(seconds)
            assert not page.error, page.error
    await env.close()
    found = {"step_median_ms": median(steps), "step_p95_ms": quantiles(steps, n=20)[-1], "reset_median_ms": median(resets)}
    return {name: round(1000 * seconds, 2) for name, seconds in found.items()}


async def timed(work) -> tuple[Observation, float]:
    start = time.perf_counter()
    page = await work
    return page, time.perf_counter() - start


def random_action(page: Observation, form: str, dice: random.Random) -> Action:
    elements = [e for e in read_elements(page.text, form) if e.role == "link" or (e.role == "textbox" and "Search" in e.name)]
    element = dice.choice(elements)
    if element.role == "link":
        return Action(Op.CLICK, element.id)
    return Action(Op.SEARCH, element.id, dice.choice(elements).name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", default="short", help="observation form (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    found = asyncio.run(measure(args.form)) | {"steps": STEPS, "aim_ms": AIM}
    if args.json:
        print(json.dumps(found))
        return
    print(
        f"step   {found['step_median_ms']:.2f} ms median, {found['step_p95_ms']:.2f} ms at the 95th percentile, of {STEPS} (aim {AIM:g} ms)"
    )
    print(f"reset  {found['reset_median_ms']:.2f} ms median")


if __name__ == "__main__":
    main()
