"""The code host's groups: tickets, milestones and merge requests that projects share."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import done, form, page, paginate

LIST_SIZE = 5  # tickets and merge requests on a page of a list
NOBODY, NO_MILESTONE = "Nobody", "None"


async def groups(request: Request) -> Response:
    found = rows(request.state.db, "SELECT * FROM code_group ORDER BY title")
    return page(request, "code/groups.html", title="Groups", page=paginate(request, found))


def group_of(request: Request) -> Row:
    found = one(request.state.db, "SELECT * FROM code_group WHERE slug = ?", request.path_params["slug"])
    if found is None:
        raise HTTPException(404)
    return found


async def group(request: Request) -> Response:
    found = group_of(request)
    people = rows(request.state.db, "SELECT name FROM code_person WHERE team = ? ORDER BY name", found["slug"])
    return page(request, "code/group.html", title=f"Group {found['title']}", group=found, people=people)


def ticket_list(status: str, title: str):
    """A handler that lists the group's tickets of this status, oldest first."""

    async def handler(request: Request) -> Response:
        found = group_of(request)
        listed = rows(request.state.db, "SELECT * FROM code_ticket WHERE team = ? AND status = ? ORDER BY id", found["slug"], status)
        return page(request, "code/tickets.html", title=title, group=found, page=paginate(request, listed, LIST_SIZE))

    return handler


async def milestones(request: Request) -> Response:
    found = group_of(request)
    listed = rows(request.state.db, "SELECT * FROM code_milestone WHERE team = ? ORDER BY title", found["slug"])
    return page(request, "code/milestones.html", title="Milestones", group=found, milestones=listed)


async def merges(request: Request) -> Response:
    found = group_of(request)
    listed = rows(request.state.db, "SELECT * FROM code_merge WHERE team = ? ORDER BY title", found["slug"])
    return page(request, "code/merges.html", title="Merge requests", group=found, page=paginate(request, listed, LIST_SIZE))


def item_of(request: Request, table: str) -> Row:
    """The ticket or merge request of this group that the address names. `table` comes from this module."""
    sql = f"SELECT * FROM {table} WHERE team = ? AND id = ?"
    found = one(request.state.db, sql, request.path_params["slug"], request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    return found


async def ticket(request: Request) -> Response:
    found, db = item_of(request, "code_ticket"), request.state.db
    people = [row["name"] for row in rows(db, "SELECT name FROM code_person WHERE team = ? ORDER BY name", found["team"])]
    titles = [row["title"] for row in rows(db, "SELECT title FROM code_milestone WHERE team = ? ORDER BY title", found["team"])]
    solved = one(db, "SELECT title FROM code_merge WHERE ticket = ?", found["id"])
    context = {"ticket": found, "group": group_of(request), "people": [NOBODY, *people], "milestones": [NO_MILESTONE, *titles]}
    return page(request, "code/ticket.html", title=found["title"], **context, merge=solved, nobody=NOBODY, none=NO_MILESTONE)


async def ticket_save(request: Request) -> Response:
    """Store assignee and milestone. Both have to be of this group."""
    found, fields, db = item_of(request, "code_ticket"), await form(request), request.state.db
    person, milestone = fields.get("assignee", ""), fields.get("milestone", "")
    known = one(db, "SELECT 1 FROM code_person WHERE team = ? AND name = ?", found["team"], person)
    due = one(db, "SELECT 1 FROM code_milestone WHERE team = ? AND title = ?", found["team"], milestone)
    if (known is None and person != NOBODY) or (due is None and milestone != NO_MILESTONE):
        raise HTTPException(404)
    with db:
        values = (person if known else "", milestone if due else "", found["id"])
        db.execute("UPDATE code_ticket SET assignee = ?, milestone = ? WHERE id = ?", values)
    return done(f"/group/{found['team']}/ticket/{found['id']}", "ticket-saved")


async def ticket_close(request: Request) -> Response:
    found = item_of(request, "code_ticket")
    if found["status"] == "open":
        with request.state.db as db:
            db.execute("UPDATE code_ticket SET status = 'closed', closer = ? WHERE id = ?", (ME, found["id"]))
    return done(f"/group/{found['team']}/ticket/{found['id']}", "ticket-closed")


async def merge(request: Request) -> Response:
    found, db = item_of(request, "code_merge"), request.state.db
    solves = one(db, "SELECT title FROM code_ticket WHERE id = ?", found["ticket"])
    remarks = rows(db, "SELECT * FROM code_remark WHERE merge = ? ORDER BY id DESC LIMIT 4", found["id"])
    return page(request, "code/merge.html", title=found["title"], merge=found, group=group_of(request), solves=solves, remarks=remarks)


async def remark(request: Request) -> Response:
    found, fields = item_of(request, "code_merge"), await form(request)
    path = f"/group/{found['team']}/merge/{found['id']}"
    if not fields.get("body"):
        return done(path, "empty")
    with request.state.db as db:
        values = (found["id"], ME, TODAY, fields["body"])
        db.execute("INSERT INTO code_remark (merge, author, created, body) VALUES (?, ?, ?, ?)", values)
    return done(path, "comment")


ROUTES = [
    Route("/groups", groups),
    Route("/group/{slug}", group),
    Route("/group/{slug}/tickets", ticket_list("open", "Open tickets")),
    Route("/group/{slug}/closed", ticket_list("closed", "Closed tickets")),
    Route("/group/{slug}/milestones", milestones),
    Route("/group/{slug}/merges", merges),
    Route("/group/{slug}/ticket/{id}", ticket),
    Route("/group/{slug}/ticket/{id}/save", ticket_save, methods=["POST"]),
    Route("/group/{slug}/ticket/{id}/close", ticket_close, methods=["POST"]),
    Route("/group/{slug}/merge/{id}", merge),
    Route("/group/{slug}/merge/{id}/comment", remark, methods=["POST"]),
]
