"""The forum's communities as a visitor sees them, and what their tables must hold for the tasks on them."""

from contextlib import asynccontextmanager
from datetime import datetime

import httpx
import pytest

from planact_envs.miniweb import sites
from planact_envs.miniweb.database import connect, difference, rows
from planact_envs.miniweb.world import build_world
from planact_envs.page import Page, read_html

FORUM = "http://forum.miniweb"
WALKERS = f"{FORUM}/community/harbour-walkers"


@asynccontextmanager
async def visitor():
    """A client on a fresh world, and that world."""
    db = connect(build_world())

    async def app(scope, receive, send):
        await sites.app()({**scope, "state": {"db": db}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), follow_redirects=True, base_url=FORUM) as client:
        yield client, db
    db.close()


def heading(answer: httpx.Response) -> str:
    return read_html(answer.text).title


def names(answer: httpx.Response, role: str) -> list[str]:
    return [node.name for node in read_html(answer.text).nodes.values() if node.role == role]


def shown(answer: httpx.Response) -> str:
    page: Page = read_html(answer.text)
    found = []

    def walk(node):
        found.append(node.name)
        for child in node.children:
            walk(child)

    walk(page.root)
    return " | ".join(found)


def changes(db) -> dict:
    return difference(connect(build_world()), db)


async def accept(client, slug="harbour-walkers"):
    return await client.post(f"/community/{slug}/accept", data={"onward": f"/community/{slug}/new"})


async def test_the_communities_stand_behind_the_profile_and_no_other_page_of_the_forum():
    async with visitor() as (client, _):
        for path in ("/", "/members", "/submit", "/post/3", "/forum/hiking", "/member/1"):
            assert "Communities" not in names(await client.get(path), "link"), path
        assert "Communities" in names(await client.get("/profile"), "link")


async def test_a_search_matches_whole_words_of_titles():
    async with visitor() as (client, _):
        found = await client.get("/communities", params={"q": "WALKERS"})
        assert {"Dog Walkers", "Harbour Walkers"} <= set(names(found, "link")) and "Quiet Readers" not in names(found, "link")
        assert "No community matches." in shown(await client.get("/communities", params={"q": "walk"}))
        assert "No writer matches." in shown(await client.get("/writers", params={"q": "zebra"}))
        assert "No thread matches." in shown(await client.get(f"{WALKERS}/search", params={"q": "zebra"}))


async def test_the_rules_stand_before_writing_until_they_are_accepted_there():
    async with visitor() as (client, db):
        own, other = (
            rows(db, "SELECT id FROM forum_thread WHERE community = ?", slug)[0]["id"] for slug in ("harbour-walkers", "rail-fans")
        )
        for path in (f"{WALKERS}/new", f"/thread/{own}/reply", f"/thread/{other}/crosspost/to?community=harbour-walkers"):
            page = await client.get(path)
            assert (heading(page), names(page, "button")) == ("Rules of Harbour Walkers", ["I accept the rules"]), path
        assert heading(await accept(client)) == "New thread in Harbour Walkers"
        assert heading(await client.get(f"/thread/{own}/reply")) == "Write a reply"
        assert heading(await client.get(f"/thread/{other}/crosspost/to?community=harbour-walkers")) == "Crosspost to Harbour Walkers"
        assert heading(await client.get(f"/thread/{other}/reply")) == "Rules of Rail Fans"
        await accept(client)
        assert changes(db) == {"forum_accepted": {"added": [{"community": "harbour-walkers"}], "removed": [], "changed": []}}


@pytest.mark.parametrize(
    "path, fields",
    [
        (f"{WALKERS}/threads", {"title": "x", "body": "y"}),
        ("/thread/{own}/reply", {"body": "x"}),
        ("/thread/{other}/crosspost", {"community": "harbour-walkers"}),
    ],
)
async def test_nothing_is_written_before_the_rules_are_accepted(path, fields):
    async with visitor() as (client, db):
        own, other = (
            rows(db, "SELECT id FROM forum_thread WHERE community = ?", slug)[0]["id"] for slug in ("harbour-walkers", "rail-fans")
        )
        answer = await client.post(path.format(own=own, other=other), data=fields)
        assert heading(answer) == "Rules of Harbour Walkers" and changes(db) == {}


@pytest.mark.parametrize("onward", ["http://evil.example/", "//evil.example/thread/1", "/profile", "", "thread/1"])
async def test_the_rules_lead_on_to_the_communities_only(onward):
    async with visitor() as (client, db):
        answer = await client.post(f"{WALKERS}/accept", data={"onward": onward})
        assert (answer.status_code, heading(answer), changes(db)) == (404, "Page not found", {})


async def test_a_thread_a_reply_and_a_crosspost_are_stored_and_noticed():
    async with visitor() as (client, db):
        await accept(client)
        thread = await client.post(f"{WALKERS}/threads", data={"title": "New here", "body": "<b>Hello</b>"})
        assert "Your thread has been published." in shown(thread) and "<b>Hello</b>" in shown(thread)
        reply = await client.post(f"{thread.url.path}/reply", data={"body": "And welcome"})
        assert "Your reply has been added." in shown(reply) and "And welcome (Robin Vale, 14 May 2025)" in shown(reply)
        other = rows(db, "SELECT id, title FROM forum_thread WHERE community = 'rail-fans'")[0]
        crossposted = await client.post(f"/thread/{other['id']}/crosspost", data={"community": "harbour-walkers"})
        assert (heading(crossposted), "Crossposted from Rail Fans." in shown(crossposted)) == (other["title"], True)
        assert names(await client.get(WALKERS), "link").count("New here") == 1
        counts = {table: len(change["added"]) for table, change in changes(db).items()}
        assert counts == {"forum_accepted": 1, "forum_thread": 2, "forum_reply": 1}


@pytest.mark.parametrize("path, fields", [("/community/harbour-walkers/threads", {"title": " "}), ("/thread/{own}/reply", {"body": ""})])
async def test_an_empty_form_is_sent_back(path, fields):
    async with visitor() as (client, db):
        await accept(client)
        own = rows(db, "SELECT id FROM forum_thread WHERE community = 'harbour-walkers'")[0]["id"]
        assert "Please fill in all fields." in shown(await client.post(path.format(own=own), data=fields))
        assert list(changes(db)) == ["forum_accepted"]


async def test_joining_and_leaving_count():
    async with visitor() as (client, db):
        size = rows(db, "SELECT members FROM forum_community WHERE slug = 'harbour-walkers'")[0]["members"]
        assert f"Members: {size} |" in shown(await client.get(WALKERS))
        for _ in range(2):
            joined = await client.post(f"{WALKERS}/join")
        assert "You joined this community." in shown(joined) and f"Members: {size + 1} |" in shown(joined)
        assert "Harbour Walkers" in names(await client.get("/communities/mine"), "link")
        assert f"Members: {size} |" in shown(await client.post(f"{WALKERS}/leave"))
        assert changes(db) == {}


async def test_leaving_one_community_and_joining_another_is_two_changes_and_not_one_changed_row():
    async with visitor() as (client, db):
        last = rows(db, "SELECT community FROM forum_joined ORDER BY id")[-1]["community"]
        await client.post(f"/community/{last}/leave")
        await client.post(f"{WALKERS}/join")
        assert changes(db)["forum_joined"] == {"added": [{"community": "harbour-walkers"}], "removed": [{"community": last}], "changed": []}


async def test_threads_are_sorted_by_points_on_request_on_all_pages():
    async with visitor() as (client, db):
        found = rows(db, "SELECT title FROM forum_thread WHERE community = 'harbour-walkers' ORDER BY points DESC")
        pages = [await client.get(WALKERS, params={"sort": "points", "page": page}) for page in ("1", "2")]
        listed = [name for page in pages for name in names(page, "link")]
        titles = [row["title"] for row in found]
        assert [name for name in listed if name in titles] == titles
        newest = [name for name in names(await client.get(WALKERS), "link") if name in titles]
        dated = rows(db, "SELECT title FROM forum_thread WHERE community = 'harbour-walkers' ORDER BY id DESC LIMIT 8")
        assert newest == [row["title"] for row in dated]


async def test_a_search_for_threads_finds_the_author_too_newest_first():
    async with visitor() as (client, db):
        sql = "SELECT author, count(*) AS number FROM forum_thread WHERE community = 'harbour-walkers' GROUP BY author ORDER BY number DESC"
        top = rows(db, sql)[0]
        table = shown(await client.get(f"{WALKERS}/writers"))
        assert top["number"] == 4 and f"{top['author']} |" in table
        theirs = rows(
            db, "SELECT title FROM forum_thread WHERE community = 'harbour-walkers' AND author = ? ORDER BY id DESC", top["author"]
        )
        found = names(await client.get(f"{WALKERS}/search", params={"q": top["author"]}), "link")
        titles = [row["title"] for row in theirs]
        assert [name for name in found if name in titles] == titles


@pytest.mark.parametrize(
    "path", ["/community/x", "/thread/0", "/thread/x/reply", "/writer/0", "/community/x/new", "/thread/1/crosspost/to"]
)
async def test_what_does_not_exist_is_a_missing_page(path):
    async with visitor() as (client, _):
        answer = await client.get(path)
        assert (answer.status_code, heading(answer)) == (404, "Page not found")


@pytest.fixture(scope="module", params=[7, 21, 22])
def world(request):
    db = connect(build_world(request.param))
    yield db
    db.close()


def test_each_community_has_a_moderator_and_a_busiest_writer_of_its_own(world):
    found = rows(world, "SELECT * FROM forum_community")
    assert len({row["moderator"] for row in found}) == len({row["members"] for row in found}) == len(found) == 24
    busiest = []
    for row in found:
        sql = "SELECT author, count(*) AS number FROM forum_thread WHERE community = ? GROUP BY author ORDER BY number DESC"
        first, second, *_ = rows(world, sql, row["slug"])
        assert (first["number"], second["number"]) == (4, 2)
        busiest.append(first["author"])
    assert len(set(busiest)) == 24


def test_threads_come_in_the_order_of_their_dates_with_titles_and_points_of_their_own(world):
    found = rows(world, "SELECT * FROM forum_thread ORDER BY id")
    days = [datetime.strptime(row["created"], "%d %B %Y") for row in found]
    assert days == sorted(set(days)) and days[-1] < datetime(2025, 5, 14)
    assert len({row["title"] for row in found}) == len(found) == 24 * 12
    assert len({(row["community"], row["points"]) for row in found}) == len(found)


def test_each_community_has_a_misplaced_thread_a_recommendation_and_an_offer(world):
    prices = {row["name"]: float(row["price"][1:]) for row in rows(world, "SELECT name, price FROM shop_product")}
    titles = {row["slug"]: row["title"] for row in rows(world, "SELECT slug, title FROM forum_community")}
    special = rows(world, "SELECT * FROM forum_thread WHERE fits <> '' OR product <> ''")
    assert len(special) == 24 * 3 and len({row["product"] for row in special} - {""}) == 24 * 2
    for row in special:
        assert (row["fits"] in titles.values() and row["fits"] != titles[row["community"]]) or row["product"] in prices
        assert (row["fits"] or row["product"]) in row["body"] and row["offer"] in row["body"]
        assert not row["offer"] or float(row["offer"][1:]) < prices[row["product"]]
    wished = {row["name"] for row in rows(world, "SELECT name FROM shop_wish JOIN shop_product USING (sku)")}
    assert not wished & {row["product"] for row in special}
