"""When the planner is asked again, what it is told, and what happens when its answer is no plan."""

import typing
from dataclasses import replace

import pytest

from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.prompts import PAST_PAGE
from planact.recipe import Agent, Trigger
from planact.triggers import ACTIONS_PER_STEP, TRIGGERS, replan_trigger
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn, Usage
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks

TASK = next(task for task in load_tasks("train") if task.template == "shop.price")
CART, ORDERS, WISHES, ACCOUNT = (f'do(action="Click", element="{n}")' for n in (2, 3, 4, 5))  # links of every page of the shop
MISSING, DOWN, BACK, EXIT = 'do(action="Click", element="999")', 'do(action="Scroll Down")', "go_backward()", 'exit(message="")'


def plan(n):
    return f"## Step 1\nReasoning: r{n}\nStep: goal {n}"


async def play(replies, plans=None, **settings):
    """The trajectory, and the executor and planner with the calls they got. The planner answers plan(0), plan(1), ... or `plans`."""
    agent = Agent(**{"planner": "base", "observation": "short", "prompts": "compact"} | settings)
    executor, planner = ScriptedLLM(replies), ScriptedLLM(plans or [plan(n) for n in range(9)])
    env = MiniwebEnv("short")
    try:
        return await run_episode(TASK, env, agent, executor, planner), executor, planner
    finally:
        await env.close()


def goals(trajectory):
    """The number of the plan in force at each turn, None for an empty plan."""
    return [int(turn.plan.steps[0].step.removeprefix("goal ")) if turn.plan else None for turn in trajectory.turns]


def replanned(trajectory):
    return [turn.index for turn in trajectory.turns if turn.replanned]


FIVE = [CART, ORDERS, WISHES, ACCOUNT, EXIT]


@pytest.mark.parametrize(
    "settings, at",
    [
        ({"replan": "never"}, [0]),
        ({"replan": "every_turn"}, [0, 1, 2, 3, 4]),
        ({"replan": "every_k", "replan_every": 1}, [0, 1, 2, 3, 4]),
        ({"replan": "every_k", "replan_every": 2}, [0, 2, 4]),
        ({"replan": "every_k", "replan_every": 3}, [0, 3]),
        ({"replan": "every_k", "replan_every": 5}, [0]),
        ({"replan": "on_trigger"}, [0]),  # every action opens another page
    ],
)
async def test_when_the_planner_is_asked(settings, at):
    trajectory, executor, planner = await play(FIVE, **settings)
    assert replanned(trajectory) == at and len(planner.calls) == len(at) and trajectory.replans == len(at) - 1
    newest = [sum(t <= turn for t in at) - 1 for turn in range(5)]
    assert goals(trajectory) == newest
    for number, call in zip(newest, executor.calls, strict=True):
        assert call[0]["content"].endswith(f"# Plan\n1. goal {number}")
    assert [turn.planner.calls for turn in trajectory.turns] == [int(turn in at) for turn in range(5)]


def test_a_rule_for_every_name():
    assert set(typing.get_args(Trigger)) == set(TRIGGERS)


@pytest.mark.parametrize(
    "actions, at",
    [
        ([MISSING, CART, EXIT], [0, 1]),  # the click failed, so the plan is looked at before turn 1
        (["what?", CART, EXIT], [0, 1]),
        ([CART, CART, EXIT], [0, 2]),  # the second click left the page as it was
        ([DOWN, CART, EXIT], [0]),  # scrolling changes nothing here, and need not
        ([DOWN, DOWN, EXIT], [0, 2]),  # but not twice
        (["# Note: 3", CART, EXIT], [0]),
        ([CART, ORDERS, CART, ORDERS, EXIT], [0, 4]),  # cart, orders, cart: the second click on orders from there repeats turn 1
        ([CART, BACK, CART, EXIT], [0, 3]),
        ([CART, MISSING, MISSING, ORDERS, EXIT], [0, 2, 3]),
    ],
)
async def test_replanning_on_a_trigger(actions, at):
    trajectory, _, planner = await play(actions, replan="on_trigger")
    assert replanned(trajectory) == at and len(planner.calls) == len(at)


async def test_what_the_replanner_is_told():
    trajectory, _, planner = await play([CART, ORDERS, EXIT], replan="every_turn")
    pages = [turn.observation.outline for turn in trajectory.turns]
    assert len(set(pages)) == 3
    query = f"\n\n## User Query\n{TASK.intent}"  # last in the compact prompts
    actions = ["# Previous Actions\nnone\n\n# HTML\n", "# Previous Actions\n1. click element 2\n\n# HTML\n"]
    actions.append("# Previous Actions\n1. click element 2\n2. click element 3\n\n# HTML\n")
    assert [m["content"] for m in planner.calls[0]] == ["plan", f"## Initial HTML State\n{pages[0]}{query}"]
    assert [m["content"] for m in planner.calls[2]] == [
        "replan",
        actions[0] + PAST_PAGE,
        plan(0),
        actions[1] + PAST_PAGE,
        plan(1),
        actions[2] + pages[2] + query,
    ]


@pytest.mark.parametrize("history, kept", [(None, [0, 1, 2]), (0, []), (1, [2]), (2, [1, 2]), (7, [0, 1, 2])])
async def test_how_many_earlier_plans_are_kept(history, kept):
    _, _, planner = await play([CART, ORDERS, WISHES, EXIT], replan="every_turn", plan_history=history)
    assert [m["content"] for m in planner.calls[3] if m["role"] == "assistant"] == [plan(n) for n in kept]


async def test_an_unreadable_plan_leaves_the_old_one_in_force():
    plans = [plan(0), "I would rather not.", plan(2)]
    trajectory, executor, planner = await play([CART, ORDERS, EXIT], plans, replan="every_turn", planner_retries=0)
    assert goals(trajectory) == [0, 0, 2] and replanned(trajectory) == [0, 2] and trajectory.replans == 1
    kept = trajectory.turns[1]
    assert (kept.plan_failure.kind, kept.plan_response) == ("plan", "I would rather not.") and kept.action == Action(Op.CLICK, "3")
    assert trajectory.turns[2].plan_failure is None
    assert executor.calls[1][0]["content"].endswith("# Plan\n1. goal 0")
    assert "rather not" not in str(planner.calls[2]) and plan(0) in [m["content"] for m in planner.calls[2]]


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_an_unreadable_plan_is_asked_for_again(retries):
    trajectory, _, planner = await play([EXIT], ["no"] * 9, planner_retries=retries)
    assert len(planner.calls) == 1 + retries == trajectory.turns[0].planner.calls
    assert trajectory.turns[0].plan_failure.kind == "plan" and not trajectory.turns[0].replanned
    for n, call in enumerate(planner.calls):  # each try shows all answers before it and what was wrong with them
        assert [m["content"] for m in call[2::2]] == ["no"] * n and all("Error: no plan found in 'no'" in m["content"] for m in call[3::2])
        assert [m["role"] for m in call] == ["system", "user"] + ["assistant", "user"] * n


async def test_the_second_answer_is_taken_and_the_first_forgotten():
    trajectory, _, planner = await play([CART, EXIT], ["no", plan(1), plan(2)], replan="every_turn")
    assert goals(trajectory) == [1, 2] and trajectory.turns[0].plan_failure is None and trajectory.turns[0].plan_response == plan(1)
    assert [m["content"] for m in planner.calls[2] if m["role"] == "assistant"] == [plan(1)]


async def test_every_turn_without_a_readable_plan_ends_like_any_other_episode():
    trajectory, _, planner = await play(FIVE, ["no"] * 10, replan="every_turn")
    assert goals(trajectory) == [None] * 5 and len(planner.calls) == 5 * 2 and trajectory.replans == 0
    assert trajectory.outcome.success is False


A, B = (Observation(f"[1] link '{name}'", f"link '{name}'", f"http://x/{name}") for name in "AB")
FAILED = Observation(A.text, A.outline, A.url, error="no element '9'")
CLICK, OTHER = Action(Op.CLICK, "1"), Action(Op.CLICK, "2")


def turns(*steps):
    return [Turn(i, Plan((PlanStep("", "go"),)), page, "", action) for i, (page, action) in enumerate(steps)]


@pytest.mark.parametrize(
    "done, now, kind",
    [
        (turns((A, CLICK)), B, None),
        (turns((A, CLICK)), FAILED, "grounding"),
        (turns((A, None)), FAILED, "grounding"),
        (turns((B, CLICK)), FAILED, "grounding"),
        (turns((A, CLICK)), A, "environment"),
        (turns((A, Action(Op.TYPE, "1", "x"))), A, "environment"),
        (turns((A, Action(Op.SCROLL, text="down"))), A, None),
        (turns((A, Action(Op.NOTE, text="3"))), A, None),
        (turns((A, Action(Op.SCROLL, text="down")), (A, Action(Op.SCROLL, text="up"))), A, None),
        (turns((A, Action(Op.SCROLL, text="down")), (A, Action(Op.SCROLL, text="down"))), A, "plan"),
        (turns((A, CLICK), (B, CLICK)), A, None),  # the same action, on another page
        (turns((A, CLICK), (A, OTHER)), B, None),  # the same page, another action
        (turns((A, CLICK), (B, OTHER), (A, CLICK)), B, "plan"),
        (turns((A, CLICK), (B, OTHER), (A, CLICK), (B, Action(Op.BACK))), A, None),  # an older repeat is no reason any more
    ],
)
def test_what_triggers_a_new_plan(done, now, kind):
    failure = replan_trigger(Agent(), "Go", done, now)
    assert (failure and failure.kind) == kind
    if kind == "grounding":
        assert failure.message == "no element '9'"


def fires(trigger, done, now=B, intent="Go", **settings):
    return replan_trigger(Agent(replan_triggers=(trigger,), **settings), intent, done, now) is not None


@pytest.mark.parametrize("since, fired", [(2, False), (3, True), (4, False), (5, False)])
def test_a_plan_is_used_up_after_three_actions_for_each_of_its_steps_and_once(since, fired):
    # One step: 3 actions. The turn at which it was made counts as the first.
    assert ACTIONS_PER_STEP == 3
    done = [replace(turn, replanned=turn.index == 2) for turn in turns(*[(A, CLICK)] * (2 + since))]
    assert fires("plan_exhausted", done) == fired
    unread = [replace(turn, plan=Plan()) for turn in done]
    assert not fires("plan_exhausted", unread)  # a plan without steps promises nothing


@pytest.mark.parametrize(
    "title, fired",
    [
        ("Product not found", True),
        ("Your cart", False),  # a word of the plan
        ("Blue Tee", False),  # a word of the request
        ("Sign in", True),
        ("Reviews", False),  # what was clicked
        ("", False),  # no title says nothing
        ("A 12 %", False),  # nor one without a word
    ],
)
def test_a_page_that_has_to_do_with_nothing_is_unexpected(title, fired):
    done = [Turn(0, Plan((PlanStep("", "Open the cart"),)), A, "", replace(CLICK, target="link 'Reviews'"))]
    assert fires("unexpected_page", done, replace(B, title=title), "Buy the blue tee") == fired
    assert not fires("unexpected_page", done, replace(A, title=title), "Buy the blue tee")  # the same address


@pytest.mark.parametrize("count, fired", [(4, False), (5, True), (6, False)])
def test_half_of_the_turns_are_used_up_once(count, fired):
    assert fires("budget", turns(*[(A, CLICK)] * count), max_turns=10) == fired
    assert fires("budget", turns(*[(A, CLICK)] * 9), max_turns=17)  # 8/17 is less than half, 9/17 is not


@pytest.mark.parametrize("tokens, fired", [(49, False), (50, True)])
def test_half_of_the_tokens_are_used_up_once(tokens, fired):
    first, second = turns((A, CLICK), (B, CLICK))
    done = [replace(first, planner=Usage(20, 10)), replace(second, executor=Usage(tokens - 31, 1))]
    assert fires("budget", done, max_episode_tokens=100) == fired
    assert not fires("budget", [*done, replace(second, index=2)], max_episode_tokens=100)


def test_only_the_triggers_of_the_recipe_are_looked_at():
    assert fires("action_failed", turns((A, CLICK)), FAILED) and not fires("loop", turns((A, CLICK)), FAILED)
