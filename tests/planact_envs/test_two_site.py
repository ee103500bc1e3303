"""Tasks that span two sites: the agent types the address that the request names, in every form and grammar."""

from itertools import product
from urllib.parse import urlsplit

import pytest

from planact.actions import GRAMMARS
from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import Action, Op
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.tasks import find, load_tasks, solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.planning import annotate
from planact_envs.miniweb.templates import TEMPLATES
from planact_envs.observation import FORMS

TWO_SITE = {name: template for name, template in TEMPLATES.items() if template.group == "two-site"}
TASKS = {name: [t for split in ("train", "validation", "test") for t in load_tasks(split) if t.template == name] for name in TWO_SITE}


async def episode(task, form="short", grammar="webrl"):
    env = MiniwebEnv(form)
    agent = Agent(planner="none", prompts="compact", observation=form, grammar=grammar)
    trajectory = await run_episode(task, env, agent, ScriptedTeacher(form, grammar))
    await env.close()
    return trajectory


def gotos(task):
    return [move.text for move in solution(task).moves if move.op is Op.GOTO]


def test_there_are_enough_of_them_on_enough_pairs_of_sites():
    assert len(TWO_SITE) >= 6 and sum(template.unseen for template in TWO_SITE.values()) >= 2
    assert len({frozenset(template.sites) for template in TWO_SITE.values()}) >= 3
    assert {template.kind for template in TWO_SITE.values()} >= {"find", "navigate", "change", "compare"}


@pytest.mark.parametrize("name", TWO_SITE)
def test_the_only_address_typed_is_the_second_site_and_the_request_names_it(name):
    second = HOME[TWO_SITE[name].sites[1]]
    for task in TASKS[name]:
        assert gotos(task) == [second] and second in task.intent and HOME[task.sites[0]] == task.start_url, task.id


@pytest.mark.parametrize("name", TWO_SITE)
def test_something_read_on_the_first_site_is_needed_on_the_second(name):
    for task in TASKS[name]:
        known = solution(task)
        crossing = [move.op for move in known.moves].index(Op.GOTO)
        for fact in known.facts.values():
            used = next(i for i, move in enumerate(known.moves) if fact.value.strip("'") in (move.text, move.name))
            assert fact.seen_after <= crossing < used, task.id
        assert known.facts and len(known.moves) >= 7, task.id


@pytest.mark.parametrize("form, grammar", [*product(FORMS, GRAMMARS)])
async def test_the_teacher_crosses_in_every_form_and_grammar(form, grammar):
    for name, template in TWO_SITE.items():
        task = TASKS[name][0]
        trajectory = await episode(task, form, grammar)
        assert trajectory.outcome.success is True, (task.id, trajectory.outcome.reason)
        hosts = list(dict.fromkeys(urlsplit(turn.observation.url).netloc for turn in trajectory.turns))
        assert hosts == [f"{site}.miniweb" for site in template.sites]
        crossing = next(turn for turn in trajectory.turns if turn.action.op is Op.GOTO)
        spelled = {"webrl": f'do(action="Goto", argument="{gotos(task)[0]}")', "browsergym": f"goto('{gotos(task)[0]}')"}
        assert crossing.response == spelled[grammar]


async def test_what_happens_on_the_first_site_counts_as_well():
    """The price has to be read, not bought: a product put into the cart on the way is a side effect."""
    task = TASKS["two_site.price"][0]
    env = MiniwebEnv("short")
    await env.reset(task)
    for i, move in enumerate(solution(task).moves[:-1]):
        nodes = env.browser.tab.page.nodes.items()
        if i == 2:  # on the product's page
            cart = next(key for key, node in nodes if node.name == "Add to cart")
            await env.step(Action(Op.CLICK, cart))
        key = next((key for key, node in env.browser.tab.page.nodes.items() if (node.role, node.name) == (move.role, move.name)), "")
        assert not (await env.step(Action(move.op, key, move.text))).error
    outcome = await env.score("")
    await env.close()
    assert outcome.success is False and outcome.reason.startswith("database: shop_cart added: unexpected")


def test_a_plan_names_the_site_from_the_start_and_the_value_only_once_it_is_read():
    task = find(TASKS["two_site.price"][0].id)
    known = solution(task)
    first, later = ([step.step.step for step in annotate(known, done)] for done in (0, 2))
    assert "Go to the site 'http://forum.miniweb/'." in first
    assert any("write the price of the product and publish" in step for step in first)
    assert any(f"write {known.facts['price'].value} and publish" in step for step in later)
