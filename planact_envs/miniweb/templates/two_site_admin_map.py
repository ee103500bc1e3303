"""Task templates that span the admin panel and the forum, or the map and the shop."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import one, rows
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.solution import Solution
from planact_envs.miniweb.templates import forum, shop
from planact_envs.miniweb.templates.admin import find_order
from planact_envs.miniweb.templates.base import Database, Params, Template, changes
from planact_envs.miniweb.templates.forum_changes import accept_rules, accepted, thread, thread_list_page
from planact_envs.miniweb.templates.forum_questions import find_community, to_communities
from planact_envs.miniweb.templates.map import find_place, place_of, places
from planact_envs.miniweb.templates.stages import fact, go, open_listed, plain, press, stop, submit, type_, visit


def tracking_instances(db: Database) -> list[Params]:
    """Orders that have been sent, each with another thread."""
    orders = rows(db, "SELECT number FROM admin_order WHERE tracking LIKE 'TRK%' ORDER BY id")
    sql = "SELECT t.title AS thread, c.title AS community FROM forum_thread t JOIN forum_community c ON slug = community"
    return [{"order": order["number"]} | where for order, where in zip(orders, rows(db, f"{sql} WHERE fits = '' AND product = ''"))]


def tracking(db: Database, params: Params) -> str:
    return one(db, "SELECT tracking FROM admin_order WHERE number = ?", params["order"])["tracking"]


def tracking_solve(db: Database, params: Params) -> Solution:
    number, facts = fact("tracking", tracking(db, params), "the tracking number", seen_after=2)
    form = type_("Your reply", number.text), press("Add reply")
    stages = (
        *find_order(params["order"]),
        visit(HOME["forum"]),
        *to_communities(),
        *find_community(plain(params["community"])),
        open_listed("thread", plain(params["thread"]), thread_list_page(db, thread(db, params))),
        go("Reply", "The thread has a link for replies."),
        accept_rules("the reply"),
        submit(f"Write the reply {number.shown} and add it.", "The form has a field for it.", *form),
        stop(),
    )
    return Solution(stages, facts)


def tracking_evaluate(db: Database, params: Params) -> dict[str, Any]:
    found, number = thread(db, params), tracking(db, params)
    row = {"thread": found["id"], "author": ME, "created": TODAY, "body": number}
    added = {"forum_reply": {"added": [row]}, "forum_accepted": accepted(found["community"])}
    return changes(added, url=f"{forum.URL}/thread/{found['id']}", shows=[f"{number} ({ME}"])


def stay_instances(db: Database) -> list[Params]:
    """Places to stay that are not in the town where the user's account says that they live."""
    home = one(db, "SELECT city FROM shop_account")["city"]
    return [{"place": place["name"]} for place in places(db, "category = 'Hotel'") if place["town"] != home]


def account(db: Database, params: Params) -> Params:
    found = place_of(db, params["place"])
    return {"phone": found["phone"], "city": found["town"]}


def stay_solve(db: Database, params: Params) -> Solution:
    new = account(db, params)
    phone, facts = fact("phone", new["phone"], "the phone of the place", seen_after=2)
    city, more = fact("city", new["city"], "the town of the place", seen_after=2)
    step = f"Set the phone to {phone.shown} and the city to {city.shown} and save."
    moves = type_("Phone", phone.text), type_("City", city.text), press("Save account")
    stages = (
        *find_place(plain(params["place"])),
        visit(HOME["shop"]),
        go("My account", "The home page has a link to my account."),
        go("Edit account", "The account page has a link for editing."),
        submit(step, "The form has a phone and a city field.", *moves),
        stop(),
    )
    return Solution(stages, facts | more)


def stay_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return shop.account_evaluate(db, account(db, params))


TRACKING = (
    "In '{thread}' (community '{community}', http://forum.miniweb/), a customer asks where order '{order}' is. Reply its tracking number.",
    "Reply to the thread '{thread}' of the community '{community}' at http://forum.miniweb/ with the tracking number of order '{order}'.",
    "Give the tracking number of order '{order}' as a reply in the thread '{thread}' at http://forum.miniweb/, community '{community}'.",
)
STAY = (
    "I stay at '{place}'. Put its phone and town into my account at http://shop.miniweb/.",
    "Set the phone and the city of my account at http://shop.miniweb/ to those of '{place}'.",
    "Take over phone and town of '{place}' into my account at http://shop.miniweb/.",
)
TEMPLATES = (
    Template(
        "two_site.tracking", ("admin", "forum"), TRACKING, ("order",), tracking_instances, tracking_solve, tracking_evaluate, "change",
        unseen=True,
    ),
    Template("two_site.stay", ("map", "shop"), STAY, ("place",), stay_instances, stay_solve, stay_evaluate, "change"),
)  # fmt: skip
