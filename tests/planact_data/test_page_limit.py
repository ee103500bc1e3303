"""Rows of an agent whose pages have a token limit: what they show, which are dropped, and how much of the pages is left."""

from collections import Counter
from dataclasses import replace

import pytest

from planact.shorten import count_tokens, shorten
from planact.types import Action, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn
from planact_data.pairs import pair_of
from planact_data.rows import KINDS, drafts, kept_ratio, make_rows, pair_row
from planact_envs.observation import read_elements

TEXT, OUTLINE = ("page 'Shop'\n" + "\n".join(f"link 'Item {n}'{f' [{n}]' * ids}" for n in range(1, 61)) for ids in (True, False))
PAGE = Observation(TEXT, OUTLINE, "http://x/")
ACTIONS = [Action(Op.CLICK, "31"), Action(Op.CLICK, "55"), Action(Op.SCROLL, text="down"), Action(Op.STOP, text="done")]
TURNS = tuple(Turn(n, Plan(), PAGE, "raw", action) for n, action in enumerate(ACTIONS))
TRAJECTORY = Trajectory("t.1", "hash", "Open 'Item 31' and what is on offer", TURNS, StopReason.ANSWERED, Outcome(True))
PLANS = [Plan((PlanStep("why", step),)) for step in ("Open 'Item 31'.", "Open 'Item 55'.", "Look.", "Stop.")]
LIMIT = 80  # tokens; a line of the page has 7 or 8


@pytest.fixture
def limited(agent):
    return replace(agent, max_page_tokens=LIMIT)


@pytest.mark.parametrize(
    "kind, turns",
    [
        ("plan", [0]),  # planners act on nothing
        ("replan", [1, 2, 3]),
        ("act", [0, 2, 3]),  # nothing in the request and the first plan leads to Item 55
        ("act_dynamic", [0, 1, 2, 3]),  # the plan of that turn names it
        ("react", [0, 2, 3]),
    ],
)
def test_an_action_on_an_element_that_is_out_of_sight_gives_no_row(agent, limited, kind, turns):
    dropped = Counter()
    rows = list(make_rows(kind, TRAJECTORY, PLANS, limited, dropped=dropped))
    assert [row["turn"] for row in rows] == turns
    whole = list(make_rows(kind, TRAJECTORY, PLANS, agent))
    assert dropped == Counter({"target shortened away": len(whole) - len(rows)} if len(whole) > len(rows) else {})


def test_what_was_done_out_of_sight_stays_in_the_history(limited):
    rows = {row["turn"]: row for row in make_rows("act", TRAJECTORY, PLANS, limited)}
    assert 'element="55"' in rows[2]["prompt"][4]["content"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_draft_says_what_its_prompt_shows(limited, kind):
    for draft in drafts(kind, TRAJECTORY, PLANS, limited):
        assert draft.shown in draft.prompt[-1]["content"] and draft.page not in draft.prompt[-1]["content"]
        assert count_tokens(draft.shown) <= LIMIT < count_tokens(draft.page)
        assert draft.page == (TEXT if kind in ("act", "act_dynamic", "react") else OUTLINE)


def test_what_was_typed_and_noted_before_is_looked_for_too(limited):
    typed = replace(TURNS[0], action=Action(Op.SCROLL, text="down", note="the offer is Item 55"))
    done = replace(TRAJECTORY, turns=(typed, *TURNS[1:]))
    assert [row["turn"] for row in make_rows("act", done, PLANS, limited)] == [0, 1, 2, 3]
    assert [row["turn"] for row in make_rows("act", TRAJECTORY, PLANS, limited)] == [0, 2, 3]


def test_the_kept_ratio_is_of_the_rows_that_are_made(agent, limited):
    sizes = Counter()
    (row,) = make_rows("plan", TRAJECTORY, PLANS, limited, sizes=sizes)
    shown = shorten(OUTLINE, LIMIT, TRAJECTORY.intent)
    assert row["prompt"][-1]["content"].startswith(f"## Initial HTML State\n{shown}\n\n")
    assert sizes == {"whole": count_tokens(OUTLINE), "shown": count_tokens(shown)}
    assert pair_row("plan", pair_of(TRAJECTORY, PLANS[0], "seed"), limited, sizes=sizes) == row
    assert kept_ratio(sizes) == count_tokens(shown) / count_tokens(OUTLINE) < 0.3
    three = Counter()
    list(make_rows("act", TRAJECTORY, PLANS, limited, sizes=three))
    assert three["whole"] == 3 * count_tokens(TEXT)  # of four turns, one of which gives no row


def test_without_a_limit_nothing_is_lost(agent):
    sizes = Counter()
    rows = list(make_rows("act", TRAJECTORY, PLANS, agent, sizes=sizes))
    assert len(rows) == 4 and kept_ratio(sizes) == kept_ratio({}) == 1.0
    assert all(row["prompt"][-1]["content"] == TEXT for row in rows)


def test_a_page_below_the_limit_is_shown_as_it_is(agent):
    short = Observation("page 'A'\nlink 'L' [1]", "page 'A'\nlink 'L'", "http://x/")
    done = replace(TRAJECTORY, turns=(replace(TURNS[0], observation=short, action=Action(Op.CLICK, "9")),))  # an id that no page has
    assert list(make_rows("act", done, PLANS[:1], replace(agent, max_page_tokens=LIMIT))) == list(make_rows("act", done, PLANS[:1], agent))


def test_rows_of_imported_pages_on_one_line_keep_their_targets(agent):
    items = " ".join(f'<li> <a id="{n}" data-bbox="1,2,3,4"> Item {n} </a> </li>' for n in range(1, 61))
    html = f"<html> <body> <ul> {items} </ul> </body> </html>"
    page = Observation(html, html, "")
    done = replace(TRAJECTORY, turns=tuple(replace(turn, observation=page) for turn in TURNS))
    dropped = Counter()
    rows = list(make_rows("act", done, PLANS[:1], replace(agent, observation="html", max_page_tokens=200), dropped=dropped))
    assert [row["turn"] for row in rows] == [0, 2, 3] and dropped == {"target shortened away": 1}
    assert "31" in {element.id for element in read_elements(rows[0]["prompt"][-1]["content"], "html")}
