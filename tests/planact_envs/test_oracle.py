"""Every task of every split, played through the environment: the oracle succeeds, doing nothing and a sibling's oracle do not."""

import asyncio
from itertools import pairwise

import pytest

from planact.types import ELEMENT_OPS, FINAL_OPS, Action, Op
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.scorer import visible_text
from planact_envs.miniweb.tasks import all_tasks, solution, template_of, world_reader
from planact_envs.miniweb.templates import TEMPLATES

# Tasks that differ in their wording only have the same solution and the same evaluation: one of them stands for all.
ALL = list({(t.template, *sorted(t.params.items())): t for t in all_tasks().values()}.values())
BY_TEMPLATE = {name: [task for task in ALL if task.template == name] for name in TEMPLATES}
TRAINED = 3  # training tasks of each template in the default run; all test and validation tasks are in it


def sample(tasks):
    training = [task for task in tasks if task.split == "train"]
    return [task for task in tasks if task.split != "train"] + training[:: max(1, len(training) // TRAINED)][:TRAINED]


def action_for(move, page):
    """The move on this page, None when the page does not have its element."""
    if move.op not in ELEMENT_OPS:
        return Action(move.op, text=move.text)
    keys = [key for key, node in page.nodes.items() if (node.role, node.name) == (move.role, move.name)]
    return Action(move.op, keys[0], move.text) if keys else None


async def play(env, task, moves):
    """Carry the moves out as far as that is possible. Gives the outcome, the HTML of each page seen, and the first error."""
    await env.reset(task)
    pages, answer, error = [env.browser.tab.html], "", ""
    for move in moves:
        action = action_for(move, env.browser.tab.page)
        if action is None:
            error = f"no {move.role} {move.name!r} on {env.browser.tab.url}"
            break
        if move.op in FINAL_OPS:
            answer = move.text  # of an infeasible task N/A, as in the loop
            break
        error = (await env.step(action)).error
        if error:
            break
        pages.append(env.browser.tab.html)
    return await env.score(answer), pages, error


def for_each(tasks, check):
    async def run():
        env = MiniwebEnv()
        for task, sibling in pairwise([*tasks, tasks[0]]):
            await check(env, task, sibling)
        await env.close()

    asyncio.run(run())


async def check_oracle(env, task, _):
    outcome, pages, error = await play(env, task, solution(task).moves)
    assert outcome.success is True and not error, (task.id, task.intent, outcome.reason, error)
    assert_facts_are_carried(task, pages)


async def check_others(env, task, sibling):
    idle, _, _ = await play(env, task, ())
    assert idle.success is False and idle.reason, task.id
    other, _, _ = await play(env, task, (solution(sibling) if sibling is not task else untasked(task)).moves)
    assert other.success is False, (task.id, sibling.id)


def untasked(task):
    """The oracle of an instance that no task is made of: the sibling of a template's only task."""
    template = template_of(task)
    params = next(params for params in template.instances(world_reader()) if params != task.params)
    return template.solve(world_reader(), params)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_oracle_succeeds(name):
    for_each(sample(BY_TEMPLATE[name]), check_oracle)


@pytest.mark.parametrize("name", TEMPLATES)
def test_doing_nothing_and_a_siblings_oracle_fail(name):
    for_each(sample(BY_TEMPLATE[name]), check_others)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
def test_all_of_this_holds_for_every_training_task_too(name):
    for_each(BY_TEMPLATE[name], check_oracle)
    for_each(BY_TEMPLATE[name], check_others)


def assert_facts_are_carried(task, pages):
    """A fact stands on the page where it is read and on none between that one and the page where it is used."""
    known = solution(task)
    for key, fact in known.facts.items():
        value = fact.value.strip("'")
        assert value.lower() not in task.intent.lower(), task.id
        shown = [value.lower() in visible_text(page).lower() for page in pages]
        assert shown[fact.seen_after], (task.id, key)
        used = next(i for i, move in enumerate(known.moves) if value in (move.text, move.name))
        assert used > fact.seen_after, f"{task.id}: {key} is used on the page where it is read"
        read = {i for i in range(fact.seen_after, used) if same_heading(pages[i], pages[fact.seen_after])}
        assert not any(shown[i] for i in range(fact.seen_after, used) if i not in read), (task.id, key)
        assert used not in read, (task.id, key)


def same_heading(one, other):
    """An upvote, say, shows the same page again."""
    return one.partition("<h1>")[2].partition("</h1>")[0] == other.partition("<h1>")[2].partition("</h1>")[0]


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_two_siblings_are_judged_alike(name):
    """Stronger than playing one sibling: no other task of the template accepts the same answer and end state."""
    seen = {}
    for task in BY_TEMPLATE[name]:
        key = repr((task.eval.get("reference_answers"), task.eval.get("reference_url"), task.eval["database"]))
        assert key not in seen, (task.id, seen.get(key))
        seen[key] = task.id


def test_a_side_effect_fails_a_task_that_is_otherwise_solved():
    task = next(task for task in ALL if task.template == "forum.points")

    async def run():
        env = MiniwebEnv()
        await play(env, task, solution(task).moves[:-1])
        key = next(key for key, node in env.browser.tab.page.nodes.items() if node.name == "Upvote")
        await env.step(Action(Op.CLICK, key))
        outcome = await env.score(solution(task).moves[-1].text)
        await env.close()
        return outcome

    outcome = asyncio.run(run())
    assert outcome.success is False and outcome.reason.startswith("database: forum_vote added: unexpected")
