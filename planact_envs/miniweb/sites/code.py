"""The code host, http://code.miniweb/."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites import code_groups
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

NOBODY = "Nobody"


async def home(request: Request) -> Response:
    projects = rows(request.state.db, "SELECT * FROM code_project ORDER BY id")
    return page(request, "code/home.html", title="Projects", query="", page=paginate(request, projects))


async def search(request: Request) -> Response:
    """The list of projects that share a word with the query; the project itself when the query is its name."""
    query = request.query_params.get("q", "").strip()
    if found := one(request.state.db, "SELECT name FROM code_project WHERE name = ?", query.lower()):
        return RedirectResponse(f"/project/{found['name']}", 303)
    projects = rows(request.state.db, "SELECT * FROM code_project ORDER BY id")
    found = best_matches(query.replace("-", " "), projects, lambda project: set(project["name"].split("-")))
    return page(request, "code/home.html", title="Projects found", query=query, page=paginate(request, found))


def project_of(request: Request) -> Row:
    found = one(
        request.state.db,
        "SELECT p.*, (SELECT count(*) FROM code_star WHERE project = p.name) AS starred FROM code_project p WHERE name = ?",
        request.path_params["project"],
    )
    if found is None:
        raise HTTPException(404)
    return found


async def project(request: Request) -> Response:
    found = project_of(request)
    return page(request, "code/project.html", title=found["name"], project=found)


async def star(request: Request) -> Response:
    found = project_of(request)
    with request.state.db as db:
        if not found["starred"]:
            db.execute("INSERT INTO code_star (project) VALUES (?)", (found["name"],))
    return done(f"/project/{found['name']}", "star")


async def unstar(request: Request) -> Response:
    found = project_of(request)
    with request.state.db as db:
        db.execute("DELETE FROM code_star WHERE project = ?", (found["name"],))
    return done(f"/project/{found['name']}", "unstar")


async def stars(request: Request) -> Response:
    starred = rows(request.state.db, "SELECT project FROM code_star ORDER BY id")
    return page(request, "code/stars.html", title="My stars", page=paginate(request, starred))


async def members(request: Request) -> Response:
    found = project_of(request)
    team = rows(request.state.db, "SELECT * FROM code_member WHERE project = ? ORDER BY person", found["name"])
    return page(request, "code/members.html", title=f"Members of {found['name']}", project=found, members=team)


async def releases(request: Request) -> Response:
    found = project_of(request)
    versions = rows(request.state.db, "SELECT * FROM code_release WHERE project = ? ORDER BY id DESC", found["name"])
    return page(request, "code/releases.html", title=f"Releases of {found['name']}", project=found, releases=versions)


async def issues(request: Request) -> Response:
    found = project_of(request)
    unsolved = rows(request.state.db, "SELECT * FROM code_issue WHERE project = ? AND status = 'open' ORDER BY number DESC", found["name"])
    return page(request, "code/issues.html", title=f"Issues of {found['name']}", project=found, page=paginate(request, unsolved))


def issue_of(request: Request) -> Row:
    values = request.path_params["project"], request.path_params["number"]
    found = one(request.state.db, "SELECT * FROM code_issue WHERE project = ? AND number = ?", *values)
    if found is None:
        raise HTTPException(404)
    return found


async def issue(request: Request) -> Response:
    found, db = issue_of(request), request.state.db
    comments = rows(db, "SELECT * FROM code_comment WHERE issue = ? ORDER BY id DESC LIMIT 4", found["id"])
    team = rows(db, "SELECT person FROM code_member WHERE project = ? ORDER BY person", found["project"])
    people = [NOBODY, *(row["person"] for row in team)]
    context = {"issue": found, "project": project_of(request), "comments": comments, "people": people, "nobody": NOBODY}
    return page(request, "code/issue.html", title=found["title"], **context)


def issue_path(found: Row) -> str:
    return f"/project/{found['project']}/issues/{found['number']}"


def set_status(status: str, notice: str):
    """A handler that opens or closes the issue."""

    async def handler(request: Request) -> Response:
        found = issue_of(request)
        with request.state.db as db:
            db.execute("UPDATE code_issue SET status = ? WHERE id = ?", (status, found["id"]))
        return done(issue_path(found), notice)

    return handler


async def assign(request: Request) -> Response:
    found, fields = issue_of(request), await form(request)
    person = fields.get("assignee", "")
    known = one(request.state.db, "SELECT 1 FROM code_member WHERE project = ? AND person = ?", found["project"], person)
    if known is None and person != NOBODY:
        raise HTTPException(404)
    with request.state.db as db:
        db.execute("UPDATE code_issue SET assignee = ? WHERE id = ?", (person if known else "", found["id"]))
    return done(issue_path(found), "assigned")


async def comment(request: Request) -> Response:
    found, fields = issue_of(request), await form(request)
    if not fields.get("body"):
        return done(issue_path(found), "empty")
    with request.state.db as db:
        values = (found["id"], ME, TODAY, fields["body"])
        db.execute("INSERT INTO code_comment (issue, author, created, body) VALUES (?, ?, ?, ?)", values)
    return done(issue_path(found), "comment")


async def issue_new(request: Request) -> Response:
    found = project_of(request)
    labels = rows(request.state.db, "SELECT DISTINCT label FROM code_issue ORDER BY label")
    return page(request, "code/issue_new.html", title="New issue", project=found, labels=[row["label"] for row in labels])


async def issue_create(request: Request) -> Response:
    name, fields, db = project_of(request)["name"], await form(request), request.state.db
    known = one(db, "SELECT 1 FROM code_issue WHERE label = ?", fields.get("label", ""))
    if not fields.get("title") or known is None:
        return done(f"/project/{name}/issues/new", "empty")
    number = one(db, "SELECT coalesce(max(number), 0) + 1 AS number FROM code_issue WHERE project = ?", name)["number"]
    with db:
        db.execute(
            "INSERT INTO code_issue (project, number, title, author, assignee, label, status, created, body, duplicates)"
            " VALUES (?, ?, ?, ?, '', ?, 'open', ?, ?, '')",
            (name, number, fields["title"], ME, fields["label"], TODAY, fields.get("body", "")),
        )
    return done(f"/project/{name}/issues/{number}", "issue")


ROUTES = [
    *code_groups.ROUTES,
    Route("/", home),
    Route("/search", search),
    Route("/stars", stars),
    Route("/project/{project}", project),
    Route("/project/{project}/star", star, methods=["POST"]),
    Route("/project/{project}/unstar", unstar, methods=["POST"]),
    Route("/project/{project}/members", members),
    Route("/project/{project}/releases", releases),
    Route("/project/{project}/issues", issues),
    Route("/project/{project}/issues", issue_create, methods=["POST"]),
    Route("/project/{project}/issues/new", issue_new),
    Route("/project/{project}/issues/{number}", issue),
    Route("/project/{project}/issues/{number}/close", set_status("closed", "closed"), methods=["POST"]),
    Route("/project/{project}/issues/{number}/reopen", set_status("open", "reopened"), methods=["POST"]),
    Route("/project/{project}/issues/{number}/assign", assign, methods=["POST"]),
    Route("/project/{project}/issues/{number}/comment", comment, methods=["POST"]),
]
