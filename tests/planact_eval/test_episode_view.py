"""What a reader sees of an episode: plans as a diff, reasoning apart, the acted line of a page, and hidden characters spelled out."""

from dataclasses import replace

import pytest

from planact.failures import explain
from planact.types import Action, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn, Usage
from planact_envs.observation import FORMS, element_line, render_page
from planact_envs.page import Node
from planact_eval.episode_view import Change, cut, episode_view, page_view, plan_changes, price, split_thinking, visible


def plan(*steps):
    return Plan(tuple(PlanStep(f"because of {step}", step) for step in steps))


def test_plan_changes_are_kept_new_refined_and_removed():
    before = plan("open the list of orders", "read", "report")
    after = plan("report", "open the list of new orders", "say '7'")
    assert plan_changes(before, after) == (
        Change("kept", "report", "because of report"),
        # 5 words of 5 and 6 in common: 2 * 5 / 11 = 0.91
        Change("refined", "open the list of new orders", "because of open the list of new orders", "open the list of orders"),
        Change("new", "say '7'", "because of say '7'"),
        Change("removed", "read"),
    )


def test_half_of_the_words_in_common_is_a_new_step():
    before, after = plan("report it"), plan("report '42'")  # 2 * 1 / 4 = 0.5
    assert [change.mark for change in plan_changes(before, after)] == ["new", "removed"]


def test_one_old_step_is_refined_once():
    marks = [change.mark for change in plan_changes(plan("click on the tab"), plan("click on the left tab", "click on the right tab"))]
    assert marks == ["refined", "new"]


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>\nIt is red.\n</think>\n\nexit()", "It is red.", "exit()"),
        ("It is red.</think>exit()", "It is red.", "exit()"),  # chat templates may have opened the block
        ("  <think>cut off before its", "cut off before its", ""),
        ("<think>all</think>", "all", ""),
        ("exit()", "", "exit()"),
        ("", "", ""),
    ],
)
def test_reasoning_stands_apart_from_the_answer(text, thought, answer):
    assert split_thinking(text) == (thought, answer)


@pytest.mark.parametrize("form", FORMS)
def test_the_line_of_an_element_is_found_in_every_form(form):
    nodes = tuple(Node("link", f"page {i} [{i + 1}] '[2]'", id=str(i)) for i in range(12))
    text = render_page(Node("document", "", children=nodes), "Title [1]", form)
    for i in (0, 1, 11):
        start, end = element_line(text, str(i))
        assert f"page {i} " in text[start:end] and "\n" not in text[start:end] and (start == 0 or text[start - 1] == "\n")
    assert element_line(text, "99") is None


def test_a_long_page_keeps_its_beginning_and_what_is_around_the_acted_line():
    text = "\n".join(f"[{i}] link 'page {i}'" for i in range(1000))
    view = page_view(text, "700", 400)
    assert view["line"] == "[700] link 'page 700'"
    assert view["before"].startswith("[0] link") and view["before"].endswith("[699] link 'page 699'\n")
    assert view["after"].startswith("\n[701] link") and "more characters are not shown" in view["after"]
    assert "characters are not shown]" in view["before"] and sum(map(len, view.values())) < 600
    assert page_view("short\n[1] link 'a'\nend", "1", 400) == {"before": "short\n", "line": "[1] link 'a'", "after": "\nend"}
    assert page_view("[1] link 'a'", "", 400) == {"before": "[1] link 'a'", "line": "", "after": ""}


def test_cut_says_how_much_is_missing():
    assert cut("abc", 3) == "abc" and cut("abcd" * 1000, 3) == "abc\n[3,997 more characters are not shown]"


def test_the_price_of_calls():
    assert price(Usage()) == ""
    assert price(Usage(1200, 34, 1, 0.51)) == "1,200 + 34 tokens, 0.5 s"
    assert price(Usage(10, 2, 3, 1.0, 0.00123)) == "10 + 2 tokens, 1.0 s, 3 calls, $0.0012"
    assert price(Usage(10, 2, 1, 1.0, None)) == "10 + 2 tokens, 1.0 s, price unknown"
    assert price(Usage(10, 2)) == "10 + 2 tokens, 0.0 s, from the cache"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\n\tb é 漢 🙂", "a\n\tb é 漢 🙂"),
        ("\x1b[2J\x00", "\\u001b[2J\\u0000"),
        ("\u202eab\u2066", "\\u202eab\\u2066"),
        ("\ud800", "\\ud800"),
    ],
)
def test_visible(text, seen):
    assert visible(text) == seen


def test_the_view_of_an_episode_says_why_and_shows_what_was_acted_on():
    page = Observation("[1] link 'Orders'\n[2] link 'Items'", "", "http://shop/", "Shop")
    click = Turn(
        0, plan("open"), page, "<think>Orders it is.</think>click('1')", Action(Op.CLICK, "1", target="link 'Orders'"), True, "1. open"
    )
    stop = Turn(1, plan("open"), replace(page, url="http://shop/orders"), "stop", Action(Op.STOP, text="7"))
    trajectory = Trajectory("t", "h", "How many?", (click, stop), StopReason.ANSWERED, Outcome(False), page, "7")
    view = episode_view("run", trajectory)
    assert view["verdict"] == "failure" and view["failure"] == explain(trajectory)
    first = view["turns"][0]
    assert first["page"]["line"] == "[1] link 'Orders'" and first["thought"] == "Orders it is." and first["response"] == "click('1')"
    assert (first["result"], first["result_words"]) == ("page", "Shop (http://shop/orders)") and view["turns"][1]["result"] == "end"
