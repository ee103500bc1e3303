"""Every way an episode can end, and what the models are told on the way. miniweb is the world, the models follow a script."""

import json
from dataclasses import replace

import pytest

from planact.env import EnvError
from planact.llm import BudgetExceeded, EndpointUnusable, ModelError, ScriptedLLM
from planact.loop import MAX_INVALID, MAX_REPEATS, run_episode
from planact.prompts import PAST_PAGE
from planact.recipe import Agent
from planact.types import Action, FailureInfo, Op, Plan, PlanStep, StopReason, Trajectory, Usage, content_hash, from_dict, to_dict
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks, solution

TASK = next(task for task in load_tasks("train") if task.template == "shop.price")
ANSWER = solution(TASK).moves[-1].text  # the price
PLAN = "## Step 1\nReasoning: it is asked\nStep: find the price"
CART, ORDERS, DOWN = 'do(action="Click", element="2")', 'do(action="Click", element="3")', 'do(action="Scroll Down")'  # links of every page
EXIT = f'exit(message="{ANSWER}")'


async def play(replies, plans=(PLAN,), env=None, task=TASK, seed=0, **settings):
    """The trajectory, and the executor and planner with the calls they got. `plans` None: no planner."""
    agent = Agent(**{"planner": "none" if plans is None else "base", "observation": "short", "prompts": "compact"} | settings)
    env = env or MiniwebEnv(agent.observation)
    executor, planner = ScriptedLLM(replies, "executor"), None if plans is None else ScriptedLLM(plans, "planner")
    try:
        return await run_episode(task, env, agent, executor, planner, seed), executor, planner
    finally:
        await env.close()


async def test_an_answer_ends_the_episode_and_is_scored():
    trajectory, executor, planner = await play([CART, EXIT])
    assert (trajectory.stop_reason, trajectory.answer, trajectory.outcome.success) == (StopReason.ANSWERED, ANSWER, True)
    assert (trajectory.task_id, trajectory.task_hash, trajectory.intent, trajectory.error) == (TASK.id, TASK.hash, TASK.intent, "")
    first, last = trajectory.turns
    assert (first.index, last.index) == (0, 1) and first.action == Action(Op.CLICK, "2") and first.response == CART
    assert first.observation.url == TASK.start_url and last.observation.url == trajectory.final.url != TASK.start_url
    assert len(executor.calls) == 2 and len(planner.calls) == 1


async def test_a_wrong_answer_is_a_failure():
    trajectory, _, _ = await play(['exit(message="1 Euro")'])
    assert trajectory.outcome.success is False and trajectory.stop_reason is StopReason.ANSWERED


async def test_infeasible():
    trajectory, _, _ = await play(["report_infeasible('there is none')"], grammar="browsergym")
    assert (trajectory.stop_reason, trajectory.answer, trajectory.outcome.success) == (StopReason.INFEASIBLE, "N/A", False)


async def test_the_turn_limit():
    trajectory, executor, _ = await play([CART, ORDERS] * 9, max_turns=3)
    assert trajectory.stop_reason is StopReason.MAX_TURNS and len(trajectory.turns) == len(executor.calls) == 3
    assert trajectory.outcome.success is False


async def test_three_invalid_actions_in_a_row():
    assert MAX_INVALID == 3
    garbage, unknown = "I am lost.", 'do(action="Click", element="999")'
    trajectory, _, _ = await play([garbage, unknown, CART, garbage, unknown, 'do(action="Type", element="2", argument="x")', EXIT])
    assert trajectory.stop_reason is StopReason.INVALID_ACTIONS and len(trajectory.turns) == 6  # two, then a good one, then three
    assert "is not a text field" in trajectory.error and trajectory.outcome.success is False


async def test_five_repeats():
    assert MAX_REPEATS == 5
    trajectory, _, _ = await play([DOWN] * 4 + [CART] + [DOWN] * 9)
    assert trajectory.stop_reason is StopReason.REPEATED_ACTION and len(trajectory.turns) == 4 + 1 + 5
    trajectory, _, _ = await play([CART, ORDERS] * 6 + [EXIT])
    assert trajectory.stop_reason is StopReason.ANSWERED  # the same two links, but never the same page twice running


async def test_the_token_budget_of_an_episode():
    free, _, _ = await play([CART, ORDERS, EXIT])
    spent = [usage for turn in free.turns[:2] for usage in (turn.planner, turn.executor)]
    used = sum(usage.prompt_tokens + usage.completion_tokens for usage in spent)
    trajectory, _, _ = await play([CART, ORDERS, EXIT], max_episode_tokens=used)
    assert trajectory.stop_reason is StopReason.TOKEN_BUDGET and len(trajectory.turns) == 2
    trajectory, _, _ = await play([CART, ORDERS, EXIT], max_episode_tokens=used + 1)
    assert trajectory.stop_reason is StopReason.ANSWERED


async def test_a_start_page_that_does_not_open_leaves_the_task_unscored():
    trajectory, executor, _ = await play([EXIT], task=replace(TASK, start_url="http://elsewhere.example/"))
    assert (trajectory.stop_reason, trajectory.outcome.success, trajectory.turns) == (StopReason.ENV_ERROR, None, ())
    assert "elsewhere.example" in trajectory.error and trajectory.final is None and executor.calls == []


class BrokenEnv(MiniwebEnv):
    """A world whose server goes down at the given call."""

    def __init__(self, broken):
        super().__init__("short")
        self.broken = broken

    async def step(self, action):
        if self.broken == "step":
            raise EnvError("the site is down")
        return await super().step(action)

    async def score(self, answer):
        raise EnvError("the site is down")


@pytest.mark.parametrize("broken, turns", [("step", 1), ("score", 2)])
async def test_a_world_that_breaks_leaves_the_task_unscored(broken, turns):
    trajectory, _, _ = await play([CART, EXIT], env=BrokenEnv(broken))
    assert (trajectory.stop_reason, trajectory.outcome.success, trajectory.error) == (StopReason.ENV_ERROR, None, "the site is down")
    assert len(trajectory.turns) == turns  # what was done is kept


async def test_a_call_that_fails_for_good_leaves_the_task_unscored():
    for trajectory, _, _ in (await play([CART]), await play([CART, CART, EXIT], plans=[PLAN], replan="every_turn")):
        assert (trajectory.stop_reason, trajectory.outcome.success, len(trajectory.turns)) == (StopReason.MODEL_ERROR, None, 1)
        assert "was called 2 times" in trajectory.error


@pytest.mark.parametrize("kind", [BudgetExceeded, EndpointUnusable])
async def test_what_stops_the_whole_run_is_raised(kind):
    def refuse(messages):
        raise kind("no more")

    with pytest.raises(kind):
        await play(refuse)
    with pytest.raises(kind):
        await play([EXIT], plans=refuse)
    assert issubclass(kind, ModelError)  # so that the order of the `except` lines matters


async def test_planner_and_recipe_must_agree():
    with pytest.raises(ValueError, match="agent.planner is 'none' but the planner model is"):
        await play([EXIT], planner="none")
    with pytest.raises(ValueError, match="agent.planner is 'trained' but the planner model is None"):
        await play([EXIT], plans=None, planner="trained")


async def test_without_a_planner_there_is_no_plan():
    trajectory, executor, _ = await play([CART, EXIT], plans=None)
    assert [turn.plan for turn in trajectory.turns] == [Plan(), Plan()] and "# Plan" not in str(executor.calls)
    assert trajectory.replans == 0 and trajectory.planner_usage == Usage()


async def test_an_unreadable_action_is_shown_to_the_executor():
    trajectory, executor, _ = await play(["I am lost.", CART, EXIT])
    first = trajectory.turns[0]
    assert first.action is None and first.response == "I am lost." and first.failure.kind == "format"
    assert executor.calls[1][-1]["content"] == f"{executor.calls[0][-1]['content']}\n\nError: {first.failure.message}"
    history = [m["content"] for m in executor.calls[2][1:-1]]
    assert history == [PAST_PAGE, "I am lost.", f"{PAST_PAGE}\n\nError: {first.failure.message}", CART]
    assert "Error" not in executor.calls[2][-1]["content"]
    assert trajectory.turns[1].failure is None


async def test_an_unknown_element_is_shown_to_the_executor():
    trajectory, executor, _ = await play(['do(action="Click", element="999")', EXIT])
    error = trajectory.turns[1].observation.error
    assert error.startswith("no element '999' on this page") and executor.calls[1][-1]["content"].endswith(f"\n\nError: {error}")
    assert trajectory.outcome.success is True


HOSTILE = [
    ("goto", "http://["),
    ("goto", "http://shop.miniweb/\x00"),
    ("goto", "http://shop.miniweb:99999/"),
    ("goto", "javascript:alert(1)"),
    ("goto", "x" * 90_000),
]
HOSTILE += [
    ("tab_focus", "²"),
    ("tab_focus", "9" * 5_000),
    ("tab_focus", "-1"),
    ("click", "\\ud83d"),
    ("click", "9" * 5_000),
    ("hover", "../1"),
]


@pytest.mark.parametrize("name, argument", HOSTILE, ids=lambda value: value[:12].encode("unicode_escape").decode())
async def test_an_argument_that_no_page_understands_is_a_turn_with_an_error(name, argument):
    trajectory, _, _ = await play([f"{name}('{argument}')", f"send_msg_to_user('{ANSWER}')"], grammar="browsergym")
    assert trajectory.outcome.success is True and len(trajectory.turns) == 2
    assert trajectory.turns[1].observation.error and len(trajectory.turns[1].observation.error) < 1_000
    assert trajectory.turns[1].observation.text == trajectory.turns[0].observation.text
    assert content_hash(to_dict(trajectory)) and from_dict(Trajectory, json.loads(json.dumps(to_dict(trajectory)))) == trajectory


async def test_an_answer_of_100_kb():
    huge = "word " * 20_000
    trajectory, executor, _ = await play([huge, EXIT], plans=[huge, huge])
    assert trajectory.stop_reason is StopReason.ANSWERED and trajectory.outcome.success is True
    assert trajectory.turns[0].failure.kind == "format" and len(trajectory.turns[0].failure.message) < 300
    assert sum(len(m["content"]) for m in executor.calls[1]) < 5_000  # the history keeps the beginning of it
    huge_answer = 'exit(message="' + "9" * 90_000 + '")'
    trajectory, _, _ = await play([huge_answer])
    assert len(trajectory.answer) == 90_000 and trajectory.outcome.success is False


async def test_usage_is_summed():
    trajectory, executor, planner = await play(["lost", CART, EXIT], plans=["no plan", PLAN], replan="never")
    # ScriptedLLM counts words: of all messages it was sent, and of its reply
    sent = [[sum(len(m["content"].split()) for m in call) for call in llm.calls] for llm in (planner, executor)]
    assert [turn.planner.calls for turn in trajectory.turns] == [2, 0, 0]
    assert trajectory.planner_usage == Usage(sum(sent[0]), 2 + 11, calls=2)  # "no plan", and PLAN has 11 words
    assert trajectory.executor_usage == Usage(sum(sent[1]), 1 + 2 + 1, calls=3)  # "lost", do(action="Click", element="2"), exit(...)
    assert trajectory.seconds > 0


async def test_a_plan_is_in_force_from_its_own_turn_on():
    """The released runner gave the executor the plan of the round before."""
    plans = [f"## Step 1\nReasoning: r{n}\nStep: goal number {n}" for n in range(3)]
    trajectory, executor, _ = await play([CART, ORDERS, EXIT], plans=plans, replan="every_turn")
    for n, call in enumerate(executor.calls):
        assert [f"goal number {k}" in str(call) for k in range(3)] == [k == n for k in range(3)]
        assert trajectory.turns[n].plan == Plan((PlanStep(f"r{n}", f"goal number {n}"),))
        assert trajectory.turns[n].plan_response == plans[n] and trajectory.turns[n].replanned
    assert trajectory.replans == 2


async def test_the_seed_and_limits_reach_the_models():
    class Recorder(ScriptedLLM):
        def __init__(self, replies):
            super().__init__(replies)
            self.settings = []

        async def complete(self, messages, **settings):
            self.settings.append(settings)
            return await super().complete(messages, **settings)

    agent = Agent(planner="base", observation="short", planner_max_tokens=11, executor_max_tokens=22, temperature=0.5)
    executor, planner, env = Recorder([EXIT]), Recorder(["no plan", PLAN]), MiniwebEnv("short")
    trajectory = await run_episode(TASK, env, agent, executor, planner, seed=5)
    await env.close()
    assert trajectory.seed == 5
    # a retry at temperature 0 with the same seed would bring the same answer, and at any temperature the cached one
    assert planner.settings == [{"max_tokens": 11, "temperature": 0.5, "seed": seed} for seed in (5, 6)]
    assert executor.settings == [{"max_tokens": 22, "temperature": 0.5, "seed": 5}]


async def test_an_unreadable_plan_is_recorded():
    trajectory, executor, planner = await play([CART, EXIT], plans=["no plan", "still none"])
    first, second = trajectory.turns
    assert first.plan_failure == FailureInfo("plan", first.plan_failure.message) and "still none" in first.plan_failure.message
    assert (first.plan, first.replanned, first.plan_response, second.plan_failure) == (Plan(), False, "still none", None)
    assert executor.calls[0][0]["content"].endswith("# Plan\n")
    complaint = planner.calls[1][-2:]
    assert complaint[0] == {"role": "assistant", "content": "no plan"} and complaint[1]["content"].startswith(
        "Error: no plan found in 'no plan'"
    )
