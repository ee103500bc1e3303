"""The forum's communities: their threads, who writes there, and the rules that stand before writing."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

SORTS = {"newest": "Newest", "points": "Most points"}
NEXT = ("/community/", "/thread/")  # where the rules page may lead on to


async def communities(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    found = rows(request.state.db, "SELECT * FROM forum_community ORDER BY title")
    if query:
        found = best_matches(query, found, lambda community: set(community["title"].lower().split()))
    title = "Communities found" if query else "Communities"
    return page(request, "forum/communities.html", title=title, query=query, page=paginate(request, found))


async def mine(request: Request) -> Response:
    sql = "SELECT c.* FROM forum_joined j JOIN forum_community c ON c.slug = j.community ORDER BY c.title"
    return page(request, "forum/mine.html", title="My communities", page=paginate(request, rows(request.state.db, sql)))


def community_of(request: Request, slug: str) -> Row:
    sql = "SELECT c.*, (SELECT count(*) FROM forum_joined WHERE community = c.slug) AS joined FROM forum_community c WHERE slug = ?"
    found = one(request.state.db, sql, slug)
    if found is None:
        raise HTTPException(404)
    return found


def this_community(request: Request) -> Row:
    return community_of(request, request.path_params["slug"])


async def community(request: Request) -> Response:
    found, sort = this_community(request), request.query_params.get("sort", "newest")
    threads = rows(request.state.db, "SELECT * FROM forum_thread WHERE community = ? ORDER BY id DESC", found["slug"])
    if sort == "points":
        threads.sort(key=lambda thread: -thread["points"])
    context = {"community": found, "sorts": SORTS, "sort": sort, "page": paginate(request, threads)}
    return page(request, "forum/community.html", title=found["title"], **context)


async def search(request: Request) -> Response:
    """Threads of one community that share a word with the query in their title or their author's name."""
    found, query = this_community(request), request.query_params.get("q", "").strip()
    threads = rows(request.state.db, "SELECT * FROM forum_thread WHERE community = ? ORDER BY id DESC", found["slug"])
    matches = best_matches(query, threads, lambda thread: set(f"{thread['title']} {thread['author']}".lower().split()))
    context = {"community": found, "query": query, "page": paginate(request, matches)}
    return page(request, "forum/threads_found.html", title="Threads found", **context)


async def community_writers(request: Request) -> Response:
    found = this_community(request)
    sql = "SELECT author, count(*) AS threads FROM forum_thread WHERE community = ? GROUP BY author ORDER BY author"
    context = {"community": found, "writers": rows(request.state.db, sql, found["slug"])}
    return page(request, "forum/community_writers.html", title=f"Who writes in {found['title']}", **context)


async def join(request: Request) -> Response:
    found = this_community(request)
    with request.state.db as db:
        if not found["joined"]:
            db.execute("INSERT INTO forum_joined (community) VALUES (?)", (found["slug"],))
    return done(f"/community/{found['slug']}", "joined")


async def leave(request: Request) -> Response:
    slug = this_community(request)["slug"]
    with request.state.db as db:
        db.execute("DELETE FROM forum_joined WHERE community = ?", (slug,))
    return done(f"/community/{slug}", "left")


def accepted(request: Request, slug: str) -> bool:
    return one(request.state.db, "SELECT 1 FROM forum_accepted WHERE community = ?", slug) is not None


def behind_rules(request: Request, community: Row, template: str, title: str, **context: Any) -> Response:
    """The page `template`; as long as the community's rules are not accepted, these in its place."""
    if accepted(request, community["slug"]):
        return page(request, template, title=title, community=community, **context)
    onward = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return page(request, "forum/rules.html", title=f"Rules of {community['title']}", community=community, onward=onward)


async def accept(request: Request) -> Response:
    slug, fields = this_community(request)["slug"], await form(request)
    onward = fields.get("onward", "")
    if not onward.startswith(NEXT):  # anything else could lead off the site
        raise HTTPException(404)
    if not accepted(request, slug):
        with request.state.db as db:
            db.execute("INSERT INTO forum_accepted (community) VALUES (?)", (slug,))
    return RedirectResponse(onward, 303)


async def thread_new(request: Request) -> Response:
    found = this_community(request)
    return behind_rules(request, found, "forum/thread_new.html", f"New thread in {found['title']}")


async def thread_create(request: Request) -> Response:
    slug, fields = this_community(request)["slug"], await form(request)
    if not accepted(request, slug):
        return RedirectResponse(f"/community/{slug}/new", 303)
    if not fields.get("title"):
        return done(f"/community/{slug}/new", "empty")
    return done(f"/thread/{add_thread(request, slug, fields['title'], fields.get('body', ''))}", "thread")


def add_thread(request: Request, slug: str, title: str, body: str) -> int:
    with request.state.db as db:
        return db.execute(
            "INSERT INTO forum_thread (community, title, author, points, created, body, fits, product, offer)"
            " VALUES (?, ?, ?, 1, ?, ?, '', '', '')",
            (slug, title, ME, TODAY, body),
        ).lastrowid


def thread_of(request: Request) -> Row:
    found = one(request.state.db, "SELECT * FROM forum_thread WHERE id = ?", request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    return found


async def thread(request: Request) -> Response:
    found = thread_of(request)
    replies = rows(request.state.db, "SELECT * FROM forum_reply WHERE thread = ? ORDER BY id DESC LIMIT 4", found["id"])
    context = {"thread": found, "community": community_of(request, found["community"]), "replies": replies}
    return page(request, "forum/thread.html", title=found["title"], **context)


async def reply_form(request: Request) -> Response:
    found = thread_of(request)
    return behind_rules(request, community_of(request, found["community"]), "forum/reply.html", "Write a reply", thread=found)


async def reply(request: Request) -> Response:
    found, fields = thread_of(request), await form(request)
    if not accepted(request, found["community"]):
        return RedirectResponse(f"/thread/{found['id']}/reply", 303)
    if not fields.get("body"):
        return done(f"/thread/{found['id']}/reply", "empty")
    with request.state.db as db:
        values = (found["id"], ME, TODAY, fields["body"])
        db.execute("INSERT INTO forum_reply (thread, author, created, body) VALUES (?, ?, ?, ?)", values)
    return done(f"/thread/{found['id']}", "reply")


async def crosspost_choose(request: Request) -> Response:
    found = thread_of(request)
    others = rows(request.state.db, "SELECT * FROM forum_community WHERE slug <> ? ORDER BY title", found["community"])
    return page(request, "forum/crosspost_choose.html", title="Choose a community", thread=found, others=others)


async def crosspost_form(request: Request) -> Response:
    found, target = thread_of(request), community_of(request, request.query_params.get("community", ""))
    return behind_rules(request, target, "forum/crosspost.html", f"Crosspost to {target['title']}", thread=found)


async def crosspost(request: Request) -> Response:
    found, fields = thread_of(request), await form(request)
    target = community_of(request, fields.get("community", ""))["slug"]
    if not accepted(request, target):
        return RedirectResponse(f"/thread/{found['id']}/crosspost/to?community={target}", 303)
    source = community_of(request, found["community"])["title"]
    return done(f"/thread/{add_thread(request, target, found['title'], f'Crossposted from {source}.')}", "crosspost")


async def writers(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    sql = "SELECT m.* FROM forum_member m WHERE m.name IN (SELECT author FROM forum_thread) ORDER BY m.name"
    found = rows(request.state.db, sql)
    if query:
        found = best_matches(query, found, lambda writer: set(writer["name"].lower().split()))
    title = "Writers found" if query else "Writers"
    return page(request, "forum/writers.html", title=title, query=query, page=paginate(request, found))


async def writer(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM forum_member WHERE id = ?", request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    moderated = one(request.state.db, "SELECT title FROM forum_community WHERE moderator = ?", found["name"])
    threads = rows(request.state.db, "SELECT * FROM forum_thread WHERE author = ? ORDER BY id DESC", found["name"])
    context = {"moderated": moderated, "number": len(threads), "page": paginate(request, threads)}
    return page(request, "forum/writer.html", title=f"Threads by {found['name']}", **context)


ROUTES = [
    Route("/communities", communities),
    Route("/communities/mine", mine),
    Route("/community/{slug}", community),
    Route("/community/{slug}/search", search),
    Route("/community/{slug}/writers", community_writers),
    Route("/community/{slug}/join", join, methods=["POST"]),
    Route("/community/{slug}/leave", leave, methods=["POST"]),
    Route("/community/{slug}/accept", accept, methods=["POST"]),
    Route("/community/{slug}/new", thread_new),
    Route("/community/{slug}/threads", thread_create, methods=["POST"]),
    Route("/thread/{id}", thread),
    Route("/thread/{id}/reply", reply_form),
    Route("/thread/{id}/reply", reply, methods=["POST"]),
    Route("/thread/{id}/crosspost", crosspost_choose),
    Route("/thread/{id}/crosspost", crosspost, methods=["POST"]),
    Route("/thread/{id}/crosspost/to", crosspost_form),
    Route("/writers", writers),
    Route("/writer/{id}", writer),
]
