"""How questions show pairs of request and plan: long pages are shortened, equal pages stand there once."""

from __future__ import annotations

from typing import Callable, Protocol, Sequence

from planact.shorten import shorten
from planact.types import Observation, Plan

MAX_PAGE = 2_000  # tokens of one page; ours


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
    plans = [render(pair.plan) for pair in pairs]
    wanted = "\n".join([*(pair.intent for pair in pairs), *plans])
    pages = show_pages([pair.page.outline for pair in pairs], heading, wanted)
    return "\n\n".join(
        f"## {heading} {n}\nUser Query: {pair.intent}\nInitial HTML State:\n{page}\nGlobal Plan:\n{plan}"
        for n, (pair, page, plan) in enumerate(zip(pairs, pages, plans), 1)
    )


def show_pages(pages: Sequence[str], heading: str, wanted: str) -> list[str]:
    """Each page with what matters for `wanted`; one that came before as a reference to the first `heading` that has it."""
    first: dict[str, int] = {}
    return [
        shorten(page, MAX_PAGE, wanted) if first.setdefault(page, n) == n else f"(as in {heading} {first[page]})"
        for n, page in enumerate(pages, 1)
    ]
