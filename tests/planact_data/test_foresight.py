"""The gate against hindsight: values and names that only later pages show, and the honest plans that must pass it."""

import asyncio
import time
from dataclasses import replace

import pytest

from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn
from planact_data.foresight import foreseen_values, sights, unseen_values
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks, solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.planning import annotate
from planact_envs.miniweb.templates import TEMPLATES


def turn(outline, op=Op.CLICK, target="link 'Next'", text=""):
    return Turn(0, Plan(), Observation(outline, outline, "http://x/"), "", Action(op, "1", text, target))


TURNS = [
    turn("page 'Home'\nlink 'Tea'"),
    turn("page 'Tea'\nPrice: $12.50\nPart: ABC-77\nlink 'Old Mill'", Op.TYPE, "textbox 'Q'", "from turn 1"),
    turn("page 'Old Mill'\nPoints: 1024\nRating: 4.5"),
]
FORESEEN = [  # step of the plan, turns done, values that are too early
    ("Report the price", 0, []),
    ("The price is $12.50", 0, ["$12.50"]),
    ("The price is $12.50", 1, []),  # on the page that is open
    ("The price is $12.50.", 2, []),  # on an earlier page
    ("Open 'Old Mill'", 0, ["Old Mill"]),
    ("Open 'Old Mill'", 1, []),
    ("Open Old Mill", 0, []),  # no action names it, so the teacher cannot know it
    ("Search for ABC-77, then report 1024", 0, ["1024", "ABC-77"]),
    ("Search for ABC-77, then report 1024", 1, ["1024"]),
    ("Type 'from turn 1'", 0, ["from turn 1"]),  # what is typed later
    ("Type 'from turn 1'", 1, ["from turn 1"]),
    ("Type 'from turn 1'", 2, []),
    ("Open the 3 results for 'Kettle' of 2031", 0, []),  # stands nowhere: not from the future
    ('Open "Old Mill" or “Old Mill” or `Old Mill`', 0, ["Old Mill"]),  # in any quotes
    ("Open 'old mill'", 0, ["old mill"]),  # and in any letters
    ("It has 1,024 points", 0, ["1,024"]),  # and with commas
    ("It has 1,024 points", 2, []),
    ("It costs 12.50 dollars", 0, ["12.50"]),
    ("Give a rating of 4", 0, []),  # 4.5 and 1024 are other values
    ("Give 4.5 or 10", 0, ["4.5"]),
    ("Open 'Tea'", 0, []),
    ("Compare '7' and '' and 'Q' with the page's 'Rating'", 0, ["Q", "Rating"]),  # lone quotes and apostrophes pair with nothing
]


@pytest.mark.parametrize("step, done, values", FORESEEN)
def test_values_from_the_future(step, done, values):
    assert foreseen_values(Plan((PlanStep("why", step),)), "Find the price", TURNS, done) == values
    assert foreseen_values(Plan((PlanStep(step, "do"),)), "Find the price", TURNS, done) == values  # also in the reasoning


def test_a_value_of_the_request_is_known_from_the_start():
    plan = Plan((PlanStep("", "Search for ABC-77"),))
    assert foreseen_values(plan, "Buy ABC-77", TURNS, 0) == [] != foreseen_values(plan, "Buy ABC-78", TURNS, 0)


def test_the_last_page_counts_as_future_until_it_is_open():
    plan = Plan((PlanStep("", "Report 1024"),))
    assert [foreseen_values(plan, "", TURNS, done) for done in range(3)] == [["1024"], ["1024"], []]
    assert foreseen_values(plan, "", [*TURNS[:2], replace(TURNS[2], observation=TURNS[0].observation)], 0) == []


NAMES = [  # step of the plan, what the future actions act on and write, what is too early
    ("Open the Copper Kettle", [(Op.CLICK, "link 'Copper Kettle'", "")], ["Copper Kettle"]),
    ("open the copper kettle", [(Op.CLICK, "link 'Copper Kettle' [7]", "")], ["Copper Kettle"]),
    ("Copper Kettle is the cheapest", [(Op.CLICK, "<a> Copper Kettle </a>", "")], ["Copper Kettle"]),
    ("Report Petra Winter", [(Op.STOP, "", "Petra Winter, 12 points")], ["Petra Winter"]),
    ("Give the issue to Petra Winter", [(Op.SELECT, "combobox 'Assignee'", "Petra Winter")], ["Petra Winter"]),
    ("Ask whether Petra has it", [(Op.SELECT, "combobox 'Assignee'", "Petra Winter")], ["Petra"]),
    ("Search for fern-mailer", [(Op.SEARCH, "textbox 'Search'", "fern-mailer")], ["fern-mailer"]),
    ("Write that it keeps the tea warm", [(Op.TYPE, "textbox 'Text'", "it keeps the tea warm")], ["it keeps the tea warm"]),
    ("Open the one by Heron", [(Op.CLICK, "link 'Heron'", "")], ["Heron"]),
    # labels and plain words
    ("Go to the page Edit account", [(Op.CLICK, "link 'Edit account'", "")], []),
    ("Edit the account on the Edit account page", [(Op.CLICK, "link 'Edit account'", "")], []),
    ("New posts come first. New post: choose the forum", [(Op.CLICK, "link 'New post'", "")], []),
    ("Use the link to a new post", [(Op.CLICK, "link 'New post'", "")], []),
    ("Report the price", [(Op.CLICK, "link 'Report'", "")], []),
    ("Add it with Add To Cart", [(Op.CLICK, "button 'Add To Cart'", "")], []),
    ("Sort by Most points", [(Op.SELECT, "combobox 'Sort by'", "Most points")], []),
    ("Say yes or no", [(Op.STOP, "", "yes")], []),
    ("Report it, or N/A", [(Op.INFEASIBLE, "", "N/A")], []),
]


@pytest.mark.parametrize("step, actions, names", NAMES)
def test_names_that_future_actions_give_away(step, actions, names):
    turns = [turn("page 'Home'\nlink 'Tea'"), *(turn("page 'Later'", *action) for action in actions)]
    assert foreseen_values(Plan((PlanStep("why", step),)), "Do it", turns, 0) == names
    seen = [turn("page 'Home'\nCopper Kettle by Heron, Petra Winter, fern-mailer: it keeps the tea warm"), *turns[1:]]
    assert foreseen_values(Plan((PlanStep("why", step),)), "Do it", seen, 0) == []


def test_escapes_of_an_html_page_hide_nothing_and_show_nothing():
    pages = ("<html> <title> Shop </title>\n<a> Salt &amp; Pepper </a>", "<html>\n<td> Joe&#x27;s $5 </td>\n<td> Tom &lt;3 Tea </td>")
    turns = [turn(pages[0], target="<a> Salt &amp; Pepper </a>"), turn(pages[1])]
    known = Plan((PlanStep("", "Open 'Salt & Pepper'"),))
    early = Plan((PlanStep("", "Open \"Joe's $5\", then 'Tom <3 Tea'"),))
    assert foreseen_values(known, "", turns, 0) == []
    assert foreseen_values(early, "", turns, 0) == ["Joe's $5", "Tom <3 Tea"] and foreseen_values(early, "", turns, 1) == []
    short = [turn("page 'Escapes'\nlink '&amp;'"), turn("link '&'")]  # other forms escape nothing
    assert foreseen_values(Plan((PlanStep("", "Explain '&amp;' and '&'"),)), "", short, 0) == ["&"]


def test_unseen_values_of_a_text():
    assert unseen_values("The order '1219' costs $3 in 2 parts", "order 1219", "costs $3 and 1219") == ["$3"]  # 2 stands nowhere


@pytest.mark.parametrize("text", ["“" * 50_000, "-" * 50_000, "'a " * 20_000, "1," * 30_000, " ".join(map(str, range(20_000)))])
def test_hostile_texts_take_no_time(text):
    started = time.process_time()
    unseen_values(text, "page", "1 2 3 " * 10_000)
    assert time.process_time() - started < 2


def test_honest_plans_of_every_template_pass_and_early_facts_do_not():
    """The first training task of each template, at every turn; the same plans with all facts stated are refused."""

    async def run():
        env, teacher = MiniwebEnv("short"), ScriptedTeacher("short", "webrl")
        agent = Agent(planner="none", prompts="compact", observation="short")
        tasks = {name: next((t for t in load_tasks("train") if t.template == name), None) for name in TEMPLATES}
        solved = [(task, await run_episode(task, env, agent, teacher)) for task in tasks.values() if task]
        await env.close()
        return solved

    early = 0
    for task, trajectory in asyncio.run(run()):
        known = solution(task)
        for done, now in enumerate(trajectory.turns):
            honest = annotate(known, done, now.observation.title)
            assert foreseen_values(plan_of(honest), task.intent, trajectory.turns, done) == [], (task.id, done)
            seen = task.intent + sights(trajectory.turns[:done]) + now.observation.outline
            hidden = {key: f for key, f in known.facts.items() if f.value.strip("'") not in seen}
            told = replace(known, facts={key: replace(f, seen_after=0) for key, f in known.facts.items()})
            unquoted = [PlanStep("why", s.step.step.replace("'", "")) for s in annotate(told, done)]
            if any(f.value.strip("'") in step.step for f in hidden.values() for step in unquoted):
                early += 1
                assert foreseen_values(Plan(tuple(unquoted)), task.intent, trajectory.turns, done), (task.id, done)
    assert early > 40


def plan_of(steps):
    return Plan(tuple(step.step for step in steps))
