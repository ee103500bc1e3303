"""Plan steps with their moves. One kind of step has one wording on every site, because tiny models learn from it.

A value is given as `Value`: a plain one is quoted in the step; one read on the way stands there as {fact}.
"""

from __future__ import annotations

from dataclasses import dataclass

from planact.types import Op
from planact_envs.miniweb.solution import Fact, Move, Stage


@dataclass(frozen=True)
class Value:
    """`text` is what to type or click; `shown` is how a plan step names it."""

    text: str
    shown: str


def plain(text: str) -> Value:
    """A value that the intent gives."""
    return Value(text, f"'{text}'")


def fact(name: str, text: str, unknown: str, seen_after: int) -> tuple[Value, dict[str, Fact]]:
    """A value that can be read after `seen_after` moves, and the entry for `Solution.facts`."""
    return Value(text, "{" + name + "}"), {name: Fact(f"'{text}'", unknown, seen_after)}


def click(name: str, role: str = "link") -> Move:
    return Move(Op.CLICK, role, name)


def press(name: str) -> Move:
    return click(name, "button")


def type_(name: str, text: str) -> Move:
    return Move(Op.TYPE, "textbox", name, text)


def enter(name: str, text: str) -> Move:
    """Type into a search box and press Enter."""
    return Move(Op.SEARCH, "textbox", name, text)


def choose(name: str, option: str) -> Move:
    return Move(Op.SELECT, "combobox", name, option)


def search(what: str, value: Value, reasoning: str) -> Stage:
    """`what` names the search box: "products", "members", "projects" or "orders"."""
    return Stage(f"Search the {what} for {value.shown}.", reasoning, (enter(f"Search {what}", value.text),))


def search_products(value: Value) -> Stage:
    return search("products", value, "The home page has a search box for products.")


def search_projects(value: Value) -> Stage:
    return search("projects", value, "The page of all projects has a search box.")


def search_members(value: Value) -> Stage:
    return search("members", value, "The members page has a search box.")


def go(link: str, reasoning: str) -> Stage:
    """Follow a link that stands on every page of the site. Labels of the site are not quoted, values are."""
    return Stage(f"Go to the page {link}.", reasoning, (click(link),))


def open_result(kind: str, value: Value) -> Stage:
    """Open one of the things that a search found."""
    return Stage(f"Open {value.shown} in the search results.", f"The search results list the {kind}.", (click(value.text),))


def open_listed(kind: str, value: Value, on_page: int = 1) -> Stage:
    """Open a thing from a list that may go on over several pages."""
    moves = (click("Next page"),) * (on_page - 1) + (click(value.text),)
    return Stage(f"Find {value.shown} in the list and open it.", f"The {kind} is on a page of this list.", moves)


def submit(step: str, reasoning: str, *moves: Move) -> Stage:
    """Fill in a form and send it, or press a single button."""
    return Stage(step, reasoning, moves)


def joined(step: str, reasoning: str, *stages: Stage) -> Stage:
    """One step for what only the pages decide, so that a plan does not tell it beforehand."""
    return Stage(step, reasoning, tuple(move for stage in stages for move in stage.moves))


def answer(what: str, text: str) -> Stage:
    return Stage(f"Report the {what} shown on the page.", f"The page shows the {what}.", (Move(Op.STOP, text=text),))


def stop() -> Stage:
    return Stage("Stop: the task is done.", "Nothing is left to do.", (Move(Op.STOP),))


def stop_on_page() -> Stage:
    """The end of a task that asks for a page."""
    return Stage("Stop: this is the page.", "The page that was asked for is open.", (Move(Op.STOP),))


def answer_if_there(what: str) -> Stage:
    """The end of a task that cannot be done. The step does not say so: no plan can know before the page is seen."""
    reasoning = "The page shows it, if there is one."
    return Stage(f"Report the {what}, or N/A if there is none.", reasoning, (Move(Op.INFEASIBLE, text="N/A"),))


# Forum communities and two sites.


def search_communities(value: Value) -> Stage:
    return search("communities", value, "The communities page has a search box.")


def search_writers(value: Value) -> Stage:
    return search("writers", value, "The writers page has a search box.")


def visit(home: str) -> Stage:
    """Type the address of another site's home page, which the request names."""
    return Stage(f"Go to the site '{home}'.", "The rest is on this site.", (Move(Op.GOTO, text=home),))


def conclude(what: str, text: str) -> Stage:
    """Report something that follows from several pages."""
    return Stage(f"Report {what}.", "All pages that are needed have been read.", (Move(Op.STOP, text=text),))


# Shop and admin panel.


def pass_notice() -> Stage:
    """A page that stands between two others and has only a button."""
    return Stage("Read the notice and continue.", "A notice comes first, with a button for going on.", (press("Continue"),))


def open_found(step: str, kind: str, link: str, on_page: int = 1) -> Stage:
    """Open a thing whose link does not carry the name that the request gives."""
    moves = (click("Next page"),) * (on_page - 1) + (click(link),)
    return Stage(step, f"The {kind} is on a page of this list.", moves)


# Map.


def search_places(value: Value) -> Stage:
    return search("places", value, "The page of the map has a search box.")


def find_places(category: str, town: str) -> Stage:
    """List the places of a category in a town: three moves on the page Find places."""
    moves = choose("Category", category), choose("Town", town), press("Show places")
    return Stage(f"Show the category {category} in the town '{town}'.", "The page Find places has a form for this.", moves)


def first_route(start: Value, end: Value, mode: str) -> Stage:
    """Fill in the empty form of the page Directions: four moves."""
    step = f"Show the route from {start.shown} to {end.shown} with the mode {mode}."
    moves = type_("From", start.text), type_("To", end.text), choose("Mode", mode), press("Show route")
    return Stage(step, "The page Directions has a form for this.", moves)


def next_route(end: Value, start: Value | None = None) -> Stage:
    """Change the end of a shown route, and its start when there is another one."""
    origin = f"start to {start.shown} and the " if start else ""
    moves = (type_("From", start.text),) if start else ()
    step = f"Change the {origin}end to {end.shown} and show the route."
    return Stage(step, "The form keeps the rest of what was typed.", (*moves, type_("To", end.text), press("Show route")))


# Code groups.


def turn_pages(count: int, what: str) -> Stage:
    """Read a list to its end. `count` pages follow the first one."""
    return Stage(f"Read the list of {what} to its last page.", "The list goes on over several pages.", (click("Next page"),) * count)
