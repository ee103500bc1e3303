"""The scripted reasoner: what it thinks fits the page and the answer, in every form, and its mistakes are those that the checks catch."""

from itertools import product

import pytest

from planact.actions import GRAMMARS, render_action
from planact.llm import ModelError
from planact.plans import parse_plan, render_plan
from planact.prompts import executor_messages, planner_messages, replanner_messages
from planact.recipe import Agent
from planact.teaching import AnswerError
from planact.teaching.reasoning import check_label, check_reasoning, parse_reasoning, reasoning_messages
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn
from planact_envs.miniweb.tasks import all_tasks, solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.planning import annotate
from planact_envs.observation import FORMS

TASK = next(task for task in all_tasks().values() if task.template == "shop.spare")
KNOWN = solution(TASK)
PLAN, LATER = (Plan(tuple(step.step for step in annotate(KNOWN, done, "Search results"))) for done in (0, 1))
FIRST_LINES = {
    "axtree": "RootWebArea 'Search results'\n\t[7] link 'X'",
    "html": '<html> <title> Search results </title>\n  <a id="7"> X </a>\n</html>',
    "short": "page 'Search results'\nlink 'X' [7]",
}
CLICK = Action(Op.CLICK, "7", target="link 'X'")
STOP = Action(Op.STOP, text="12")


def page(form):
    return Observation(FIRST_LINES[form], FIRST_LINES[form], "http://shop.miniweb/")


def questions(agent):
    """subject -> (question, label)"""
    now = page(agent.observation)
    past = [Turn(0, PLAN, now, "", Action(Op.SEARCH, "2", "Tee", "textbox 'Search products'"), replanned=True)]
    chats = {
        "plan": (planner_messages(agent, TASK.intent, now), PLAN),
        "replan": (replanner_messages(agent, TASK.intent, past, now), LATER),
        "action": (executor_messages(agent, TASK.intent, LATER, past, now), CLICK),
    }
    return {
        subject: (reasoning_messages(subject, prompt, _text(label, agent.grammar)), label) for subject, (prompt, label) in chats.items()
    }


def _text(label, grammar):
    return render_plan(label) if isinstance(label, Plan) else render_action(label, grammar)


async def reply(messages, grammar="webrl", form="short", error_rate=0.0, seed=0):
    return (await ScriptedTeacher(form, grammar, error_rate).complete(messages, max_tokens=999, seed=seed)).text


def checked(text, subject, label, grammar):
    """The reasoning in a reply. Raises AnswerError."""
    reasoning, written = parse_reasoning(text)
    check_reasoning(reasoning, subject)
    check_label(written, label, grammar)
    return reasoning


@pytest.mark.parametrize("form, grammar, prompts", [*product(FORMS, GRAMMARS, ("full", "compact"))])
async def test_its_reasoning_passes_the_checks_and_names_the_page(form, grammar, prompts):
    agent = Agent(observation=form, grammar=grammar, prompts=prompts, cot=True)
    for subject, (messages, label) in questions(agent).items():
        assert "'Search results'" in checked(await reply(messages, grammar, form), subject, label, grammar), subject


async def test_what_it_says():
    asked = questions(Agent(observation="short", prompts="compact", cot=True))
    said = {subject: parse_reasoning(await reply(messages))[0] for subject, (messages, _) in asked.items()}
    assert TASK.intent in said["plan"] and PLAN.steps[0].step in said["plan"]
    assert "My last action worked: search textbox 'Search products' 'Tee'." in said["replan"]
    assert f"{PLAN.steps[0].step}" in said["replan"] and LATER.steps[0].step in said["replan"]  # what is done, and what comes next
    assert LATER.steps[0].step in said["action"] and "I click link 'X'." in said["action"]


@pytest.mark.parametrize(
    "plan, done, due",
    [(PLAN, 1, PLAN.steps[1].step), (LATER, 1, LATER.steps[0].step), (None, 1, KNOWN.stages[1].reasoning), (PLAN, 99, PLAN.steps[-1].step)],
)
async def test_it_finds_the_step_that_is_due(plan, done, due):
    turns = [Turn(n, PLAN, page("short"), "", CLICK) for n in range(done)]
    prompt = executor_messages(Agent(observation="short", prompts="compact", cot=True), TASK.intent, plan, turns, page("short"))
    assert due in parse_reasoning(await reply(reasoning_messages("action", prompt, render_action(STOP, "webrl"))))[0]


async def test_wordings_vary_and_depend_on_prompt_and_seed_alone():
    messages, _ = questions(Agent(observation="short", prompts="compact", cot=True))["action"]
    said = [await reply(messages, seed=seed) for seed in range(12)]
    assert len(set(said)) > 3 and said == [await reply(messages, seed=seed) for seed in range(12)]


@pytest.mark.parametrize("subject", ["plan", "replan", "action"])
async def test_every_kind_of_planted_mistake_occurs_and_a_repair_is_right(subject):
    messages, label = questions(Agent(observation="short", prompts="compact", cot=True))[subject]
    reasons = set()
    for seed in range(30):
        text = await reply(messages, error_rate=1.0, seed=seed)
        with pytest.raises(AnswerError) as refused:
            checked(text, subject, label, "webrl")
        reasons.add(refused.value.reason)
        complaint = [{"role": "assistant", "content": text}, {"role": "user", "content": "That answer cannot be used."}]
        checked(await reply([*messages, *complaint], error_rate=1.0, seed=seed), subject, label, "webrl")
    assert reasons == {"label differs", "gives itself away", "chat markers", "empty reasoning"}


async def test_a_plan_of_one_step_can_be_spoiled_too():
    one = Plan((PlanStep("why", "Stop: the task is done."),))
    prompt = planner_messages(Agent(observation="short", prompts="compact", cot=True), TASK.intent, page("short"))
    texts = [await reply(reasoning_messages("plan", prompt, render_plan(one)), error_rate=1.0, seed=seed) for seed in range(12)]
    assert any(parse_plan(parse_reasoning(text)[1]) != one for text in texts)


async def test_an_action_of_an_unknown_task_is_refused():
    prompt = executor_messages(Agent(observation="short", prompts="compact", cot=True), "Boil an egg", None, [], page("short"))
    with pytest.raises(ModelError, match="no miniweb task 'Boil an egg'"):
        await reply(reasoning_messages("action", prompt, "go_backward()"))
