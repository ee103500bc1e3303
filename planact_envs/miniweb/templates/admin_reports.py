"""Task templates of the admin panel's sales reports: one page, two to compare, or several to add up."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from planact_envs.miniweb.content.admin import REPORT_MONTHS
from planact_envs.miniweb.content.shop import KINDS, money
from planact_envs.miniweb.sites.admin_goods import sales_of
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.admin import ADMIN, URL
from planact_envs.miniweb.templates.base import Database, Params, Template, end_on, report
from planact_envs.miniweb.templates.stages import choose, conclude, go, pass_notice, press, stop_on_page, submit


def sales_url(category: str, month: str) -> str:
    return f"{URL}/reports/sales?{urlencode({'category': category, 'month': month})}"


def read_sales(category: str, *months: str) -> tuple[Stage, ...]:
    """From any page to the report of the category in the last of the months: 3 + 2 moves for each month."""
    shown = f"Show the report of '{category}' in '{months[0]}'."
    moves = choose("Category", category), choose("Month", months[0]), press("Show report")
    more = (
        submit(
            f"Show the report of the same category in '{month}'.",
            "The form stands there too.",
            choose("Month", month),
            press("Show report"),
        )
        for month in months[1:]
    )
    return go("Reports", "Every page has a link to the reports."), pass_notice(), submit(shown, "The form asks for both.", *moves), *more


def report_page_instances(db: Database) -> list[Params]:
    return [{"category": category, "month": month} for category in KINDS for month in REPORT_MONTHS]


def report_page_solve(db: Database, params: Params) -> Solution:
    return Solution((*read_sales(params["category"], params["month"]), stop_on_page()))


def report_page_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return end_on(sales_url(params["category"], params["month"]))


def revenue(db: Database, category: str, month: str) -> int:
    return sum(row["cents"] for row in sales_of(db, category, month))


def better_instances(db: Database) -> list[Params]:
    pairs = [{"category": c, "month": a, "other": b} for c in KINDS for a, b in zip(REPORT_MONTHS[::2], REPORT_MONTHS[1::2])]
    return [pair for pair in pairs if revenue(db, pair["category"], pair["month"]) != revenue(db, pair["category"], pair["other"])]


def better(db: Database, params: Params) -> str:
    return money(max(revenue(db, params["category"], params[name]) for name in ("month", "other")))


def better_solve(db: Database, params: Params) -> Solution:
    stages = read_sales(params["category"], params["month"], params["other"])
    return Solution((*stages, conclude("the higher revenue of the two months", better(db, params))))


def better_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(better(db, params))


def units_instances(db: Database) -> list[Params]:
    three = zip(REPORT_MONTHS[::3], REPORT_MONTHS[1::3], REPORT_MONTHS[2::3])
    return [{"category": c, "month": a, "second": b, "third": d} for a, b, d in three for c in KINDS]


def units(db: Database, params: Params) -> str:
    months = (params[name] for name in ("month", "second", "third"))
    return str(sum(row["units"] for month in months for row in sales_of(db, params["category"], month)))


def units_solve(db: Database, params: Params) -> Solution:
    stages = read_sales(params["category"], params["month"], params["second"], params["third"])
    return Solution((*stages, conclude("the sum of the units sold", units(db, params))))


def units_evaluate(db: Database, params: Params) -> dict[str, Any]:
    """Sums of two tasks may be equal, so the episode has to end on one of the three reports."""
    urls = [sales_url(params["category"], params[name]) for name in ("month", "second", "third")]
    return report(units(db, params), " |OR| ".join(urls))


REPORT_PAGE = (
    "Show me the sales report of '{category}' in '{month}'.",
    "Open the report with what was sold of '{category}' in '{month}'.",
    "I want to see the '{month}' sales of the category '{category}' on the screen.",
)
BETTER = (
    "What was the revenue of '{category}' in the better one of the months '{month}' and '{other}'?",
    "Compare the revenue of '{category}' in '{month}' with that in '{other}' and tell me the higher amount.",
    "Did '{category}' earn more in '{month}' or in '{other}'? Report the higher revenue.",
)
UNITS = (
    "How many units of '{category}' were sold in '{month}', '{second}' and '{third}' together?",
    "Add up the units sold of '{category}' in the months '{month}', '{second}' and '{third}'.",
    "What is the number of units of '{category}' sold over three months: '{month}', '{second}', '{third}'?",
)
MAIN = ("category", "month")
TEMPLATES = (
    Template("admin.report_page", ADMIN, REPORT_PAGE, MAIN, report_page_instances, report_page_solve, report_page_evaluate, "navigate"),
    Template("admin.better_month", ADMIN, BETTER, MAIN, better_instances, better_solve, better_evaluate, "compare", unseen=True, weight=3),
    Template("admin.units", ADMIN, UNITS, MAIN, units_instances, units_solve, units_evaluate, "aggregate", weight=3),
)
