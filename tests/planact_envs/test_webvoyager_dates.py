"""Dates of questions: found in every spelling, moved together, and never into the past."""

import json
import os
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planact_envs.webvoyager.dates import HORIZON, LEAD, MONTHS, find_dates, move_dates, with_years, written

RUN_DAY = date(2026, 11, 21)

# Spellings as they occur in WebVoyager's questions, in sentences of ours -> the same on RUN_DAY.
BOOKINGS = {
    "a room in Lima for December 25-26.": "a room in Lima for December 25, 2026 to December 26, 2026.",
    "three nights from 1st Jan in Lima": "three nights from January 1, 2027 in Lima",
    "From December 20th to December 23th for 3 adults": "From December 20, 2026 to December 23, 2026 for 3 adults",
    "for 3 days from Dec 18th.": "for 3 days from December 18, 2026.",
    "from Dec 25th - Dec 26th.": "from December 25, 2026 - December 26, 2026.",
    "from Jan 1 to Jan 4, 2024.": "from January 1, 2027 to January 4, 2027.",
    "from Jan 22 to 25 in Lima": "from January 22, 2027 to January 25, 2027 in Lima",
    "for 20/12/2023 - 21/12/2023.": "for December 20, 2026 - December 21, 2026.",
    "the week of February 14-21, 2024, for 2": "the week of February 14, 2027 to February 21, 2027, for 2",
    "between February 14th, 2024, and February 21st, 2024, for 2": "between February 14, 2027, and February 21, 2027, for 2",
    "(6 March to 8 March 2024)": "(March 6, 2027 to March 8, 2027)",
    "out on 20 December and back on 23 December.": "out on December 20, 2026 and back on December 23, 2026.",
    "(Dec. 25th - Dec. 28th), below $1320..": "(December 25, 2026 - December 28, 2026), below $1320..",
    "on Jan. 22.": "on January 22, 2027.",
    "on 6-8 March 2024": "on March 6, 2027 to March 8, 2027",
    "on 2024-03-06": "on March 6, 2027",
    # 2024 had a February 29: the stay keeps its length, three nights
    "from February 28 to March 2, 2024": "from February 28, 2027 to March 3, 2027",
    "on February 29, 2024": "on February 28, 2027",
    # over New Year, and in a year that only the second date names
    "out December 25, 2023, back January 5, 2024": "out December 25, 2026, back January 5, 2027",
    "from December 30 to January 2, 2024": "from December 30, 2026 to January 2, 2027",
    "flights today (February 17, 2024) to Lima": "flights today (November 21, 2026) to Lima",
    # late enough already
    "on March 5, 2027": "on March 5, 2027",
    # no dates
    "a 4 star hotel, rated 8.5, under 100 dollars, 3 adults": "a 4 star hotel, rated 8.5, under 100 dollars, 3 adults",
    "in March 2024 or in may 5 times": "in March 2024 or in may 5 times",
}


@pytest.mark.parametrize("question", BOOKINGS)
def test_a_date_moves_to_the_next_such_day(question):
    assert move_dates(question, "Booking", RUN_DAY) == BOOKINGS[question]


@pytest.mark.parametrize("site", ["ArXiv", "ESPN", "Wolfram Alpha"])
def test_sites_that_take_no_orders_keep_their_dates(site):
    question = "What happened on June 20, 2023 and on 20/12/2023?"
    assert move_dates(question, site, None) == question


def test_past_the_horizon_whole_weeks_keep_the_weekday():
    # March 30, 2027 would be 364 days after the run, which is more than 330. The first day of the run's weekday + 7 on:
    # March 30, 2024 is a Saturday, and the first Saturday from April 7, 2026 (a Tuesday) on is April 11.
    moved = move_dates("from Oslo on March 30, 2024, back April 2, 2024", "Google Flights", date(2026, 3, 31))
    assert moved == "from Oslo on April 11, 2026, back April 14, 2026"
    assert date(2024, 3, 30).weekday() == date(2026, 4, 11).weekday()
    # Booking takes orders for longer, so there it stays in its season
    assert move_dates("on March 30, 2024", "Booking", date(2026, 3, 31)) == "on March 30, 2027"


def test_a_week_of_the_run_is_left_before_the_first_date():
    assert move_dates("on Dec. 1st", "Booking", date(2026, 11, 24)) == "on December 1, 2026"  # 7 days
    assert move_dates("on Dec. 1st", "Booking", date(2026, 11, 25)) == "on December 1, 2027"  # 6 days


@pytest.mark.parametrize("question", ["on February 30, 2024", "on 12/25/2023", "on December 26-25", "on 2024-13-01", "in 32 March"])
def test_a_date_that_cannot_be_is_refused(question):
    with pytest.raises(ValueError, match="day|month|run backwards"):
        move_dates(question, "Booking", RUN_DAY)


def test_dates_without_a_day_of_the_run_say_what_to_type():
    with pytest.raises(ValueError, match="export WEBVOYAGER_DATE="):
        move_dates("on March 5, 2024", "Booking", None)
    assert move_dates("the cheapest room", "Booking", None) == "the cheapest room"


SPELLINGS = (
    written,
    lambda d: f"{d:%b}. {d.day}th, {d.year}",
    lambda d: f"{d.day} {d:%B} {d.year}",
    lambda d: f"{d:%d/%m/%Y}",
    lambda d: d.isoformat(),
)
DAYS = st.dates(date(2023, 12, 1), date(2025, 12, 31))


@given(DAYS, st.integers(0, 40), st.sampled_from(SPELLINGS), st.sampled_from(sorted(HORIZON)), st.dates(date(2024, 1, 1), date(2090, 1, 1)))
def test_every_spelling_moves_forward_keeps_its_length_and_stays_put_the_next_time(first, nights, spell, site, run_day):
    last = first + timedelta(nights)
    moved = move_dates(f"a stay from {spell(first)} until {spell(last)} for 2", site, run_day)
    [new_first], [new_last] = with_years(find_dates(moved))
    assert new_last - new_first == timedelta(nights)
    assert new_first >= max(run_day + timedelta(LEAD), first)
    by_years = (new_first.month, new_first.day) in {(first.month, first.day), (2, 28)}
    assert by_years or new_first.weekday() == first.weekday()
    assert move_dates(moved, site, run_day) == moved
    if first < run_day:  # it had to move, and there was a place for it
        assert new_last <= run_day + timedelta(max(HORIZON[site], LEAD + 6 + nights))


PARTS = ["Jan", "Feb.", "March", "1", "2nd", "29", "31st", "2024", "2023,", "today", "(", "5/6/2024", "-", "to", "of", "2024-02-29", "for"]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_any_heap_of_date_parts_is_moved_or_refused(parts):
    """A refusal is a ValueError, which the loader turns into a message; anything else would be a crash."""
    text = " ".join(parts)
    try:
        days = [day for of_span in with_years(find_dates(text)) for day in of_span]
        moved = move_dates(text, "Booking", RUN_DAY)
    except ValueError:
        assume(False)
    assert (moved == text) == (not days)  # all of them are past


@pytest.mark.skipif("WEBVOYAGER_TASKS" not in os.environ, reason="WEBVOYAGER_TASKS names no file")
@pytest.mark.parametrize("run_day", [date(2026, 3, 20), RUN_DAY, date(2028, 2, 29)])
def test_every_dated_question_of_the_real_file_moves(run_day):
    rows = [json.loads(line) for line in Path(os.environ["WEBVOYAGER_TASKS"]).read_text("utf-8").splitlines()]
    dated, names = 0, "|".join(name[:3] for name in MONTHS)
    for row in (row for row in rows if row["web_name"] in HORIZON):
        moved = move_dates(row["ques"], row["web_name"], run_day)
        dated += moved != row["ques"]
        past = re.findall(rf"\b(?:{names})[a-z]*\.? \d+(?!\d*, {run_day.year}|\d*, {run_day.year + 1})|20[12]\d", moved)
        assert set(past) <= {str(run_day.year), str(run_day.year + 1)}, moved
        assert all(day >= run_day for days in with_years(find_dates(moved)) for day in days), moved
    assert dated == 82  # 40 of Booking, 41 of Google Flights, 1 of Apple
