"""Task templates that span two sites: something is read on the first and needed on the second, whose address the request names."""

from __future__ import annotations

import itertools
from typing import Any

from planact_envs.miniweb.content.code import LABELS
from planact_envs.miniweb.content.forum_communities import COMMUNITIES, slug_of
from planact_envs.miniweb.content.shop import cents, money
from planact_envs.miniweb.database import one, rows
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.solution import Fact, Solution, Stage
from planact_envs.miniweb.templates import code, forum, shop
from planact_envs.miniweb.templates.base import Database, Params, Template, end_on, report
from planact_envs.miniweb.templates.forum_changes import accept_rules, started, thread, thread_list_page
from planact_envs.miniweb.templates.forum_questions import find_community, to_communities
from planact_envs.miniweb.templates.stages import (
    Value,
    answer,
    choose,
    conclude,
    fact,
    go,
    open_listed,
    open_result,
    plain,
    press,
    search_members,
    search_products,
    stop,
    stop_on_page,
    submit,
    type_,
    visit,
)

QUESTIONS = (
    "Does anyone own this one",
    "Who can tell me more about this",
    "Is this worth the money",
    "Which of these lasts longest",
    "Who has one for sale",
)


def find_member(member: Value) -> tuple[Stage, ...]:
    """From the code host to a member's page on the forum: four moves."""
    members = go("Members", "The home page has a link to the members.")
    return visit(HOME["forum"]), members, search_members(member), open_result("member", member)


def price_instances(db: Database) -> list[Params]:
    """Without spare parts: requests about two of them would be almost the same."""
    where = itertools.cycle(COMMUNITIES)
    products = [params["product"] for params in shop.sku_instances(db)]
    return [{"product": name, "title": f"Your price for the {name}", "community": next(where)} for name in products]


def price_solve(db: Database, params: Params) -> Solution:
    title = params["title"]
    price, facts = fact("price", shop.product(db, params["product"])["price"], "the price of the product", seen_after=2)
    form = type_("Title", title), type_("Text", price.text), press("Publish thread")
    stages = (
        *shop.find_product(params["product"]),
        visit(HOME["forum"]),
        *to_communities(),
        *find_community(plain(params["community"])),
        go("New thread", "The community page has a link for a new thread."),
        accept_rules("the new thread"),
        submit(f"Set the title to '{title}', write {price.shown} and publish.", "The form has a title and a text field.", *form),
        stop(),
    )
    return Solution(stages, facts)


def price_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return started(slug_of(params["community"]), params["title"], shop.product(db, params["product"])["price"])


def sku_instances(db: Database) -> list[Params]:
    forums = [row["title"] for row in rows(db, "SELECT title FROM forum_forum ORDER BY id")]
    found = enumerate(shop.all_products(db))
    return [params | {"title": QUESTIONS[i % len(QUESTIONS)], "forum": forums[i * 3 % len(forums)]} for i, params in found]


def sku_solve(db: Database, params: Params) -> Solution:
    title, where = params["title"], params["forum"]
    sku, facts = fact("sku", shop.product(db, params["product"])["sku"], "the SKU of the product", seen_after=2)
    step = f"Choose the forum '{where}', set the title to '{title}', write {sku.shown} and publish."
    form = choose("Forum", where), type_("Title", title), type_("Text", sku.text), press("Publish post")
    stages = (
        *shop.find_product(params["product"]),
        visit(HOME["forum"]),
        go("New post", "The home page has a link for a new post."),
        submit(step, "The form has a forum, a title and a text field.", *form),
        stop(),
    )
    return Solution(stages, facts)


def sku_evaluate(db: Database, params: Params) -> dict[str, Any]:
    sku = shop.product(db, params["product"])["sku"]
    return forum.published(forum.slug_of(db, params["forum"]), params["title"], sku)


def release_instances(db: Database) -> list[Params]:
    return [project | post for project, post in zip(code.projects(db), forum.posts(db)[1::2])]


def release_solve(db: Database, params: Params) -> Solution:
    version, facts = fact("version", code.latest(db, params), "the newest version", seen_after=2)
    form = type_("Your comment", version.text), press("Add comment")
    stages = (
        code.find_project(params),
        code.tab("Releases"),
        visit(HOME["forum"]),
        *forum.find_post(db, params)[0],
        submit(f"Write the comment {version.shown} and add it.", "The page has a form for comments.", *form),
        stop(),
    )
    return Solution(stages, facts)


def release_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return forum.comment_evaluate(db, params | {"text": code.latest(db, params)})


def maintainer_instances(db: Database) -> list[Params]:
    """One project of each maintainer."""
    return list({code.maintainer(db, params): params for params in code.projects(db)}.values())


def maintainer_karma(db: Database, params: Params) -> str:
    return forum.karma(db, {"member": code.maintainer(db, params)})


def maintainer_solve(db: Database, params: Params) -> Solution:
    person, facts = fact("maintainer", code.maintainer(db, params), "the maintainer", seen_after=2)
    to_team = code.find_project(params), code.tab("Members")
    return Solution((*to_team, *find_member(person), answer("karma", maintainer_karma(db, params))), facts)


def maintainer_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(maintainer_karma(db, params))


def assignee_instances(db: Database) -> list[Params]:
    """One issue of each assignee."""
    return list({code.issue_of(db, params)["assignee"]: params for params in code.assignee_instances(db)}.values())


def assignee_solve(db: Database, params: Params) -> Solution:
    person, facts = fact("assignee", code.issue_of(db, params)["assignee"], "the assignee", seen_after=3)
    return Solution((*code.find_issue(params), *find_member(person), stop_on_page()), facts)


def assignee_evaluate(db: Database, params: Params) -> dict[str, Any]:
    member = one(db, "SELECT id FROM forum_member WHERE name = ?", code.issue_of(db, params)["assignee"])
    return end_on(f"{forum.URL}/member/{member['id']}")


def threads(db: Database, where: str) -> list[Params]:
    """The threads about a product of the shop for which `where`, SQL of this module, holds."""
    sql = "SELECT t.title AS thread, c.title AS community FROM forum_thread t JOIN forum_community c ON slug = community"
    return rows(db, f"{sql} WHERE product <> '' AND {where} ORDER BY t.id")


def offers(db: Database) -> list[Params]:
    return threads(db, "offer <> ''")


def recommendations(db: Database) -> list[Params]:
    return threads(db, "offer = ''")


def find_their_product(db: Database, params: Params) -> tuple[tuple[Stage, ...], dict[str, Fact]]:
    """From the forum to the shop's page of the product that a thread is about, and the fact."""
    found = thread(db, params)
    on_page = thread_list_page(db, found)
    name, facts = fact("product", found["product"], "the product that it names", seen_after=4 + on_page)
    stages = (
        *to_communities(),
        *find_community(plain(params["community"])),
        open_listed("thread", plain(params["thread"]), on_page),
        visit(HOME["shop"]),
        search_products(name),
        open_result("product", name),
    )
    return stages, facts


def saving(db: Database, params: Params) -> str:
    found = thread(db, params)
    price = shop.product(db, found["product"])["price"]
    return money(cents(price) - cents(found["offer"]))


def offer_solve(db: Database, params: Params) -> Solution:
    stages, facts = find_their_product(db, params)
    return Solution((*stages, conclude("how much less the offer is", saving(db, params))), facts)


def offer_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(saving(db, params))


def wish_solve(db: Database, params: Params) -> Solution:
    stages, facts = find_their_product(db, params)
    wish = submit("Add the product to the wish list.", "The product page has a button for this.", press("Add to wish list"))
    return Solution((*stages, wish, stop()), facts)


def wish_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return shop.wish_evaluate(db, {"product": thread(db, params)["product"]})


def parcel_instances(db: Database) -> list[Params]:
    pairs = zip(shop.tracking_instances(db), code.projects(db))
    return [order | project | {"label": LABELS[i % len(LABELS)]} for i, (order, project) in enumerate(pairs)]


def parcel_solve(db: Database, params: Params) -> Solution:
    label = params["label"]
    number, facts = fact("tracking", shop.tracking(db, params), "the tracking number", seen_after=2)
    step = f"Set the title to {number.shown} and the label to '{label}' and create the issue."
    form = type_("Title", number.text), choose("Label", label), press("Create issue")
    stages = (
        *shop.find_order(params["order"]),
        visit(HOME["code"]),
        code.find_project(params),
        code.tab("Issues"),
        go("New issue", "The issues page has a link for a new issue."),
        submit(step, "The form has a title and a label field.", *form),
        stop(),
    )
    return Solution(stages, facts)


def parcel_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return code.new_issue_evaluate(db, params | {"title": shop.tracking(db, params)})


PRICE = (
    "Start a thread '{title}' in the community '{community}' at http://forum.miniweb/. Its text is the price of '{product}'.",
    "What does '{product}' cost? Publish the price as a thread titled '{title}' in the community '{community}' at http://forum.miniweb/.",
    "Take the price of '{product}' to http://forum.miniweb/: a new thread '{title}' in the community '{community}', the price as its text.",
)
SKU = (
    "Find the SKU of '{product}' and post it at http://forum.miniweb/ in the forum '{forum}' as the text under the title '{title}'.",
    "Ask about '{product}' in the forum '{forum}' at http://forum.miniweb/: a post titled '{title}' whose text is the SKU.",
    "Submit a post titled '{title}' to the forum '{forum}' at http://forum.miniweb/. As text, give the SKU of '{product}'.",
)
RELEASE = (
    "Announce the newest release of '{project}' with a comment on '{post}' in the forum '{forum}' at http://forum.miniweb/: its version.",
    "Comment on the post '{post}' in the forum '{forum}' (http://forum.miniweb/) with the newest version of the project '{project}'.",
    "At http://forum.miniweb/, answer '{post}' in the forum '{forum}' with the number of the newest release of '{project}'.",
)
MAINTAINER = (
    "How much karma does the maintainer of the project '{project}' have on the forum at http://forum.miniweb/?",
    "Tell me the forum karma of the person who maintains '{project}'. The forum is at http://forum.miniweb/.",
    "Look up the maintainer of '{project}' on http://forum.miniweb/ and report the karma.",
)
ASSIGNEE = (
    "Open the forum page (http://forum.miniweb/) of the person to whom the issue '{issue}' of the project '{project}' is assigned.",
    "Who is to solve the issue '{issue}' of the project '{project}'? Show me that member on the forum at http://forum.miniweb/.",
    "Go to the member page of the assignee of '{issue}' in the project '{project}'; members are on http://forum.miniweb/.",
)
OFFER = (
    "In the community '{community}', the thread '{thread}' sells something. How much less does it ask than http://shop.miniweb/ does?",
    "Compare the offer in the thread '{thread}' of the community '{community}' with the price at http://shop.miniweb/. What is saved?",
    "How much would I save by taking the offer in '{thread}' (community '{community}') instead of buying at http://shop.miniweb/?",
)
WISHED = (
    "The thread '{thread}' in the community '{community}' recommends a product. Put it on my wish list at http://shop.miniweb/.",
    "Add what the thread '{thread}' of the community '{community}' recommends to the wish list of the shop at http://shop.miniweb/.",
    "Read the thread '{thread}' in the community '{community}' and save the product that it recommends in my wish list at http://shop.miniweb/.",
)
PARCEL = (
    "Make the tracking number of my order '{order}' the title of a new issue of '{project}' at http://code.miniweb/, label '{label}'.",
    "Open an issue in '{project}' at http://code.miniweb/ with the label '{label}', titled with the tracking number of my order '{order}'.",
    "Tell the project '{project}' at http://code.miniweb/ my order '{order}': an issue with the tracking number as title, label '{label}'.",
)
SHOP_FORUM, CODE_FORUM, FORUM_SHOP, SHOP_CODE = ("shop", "forum"), ("code", "forum"), ("forum", "shop"), ("shop", "code")
PRODUCT, PROJECT, THREAD = ("product",), ("project",), ("thread",)
TEMPLATES = (
    Template("two_site.price", SHOP_FORUM, PRICE, PRODUCT, price_instances, price_solve, price_evaluate, "change"),
    Template("two_site.sku", SHOP_FORUM, SKU, PRODUCT, sku_instances, sku_solve, sku_evaluate, "change"),
    Template("two_site.release", CODE_FORUM, RELEASE, PROJECT, release_instances, release_solve, release_evaluate, "change"),
    Template("two_site.maintainer", CODE_FORUM, MAINTAINER, PROJECT, maintainer_instances, maintainer_solve, maintainer_evaluate, "find"),
    Template("two_site.assignee", CODE_FORUM, ASSIGNEE, ("issue",), assignee_instances, assignee_solve, assignee_evaluate, "navigate"),
    Template("two_site.offer", FORUM_SHOP, OFFER, THREAD, offers, offer_solve, offer_evaluate, "compare"),
    Template("two_site.wish", FORUM_SHOP, WISHED, THREAD, recommendations, wish_solve, wish_evaluate, "change", unseen=True),
    Template("two_site.parcel", SHOP_CODE, PARCEL, ("order",), parcel_instances, parcel_solve, parcel_evaluate, "change", unseen=True),
)
