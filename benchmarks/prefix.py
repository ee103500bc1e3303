"""How much of a prompt the server has in its cache: the prefix that it shares with the prompt of the same role one round before.

    python benchmarks/prefix.py [--json] [--tokenizer NAME]

Two consecutive prompts of one role in one episode share a longest common prefix, in tokens. It is compared with two bounds, each a sum over
all such pairs of the episodes:

    append_only   shared / the shorter of the two prompts: what they would share if prompts only ever grew at their end
    paper         shared / the former prompt up to its page: what they can share when, as in the paper (A.4, A.10), the page of an
                  earlier round is replaced by a placeholder            aim 0.95 or more for planner and replanner

`planner` is the pair of the first plan and the first replan, whose system prompts differ in the paper too (A.3, A.10); without replanning a
planner is asked once in an episode and has no former prompt. In the episodes, on miniweb, the scripted teacher acts and a script plans the
oracle's actions that are left. Prompts come from the renderer, tokens and chat template from the tokenizer (default: the tiny model's).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from planact.llm import LLM, Message, ScriptedLLM
from planact.loop import run_episode
from planact.prompts import executor_messages, planner_messages, replanner_messages, seen
from planact.recipe import Agent
from planact.types import Trajectory
from planact_envs.suites import Step, World, load_suite

TASKS = 40
AIM = 0.95
PAPER = Agent(planner="base", executor="base", replan="every_turn")
VARIANTS = {
    "paper, replanning": PAPER,
    "paper, static plan": replace(PAPER, replan="never"),
    "paper, ReAct": replace(PAPER, planner="none", replan="never"),
    "full, one earlier plan": replace(PAPER, plan_history=1),
    "compact, one earlier plan": replace(PAPER, prompts="compact", plan_history=1),
    "compact, all plans": replace(PAPER, prompts="compact"),
}


class Prompt(NamedTuple):
    ids: list[int]
    before_page: int  # tokens that stand before the page of its round


async def episodes(agent: Agent) -> list[Trajectory]:
    suite = load_suite("miniweb")
    actor = suite.teacher(agent.observation, agent.grammar)
    played = []
    async with suite.open(World(agent.observation)) as make_env:
        for task in suite.tasks("train")[:TASKS]:
            env, planner = make_env(), None if agent.planner == "none" else planner_of(suite.oracle(task))
            played.append(await run_episode(task, env, agent, actor, planner))
            await env.close()
    assert all(trajectory.outcome.success for trajectory in played), "the scripts do not solve their tasks"
    return played


def planner_of(steps: Sequence[Step]) -> LLM:
    """A planner that knows the oracle's actions and how many are done."""

    def answer(messages: Sequence[Message]) -> str:
        done = len(re.findall(r"^\d+\. ", messages[-1]["content"].partition("# HTML")[0], re.M))
        left = [f"{step.op} {step.role} {step.name}".strip() for step in steps[done:]]
        return "\n".join(f"## Step {n}\nReasoning: after {done} actions, {each} is next.\nStep: {each}" for n, each in enumerate(left, 1))

    return ScriptedLLM(answer)


def rounds(agent: Agent, trajectory: Trajectory) -> Iterator[tuple[str, list[Message], str]]:
    """Every prompt of an episode: the role, the messages and the page that they show."""
    turns, intent = trajectory.turns, trajectory.intent
    for number, turn in enumerate(turns):
        page, former = turn.observation, turns[:number]
        if turn.replanned and not former:
            yield "planner", planner_messages(agent, intent, page), seen(agent, page.outline, intent)
        elif turn.replanned:
            shown = seen(agent, page.outline, intent, former[-1].plan, former)
            yield "replanner", replanner_messages(agent, intent, former, page), shown
        plan = turn.plan if agent.planner != "none" else None
        yield "executor", executor_messages(agent, intent, plan, former, page), seen(agent, page.text, intent, plan, former)


def tokenized(tokenizer: Any, messages: Sequence[Message], page: str) -> Prompt:
    text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return Prompt(ids, len(tokenizer(text[: text.rindex(page)], add_special_tokens=False)["input_ids"]))


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def reuse(agent: Agent, tokenizer: Any) -> dict[str, dict[str, float]]:
    """Role -> pairs, mean tokens of the later prompt, and the two ratios."""
    sums: dict[str, list[int]] = {}
    for trajectory in asyncio.run(episodes(agent)):
        prompts = [(role, tokenized(tokenizer, messages, page)) for role, messages, page in rounds(agent, trajectory)]
        for model in (("planner", "replanner"), ("executor",)):
            for (role, former), (_, later) in pairwise([each for each in prompts if each[0] in model]):
                common = shared(former.ids, later.ids)
                found = (1, len(later.ids), common, min(len(former.ids), len(later.ids)), min(former.before_page, len(later.ids)))
                sums[role] = [a + b for a, b in zip(sums.get(role, [0] * 5), found, strict=True)]
    return {
        role: {"pairs": pairs, "tokens": tokens / pairs, "append_only": common / growing, "paper": common / paper}
        for role, (pairs, tokens, common, growing, paper) in sorted(sums.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    default = Path(__file__).resolve().parents[1] / "models/planact-tiny"
    parser.add_argument("--tokenizer", default=str(default), help="folder or Hub id of a model with a chat template")
    args = parser.parse_args()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    found = {name: reuse(agent, tokenizer) for name, agent in VARIANTS.items()}
    if args.json:
        print(json.dumps(found | {"aim": AIM}))
        return
    for name, roles in found.items():
        for role, figures in roles.items():
            aim = "" if role == "executor" else f" (aim {AIM:g})"
            line = f"{figures['pairs']:4d} pairs of {figures['tokens']:6.0f} tokens: append_only {figures['append_only']:.3f}"
            print(f"{name:26} {role:10}{line}, paper {figures['paper']:.3f}{aim}")


if __name__ == "__main__":
    main()
