"""Task templates of the code host's groups: tickets, milestones and merge requests on lists of several pages."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.code import LABELS
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.code_groups import LIST_SIZE
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, change, end_on, report, report_missing
from planact_envs.miniweb.templates.code import URL
from planact_envs.miniweb.templates.code_more import day
from planact_envs.miniweb.templates.stages import (
    answer_if_there,
    choose,
    conclude,
    fact,
    go,
    open_listed,
    plain,
    press,
    stop,
    stop_on_page,
    submit,
    turn_pages,
)


def groups(db: Database) -> list[Row]:
    return rows(db, "SELECT * FROM code_group ORDER BY title")


def slug_of(db: Database, params: Params) -> str:
    return one(db, "SELECT slug FROM code_group WHERE title = ?", params["group"])["slug"]


def tickets(db: Database, slug: str, status: str = "open") -> list[Row]:
    """The tickets of a group as its lists show them."""
    return rows(db, "SELECT * FROM code_ticket WHERE team = ? AND status = ? ORDER BY id", slug, status)


def ticket_of(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM code_ticket WHERE team = ? AND title = ?", slug_of(db, params), params["ticket"])


def ticket_url(ticket: Row) -> str:
    return f"{URL}/group/{ticket['team']}/ticket/{ticket['id']}"


def tab(name: str) -> Stage:
    return go(name, f"The group has a page {name}.")


def find_group(db: Database, params: Params) -> tuple[Stage, ...]:
    """From the home page to a group: as many moves as `moves_to_group` says."""
    stars = go("My stars", "The page of my stars leads to the groups.")
    listed = go("Groups", "There is a page of all groups.")
    return stars, listed, open_listed("group", plain(params["group"]), group_page(db, params))


def group_page(db: Database, params: Params) -> int:
    return page_of([group["title"] for group in groups(db)], params["group"], PAGE_SIZE)


def moves_to_group(db: Database, params: Params) -> int:
    return 2 + group_page(db, params)


def page_of(names: list[str], name: str, size: int = LIST_SIZE) -> int:
    return names.index(name) // size + 1


def open_ticket(db: Database, params: Params) -> tuple[Stage, Stage]:
    """From any page of the group."""
    names = [ticket["title"] for ticket in tickets(db, slug_of(db, params))]
    return tab("Tickets"), open_listed("ticket", plain(params["ticket"]), page_of(names, params["ticket"]))


def more_pages(found: list[Row]) -> int:
    """How many pages follow the first one of such a list."""
    return (len(found) - 1) // LIST_SIZE


def list_urls(slug: str, name: str, more: int) -> str:
    """The addresses of all pages of a group's list: an agent may end on any of them."""
    pages = ["", *(f"?page={number}" for number in range(1, more + 2))]
    return " |OR| ".join(f"{URL}/group/{slug}/{name}{page}" for page in pages)


def count_instances(db: Database) -> list[Params]:
    return [{"group": group["title"], "label": label} for group in groups(db) for label in LABELS]


def count(db: Database, params: Params) -> int:
    return sum(ticket["label"] == params["label"] for ticket in tickets(db, slug_of(db, params)))


def count_solve(db: Database, params: Params) -> Solution:
    more = more_pages(tickets(db, slug_of(db, params)))
    end = conclude("how many tickets have this label", str(count(db, params)))
    return Solution((*find_group(db, params), tab("Tickets"), turn_pages(more, "tickets"), end))


def count_evaluate(db: Database, params: Params) -> dict[str, Any]:
    slug, number = slug_of(db, params), str(count(db, params))
    urls = list_urls(slug, "tickets", more_pages(tickets(db, slug)))
    return report(number, urls) | {"reference_answers": {"must_include": [number]}}


def assignable(db: Database, wanted) -> list[Params]:
    """Two open tickets of each group for which `wanted(ticket)` holds."""
    found = [[ticket for ticket in tickets(db, group["slug"]) if wanted(ticket)][-2:] for group in groups(db)]
    titles = {group["slug"]: group["title"] for group in groups(db)}
    return [{"group": titles[ticket["team"]], "ticket": ticket["title"]} for pair in found for ticket in pair]


def busiest(db: Database, slug: str) -> str:
    sql = "SELECT closer FROM code_ticket WHERE team = ? AND status = 'closed' GROUP BY closer ORDER BY count(*) DESC"
    return one(db, sql, slug)["closer"]


def busiest_instances(db: Database) -> list[Params]:
    return assignable(db, lambda ticket: ticket["assignee"] != busiest(db, ticket["team"]))


def busiest_solve(db: Database, params: Params) -> Solution:
    slug = slug_of(db, params)
    more = more_pages(tickets(db, slug, "closed"))
    seen_after = moves_to_group(db, params) + 1 + more
    person, facts = fact("busiest", busiest(db, slug), "the person who closed most tickets", seen_after)
    moves = choose("Assignee", person.text), press("Save ticket")
    form = submit(f"Set the assignee to {person.shown} and save.", "The page of the ticket has a field for the assignee.", *moves)
    read = tab("Closed tickets"), turn_pages(more, "closed tickets")
    return Solution((*find_group(db, params), *read, *open_ticket(db, params), form, stop()), facts)


def busiest_evaluate(db: Database, params: Params) -> dict[str, Any]:
    ticket, person = ticket_of(db, params), busiest(db, slug_of(db, params))
    row = {"id": ticket["id"], "before": {"assignee": ticket["assignee"]}, "after": {"assignee": person}}
    return change("code_ticket", "changed", row, url=ticket_url(ticket), shows=[f"Assigned to: {person}"])


def last_due(db: Database, slug: str) -> str:
    found = rows(db, "SELECT title, due FROM code_milestone WHERE team = ?", slug)
    return max(found, key=lambda milestone: day(milestone["due"]))["title"]


def milestone_instances(db: Database) -> list[Params]:
    return assignable(db, lambda ticket: ticket["milestone"] != last_due(db, ticket["team"]))


def milestone_solve(db: Database, params: Params) -> Solution:
    title = last_due(db, slug_of(db, params))
    milestone, facts = fact("milestone", title, "the milestone that is due last", moves_to_group(db, params) + 1)
    moves = choose("Milestone", milestone.text), press("Save ticket")
    form = submit(f"Set the milestone to {milestone.shown} and save.", "The page of the ticket has a field for the milestone.", *moves)
    return Solution((*find_group(db, params), tab("Milestones"), *open_ticket(db, params), form, stop()), facts)


def milestone_evaluate(db: Database, params: Params) -> dict[str, Any]:
    ticket, title = ticket_of(db, params), last_due(db, slug_of(db, params))
    row = {"id": ticket["id"], "before": {"milestone": ticket["milestone"]}, "after": {"milestone": title}}
    return change("code_ticket", "changed", row, url=ticket_url(ticket), shows=[f"In the milestone: {title}"])


def solved_instances(db: Database) -> list[Params]:
    joined = "code_merge m JOIN code_ticket t ON t.id = m.ticket JOIN code_group g ON g.slug = t.team"
    return rows(db, f"SELECT g.title AS 'group', t.title AS ticket FROM {joined} ORDER BY t.id")


def merge_of(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM code_merge WHERE ticket = ?", ticket_of(db, params)["id"])


def solved_solve(db: Database, params: Params) -> Solution:
    wanted, to_ticket = merge_of(db, params), open_ticket(db, params)
    names = [row["title"] for row in rows(db, "SELECT title FROM code_merge WHERE team = ? ORDER BY title", wanted["team"])]
    seen_after = moves_to_group(db, params) + sum(len(stage.moves) for stage in to_ticket)
    merge, facts = fact("merge", wanted["title"], "the merge request that solves it", seen_after)
    there = tab("Merge requests"), open_listed("merge request", merge, page_of(names, wanted["title"]))
    return Solution((*find_group(db, params), *to_ticket, *there, stop_on_page()), facts)


def solved_evaluate(db: Database, params: Params) -> dict[str, Any]:
    merge = merge_of(db, params)
    return end_on(f"{URL}/group/{merge['team']}/merge/{merge['id']}")


def elsewhere_instances(db: Database) -> list[Params]:
    """For each group a ticket that only the next group has."""
    found = groups(db)
    nearby = zip(found, [*found[1:], found[0]])
    return [{"group": group["title"], "ticket": tickets(db, after["slug"])[4]["title"]} for group, after in nearby]


def elsewhere_solve(db: Database, params: Params) -> Solution:
    more = more_pages(tickets(db, slug_of(db, params)))
    end = answer_if_there(f"ticket '{params['ticket']}'")
    return Solution((*find_group(db, params), tab("Tickets"), turn_pages(more, "tickets"), end))


def elsewhere_evaluate(db: Database, params: Params) -> dict[str, Any]:
    slug = slug_of(db, params)
    more = {name: more_pages(tickets(db, slug, status)) for name, status in (("tickets", "open"), ("closed", "closed"))}
    return report_missing(" |OR| ".join(list_urls(slug, name, count_) for name, count_ in more.items()))


CODE = ("code",)
COUNT = (
    "How many open tickets of the group '{group}' have the label '{label}'?",
    "Count the tickets with the label '{label}' that are open in the group '{group}'.",
    "In the group '{group}', how many of the open tickets are labelled '{label}'?",
)
BUSIEST = (
    "Assign the ticket '{ticket}' of the group '{group}' to the person who closed most of the group's tickets.",
    "Find out who closed the most tickets of the group '{group}' and make them the assignee of its ticket '{ticket}'.",
    "The ticket '{ticket}' of the group '{group}' goes to whoever has closed more of its tickets than anyone else. Assign it.",
)
MILESTONE = (
    "Put the ticket '{ticket}' of the group '{group}' into the milestone that is due last.",
    "The ticket '{ticket}' in the group '{group}' can wait: move it to the latest of the group's milestones.",
    "Of the milestones of the group '{group}', take the one with the latest due date and set it for the ticket '{ticket}'.",
)
SOLVED = (
    "Open the merge request that solves the ticket '{ticket}' of the group '{group}'.",
    "Show me the merge request for '{ticket}', a ticket of the group '{group}'.",
    "Go to the page of the merge request by which the group '{group}' solves its ticket '{ticket}'.",
)
ELSEWHERE = (
    "Close the ticket '{ticket}' of the group '{group}'.",
    "The group '{group}' is done with its ticket '{ticket}'. Close it for them.",
    "Mark the ticket '{ticket}' as closed in the group '{group}'.",
)
GROUP, TICKET = ("group",), ("group", "ticket")
TEMPLATES = (
    Template("code.count", CODE, COUNT, GROUP, count_instances, count_solve, count_evaluate, "aggregate", weight=3),
    Template("code.busiest", CODE, BUSIEST, GROUP, busiest_instances, busiest_solve, busiest_evaluate, "change", unseen=True, weight=3),
    Template(
        "code.milestone", CODE, MILESTONE, GROUP, milestone_instances, milestone_solve, milestone_evaluate, "change", unseen=True, weight=3
    ),
    Template("code.solved", CODE, SOLVED, TICKET, solved_instances, solved_solve, solved_evaluate, "navigate", unseen=True, weight=3),
    Template(
        "code.elsewhere",
        CODE,
        ELSEWHERE,
        GROUP,
        elsewhere_instances,
        elsewhere_solve,
        elsewhere_evaluate,
        "infeasible",
        unseen=True,
        weight=2,
    ),
)
