"""How questions show pairs of request and plan: long pages lose their last lines, equal pages stand there once."""

from __future__ import annotations

from typing import Callable, Protocol, Sequence

from planact.types import Observation, Plan

MAX_PAGE = 8_000  # characters of one page, about 2,000 tokens; ours


class RequestWithPlan(Protocol):
    """What has a request, the page that is open at first, and a plan."""

    @property
    def intent(self) -> str: ...

    @property
    def page(self) -> Observation: ...

    @property
    def plan(self) -> Plan: ...


def show_pairs(pairs: Sequence[RequestWithPlan], heading: str, render: Callable[[Plan], str]) -> str:
    """The pairs under `## <heading> 1`, `## <heading> 2`, ..., their plans as `render` writes them."""
    pages = page_texts([pair.page.outline for pair in pairs], heading)
    return "\n\n".join(
        f"## {heading} {n}\nUser Query: {pair.intent}\nInitial HTML State:\n{page}\nGlobal Plan:\n{render(pair.plan)}"
        for n, (pair, page) in enumerate(zip(pairs, pages), 1)
    )


def page_texts(pages: Sequence[str], heading: str) -> list[str]:
    """Each page, shortened; one that came before as a reference to the first `heading` and number (from 1) that has it."""
    first: dict[str, int] = {}
    return [shorten(page) if first.setdefault(page, n) == n else f"(as in {heading} {first[page]})" for n, page in enumerate(pages, 1)]


def shorten(page: str, limit: int = MAX_PAGE) -> str:
    """The first whole lines of `page`, `limit` characters at most, and how many lines were left out."""
    if len(page) <= limit:
        return page
    kept = page[: limit + 1].count("\n")  # the line that the limit cuts goes; one that ends there stays
    lines = page.split("\n")
    return "\n".join([*lines[:kept], f"({len(lines) - kept} more lines are left out)"])
