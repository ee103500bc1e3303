"""Whether actions hit what is on the page: by hand, and of the oracle itself."""

from dataclasses import replace

import pytest

from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import Action, Observation, Op, Outcome, Plan, StopReason, Trajectory, Turn
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.suites import Step, load_suite
from planact_eval.grounding import Grounding, element_of, grounding

PAGES = {
    "axtree": "RootWebArea 'Shop'\n\t[7] link 'Cart'\n\t[8] textbox 'Name'",
    "short": "page 'Shop'\nlink 'Cart' [7]\ntextbox 'Name' [8]",
}


def episode(page, *actions):
    turns = (Turn(n, Plan(), Observation(page, page, "http://x/"), "", action) for n, action in enumerate(actions))
    return Trajectory("t", "h", "", tuple(turns), StopReason.ANSWERED, Outcome(False))


@pytest.mark.parametrize("form", PAGES)
def test_counts_by_hand(form):
    oracle = (Step(Op.CLICK, "link", "Cart"), Step(Op.STOP))
    made = episode(
        PAGES[form],
        Action(Op.CLICK, "7"),  # there, clickable, the oracle's
        Action(Op.TYPE, "8", "x"),  # there, a field, not the oracle's
        Action(Op.TYPE, "7", "x"),  # there, but a link is nothing to type into; still the oracle's element
        Action(Op.CLICK, "99"),  # not there
        None,  # an unreadable answer is no action
        Action(Op.STOP),  # nor has this one an element
    )
    assert grounding(made, form, oracle) == Grounding(actions=4, exists=3, role=2, judged=4, right=2)
    assert grounding(made, form) == Grounding(actions=4, exists=3, role=2)  # no oracle is known
    assert grounding(made, form, oracle).rates() == {"exists": 0.75, "role": 0.5, "element": 0.5}


def test_nothing_counted_has_no_rate():
    assert Grounding().rates() == {"exists": None, "role": None, "element": None}


def test_the_element_with_an_id():
    assert element_of(PAGES["axtree"], "7", "axtree").name == "Cart" and element_of(PAGES["axtree"], "1", "axtree") is None


@pytest.mark.parametrize("form", ["axtree", "html", "short"])
async def test_the_oracle_is_grounded_throughout(form):
    suite, agent = load_suite("miniweb-short"), Agent(planner="none", observation=form, prompts="compact", max_turns=20)
    total = Grounding()
    for task in suite.tasks("test")[::25]:
        env = MiniwebEnv(form)
        try:
            made = await run_episode(task, env, agent, ScriptedTeacher(form, "webrl"))
        finally:
            await env.close()
        assert made.outcome.success
        total += grounding(made, form, suite.oracle(task))
        lost = replace(made, turns=tuple(replace(t, action=t.action and replace(t.action, element="9999")) for t in made.turns))
        assert grounding(lost, form).exists == 0
    assert total.actions > 10 and total.rates() == {"exists": 1.0, "role": 1.0, "element": 1.0}


async def test_noise_is_not():
    task, env = load_suite("miniweb-short").tasks("test")[0], MiniwebEnv("short")
    try:
        made = await run_episode(
            task, env, Agent(planner="none", observation="short"), ScriptedLLM(['do(action="Click", element="999")'] * 3)
        )
    finally:
        await env.close()
    assert grounding(made, "short").rates()["exists"] == 0.0
