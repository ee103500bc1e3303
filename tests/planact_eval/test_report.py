"""The report: which episodes are shown, what a turn says, and that hostile text stays text."""

import asyncio
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, PlanStep, StopReason, Task, Trajectory, Turn, Usage
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import load_suite
from planact_eval.metrics import summarize
from planact_eval.report import MAX_EPISODES, pick_episodes, write_report
from planact_eval.table import Benchmark, Row

HOSTILE = """<script>document.title='owned'</script></details></pre></main>"><img src=x onerror=alert(1)> {{ 7 * 7 }} \x1b[2J\u202e\ud800"""


def plan(*steps):
    return Plan(tuple(PlanStep(f"because of {step}", step) for step in steps))


def page(text, error=""):
    return Observation(text, text, f"http://shop/{text}", f"The {text}", error=error)


def click(index, of, text, error="", **fields):
    return Turn(index, of, page(text, error), f"click {text}", Action(Op.CLICK, "1", target=f"link '{text}'"), **fields)


def stop(index, of, text, error="", **fields):
    return Turn(index, of, page(text, error), "exit", Action(Op.STOP, text="42"), **fields)


def episode(id, success, length=1, **fields):
    turns = (*(click(i, Plan(), f"page{i}") for i in range(length - 1)), stop(length - 1, Plan(), "last"))
    outcome = Outcome(success, "s", "" if success else "answer: expected 43")
    made = Trajectory(id, "h", f"the intent of {id}", turns, StopReason.ANSWERED, outcome, page("last"))
    return replace(made, **fields)


def report(folder, episodes, title="Title", recipe="tiny/row"):
    ids = dict.fromkeys(t.task_id for of_row in episodes.values() for t in of_row)
    tasks = [Task(id, "s", "test", ("shop",), "", "", id.split(".")[0]) for id in ids]
    rows = [Row(key, "", None, summarize(tasks, of_row)) for key, of_row in episodes.items()]
    recipes = dict.fromkeys(episodes, recipe)
    return write_report(folder, title, Benchmark("s", "1", "test", "s"), rows, episodes, recipes, {"date": "2026-01-31"}).read_text()


class Tags(HTMLParser):
    """All start tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes


def words(html):
    """The page's text on one line, as a reader sees it."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html[html.index("<main>") :])).split())


def test_pairs_come_first_then_a_failure_and_a_success():
    episodes = {
        "react": [episode("a", False), episode("b", True), episode("c", False, 3), episode("d", False, 2), episode("e", True)],
        "dynamic": [episode("a", True, 2), episode("b", False), episode("c", True, 3), episode("d", False), episode("e", True)],
    }
    picks = pick_episodes(episodes)
    assert [(p.why, [(key, t.task_id) for key, t in p.episodes]) for p in picks] == [
        ("Solved by dynamic, not by react", [("react", "a"), ("dynamic", "a")]),  # of a (2 turns) and c (3) the lower middle
        ("Solved by react, not by dynamic", [("react", "b"), ("dynamic", "b")]),
        ("A failure of dynamic", [("dynamic", "d")]),
        ("A success of dynamic", [("dynamic", "e")]),  # of e (1 turn) and c (3)
    ]


def test_at_most_eight_episodes_of_distinct_tasks():
    ids = [f"t.{i:02d}" for i in range(20)]
    episodes = {f"row {r}": [episode(id, (i + r) % 3 == 0, 1 + i % 4) for i, id in enumerate(ids)] for r in range(5)}
    picks = pick_episodes(episodes)
    assert sum(len(p.episodes) for p in picks) == MAX_EPISODES
    shown = [p.episodes[0][1].task_id for p in picks]
    assert len(set(shown)) == len(shown)
    assert pick_episodes({key: list(reversed(of_row)) for key, of_row in episodes.items()}) == picks
    assert all({t.task_id for _, t in p.episodes} == {shown[i]} for i, p in enumerate(picks))


def test_a_single_row_shows_what_it_has():
    broken = episode("a", None, stop_reason=StopReason.ENV_ERROR, error="no answer")
    assert [p.why for p in pick_episodes({"r": [broken, episode("b", False)]})] == ["A failure of r", "A broken episode of r"]
    assert pick_episodes({"r": []}) == ()


def test_a_failed_episode_can_be_read(tmp_path):
    first, second = plan("open the order", "report it"), plan("report '42'")
    turns = (
        click(0, first, "home", replanned=True, plan_response="## Step 1 of the first"),
        Turn(
            1,
            first,
            page("order"),
            "gibberish",
            None,
            plan_response="no plan",
            plan_failure=FailureInfo("plan", "no plan found"),
            failure=FailureInfo("format", "no action found"),
        ),
        click(2, first, "order", error="no action found", planner=Usage(900, 10), executor=Usage(1200, 34)),
        stop(3, second, "order", error="the page has no element [1]", replanned=True, plan_response="## Step 1 of the second"),
    )
    failed = episode("shop.1", False, turns=turns, answer="42", final=page("order"))
    text = words(report(tmp_path, {"Dynamic": [failed]}))
    for expected in [
        "Title s 1 test (n=1, scorer s) date 2026-01-31",
        "the intent of shop.1 Dynamic failure Scorer: answer: expected 43",
        "the executor stopped with an answer · 4 turns · 1 replan · 910 plan tokens · 1,234 act tokens",
        "The planner's plan open the order because of open the order report it because of report it The planner's raw answer",
        "1 click link 'home' The page it saw: The home (http://shop/home), 4 characters home click home → now on The order (http://shop/order)",
        "no plan found The planner's raw answer no plan",
        "2 unreadable answer The page it saw: The order (http://shop/order), 5 characters order gibberish No effect: no action found",
        "No effect: the page has no element [1]",
        "Replanned report '42' new because of report '42' open the order removed report it removed",
        "4 stop '42'",
        "The end: the executor stopped with an answer, and the answer is 42 .",
    ]:
        assert expected in text


def test_a_broken_episode_says_what_broke(tmp_path):
    broken = episode("a", None, stop_reason=StopReason.ENV_ERROR, turns=(click(0, Plan(), "home"),), error="the site is down")
    unstarted = episode("b", None, stop_reason=StopReason.ENV_ERROR, turns=(), final=None, error="the start page cannot be opened")
    text = words(
        report(
            tmp_path,
            {
                "one": [broken],
            },
        )
    )
    assert (
        "error Scorer: answer" in text
        and "No effect: the site is down" in text
        and "The end: the environment broke. the site is down" in text
    )
    assert "the start page cannot be opened" in words(report(tmp_path, {"one": [unstarted]}))


def test_hostile_text_stays_text(tmp_path):
    hostile = Observation(HOSTILE, HOSTILE, HOSTILE, HOSTILE, error=HOSTILE)
    first = Turn(0, plan(HOSTILE), hostile, HOSTILE, Action(Op.CLICK, HOSTILE, HOSTILE, HOSTILE), True, HOSTILE)
    second = Turn(1, plan("x"), hostile, HOSTILE, None, False, HOSTILE, FailureInfo("plan", HOSTILE))
    third = Turn(2, plan("y"), hostile, HOSTILE, Action(Op.STOP, text=HOSTILE), True, HOSTILE)
    turns = (first, second, third)
    outcome = Outcome(False, "s", HOSTILE)
    trajectory = episode("t.0", False, turns=turns, outcome=outcome, final=hostile, answer=HOSTILE, error=HOSTILE, intent=HOSTILE)
    label = HOSTILE.replace("\ud800", "").replace("\x1b", "")  # a label comes from a YAML file, which cannot hold these
    html = report(tmp_path, {label: [trajectory], f"other {label}": [trajectory]}, title=HOSTILE, recipe=HOSTILE)
    clean = report(tmp_path, {"row": [episode("t.0", False, 3)]})
    seen = Tags(html)
    assert set(seen.tags) <= set(Tags(clean).tags) | {"details", "ul", "s", "b", "q", "h4", "ol"}
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in ("src", "srcdoc")]
    assert all(value.startswith("#") for name, value in seen.attributes if name.endswith("href"))
    assert seen.tags.count("main") == 1 and html.count("</main>") == 1
    assert "{{ 7 * 7 }}" in html and "\x1b" not in html and "\u202e" not in html[html.index("Episodes to read") :]


def test_one_file_that_loads_nothing(tmp_path):
    html = report(tmp_path, {"row": [episode("a", True)]})
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert not re.search(r"<(script|link|iframe|img|form)\b|@import|url\((?!#)", html)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plots", "report.html", "table.csv", "table.md", "table.tex"]


def test_the_same_input_gives_the_same_bytes(tmp_path):
    episodes = {"a": [episode("t.0", False, 3)], "b": [episode("t.0", True, 2)]}
    report(tmp_path / "1", episodes)
    report(tmp_path / "2", episodes)
    one, two = ({path.relative_to(f): path.read_bytes() for path in f.rglob("*.*")} for f in (tmp_path / "1", tmp_path / "2"))
    assert one == two and len(one) == 4 + 2 * 3  # ladder, costs and failures, each as SVG and PNG


def test_what_an_earlier_report_drew_is_gone(tmp_path):
    report(tmp_path, {"a": [episode("t.0", False)], "b": [episode("t.0", True)]})
    assert (tmp_path / "plots/costs.svg").exists() and (tmp_path / "plots/failures.png").exists()
    report(tmp_path, {"a": [episode("t.0", True)]})
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["ladder.png", "ladder.svg"]


def test_the_tables_beside_the_results(tmp_path):
    stuck = episode("t.0", False, 3, stop_reason=StopReason.MAX_TURNS)
    broken = episode("t.1", None, turns=(), final=None, stop_reason=StopReason.MODEL_ERROR, error="no answer")
    html = report(tmp_path, {"a": [stuck, broken, episode("u.0", True)], "b": [stuck, episode("t.1", True), episode("u.0", True)]})
    text = words(html)
    for expected in [
        "a tiny/row 1 1 1 0 0.0 - 0.0 0.00 b tiny/row 2 1 0 0 0.0 - 0.0 0.00",
        "a no planner - - - 0.0% 1.0 3.0 b no planner - - - 0.0% 1.0 3.0",  # the form of these pages is not told: no grounding
        "Success by site Solved / planned; the greener, the larger the share. a b shop 1/3 2/3",
        "Success by task template Solved / planned; the greener, the larger the share. a b t 0/2 1/2 u 1/1 1/1",
        "limits model a 1 1 b 1 0",
        "a: 1 broke (environment or model error) of 3; of the 2 scored, 50.0% succeeded",
    ]:
        assert expected in text, expected
    assert "Tasks that k episodes all solve" not in text and "Success by number of actions" not in text


def test_a_missing_row_is_shown_and_has_no_episodes(tmp_path):
    row = Row("here", "", 50.0, summarize([Task("t.0", "s", "test", ("shop",), "", "", "t")], [episode("t.0", True)]))
    rows = [row, Row("not here", "", 60.0, None, "it is not trained")]
    path = write_report(tmp_path, "T", Benchmark("s", "1", "test", "s"), rows, {"here": [episode("t.0", True)]}, {"here": "r"}, {})
    assert "not here missing - - 60.00% -" in words(path.read_text()) and "not here: not evaluated: it is not trained" in words(
        path.read_text()
    )


def test_a_real_episode(tmp_path):
    suite = load_suite("miniweb-short")
    tasks = suite.tasks("test")[:2]
    agent = Agent(planner="none", observation="short", prompts="compact", max_turns=8)

    async def run(rate):
        made = []
        for task in tasks:
            env = MiniwebEnv(agent.observation)
            made.append(await run_episode(task, env, agent, suite.teacher(agent.observation, agent.grammar, rate)))
            await env.close()
        return made

    rows = {"right": asyncio.run(run(0.0)), "wrong": asyncio.run(run(100.0))}
    assert [t.outcome.success for t in rows["right"]] == [True, True]
    text = words(report(tmp_path, rows))
    assert "Solved by right, not by wrong" in text
    assert "no planner" in text
