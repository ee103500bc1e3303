"""Training rows: which ones a trajectory gives, their schema, and that they are what models see at inference."""

from dataclasses import replace

import pytest

from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.plans import parse_plan, render_plan
from planact.prompts import PAST_PAGE, prompts_hash
from planact.types import Action, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn
from planact_data.rows import KINDS, features, make_rows, under_plans
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import load_suite


def page(name):
    return Observation(f"page '{name}'\nlink 'L' [1]", f"page '{name}'\nlink 'L'", f"http://x/{name}")


def plan(*steps):
    return Plan(tuple(PlanStep(f"why {step}", step) for step in steps))


ACTIONS = [Action(Op.CLICK, "1", target="link 'L'"), Action(Op.TYPE, "2", "mug", "textbox 'Q'"), Action(Op.STOP, text="12")]
TURNS = tuple(Turn(i, Plan(), page(name), "raw", action) for i, (name, action) in enumerate(zip("ABC", ACTIONS)))
TRAJECTORY = Trajectory("t.1", "hash", "Count the mugs", TURNS, StopReason.ANSWERED, Outcome(True))
PLANS = [plan("one", "two", "three"), plan("two", "three"), plan("three")]


def rows_of(kind, agent, plans=PLANS):
    return list(make_rows(kind, TRAJECTORY, plans, agent))


@pytest.mark.parametrize(
    "kind, turns", [("plan", [0]), ("replan", [1, 2]), ("act", [0, 1, 2]), ("act_dynamic", [0, 1, 2]), ("react", [0, 1, 2])]
)
def test_three_turns_give_one_plan_two_replans_and_three_actions(agent, kind, turns):
    rows = rows_of(kind, agent)
    assert [row["turn"] for row in rows] == turns
    assert [row["id"] for row in rows] == [f"t.1/{kind}/{turn}" for turn in turns]
    for row in rows:
        assert (row["kind"], row["task_id"], row["source"]) == (kind, "t.1", "seed")
        assert row["prompts_hash"] == prompts_hash("compact", "webrl")
        assert [message["role"] for message in row["completion"]] == ["assistant"]


def test_ids_are_unique_over_kinds_and_every_row_has_the_schema(agent):
    rows = [row for kind in KINDS for row in rows_of(kind, agent)]
    assert len({row["id"] for row in rows}) == len(rows) == 1 + 2 + 3 + 3 + 3
    schema = features()
    for row in rows:
        assert set(row) == set(schema) and schema.encode_example(row) == row
    assert schema["turn"].dtype == "int32" and set(schema["prompt"].feature) == {"role", "content"}


def user(row):
    return row["prompt"][-1]["content"]


def test_a_plan_row(agent):
    (row,) = rows_of("plan", agent)
    assert row["prompt"][0] == {"role": "system", "content": "plan"}
    assert user(row) == "## Initial HTML State\npage 'A'\nlink 'L'\n\n## User Query\nCount the mugs"  # no ids
    assert row["completion"] == [{"role": "assistant", "content": render_plan(PLANS[0])}]


def test_replan_rows(agent):
    first, second = rows_of("replan", agent)
    assert parse_plan(first["completion"][0]["content"]) == PLANS[1] and parse_plan(second["completion"][0]["content"]) == PLANS[2]
    assert (
        user(second)
        == "# Previous Actions\n1. click link 'L'\n2. type textbox 'Q' 'mug'\n\n# HTML\npage 'C'\nlink 'L'\n\n## User Query\nCount the mugs"
    )
    # plan_history=1: of the two earlier plans the last one alone is in the prompt, without its page
    assert [m["role"] for m in second["prompt"]] == ["system", "user", "assistant", "user"]
    assert second["prompt"][2]["content"] == render_plan(PLANS[1]) and PAST_PAGE in second["prompt"][1]["content"]


def test_replan_rows_show_as_much_of_the_past_as_the_recipe_says(agent):
    lengths = [[len(row["prompt"]) for row in rows_of("replan", replace(agent, plan_history=n))] for n in (0, 1, 2, None)]
    assert lengths == [[2, 2], [4, 4], [4, 6], [4, 6]]  # system, (round, plan) each, user


@pytest.mark.parametrize(
    "kind, plans",
    [
        ("act", ["1. one\n2. two\n3. three"] * 3),
        ("act_dynamic", ["1. one\n2. two\n3. three", "1. two\n2. three", "1. three"]),
        ("react", [None] * 3),
    ],
)
def test_executor_rows_stand_under_the_plan_of_their_kind(agent, kind, plans):
    rows = rows_of(kind, agent)
    heads = [row["prompt"][0]["content"] for row in rows]
    assert heads == [f"act\n\n# Task\nCount the mugs\n\n# Plan\n{text}" if text else "act\n\n# Task\nCount the mugs" for text in plans]
    assert [row["completion"][0]["content"] for row in rows] == [
        """# Element: link 'L'\ndo(action="Click", element="1")""",
        """# Element: textbox 'Q'\ndo(action="Type", argument="mug", element="2")""",
        'exit(message="12")',
    ]
    assert [message["content"] for message in rows[2]["prompt"][1:]] == [
        PAST_PAGE,
        rows[0]["completion"][0]["content"],
        PAST_PAGE,
        rows[1]["completion"][0]["content"],
        "page 'C'\nlink 'L' [1]",
    ]


def test_one_plan_stays_in_force():
    turns = under_plans(TURNS, PLANS[:1])
    assert [turn.plan for turn in turns] == [PLANS[0]] * 3 and [turn.replanned for turn in turns] == [True, False, False]
    turns = under_plans(TURNS, PLANS)
    assert [turn.plan for turn in turns] == PLANS and all(turn.replanned for turn in turns)
    assert TURNS[0].plan == Plan()  # the trajectory itself is as it was


@pytest.mark.parametrize("prompts", ["compact", "full"])
@pytest.mark.parametrize(
    "replan, planner_kinds, executor_kind", [("never", ["plan"], "act"), ("every_turn", ["plan", "replan"], "act_dynamic")]
)
async def test_rows_are_byte_equal_to_what_models_see_in_an_episode(solved, agent, prompts, replan, planner_kinds, executor_kind):
    agent = replace(agent, prompts=prompts, replan=replan)
    done = solved[2]
    plans = [plan(*(f"step {n} of {t}" for n in range(7 - t))) for t in range(7)]
    planner = ScriptedLLM([render_plan(p) for p in plans])
    executor = ScriptedLLM([turn.response for turn in done.turns])
    task = next(task for task in load_suite("miniweb-short").tasks("train") if task.id == done.task_id)
    env = MiniwebEnv("short")
    again = await run_episode(task, env, agent, executor, planner)
    await env.close()
    assert again.outcome.success is True
    planner_rows = [row for kind in planner_kinds for row in make_rows(kind, done, plans, agent)]
    assert [row["prompt"] for row in planner_rows] == planner.calls
    assert [row["prompt"] for row in make_rows(executor_kind, done, plans, agent)] == executor.calls
    assert [row["completion"][0]["content"] for row in planner_rows] == [turn.plan_response for turn in again.turns if turn.replanned]


async def test_react_rows_are_byte_equal_to_an_episode_without_a_planner(solved, agent):
    agent, done = replace(agent, planner="none"), solved[0]
    executor = ScriptedLLM([turn.response for turn in done.turns])
    task = next(task for task in load_suite("miniweb-short").tasks("train") if task.id == done.task_id)
    env = MiniwebEnv("short")
    await run_episode(task, env, agent, executor)
    await env.close()
    rows = list(make_rows("react", done, [Plan()], agent))
    assert [row["prompt"] for row in rows] == executor.calls
    assert [row["completion"][0]["content"] for row in rows] == [turn.response for turn in done.turns]
