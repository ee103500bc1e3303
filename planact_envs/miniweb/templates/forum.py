"""Task templates of the forum."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.forum import COMMENTS, FORUMS
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, change, changes, report
from planact_envs.miniweb.templates.stages import (
    answer,
    choose,
    click,
    fact,
    go,
    open_listed,
    open_result,
    plain,
    press,
    search_members,
    stop,
    submit,
    type_,
)

URL = "http://forum.miniweb"
REMARKS = (*COMMENTS, "Good question", "I will try this at home", "Same here", "Ask again in the summer", "Nice work")
TEXTS = ("Any advice is welcome", "I am new to this", "Short answers are fine", "I have asked my neighbours already", "Thank you")


def post_of(db: Database, params: Params) -> Row:
    sql = "SELECT p.*, f.title AS forum_title FROM forum_post p JOIN forum_forum f ON f.slug = p.forum WHERE p.title = ?"
    return one(db, sql, params["post"])


def slug_of(db: Database, forum: str) -> str:
    return one(db, "SELECT slug FROM forum_forum WHERE title = ?", forum)["slug"]


def posts(db: Database, where: str = "1") -> list[Params]:
    """The posts for which `where`, SQL of this module, holds."""
    sql = f"SELECT p.title, f.title AS forum FROM forum_post p JOIN forum_forum f ON f.slug = p.forum WHERE {where} ORDER BY p.id"
    return [{"post": row["title"], "forum": row["forum"]} for row in rows(db, sql)]


def open_forum(forum: str) -> Stage:
    return submit(f"Open the forum '{forum}'.", f"The home page lists the forum '{forum}'.", click(forum))


def list_page(db: Database, post: Row) -> int:
    newer = one(db, "SELECT count(*) AS number FROM forum_post WHERE forum = ? AND id > ?", post["forum"], post["id"])["number"]
    return 1 + newer // PAGE_SIZE


def find_post(db: Database, params: Params) -> tuple[tuple[Stage, ...], int]:
    """The stages from the home page to a post, and how many moves they take."""
    on_page = list_page(db, post_of(db, params))
    return (open_forum(params["forum"]), open_listed("post", plain(params["post"]), on_page)), 1 + on_page


def upvote() -> Stage:
    return submit("Upvote the post.", "The post page has a button for upvotes.", press("Upvote"))


def points_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_post(db, params)[0], answer("points", str(post_of(db, params)["points"]))))


def points_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(str(post_of(db, params)["points"]))


def upvote_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_post(db, params)[0], upvote(), stop()))


def upvote_evaluate(db: Database, params: Params) -> dict[str, Any]:
    post = post_of(db, params)
    shows = [f"Points: {post['points'] + 1}"]
    return change("forum_vote", "added", {"post": post["id"]}, url=f"{URL}/post/{post['id']}", shows=shows)


def comment_instances(db: Database) -> list[Params]:
    return [params | {"text": REMARKS[i * 5 % len(REMARKS)]} for i, params in enumerate(posts(db))]


def comment_solve(db: Database, params: Params) -> Solution:
    moves = type_("Your comment", params["text"]), press("Add comment")
    write = submit(f"Write the comment '{params['text']}' and add it.", "The page has a form for comments.", *moves)
    return Solution((*find_post(db, params)[0], write, stop()))


def comment_evaluate(db: Database, params: Params) -> dict[str, Any]:
    key, text = post_of(db, params)["id"], params["text"]
    row = {"post": key, "author": ME, "created": TODAY, "body": text}
    return change("forum_comment", "added", row, url=f"{URL}/post/{key}", shows=[f"{text} ({ME}"])


def karma_instances(db: Database) -> list[Params]:
    return [{"member": row["name"]} for row in rows(db, "SELECT name FROM forum_member ORDER BY id")]


def karma(db: Database, params: Params) -> str:
    return str(one(db, "SELECT karma FROM forum_member WHERE name = ?", params["member"])["karma"])


def karma_solve(db: Database, params: Params) -> Solution:
    member = plain(params["member"])
    start = go("Members", "The home page has a link to the members.")
    return Solution((start, search_members(member), open_result("member", member), answer("karma", karma(db, params))))


def karma_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(karma(db, params))


def new_titles() -> list[str]:
    """Titles that no post has."""
    return [f"Where do you keep your {thing}" for _, things in FORUMS.values() for thing in things.split(",")]


def submit_instances(db: Database) -> list[Params]:
    forums, titles = list(FORUMS), new_titles()
    return [{"forum": forums[i * 3 % 8], "title": title, "text": TEXTS[i % len(TEXTS)]} for i, title in enumerate(titles)]


def submit_solve(db: Database, params: Params) -> Solution:
    step = f"Choose the forum '{params['forum']}', set the title to '{params['title']}', write '{params['text']}' and publish."
    moves = choose("Forum", params["forum"]), type_("Title", params["title"]), type_("Text", params["text"]), press("Publish post")
    start = go("New post", "The home page has a link for a new post.")
    return Solution((start, submit(step, "The form has a forum, a title and a text field.", *moves), stop()))


def published(slug: str, title: str, text: str) -> dict[str, Any]:
    row = {"forum": slug, "title": title, "author": ME, "points": 1, "created": TODAY, "body": text, "recommends": ""}
    return change("forum_post", "added", row, url=f"{URL}/forum/{slug}", shows=[title])


def submit_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return published(slug_of(db, params["forum"]), params["title"], params["text"])


def author_instances(db: Database) -> list[Params]:
    """One post of each author: the answers of two tasks then always differ."""
    return posts(db, "p.id IN (SELECT min(id) FROM forum_post GROUP BY author)")


def author_of(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM forum_member WHERE name = ?", post_of(db, params)["author"])


def author_solve(db: Database, params: Params) -> Solution:
    to_post, moves = find_post(db, params)
    member = author_of(db, params)
    author, facts = fact("author", member["name"], "the author of the post", seen_after=moves)
    members = go("Members", "The author can be looked up among the members.")
    return Solution((*to_post, members, search_members(author), open_result("member", author), answer("city", member["city"])), facts)


def author_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(author_of(db, params)["city"])


def recommending(db: Database) -> list[Params]:
    return posts(db, "p.recommends <> ''")


def recommended(db: Database, params: Params, seen_after: int):
    return fact("forum", post_of(db, params)["recommends"], "that is recommended there", seen_after)


def follow_solve(db: Database, params: Params) -> Solution:
    to_post, moves = find_post(db, params)
    forum, facts = recommended(db, params, moves)
    stages = (
        *to_post,
        upvote(),
        go("Forum home", "The home page lists all forums."),
        submit(f"Open the forum {forum.shown}.", "The home page lists all forums.", click(forum.text)),
        submit("Subscribe to the forum.", "The forum page has a button for this.", press("Subscribe")),
        stop(),
    )
    return Solution(stages, facts)


def follow_instances(db: Database) -> list[Params]:
    return posts(db, "p.recommends NOT IN (SELECT title FROM forum_forum JOIN forum_subscription ON forum = slug) AND p.recommends <> ''")


def follow_evaluate(db: Database, params: Params) -> dict[str, Any]:
    post = post_of(db, params)
    added = {"forum_vote": {"added": [{"post": post["id"]}]}}
    added |= {"forum_subscription": {"added": [{"forum": slug_of(db, post["recommends"])}]}}
    return changes(added, url=f"{URL}/profile", shows=[post["recommends"]])


def pass_on_instances(db: Database) -> list[Params]:
    return [params | {"title": title} for params, title in zip(recommending(db), new_titles()[::2])]


def pass_on_solve(db: Database, params: Params) -> Solution:
    to_post, moves = find_post(db, params)
    forum, facts = recommended(db, params, moves)
    step = f"Choose the forum {forum.shown}, set the title to '{params['title']}' and publish."
    form = choose("Forum", forum.text), type_("Title", params["title"]), press("Publish post")
    start = go("New post", "Each page has a link for a new post.")
    return Solution((*to_post, start, submit(step, "The form has a forum and a title field.", *form), stop()), facts)


def pass_on_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return published(slug_of(db, post_of(db, params)["recommends"]), params["title"], "")


SITE = ("forum",)
POST = ("post",)
POINTS = (
    "How many points does the post '{post}' in the forum '{forum}' have?",
    "Tell me the points of '{post}' in the forum '{forum}'.",
    "Look up how many points '{post}' has got. It is in the forum '{forum}'.",
)
UPVOTE = (
    "Upvote the post '{post}' in the forum '{forum}'.",
    "Give the post '{post}' in the forum '{forum}' my upvote.",
    "I like '{post}' in the forum '{forum}'. Upvote it.",
)
COMMENT = (
    "Comment '{text}' on the post '{post}' in the forum '{forum}'.",
    "Add the comment '{text}' to the post '{post}' in the forum '{forum}'.",
    "Answer the post '{post}' in the forum '{forum}' with '{text}'.",
)
KARMA = (
    "How much karma does the forum member '{member}' have?",
    "Tell me the karma of the member '{member}'.",
    "Look up the karma of '{member}' in the forum.",
)
SUBMIT = (
    "Post '{title}' with the text '{text}' in the forum '{forum}'.",
    "Submit a post to the forum '{forum}' with the title '{title}' and the text '{text}'.",
    "Publish a post in the forum '{forum}': title '{title}', text '{text}'.",
)
AUTHOR = (
    "In which city does the author of '{post}' in the forum '{forum}' live?",
    "Tell me the city of the author of the post '{post}' in the forum '{forum}'.",
    "Where does the person live who wrote '{post}' in the forum '{forum}'?",
)
FOLLOW = (
    "Upvote '{post}' in the forum '{forum}' and subscribe to the forum that it recommends.",
    "Give the post '{post}' in the forum '{forum}' an upvote, then subscribe to the forum recommended in it.",
    "The post '{post}' in the forum '{forum}' recommends another forum. Upvote the post and subscribe to that forum.",
)
PASS_ON = (
    "Submit a post titled '{title}' to the forum that '{post}' in the forum '{forum}' recommends.",
    "The post '{post}' in the forum '{forum}' recommends another forum. Publish a post titled '{title}' there.",
    "Post '{title}' in the forum recommended by '{post}' in the forum '{forum}'.",
)
TEMPLATES = (
    Template("forum.points", SITE, POINTS, POST, posts, points_solve, points_evaluate, "find", short=True),
    Template("forum.upvote", SITE, UPVOTE, POST, posts, upvote_solve, upvote_evaluate, "change", short=True),
    Template("forum.comment", SITE, COMMENT, POST, comment_instances, comment_solve, comment_evaluate, "change", short=True),
    Template("forum.karma", SITE, KARMA, ("member",), karma_instances, karma_solve, karma_evaluate, "find", short=True),
    Template("forum.submit", SITE, SUBMIT, ("title",), submit_instances, submit_solve, submit_evaluate, "change", short=True),
    Template("forum.author", SITE, AUTHOR, POST, author_instances, author_solve, author_evaluate, "find", short=True),
    Template("forum.follow", SITE, FOLLOW, POST, follow_instances, follow_solve, follow_evaluate, "change", short=True),
    Template("forum.pass_on", SITE, PASS_ON, POST, pass_on_instances, pass_on_solve, pass_on_evaluate, "change", short=True),
)
