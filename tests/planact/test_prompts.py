"""Prompts are held to golden files, and training rows to what the loop sends at inference: no train/inference gap."""

import asyncio
import runpy
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from planact.actions import parse_action, strip_thinking
from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.plans import parse_plan
from planact.prompts import (
    MAX_RAW,
    PAST_PAGE,
    executor_answer,
    executor_messages,
    planner_answer,
    planner_messages,
    prompts_hash,
    replanner_messages,
)
from planact.recipe import Agent
from planact.shorten import count_tokens
from planact.store import RunStore
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn
from planact_data import trajectories
from planact_data.cot import write_reasoning
from planact_data.desk import Desk
from planact_data.grounding import ground_plans
from planact_data.pairs import pair_of
from planact_data.replanning import plans_of, write_replans
from planact_data.rows import COT_KINDS, make_rows
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks
from planact_envs.suites import load_suite

GOLDEN = Path(__file__).parents[1] / "golden"
written = runpy.run_path(str(GOLDEN / "regenerate.py"))
FILES = written["files"]()


@pytest.mark.parametrize("name", FILES)
def test_prompts_are_as_recorded(name):
    assert written["render"](FILES[name]).encode() == (GOLDEN / name).read_bytes(), "if the change is meant: tests/golden/regenerate.py"


def test_every_golden_file_is_compared():
    assert {path.name for path in GOLDEN.glob("*.txt")} == set(FILES)


# One task of each of six templates; some need values that only appear on the way, so that their plans change.
TEMPLATES = ("shop.cart", "shop.spare", "forum.author", "forum.submit", "code.assign", "code.release")
TASKS = [next(task for task in load_tasks("train") if task.template == template) for template in TEMPLATES]
AGENTS = [  # every observation form, grammar and prompt set, and several lengths of the plan history
    Agent(observation="axtree", grammar="browsergym", prompts="full", plan_history=None),
    Agent(observation="html", grammar="webrl", prompts="full", plan_history=1),
    Agent(observation="short", grammar="webrl", prompts="compact", plan_history=0),
    Agent(observation="short", grammar="browsergym", prompts="compact", plan_history=2),
    Agent(observation="axtree", grammar="webrl", prompts="full", plan_history=None, cot=True),
    Agent(observation="short", grammar="browsergym", prompts="compact", plan_history=1, cot=True),
    Agent(observation="axtree", grammar="webrl", prompts="compact", plan_history=1, max_page_tokens=150),
    Agent(observation="html", grammar="browsergym", prompts="full", plan_history=1, max_page_tokens=220, cot=True),
]
KINDS = ("plan", "replan", "act", "act_dynamic", "react")


@pytest.fixture(
    scope="module",
    params=AGENTS,
    ids=lambda agent: (
        f"{agent.observation}-{agent.grammar}-{agent.prompts}-{agent.plan_history}{'-cot' * agent.cot}-{agent.max_page_tokens}"
    ),
)
def built(request, tmp_path_factory):
    """An agent, and for each task all rows by kind, made as scripts/build_data.py makes them."""
    agent = request.param
    suite = load_suite("miniweb")
    teacher = suite.teacher(agent.observation, agent.grammar, 0.0, 0)

    async def build(store):
        desk = Desk(store, seed=0, in_flight=2)
        await trajectories.roll_out(TASKS, suite, agent, teacher, store, seed=0, in_flight=2)
        solved = trajectories.load_trajectories(TASKS, store)
        plans = await ground_plans(solved, teacher, desk)
        replans, _ = await write_replans(solved, plans, teacher, desk)
        pairs = [pair_of(t, plans[t.task_id].plan, "seed") for t in solved]
        made = SimpleNamespace(trajectories=solved, plans=plans, replans=replans, pairs=pairs)
        made.reasoning = await write_reasoning(made, COT_KINDS if agent.cot else (), teacher, desk, agent)
        return made

    with RunStore.open(tmp_path_factory.mktemp("data") / "run.sqlite", {}) as store:
        made = asyncio.run(build(store))

    def rows(kind, trajectory):
        name = f"{kind}_cot" if agent.cot else kind
        return list(make_rows(name, trajectory, plans_of(made.replans[trajectory.task_id]), agent, made.reasoning))

    assert all(t.outcome.success for t in made.trajectories)
    return agent, {t.task_id: {kind: rows(kind, t) for kind in KINDS} for t in made.trajectories}


def prompts(rows):
    return [row["prompt"] for row in rows]


def answers(rows):
    return [row["completion"][0]["content"] for row in rows]


def episode(task, agent, executor, planner=None):
    """An episode with models that answer as the rows say. Gives all prompts that the loop sent them."""
    env = MiniwebEnv(agent.observation)
    executor = ScriptedLLM(executor)
    planner = ScriptedLLM(planner) if planner else None

    async def run():
        try:
            return await run_episode(task, env, agent, executor, planner)
        finally:
            await env.close()

    trajectory = asyncio.run(run())
    assert trajectory.outcome.success, trajectory.error
    assert trajectory.prompts_hash == prompts_hash(agent.prompts, agent.grammar, agent.cot)
    return executor.calls, planner.calls if planner else []


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.template)
def test_rows_are_what_the_loop_sends(built, task):
    agent, of_task = built
    rows = of_task[task.id]

    executor, planner = episode(task, replace(agent, replan="never"), answers(rows["act"]), answers(rows["plan"]))
    assert planner == prompts(rows["plan"])
    assert executor == prompts(rows["act"])

    plans = rows["plan"] + rows["replan"]
    executor, planner = episode(task, replace(agent, replan="every_turn"), answers(rows["act_dynamic"]), answers(plans))
    assert planner == prompts(plans)
    assert executor == prompts(rows["act_dynamic"])

    executor, _ = episode(task, replace(agent, planner="none"), answers(rows["react"]))
    assert executor == prompts(rows["react"])


def test_rows_are_told_apart(built):
    """The test above compares something: kinds differ in number, in text, and from turn to turn."""
    agent, of_task = built
    for rows in of_task.values():
        turns = len(rows["act"])
        assert turns > 2
        assert [len(rows[kind]) for kind in KINDS] == [1, turns - 1, turns, turns, turns]
        assert rows["act"][0]["prompt"] == rows["act_dynamic"][0]["prompt"] != rows["react"][0]["prompt"]
        assert rows["act"][1]["prompt"] != rows["act_dynamic"][1]["prompt"]
        for kind, row in product(("act", "react"), range(turns)):
            prompt = rows[kind][row]["prompt"]
            assert [m["role"] for m in prompt] == ["system"] + ["user", "assistant"] * row + ["user"]
            assert all(m["content"] == PAST_PAGE for m in prompt[1:-1:2]) and prompt[-1]["content"] != PAST_PAGE
        for turn, row in enumerate(rows["replan"], 1):
            kept = turn if agent.plan_history is None else min(turn, agent.plan_history)
            assert sum(m["role"] == "assistant" for m in row["prompt"]) == kept
            assert row["prompt"][-1]["content"].count(PAST_PAGE) == 0


def test_the_pages_of_an_agent_with_a_limit_are_short(built):
    """All kinds meet pages that are longer than the limit, or the comparison with the loop would say nothing about it."""
    agent, of_task = built
    for kind in KINDS:
        lasts = [row["prompt"][-1]["content"] for rows in of_task.values() for row in rows[kind]]
        cut = [text for text in lasts if "\n(nodes left out: " in text]
        assert bool(cut) == (agent.max_page_tokens is not None)
        assert all(count_tokens(text) <= agent.max_page_tokens + 120 for text in cut)  # request and past actions stand there too


def test_rows_hold_answers_that_the_parsers_read(built):
    agent, of_task = built
    for rows in of_task.values():
        for kind, row in ((name, row) for name in KINDS for row in rows[name]):
            (answer,) = row["completion"]
            text = answer["content"]
            assert text.startswith("<think>\n") == agent.cot
            thought = text.removeprefix("<think>\n").partition("\n</think>\n\n")[0] if agent.cot else ""
            if kind in ("plan", "replan"):
                assert planner_answer(parse_plan(text), thought) == answer
            else:
                assert executor_answer(parse_action(text, agent.grammar), agent.grammar, thought) == answer
            assert row["prompts_hash"] == prompts_hash(agent.prompts, agent.grammar, agent.cot) and row["turn"] < len(rows["act"])


def test_earlier_answers_are_shown_without_their_reasoning(built):
    _, of_task = built
    for rows in of_task.values():
        for kind in ("act", "act_dynamic", "react"):
            for earlier, later in zip(rows[kind], rows[kind][1:]):
                assert later["prompt"][-2]["content"] == strip_thinking(earlier["completion"][0]["content"]).lstrip()
        assert all("<think>" not in str([m for m in row["prompt"] if m["role"] == "assistant"]) for kind in KINDS for row in rows[kind])


PAGE = Observation("[1] link 'Now'", "link 'Now'", "http://x/")
ONE = Plan((PlanStep("r", "do one"),))


def test_the_planner_sees_no_ids_and_the_executor_does():
    for messages in (planner_messages(Agent(), "go", PAGE), replanner_messages(Agent(), "go", [Turn(0, ONE, PAGE, "", None)], PAGE)):
        assert "link 'Now'" in messages[-1]["content"] and "[1]" not in str(messages)
    assert "[1] link 'Now'" in executor_messages(Agent(), "go", ONE, [], PAGE)[-1]["content"]


def test_the_reasoning_of_a_plan_is_not_shown_to_the_executor():
    messages = executor_messages(Agent(), "go", Plan((PlanStep("secret reason", "do one"),)), [], PAGE)
    assert "1. do one" in messages[0]["content"] and "secret reason" not in str(messages)


def test_text_of_pages_and_requests_is_never_a_template():
    strange = Observation("{actions} {0} %s {guide}", "{actions} {0} %s", "http://x/", error="{}")
    messages = executor_messages(Agent(), "{actions} {", Plan((PlanStep("", "{0}"),)), [Turn(0, ONE, strange, "{", None)], strange)
    assert messages[0]["content"].endswith("# Task\n{actions} {\n\n# Plan\n1. {0}")
    assert messages[-1]["content"] == "{actions} {0} %s {guide}\n\nError: {}"
    assert planner_messages(Agent(), "{", strange)[1]["content"].endswith("## User Query\n{\n\n## Initial HTML State\n{actions} {0} %s")


def test_an_unreadable_answer_is_cut_in_the_history():
    turns = [Turn(0, ONE, PAGE, "x" * 100_000, None), Turn(1, ONE, PAGE, "", Action(Op.BACK))]
    messages = executor_messages(Agent(prompts="compact"), "go", ONE, turns, PAGE)
    assert [m["content"] for m in messages if m["role"] == "assistant"] == ["x" * MAX_RAW, "go_backward()"]


def test_a_plan_that_was_not_read_is_no_earlier_plan():
    turns = [Turn(0, Plan(), PAGE, "", Action(Op.BACK)), Turn(1, ONE, PAGE, "", Action(Op.BACK), replanned=True)]
    messages = replanner_messages(Agent(), "go", turns, PAGE)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[1]["content"] == f"## User Query\ngo\n\n# Previous Actions\n1. back\n\n# HTML\n{PAST_PAGE}"


def test_the_hash_tells_prompt_sets_and_grammars_and_reasoning_apart():
    assert len({prompts_hash(*three) for three in product(("full", "compact"), ("webrl", "browsergym"), (False, True))}) == 8
