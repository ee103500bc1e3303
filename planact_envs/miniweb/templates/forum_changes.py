"""Long task templates of the forum that change something: moving between communities, replying, crossposting."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, changes
from planact_envs.miniweb.templates.forum import REMARKS, SITE, URL
from planact_envs.miniweb.templates.forum_questions import (
    back_to_communities,
    communities,
    community,
    find_community,
    find_writer,
    moderated,
    moderators,
    to_communities,
)
from planact_envs.miniweb.templates.stages import choose, click, fact, go, open_listed, plain, press, search, stop, submit, type_


def joined(db: Database) -> list[str]:
    return [row["community"] for row in rows(db, "SELECT community FROM forum_joined ORDER BY id")]


def thread_list_page(db: Database, thread: Row) -> int:
    """Where the thread stands in its community's list, newest first."""
    sql = "SELECT count(*) AS number FROM forum_thread WHERE community = ? AND id > ?"
    return 1 + one(db, sql, thread["community"], thread["id"])["number"] // PAGE_SIZE


def accept_rules(form: str) -> Stage:
    """`form` says what comes after the rules."""
    return submit("Accept the rules of the community.", f"The rules stand before {form}.", press("I accept the rules"))


def accepted(slug: str) -> dict[str, list[Row]]:
    return {"added": [{"community": slug}]}


def started(slug: str, title: str, text: str) -> dict[str, Any]:
    """Evaluation of a task that accepts the rules of a community and starts a thread there."""
    row = {"community": slug, "title": title, "author": ME, "points": 1, "created": TODAY, "body": text}
    row |= {"fits": "", "product": "", "offer": ""}
    added = {"forum_thread": {"added": [row]}, "forum_accepted": accepted(slug)}
    return changes(added, url=f"{URL}/community/{slug}", shows=[title])


def switch_instances(db: Database) -> list[Params]:
    old = [{"community": row["title"]} for row in rows(db, "SELECT c.title FROM forum_joined JOIN forum_community c ON community = slug")]
    new = [params for params in moderators(db) if moderated(db, params)["slug"] not in joined(db)]
    return [one | other for other in new for one in old]


def switch_solve(db: Database, params: Params) -> Solution:
    old, title = plain(params["community"]), moderated(db, params)["title"]
    new, facts = fact("community", title, "the community that this writer moderates", seen_after=8)
    stages = (
        *to_communities(),
        go("My communities", "The communities have a page of those that I joined."),
        open_listed("community", old),
        submit("Leave the community.", "The community page has a button for this.", press("Leave community")),
        *find_writer(params),
        back_to_communities(),
        *find_community(new),
        submit("Join the community.", "The community page has a button for this.", press("Join community")),
        stop(),
    )
    return Solution(stages, facts)


def switch_evaluate(db: Database, params: Params) -> dict[str, Any]:
    old, new = community(db, params["community"]), moderated(db, params)
    change = {"removed": [{"community": old["slug"]}], "added": [{"community": new["slug"]}]}
    return changes({"forum_joined": change}, url=f"{URL}/communities/mine", shows=[new["title"]])


def reply_instances(db: Database) -> list[Params]:
    return [params | {"text": REMARKS[i * 5 % len(REMARKS)]} for i, params in enumerate(communities(db))]


def top_writer(db: Database, params: Params) -> str:
    sql = "SELECT author FROM forum_thread WHERE community = ? GROUP BY author ORDER BY count(*) DESC"
    return one(db, sql, community(db, params["community"])["slug"])["author"]


def their_newest(db: Database, params: Params) -> Row:
    values = community(db, params["community"])["slug"], top_writer(db, params)
    return one(db, "SELECT * FROM forum_thread WHERE community = ? AND author = ? ORDER BY id DESC", *values)


def reply_solve(db: Database, params: Params) -> Solution:
    title, text = params["community"], params["text"]
    writer, facts = fact("writer", top_writer(db, params), "the writer with the most threads", seen_after=5)
    step = f"Open the newest thread by {writer.shown} in the search results."
    newest = submit(step, "The newest thread comes first.", click(their_newest(db, params)["title"]))
    write = submit(f"Write the reply '{text}' and add it.", "The form has a field for it.", type_("Your reply", text), press("Add reply"))
    stages = (
        *to_communities(),
        *find_community(plain(title)),
        go("Who writes here", "The community has a page of its writers."),
        submit(f"Open the community '{title}'.", "The search box for threads is on its page.", click(title)),
        search("threads", writer, "The search finds titles and authors."),
        newest,
        go("Reply", "The thread has a link for replies."),
        accept_rules("the reply"),
        write,
        stop(),
    )
    return Solution(stages, facts)


def reply_evaluate(db: Database, params: Params) -> dict[str, Any]:
    thread, text = their_newest(db, params), params["text"]
    row = {"thread": thread["id"], "author": ME, "created": TODAY, "body": text}
    added = {"forum_reply": {"added": [row]}, "forum_accepted": accepted(thread["community"])}
    return changes(added, url=f"{URL}/thread/{thread['id']}", shows=[f"{text} ({ME}"])


def misplaced(db: Database) -> list[Params]:
    sql = "SELECT t.title AS thread, c.title AS community FROM forum_thread t JOIN forum_community c ON slug = community WHERE fits <> ''"
    return rows(db, f"{sql} ORDER BY t.id")


def thread(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM forum_thread WHERE title = ?", params["thread"])


def crosspost_solve(db: Database, params: Params) -> Solution:
    found = thread(db, params)
    on_page = thread_list_page(db, found)
    target, facts = fact("target", found["fits"], "the community that it names", seen_after=4 + on_page)
    form = choose("Community", target.text), press("Continue")
    stages = (
        *to_communities(),
        *find_community(plain(params["community"])),
        open_listed("thread", plain(params["thread"]), on_page),
        go("Crosspost", "The thread has a link for crossposts."),
        submit(f"Choose the community {target.shown} and continue.", "The form has a field for the community.", *form),
        accept_rules("the crosspost"),
        submit("Crosspost the thread.", "The page has a button for this.", press("Crosspost thread")),
        stop(),
    )
    return Solution(stages, facts)


def crosspost_evaluate(db: Database, params: Params) -> dict[str, Any]:
    found = thread(db, params)
    return started(community(db, found["fits"])["slug"], found["title"], f"Crossposted from {params['community']}.")


SWITCH = (
    "Leave the community '{community}' and join the one that '{member}' moderates.",
    "I am done with the community '{community}'. Leave it, then join the community moderated by '{member}'.",
    "Give up the community '{community}' for the one whose moderator is '{member}': leave it and join that one.",
)
REPLY = (
    "In the community '{community}', reply '{text}' to the newest thread of the writer with the most threads there.",
    "Find out who has written most threads in the community '{community}' and reply '{text}' to that writer's newest thread there.",
    "The busiest writer of the community '{community}' should get the reply '{text}' to the newest of their threads there.",
)
CROSSPOST = (
    "Crosspost the thread '{thread}' of the community '{community}' to the community where it may fit better, as the thread says.",
    "The thread '{thread}' in the community '{community}' names a community where it may fit better. Crosspost it there.",
    "In the community '{community}' there is the thread '{thread}'. Crosspost it to the community that it names.",
)
MEMBER, COMMUNITY, THREAD = ("member",), ("community",), ("thread",)
TEMPLATES = (
    Template("forum.switch", SITE, SWITCH, MEMBER, switch_instances, switch_solve, switch_evaluate, "change", weight=3),
    Template("forum.reply", SITE, REPLY, COMMUNITY, reply_instances, reply_solve, reply_evaluate, "change", unseen=True, weight=3),
    Template("forum.crosspost", SITE, CROSSPOST, THREAD, misplaced, crosspost_solve, crosspost_evaluate, "change", unseen=True, weight=3),
)
