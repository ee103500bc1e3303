"""How often a page that is cut down to a number of tokens still shows the element that has to be acted on, and what shortening costs.

    python benchmarks/page_limit.py [--every N] [--json]

All training trajectories of miniweb, with the scripted teacher's plans. For pages over the limit: the first lines that fit, against
planact/shorten.py with what an agent without a planner knows (request, past) and with what an executor knows (its plan too).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from typing import Any, Iterator

from planact.loop import run_episode
from planact.plans import render_steps
from planact.prompts import seen
from planact.recipe import Agent
from planact.shorten import count_tokens, shorten
from planact.teaching.annotation import annotated_plan, parse_annotation, plan_annotation_messages
from planact.types import Plan, Trajectory, Turn
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.observation import FORMS, read_elements, render_page
from planact_envs.page import Node
from planact_envs.suites import load_suite

LIMITS = (100, 200, 400, 800)  # tokens
WAYS = ("first lines", "request", "request and plan")

Case = tuple[Trajectory, Plan, int]  # with the turn


async def cases(form: str, every: int) -> list[Case]:
    """All turns that act on an element."""
    teacher, agent, found = ScriptedTeacher(form, "webrl"), Agent(planner="none", prompts="compact", observation=form), []
    for task in load_suite("miniweb").tasks("train")[::every]:
        env = MiniwebEnv(form)
        trajectory = await run_episode(task, env, agent, teacher)
        await env.close()
        reply = await teacher.complete(plan_annotation_messages(trajectory.intent, trajectory.turns), max_tokens=4096)
        plan = annotated_plan(parse_annotation(reply.text))
        found += [(trajectory, plan, turn.index) for turn in trajectory.turns if turn.action.element]
    return found


def shown(way: str, agent: Agent, case: Case) -> str:
    trajectory, plan, n = case
    page, past = trajectory.turns[n].observation.text, trajectory.turns[:n]
    if way == "first lines":
        return "\n".join(first_lines(page, agent.max_page_tokens))
    return seen(agent, page, trajectory.intent, plan if way == "request and plan" else None, past)


def first_lines(page: str, limit: int) -> Iterator[str]:
    spent = 0
    for line in page.split("\n"):
        spent += count_tokens(f"\n{line}")
        if spent > limit:
            return
        yield line


def reached(text: str, turn: Turn, form: str) -> bool:
    return any(element.id == turn.action.element for element in read_elements(text, form))


def measure(form: str, every: int) -> list[dict[str, Any]]:
    """One row a limit: percent of the elements that still stand on the shortened page, and of the tokens."""
    found, rows = asyncio.run(cases(form, every)), []
    for limit in LIMITS:
        agent = Agent(observation=form, max_page_tokens=limit)
        turns = [(case, case[0].turns[case[2]]) for case in found]
        long = [(case, turn) for case, turn in turns if count_tokens(turn.observation.text) > limit]
        row: dict[str, Any] = {"form": form, "tokens": limit, "longer pages": len(long), "of": len(turns)}
        for way in WAYS if long else ():
            row[way] = round(100 * sum(reached(shown(way, agent, case), turn, form) for case, turn in long) / len(long), 1)
        if long:
            kept = sum(count_tokens(shown(WAYS[-1], agent, case)) for case, _ in long)
            row["kept tokens"] = round(100 * kept / sum(count_tokens(turn.observation.text) for _, turn in long), 1)
        rows.append(row)
    return rows


def speed(form: str, lines: int = 20_000) -> dict[str, Any]:
    """Processor time for a page of so many lines, the best of five."""
    dice, words = random.Random(0), ("order", "status", "mug", "lamp", "price", "cart", "save", "town", "review", "edit")
    per_item = {"axtree": 5, "html": 6, "short": 1}[form]

    def item(n: int) -> Node:
        links = (Node("link", " ".join(dice.choices(words, k=3)), str(4 * n + k), tag="a") for k in range(4))
        return Node("listitem", tag="li", children=tuple(links))

    text = render_page(Node("page", children=tuple(item(n) for n in range(lines // per_item))), "T", form)
    times = []
    for limit in range(800, 805):  # five, because the same question again is answered from a cache
        start = time.process_time()
        shorten(text, limit, f"Save the price of the lamp in town {limit}\n{render_steps(Plan())}")
        times.append(time.process_time() - start)
    return {"form": form, "lines": text.count("\n") + 1, "milliseconds": round(1000 * min(times))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every Nth training task (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    results = {
        "targets": [row for form in ("axtree", "html") for row in measure(form, args.every)],
        "speed": [speed(form) for form in FORMS],
    }
    if args.json:
        print(json.dumps(results))
        return
    for row in (*results["targets"], *results["speed"]):
        print(", ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
