"""The forum, http://forum.miniweb/."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites import forum_communities
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate


async def home(request: Request) -> Response:
    forums = rows(request.state.db, "SELECT * FROM forum_forum ORDER BY id")
    return page(request, "forum/home.html", title="Commons Forum", forums=forums)


def forum_of(request: Request, slug: str) -> Row:
    found = one(request.state.db, "SELECT * FROM forum_forum WHERE slug = ?", slug)
    if found is None:
        raise HTTPException(404)
    return found


async def forum(request: Request) -> Response:
    found = forum_of(request, request.path_params["slug"])
    posts = rows(request.state.db, "SELECT * FROM forum_post WHERE forum = ? ORDER BY id DESC", found["slug"])
    subscribed = one(request.state.db, "SELECT 1 FROM forum_subscription WHERE forum = ?", found["slug"]) is not None
    context = {"forum": found, "page": paginate(request, posts), "subscribed": subscribed}
    return page(request, "forum/forum.html", title=found["title"], **context)


async def subscribe(request: Request) -> Response:
    slug = forum_of(request, request.path_params["slug"])["slug"]
    with request.state.db as db:
        if one(db, "SELECT 1 FROM forum_subscription WHERE forum = ?", slug) is None:
            db.execute("INSERT INTO forum_subscription (forum) VALUES (?)", (slug,))
    return done(f"/forum/{slug}", "subscribed")


async def unsubscribe(request: Request) -> Response:
    slug = forum_of(request, request.path_params["slug"])["slug"]
    with request.state.db as db:
        db.execute("DELETE FROM forum_subscription WHERE forum = ?", (slug,))
    return done(f"/forum/{slug}", "unsubscribed")


def post_of(request: Request) -> Row:
    found = one(
        request.state.db,
        "SELECT p.*, f.title AS forum_title, (SELECT count(*) FROM forum_vote WHERE post = p.id) AS voted"
        " FROM forum_post p JOIN forum_forum f ON f.slug = p.forum WHERE p.id = ?",
        request.path_params["id"],
    )
    if found is None:
        raise HTTPException(404)
    return found


async def post(request: Request) -> Response:
    found = post_of(request)
    comments = rows(request.state.db, "SELECT * FROM forum_comment WHERE post = ? ORDER BY id DESC LIMIT 4", found["id"])
    return page(request, "forum/post.html", title=found["title"], post=found, comments=comments)


async def vote(request: Request) -> Response:
    found = post_of(request)
    with request.state.db as db:
        if not found["voted"]:
            db.execute("INSERT INTO forum_vote (post) VALUES (?)", (found["id"],))
    return done(f"/post/{found['id']}", "vote")


async def unvote(request: Request) -> Response:
    found = post_of(request)
    with request.state.db as db:
        db.execute("DELETE FROM forum_vote WHERE post = ?", (found["id"],))
    return done(f"/post/{found['id']}", "unvote")


async def comment(request: Request) -> Response:
    found, fields = post_of(request), await form(request)
    if not fields.get("body"):
        return done(f"/post/{found['id']}", "empty")
    with request.state.db as db:
        values = (found["id"], ME, TODAY, fields["body"])
        db.execute("INSERT INTO forum_comment (post, author, created, body) VALUES (?, ?, ?, ?)", values)
    return done(f"/post/{found['id']}", "comment")


async def members(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    found = rows(request.state.db, "SELECT * FROM forum_member ORDER BY id DESC")
    if query:
        found = best_matches(query, found, lambda member: set(member["name"].lower().split()))
    title = "Members found" if query else "Newest members"
    return page(request, "forum/members.html", title=title, query=query, page=paginate(request, found))


async def member(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM forum_member WHERE id = ?", request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    posts = one(request.state.db, "SELECT count(*) AS number FROM forum_post WHERE author = ?", found["name"])["number"]
    return page(request, "forum/member.html", title=found["name"], member=found, posts=posts)


async def submit(request: Request) -> Response:
    forums = rows(request.state.db, "SELECT * FROM forum_forum ORDER BY id")
    return page(request, "forum/submit.html", title="Submit a post", forums=forums)


async def submitted(request: Request) -> Response:
    fields = await form(request)
    slug = forum_of(request, fields.get("forum", ""))["slug"]
    if not fields.get("title"):
        return done("/submit", "empty")
    with request.state.db as db:
        key = db.execute(
            "INSERT INTO forum_post (forum, title, author, points, created, body, recommends) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (slug, fields["title"], ME, 1, TODAY, fields.get("body", ""), ""),
        ).lastrowid
    return done(f"/post/{key}", "post")


async def profile(request: Request) -> Response:
    subscriptions = rows(
        request.state.db,
        "SELECT f.slug, f.title FROM forum_subscription s JOIN forum_forum f ON f.slug = s.forum ORDER BY s.id",
    )
    posts = rows(request.state.db, "SELECT id, title FROM forum_post WHERE author = ? ORDER BY id DESC LIMIT 5", ME)
    return page(request, "forum/profile.html", title="My profile", name=ME, subscriptions=subscriptions, posts=posts)


ROUTES = [
    Route("/", home),
    Route("/forum/{slug}", forum),
    Route("/forum/{slug}/subscribe", subscribe, methods=["POST"]),
    Route("/forum/{slug}/unsubscribe", unsubscribe, methods=["POST"]),
    Route("/post/{id}", post),
    Route("/post/{id}/vote", vote, methods=["POST"]),
    Route("/post/{id}/unvote", unvote, methods=["POST"]),
    Route("/post/{id}/comment", comment, methods=["POST"]),
    Route("/members", members),
    Route("/member/{id}", member),
    Route("/submit", submit),
    Route("/submit", submitted, methods=["POST"]),
    Route("/profile", profile),
    *forum_communities.ROUTES,
]
