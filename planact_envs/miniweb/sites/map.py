"""The map, http://map.miniweb/: finding places, and what a visitor can do on their pages."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planact_envs.miniweb.content.map import CATEGORIES
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites import map_routes
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

LIST_SIZE = 4  # places on a page of a list
STARS = ("1", "2", "3", "4", "5")
PROBLEMS = ("Closed for good", "Address", "Phone", "Opening hours")


async def home(request: Request) -> Response:
    return page(request, "map/home.html", title="Map of the region", towns=towns(request))


def towns(request: Request) -> list[str]:
    return [row["name"] for row in rows(request.state.db, "SELECT name FROM map_town ORDER BY name")]


async def search(request: Request) -> Response:
    """Places that share a whole word with the query in their name."""
    query = request.query_params.get("q", "").strip()
    places = rows(request.state.db, "SELECT * FROM map_place ORDER BY name")
    found = best_matches(query, places, lambda place: set(place["name"].lower().split()))
    return page(request, "map/search.html", title="Search results", query=query, page=paginate(request, found))


async def find(request: Request) -> Response:
    """Places of one category in one town; without a choice of both only the form."""
    category, town = (request.query_params.get(name, "") for name in ("category", "town"))
    context = {"categories": list(CATEGORIES), "towns": towns(request), "category": category, "town": town}
    if not category or not town:
        return page(request, "map/find.html", title="Find places", page=None, **context)
    found = rows(request.state.db, "SELECT * FROM map_place WHERE category = ? AND town = ? ORDER BY name", category, town)
    return page(request, "map/find.html", title="Places found", page=paginate(request, found, LIST_SIZE), **context)


async def town(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM map_town WHERE name = ?", request.path_params["town"])
    if found is None:
        raise HTTPException(404)
    counts = rows(
        request.state.db,
        "SELECT category, count(*) AS places FROM map_place WHERE town = ? GROUP BY category ORDER BY category",
        found["name"],
    )
    return page(request, "map/town.html", title=found["name"], town=found, counts=counts)


async def renamed(request: Request) -> Response:
    found = rows(request.state.db, "SELECT name, former FROM map_place WHERE former <> '' ORDER BY former")
    return page(request, "map/renamed.html", title="Renamed places", page=paginate(request, found))


def place_of(request: Request) -> Row:
    found = one(request.state.db, "SELECT * FROM map_place WHERE slug = ?", request.path_params["slug"])
    if found is None:
        raise HTTPException(404)
    return found


def saved_as(request: Request, place: Row) -> Row | None:
    return one(request.state.db, "SELECT * FROM map_saved WHERE place = ?", place["slug"])


async def place(request: Request) -> Response:
    found = place_of(request)
    return page(request, "map/place.html", title=found["name"], place=found, saved=saved_as(request, found))


async def saved(request: Request) -> Response:
    sql = "SELECT p.name, p.slug, p.town, s.note FROM map_saved s JOIN map_place p ON p.slug = s.place ORDER BY p.name"
    return page(request, "map/saved.html", title="Saved places", page=paginate(request, rows(request.state.db, sql)))


async def save(request: Request) -> Response:
    found = place_of(request)
    if saved_as(request, found) is None:
        with request.state.db as db:
            db.execute("INSERT INTO map_saved (place, note) VALUES (?, '')", (found["slug"],))
    return done(f"/place/{found['slug']}", "saved")


async def unsave(request: Request) -> Response:
    found = place_of(request)
    with request.state.db as db:
        db.execute("DELETE FROM map_saved WHERE place = ?", (found["slug"],))
    return done(f"/place/{found['slug']}", "unsaved")


async def note_form(request: Request) -> Response:
    """The note of a saved place; of one that is not saved there is none."""
    found = place_of(request)
    kept = saved_as(request, found)
    if kept is None:
        raise HTTPException(404)
    return page(request, "map/note.html", title="Note", place=found, note=kept["note"])


async def note(request: Request) -> Response:
    found, fields = place_of(request), await form(request)
    if saved_as(request, found) is None:
        raise HTTPException(404)
    with request.state.db as db:
        db.execute("UPDATE map_saved SET note = ? WHERE place = ?", (fields.get("note", ""), found["slug"]))
    return done(f"/place/{found['slug']}", "place-note")


async def reviews(request: Request) -> Response:
    found = place_of(request)
    latest = rows(request.state.db, "SELECT * FROM map_review WHERE place = ? ORDER BY id DESC LIMIT 4", found["slug"])
    return page(request, "map/reviews.html", title=f"Reviews of {found['name']}", place=found, reviews=latest, stars=STARS)


async def review(request: Request) -> Response:
    found, fields = place_of(request), await form(request)
    path = f"/place/{found['slug']}/reviews"
    if not fields.get("body") or fields.get("stars") not in STARS:
        return done(path, "empty")
    with request.state.db as db:
        values = (found["slug"], ME, int(fields["stars"]), TODAY, fields["body"])
        db.execute("INSERT INTO map_review (place, author, stars, created, body) VALUES (?, ?, ?, ?, ?)", values)
    return done(path, "review")


async def report_notice(request: Request) -> Response:
    """What a visitor has to read before the form for problems."""
    return page(request, "map/report_notice.html", title="Before you report", place=place_of(request))


async def report_form(request: Request) -> Response:
    return page(request, "map/report.html", title="Report a problem", place=place_of(request), problems=PROBLEMS)


async def report(request: Request) -> Response:
    found, fields = place_of(request), await form(request)
    if not fields.get("value") or fields.get("problem") not in PROBLEMS:
        return done(f"/place/{found['slug']}/report/form", "empty")
    with request.state.db as db:
        values = (found["slug"], fields["problem"], fields["value"], TODAY)
        db.execute("INSERT INTO map_report (place, problem, value, created) VALUES (?, ?, ?, ?)", values)
    return done(f"/place/{found['slug']}/reports", "report")


async def reports(request: Request) -> Response:
    found = place_of(request)
    sent = rows(request.state.db, "SELECT * FROM map_report WHERE place = ? ORDER BY id DESC LIMIT 4", found["slug"])
    return page(request, "map/reports.html", title=f"Reports on {found['name']}", place=found, reports=sent)


ROUTES = [
    Route("/", home),
    Route("/search", search),
    Route("/find", find),
    Route("/town/{town}", town),
    Route("/renamed", renamed),
    Route("/saved", saved),
    Route("/directions", map_routes.directions),
    Route("/place/{slug}", place),
    Route("/place/{slug}/save", save, methods=["POST"]),
    Route("/place/{slug}/unsave", unsave, methods=["POST"]),
    Route("/place/{slug}/note", note_form),
    Route("/place/{slug}/note", note, methods=["POST"]),
    Route("/place/{slug}/reviews", reviews),
    Route("/place/{slug}/reviews", review, methods=["POST"]),
    Route("/place/{slug}/report", report_notice),
    Route("/place/{slug}/report", report, methods=["POST"]),
    Route("/place/{slug}/report/form", report_form),
    Route("/place/{slug}/reports", reports),
]
