"""Whether MiniWoB++ runs here: every page once, with a policy that knows nothing but to do what the goal names.

    python benchmarks/miniwob_sweep.py [--seed 0] [--json]

Prints the verdict of each task, and how many pages loaded, broke and were solved; none may break. Needs the extra `browsergym`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from itertools import cycle
from typing import Iterator, Sequence

from planact.actions import parse_action, render_action
from planact.env import EnvError
from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.parallel import run_all
from planact.prompts import Message
from planact.recipe import Agent
from planact.types import Action, Observation, Op, StopReason, Task, Trajectory
from planact_envs.miniwob.browser import THREADS
from planact_envs.miniwob.tasks import SPLITS, load_tasks
from planact_envs.observation import Element, read_elements
from planact_envs.suites import MakeEnv, World, load_suite

AGENT = Agent(planner="none", executor="base", prompts="compact", observation="short", max_turns=10)  # turns: BrowserGym's setting
OPTIONS = re.compile(r"^combobox '[^']*' \[(?P<id>\w+)\].* of (?P<options>.*)$", re.M)
WRITING = re.compile(r"\b(enter|type|text|write|username)\b", re.I)
LAST = ("submit", "login", "search", "ok")  # names of what is clicked when all else is done


def answer(messages: Sequence[Message]) -> str:
    """The first thing that the goal asks for and that was not done yet, else the end."""
    goal = messages[0]["content"].split("# Task\n")[1]
    done = [parse_action(m["content"], AGENT.grammar) for m in messages if m["role"] == "assistant"]
    left = (action for action in wishes(goal, messages[-1]["content"]) if action not in done)
    return render_action(next(left, Action(Op.STOP)), AGENT.grammar)


def wishes(goal: str, page: str) -> Iterator[Action]:
    """Write what is quoted into the fields, choose and click what is named, then submit."""
    elements, quoted = read_elements(page, AGENT.observation), re.findall(r'"([^"]+)"', goal)
    if WRITING.search(goal) and quoted:
        fields = [element for element in elements if element.role == "textbox"]
        texts = cycle(quoted) if "both" in goal else quoted
        yield from (Action(Op.TYPE, field.id, text) for field, text in zip(fields, texts))
    for found in OPTIONS.finditer(page):
        yield from (Action(Op.SELECT, found["id"], option) for option in found["options"].split(", ") if names(goal, option))
    others = [element for element in elements if element.role not in ("textbox", "combobox")]
    named = [element for element in others if element.name in quoted] or [element for element in others if names(goal, element.name)]
    yield from (Action(Op.CLICK, element.id) for element in named if element.name.lower() not in LAST)
    yield from (Action(Op.CLICK, element.id) for element in others if is_last(element) or len(others) == 1)


def names(goal: str, name: str) -> bool:
    return bool(name) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", goal, re.I) is not None


def is_last(element: Element) -> bool:
    return element.name.lower() in LAST


async def sweep(tasks: Sequence[Task]) -> list[tuple[Trajectory, float]]:
    """Every task's trajectory and seconds."""
    suite, results = load_suite("miniwob"), []

    async def work(task: Task, make_env: MakeEnv) -> None:
        env, start = make_env(), time.perf_counter()
        try:
            trajectory = await run_episode(task, env, AGENT, ScriptedLLM(answer))
        finally:
            await env.close()
        results.append((trajectory, time.perf_counter() - start))
        outcome = trajectory.outcome
        verdict = {True: "solved", False: "failed", None: "broke"}[outcome.success]
        print(f"{task.id:40} {verdict}  {len(trajectory.turns):2} turns {results[-1][1]:6.2f} s  {trajectory.error or outcome.reason}")

    async with suite.open(World(AGENT.observation, suite.scorers[0])) as make_env:
        await run_all(tasks, lambda task: work(task, make_env), THREADS)
    return results


def pages_after(trajectory: Trajectory) -> list[Observation]:
    """The page after each action."""
    return [turn.observation for turn in trajectory.turns[1:]] + [trajectory.final] * (trajectory.final is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="which draw of each page (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    args = parser.parse_args()
    tasks = [task for split in SPLITS for task in load_tasks(split) if task.params["seed"] == str(args.seed)]
    try:
        results = asyncio.run(sweep(tasks))
    except EnvError as error:
        print(f"left out: {error}")
        return
    turns = sum(len(trajectory.turns) for trajectory, _ in results) or 1
    counts = {
        "tasks": len(results),
        "loaded": sum(trajectory.final is not None for trajectory, _ in results),
        "broke": sum(trajectory.stop_reason == StopReason.ENV_ERROR for trajectory, _ in results),
        "failed_actions": sum(bool(page.error) for trajectory, _ in results for page in pages_after(trajectory)),
        "solved": sum(trajectory.outcome.success is True for trajectory, _ in results),
        "seconds_per_turn": round(sum(seconds for _, seconds in results) / turns, 2),
    }
    print(json.dumps(counts) if args.json else "  ".join(f"{name} {count}" for name, count in counts.items()))
    raise SystemExit(counts["broke"] > 0)


if __name__ == "__main__":
    main()
