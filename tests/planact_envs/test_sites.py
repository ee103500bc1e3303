"""The sites as a visitor sees them: every page that links lead to, and what forms do."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import httpx
import pytest

from planact_envs.miniweb import sites
from planact_envs.miniweb.database import connect, difference, rows
from planact_envs.miniweb.world import build_world
from planact_envs.observation import render_page
from planact_envs.page import Page, read_html

MAX_CHARACTERS = 1000  # of a page in the short form
MAX_ELEMENTS = 30
MAX_NAME = 50


@asynccontextmanager
async def visitor():
    """A client on a fresh world, and that world."""
    db = connect(build_world())

    async def app(scope, receive, send):
        await sites.app()({**scope, "state": {"db": db}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), follow_redirects=True) as client:
        yield client, db
    db.close()


def texts(page: Page) -> list[str]:
    found = []

    def walk(node):
        found.append(node.name)
        for child in node.children:
            walk(child)

    walk(page.root)
    return found


@pytest.fixture(scope="module")
def crawled() -> dict[str, tuple[int, str]]:
    """Every page that links lead to, from each home page on: url -> (status, HTML)."""

    async def crawl():
        found, todo = {}, list(sites.HOME.values())
        async with visitor() as (client, db):
            while todo:
                url = todo.pop()
                if url not in found:
                    response = await client.get(url)
                    found[url] = response.status_code, response.text
                    elements = read_html(response.text).elements.values()
                    todo += [urljoin(url, e.attributes["href"]) for e in elements if e.tag == "a"]
            assert difference(connect(build_world()), db) == {}, "reading pages changes nothing"
        return found

    return asyncio.run(crawl())


def test_every_page_that_links_lead_to_answers(crawled):
    assert [url for url, (status, _) in crawled.items() if status != 200] == []
    assert len(crawled) > 700
    for kind in ("product", "order", "category", "forum", "post", "member", "project", "issues", "releases", "members", "page="):
        assert any(kind in url for url in crawled), kind


def test_elements_can_be_told_apart_by_role_and_name(crawled):
    for url, (_, html) in crawled.items():
        names = [(node.role, node.name) for node in read_html(html).nodes.values()]
        assert [name for name, count in Counter(names).items() if count > 1] == [], url
        assert all(name and len(name) < MAX_NAME and not set(name) & set("'\"{}") for _, name in names), url


def test_pages_are_small_and_have_one_heading_that_is_the_title(crawled):
    for url, (_, html) in crawled.items():
        page = read_html(html)
        assert len(render_page(page.root, page.title, "short")) <= MAX_CHARACTERS, url
        assert len(page.elements) <= MAX_ELEMENTS, url
        assert html.count("<h1>") == 1 and f"<h1>{page.title}</h1>" in html, url


@pytest.mark.parametrize("home", sites.HOME.values())
def test_a_missing_page_is_a_page_of_the_site(home):
    async def run():
        async with visitor() as (client, _):
            bad = ["nope", "product/X", "post/99999999999999999999999", "forum/x", "project/x/issues", "order/-1", "cart/add", "member/0"]
            answers = [await client.get(urljoin(home, path)) for path in bad] + [await client.post(urljoin(home, "cart/add"))]
            navigation = [name for _, name in links((await client.get(home)).text)][:2]
            for answer in answers:
                assert answer.status_code in (404, 405)
                assert [name for _, name in links(answer.text)][:2] == navigation

    asyncio.run(run())


def links(html: str) -> list[tuple[str, str]]:
    return [(node.role, node.name) for node in read_html(html).nodes.values() if node.role == "link"]


CHANGES = [  # url, form, notice, table that changes
    ("http://shop.miniweb/wish/remove", {"sku": "{wish}"}, "Removed from your wish list.", "shop_wish"),
    ("http://forum.miniweb/forum/hiking/unsubscribe", {}, "You are no longer subscribed.", "forum_subscription"),
    ("http://forum.miniweb/post/3/vote", {}, "You upvoted this post.", "forum_vote"),
    ("http://shop.miniweb/outlet/basket", {"code": "{item}"}, "Put in your outlet basket.", "shop_outlet_basket"),
    ("http://admin.miniweb/order/{order}/status", {"status": "On hold"}, "The status has been saved.", "shop_order"),
    ("http://admin.miniweb/order/{order}/tracking", {"tracking": "TRK-1"}, "The tracking number has been saved.", "shop_order"),
    ("http://admin.miniweb/order/{order}/note", {"note": "Call first"}, "The note has been added.", "admin_note"),
    ("http://admin.miniweb/review/3/delete", {}, "The review has been deleted.", "admin_review"),
    (
        "http://admin.miniweb/product/{sku}",
        {"name": "New name", "price": "9.50", "stock": "7"},
        "The product has been saved.",
        "shop_product",
    ),
    (
        "http://admin.miniweb/coupons",
        {"code": "NEW1", "percent": "5", "category": "Garden"},
        "The coupon has been created.",
        "admin_coupon",
    ),
    ("http://admin.miniweb/coupon/{coupon}/disable", {}, "The coupon has been disabled.", "admin_coupon"),
    ("http://code.miniweb/project/{starred}/unstar", {}, "Your star has been removed.", "code_star"),
    ("http://code.miniweb/project/{starred}/issues/2/close", {}, "The issue has been closed.", "code_issue"),
    ("http://code.miniweb/project/{starred}/issues/2/assign", {"assignee": "Nobody"}, "The assignee has been saved.", "code_issue"),
]


@pytest.mark.parametrize(("url", "form", "notice", "table"), CHANGES)
def test_a_change_is_stored_and_noticed(url, form, notice, table):
    async def run():
        async with visitor() as (client, db):
            known = {
                "wish": rows(db, "SELECT sku FROM shop_wish")[0]["sku"],
                "item": rows(db, "SELECT code FROM shop_outlet_item WHERE stock > 0")[0]["code"],
                "order": rows(db, "SELECT number FROM shop_order")[0]["number"],
                "sku": rows(db, "SELECT sku FROM shop_product")[0]["sku"],
                "coupon": rows(db, "SELECT code FROM admin_coupon WHERE state = 'active'")[0]["code"],
                "starred": rows(db, "SELECT project FROM code_star")[0]["project"],
            }
            answer = await client.post(url.format(**known), data={key: value.format(**known) for key, value in form.items()})
            assert answer.status_code == 200 and answer.history[0].status_code == 303
            assert notice in texts(read_html(answer.text))
            assert list(difference(connect(build_world()), db)) == [table]

    asyncio.run(run())


PRODUCT_FORM = "The product needs a name of its own, a price such as 12.50 and a stock in pieces."
COUPON_FORM = "The coupon needs a new code of capital letters and digits."
WRONG = [  # a form that is None is not posted; url, form, notice
    ("http://shop.miniweb/cart/add", {"sku": "{sku}", "quantity": "99"}, "The quantity must be from 1 to 5."),
    ("http://shop.miniweb/review", {"sku": "{sku}", "rating": "7", "body": "x"}, "Please fill in all fields."),
    ("http://shop.miniweb/cart/order", {}, "Please fill in all fields."),
    ("http://shop.miniweb/account", {"phone": " ", "city": "x"}, "Please fill in all fields."),
    ("http://shop.miniweb/outlet/basket", {"code": "{gone}"}, "This item is sold out."),
    ("http://shop.miniweb/outlet/orders", {"delivery": "Parcel"}, "Please fill in all fields."),
    ("http://admin.miniweb/orders/find", None, "No order has this number."),
    ("http://admin.miniweb/order/1006/status", {"status": "Lost"}, "Please fill in all fields."),
    ("http://admin.miniweb/order/1006/tracking", {"tracking": " "}, "Please fill in all fields."),
    ("http://admin.miniweb/order/1006/note", {}, "Please fill in all fields."),
    ("http://admin.miniweb/product/{sku}", {"name": "x", "price": "free", "stock": "7"}, PRODUCT_FORM),
    ("http://admin.miniweb/product/{sku}", {"name": "{other}", "price": "9.50", "stock": "7"}, PRODUCT_FORM),
    ("http://admin.miniweb/product/{sku}", {"name": "x", "price": "9.50", "stock": "-7"}, PRODUCT_FORM),
    ("http://admin.miniweb/coupons", {"code": "<b>", "percent": "5", "category": "Garden"}, COUPON_FORM),
    ("http://admin.miniweb/coupons", {"code": "NEW1", "percent": "99", "category": "Garden"}, COUPON_FORM),
    ("http://forum.miniweb/post/3/comment", {"body": "  "}, "Please fill in all fields."),
    ("http://forum.miniweb/submit", {"forum": "hiking", "title": ""}, "Please fill in all fields."),
]


@pytest.mark.parametrize(("url", "form", "notice"), WRONG)
def test_a_wrong_form_changes_nothing_and_says_so(url, form, notice):
    async def run():
        async with visitor() as (client, db):
            first, second = rows(db, "SELECT sku, name FROM shop_product LIMIT 2")
            gone = rows(db, "SELECT code FROM shop_outlet_item WHERE stock = 0")[0]["code"]
            known = {"sku": first["sku"], "other": second["name"], "gone": gone}
            if form is None:
                answer = await client.get(url)
            else:
                answer = await client.post(url.format(**known), data={key: value.format(**known) for key, value in form.items()})
            assert notice in texts(read_html(answer.text))
            assert difference(connect(build_world()), db) == {}

    asyncio.run(run())


def test_what_a_user_types_is_shown_as_text():
    async def run():
        async with visitor() as (client, _):
            body = "<a href='/x'>click</a> \"; DROP TABLE forum_post; -- {{ 1 }}"
            answer = await client.post("http://forum.miniweb/post/3/comment", data={"body": body})
            page = read_html(answer.text)
            assert any(body in text for text in texts(page))
            assert "click" not in [node.name for node in page.nodes.values()]
            assert (await client.get("http://forum.miniweb/post/3")).status_code == 200

    asyncio.run(run())


def test_a_cart_can_be_filled_emptied_and_ordered():
    async def run():
        async with visitor() as (client, db):
            first, second = (row["sku"] for row in rows(db, "SELECT sku FROM shop_product LIMIT 2"))
            for sku, quantity in ((first, "2"), (first, "1"), (second, "4")):
                await client.post("http://shop.miniweb/cart/add", data={"sku": sku, "quantity": quantity})
            await client.post("http://shop.miniweb/cart/remove", data={"sku": second})
            answer = await client.post("http://shop.miniweb/cart/order")
            changes = difference(connect(build_world()), db)
            name = rows(db, "SELECT name FROM shop_product WHERE sku = ?", first)[0]["name"]
            assert f"3 x {name}" in texts(read_html(answer.text))
            assert set(changes) == {"shop_order", "shop_order_item"}
            assert changes["shop_order_item"]["added"][0]["product"] == name

    asyncio.run(run())


def test_an_approved_review_is_in_the_shop():
    async def run():
        async with visitor() as (client, db):
            review = rows(db, "SELECT * FROM admin_review WHERE id = 5")[0]
            await client.post("http://admin.miniweb/review/5/approve")
            shown = texts(read_html((await client.get(f"http://shop.miniweb/product/{review['sku']}")).text))
            assert f"{review['rating']} of 5: {review['body']} ({review['author']})" in shown
            assert (await client.get("http://admin.miniweb/review/5")).status_code == 404

    asyncio.run(run())


def test_an_order_from_the_outlet_empties_the_basket():
    async def run():
        async with visitor() as (client, db):
            item = rows(db, "SELECT * FROM shop_outlet_item WHERE stock > 0")[0]
            await client.post("http://shop.miniweb/outlet/basket", data={"code": item["code"]})
            answer = await client.post("http://shop.miniweb/outlet/orders", data={"delivery": "Courier"})
            assert item["name"] in texts(read_html(answer.text)) and "delivery: Courier" in texts(read_html(answer.text))
            assert list(difference(connect(build_world()), db)) == ["shop_outlet_order"]

    asyncio.run(run())


def test_search_finds_the_thing_and_its_likes():
    async def run():
        async with visitor() as (client, db):
            product = rows(db, "SELECT * FROM shop_product")[0]
            by_name = await client.get("http://shop.miniweb/search", params={"q": product["name"].upper()})
            found = [name for _, name in links(by_name.text) if name in {row["name"] for row in rows(db, "SELECT name FROM shop_product")}]
            assert product["name"] in found and 1 < len(found) <= 8
            by_sku = await client.get("http://shop.miniweb/search", params={"q": product["sku"]})
            assert [name for _, name in links(by_sku.text)][5:] == [product["name"]]
            nothing = await client.get("http://shop.miniweb/search", params={"q": "zebra"})
            assert "No product matches." in texts(read_html(nothing.text))
            project = rows(db, "SELECT name FROM code_project")[0]["name"]
            straight = await client.get("http://code.miniweb/search", params={"q": project})
            assert straight.url.path == f"/project/{project}"

    asyncio.run(run())


@pytest.mark.parametrize("page", ["0", "-3", "x", "999999", "99", "²"])
def test_a_wrong_page_number_shows_a_page_of_the_list(page):
    async def run():
        async with visitor() as (client, _):
            answer = await client.get("http://shop.miniweb/orders", params={"page": page})
            assert answer.status_code == 200
            assert any(name.startswith("Order 1") for _, name in links(answer.text))

    asyncio.run(run())


def test_one_application_serves_isolated_episodes():
    async def run():
        async with visitor() as (one, _), visitor() as (other, other_db):
            await one.post("http://forum.miniweb/post/3/vote")
            assert "Remove upvote" not in (await other.get("http://forum.miniweb/post/3")).text
            assert difference(connect(build_world()), other_db) == {}

    asyncio.run(run())
