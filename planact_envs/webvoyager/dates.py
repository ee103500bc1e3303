"""Questions that book something name days of 2023 and 2024. Here those days move forward, so that they can still be booked.

All dates of a question move by the same number of days, so stays and trips keep their length. That number is

1. the fewest whole years that put the first date `LEAD` days or more after the day of the run (February 29 becomes 28), or
2. where the last date would then lie past the site's `HORIZON`, the fewest whole weeks that do so, which keeps the weekday.

A date that the question calls "today" becomes the day of the run. A date without a year belongs to the dates after it that
have one, else it is the first such day from `WRITTEN` on. Moved dates are written out with their year: "Dec 25-26" becomes
"December 25, 2026 to December 26, 2026". A question whose dates are late enough stays as it is, and so does a month without a day.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

LEAD = 7  # days: a run over live sites may take a week (ours)
HORIZON = {  # days after the run that a site takes orders for; no other site's questions order anything (ours)
    "Booking": 480,
    "Google Flights": 330,  # airlines sell about eleven months ahead
    "Apple": 30,  # collecting an order from a shop
}
WRITTEN = date(2023, 12, 1)  # the file's first dates are of this month

MONTHS = {name: number for number, name in enumerate(calendar.month_name) if name}
_MONTH = rf"(?:{'|'.join(MONTHS)}|(?:{'|'.join(name[:3] for name in MONTHS)}|Sept)\b\.?)"
_DAY = r"(?<!\d)\d{1,2}(?:st|nd|rd|th)?(?![\d.]?\d)"
_TO = r"\s*(?:-|–|\bto\b)\s*"
_YEAR = r"(?:19|20)\d\d(?!\d)"
_FORMS = (  # the numbers keep the groups of the forms apart
    rf"\b(?P<m1>{_MONTH})\s+(?P<d1>{_DAY})(?:{_TO}(?P<end1>{_DAY})(?!\s+{_MONTH}))?(?:,?\s+(?P<y1>{_YEAR}))?",
    rf"(?:(?P<d2>{_DAY}){_TO}(?P<end2>{_DAY})|(?P<only2>{_DAY}))\s+(?:of\s+)?(?P<m2>{_MONTH})(?!\w)(?:,?\s+(?P<y2>{_YEAR}))?",
    rf"(?<![\d/])(?P<d3>\d{{1,2}})/(?P<m3>\d{{1,2}})/(?P<y3>{_YEAR})(?!/)",
    rf"(?<![\d-])(?P<y4>{_YEAR})-(?P<m4>\d\d)-(?P<d4>\d\d)(?![\d-])",
)
_DATE = re.compile(rf"(?P<today>\btoday\W{{1,3}})?(?:{'|'.join(_FORMS)})")


@dataclass(frozen=True)
class Span:
    """One date, or the two of "December 25-26", and where it stands in the question."""

    place: tuple[int, int]
    month: int
    days: tuple[int, ...]
    year: int | None
    today: bool


def move_dates(question: str, site: str, run_day: date | None) -> str:
    """The question as it is asked on `run_day`.

    Raises ValueError for dates without a day of the run, a date that does not exist, and a range that runs backwards.
    """
    spans = find_dates(question) if site in HORIZON else []
    if not spans:
        return question
    if run_day is None:
        raise ValueError("the day of the run is not known; type: export WEBVOYAGER_DATE=$(date +%F)")
    days = with_years(spans)
    ahead = [day for span, of_span in zip(spans, days) if not span.today for day in of_span]
    shift = shift_of(min(ahead), max(ahead), run_day, HORIZON[site]) if ahead else timedelta(0)
    for span, of_span in reversed(list(zip(spans, days))):
        moved = [run_day] if span.today else [day + shift for day in of_span]
        if moved != of_span:
            start, end = span.place
            question = question[:start] + " to ".join(map(written, moved)) + question[end:]
    return question


def find_dates(question: str) -> list[Span]:
    """The dates of a question in order, as they are written: month names with days, d/m/yyyy (the file's order) and yyyy-mm-dd."""
    spans = []
    for match in _DATE.finditer(question):
        found = {re.sub(r"\d", "", name): text for name, text in match.groupdict().items() if text}
        days = tuple(int(re.match(r"\d+", found[name])[0]) for name in ("d", "only", "end") if name in found)
        start = match.start() + len(found.get("today", ""))
        year = int(found["y"]) if "y" in found else None
        spans.append(Span((start, match.end()), _month(found["m"]), days, year, "today" in found))
    return spans


def with_years(spans: list[Span]) -> list[list[date]]:
    """The days of each span, with a year found for those that name none. Raises ValueError."""
    years = [span.year for span in spans]
    for i in reversed(range(len(spans) - 1)):
        if years[i] is None and years[i + 1] is not None:
            years[i] = years[i + 1] - ((spans[i].month, spans[i].days) > (spans[i + 1].month, spans[i + 1].days))
    days: list[list[date]] = []
    for span, year in zip(spans, years):
        earliest = days[-1][-1] if days else WRITTEN
        implied = earliest.year + ((span.month, span.days[0]) < (earliest.month, earliest.day))
        of_span = [date(year or implied, span.month, day) for day in span.days]
        if of_span != sorted(of_span):
            raise ValueError(f"the days {span.days[0]}-{span.days[1]} run backwards")
        days.append(of_span)
    return days


def shift_of(first: date, last: date, run_day: date, horizon: int) -> timedelta:
    """How far the dates from `first` to `last` move. See the module."""
    earliest = run_day + timedelta(LEAD)
    year = first.year
    while (moved := in_year(first, year)) < earliest:
        year += 1
    if last + (moved - first) <= run_day + timedelta(horizon):
        return moved - first
    weeks = -((first - earliest).days // 7)  # rounded up
    return timedelta(weeks=max(weeks, 0))


def in_year(day: date, year: int) -> date:
    leap_day = (day.month, day.day) == (2, 29) and not calendar.isleap(year)
    return date(year, 2, 28) if leap_day else day.replace(year=year)


def _month(name: str) -> int:
    return int(name) if name.isdigit() else next(number for full, number in MONTHS.items() if full.startswith(name[:3]))


def written(day: date) -> str:
    return f"{calendar.month_name[day.month]} {day.day}, {day.year}"
