"""The map as a visitor sees it: searches, lists, routes by hand arithmetic, and what its forms store."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from planact_envs.miniweb import sites
from planact_envs.miniweb.content.map import BLOCK, CATEGORIES, TOWNS
from planact_envs.miniweb.content.map_routes import MODES, kilometres, route
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import connect, difference, one, rows
from planact_envs.miniweb.scorer import visible_text
from planact_envs.miniweb.world import build_world
from planact_envs.page import read_html

URL = "http://map.miniweb"
HOSTILE = "<a href='/x'>click</a> \"; DROP TABLE map_place; -- {{ 1 }}"


@asynccontextmanager
async def visitor():
    """A client on a fresh world, and that world."""
    db = connect(build_world())

    async def app(scope, receive, send):
        await sites.app()({**scope, "state": {"db": db}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, follow_redirects=True) as client:
        yield client, db
    db.close()


def visit(check):
    async def run():
        async with visitor() as (client, db):
            await check(client, db)

    asyncio.run(run())


def changed(db):
    return difference(connect(build_world()), db)


def place(db, where):
    return one(db, f"SELECT * FROM map_place WHERE {where} ORDER BY id")


def links(html):
    return [node.name for node in read_html(html).nodes.values() if node.role == "link"]


@pytest.fixture(scope="module")
def world():
    return connect(build_world())


def test_each_town_has_its_places_and_no_two_share_a_point_or_a_phone(world):
    assert rows(world, "SELECT count(*) AS n FROM map_town") == [{"n": TOWNS}]
    for category, (ending, count) in CATEGORIES.items():
        found = rows(world, "SELECT town, name, count(*) AS n FROM map_place WHERE category = ? GROUP BY town", category)
        assert [row["n"] for row in found] == [count] * TOWNS
        assert all(row["name"].endswith(ending) for row in found)
    for columns in ("x, y", "phone", "town, category, rating", "slug"):
        assert rows(world, f"SELECT {columns} FROM map_place GROUP BY {columns} HAVING count(*) > 1") == []


def test_towns_do_not_overlap(world):
    for row in rows(world, "SELECT max(x) - min(x) AS width, max(y) - min(y) AS height FROM map_place GROUP BY town"):
        assert row["width"] < BLOCK and row["height"] < BLOCK


@pytest.mark.parametrize(
    ("mode", "km", "minutes"),
    [
        ("Walk", "1.9", 23),  # 12 + 7 points of 100 m; 19 * 120 / 100 = 22.8 minutes
        ("Bike", "1.9", 8),  # 19 * 40 / 100 = 7.6
        ("Drive", "2.2", 4),  # 19 * 12 / 10 = 22 tenths; 22 * 15 / 100 = 3.3
    ],
)
def test_a_route_follows_the_grid_and_rounds_minutes_up(mode, km, minutes):
    found = route({"x": 5, "y": 30}, {"x": 17, "y": 23}, mode)
    assert (found.km, found.minutes) == (km, minutes)
    assert route({"x": 17, "y": 23}, {"x": 5, "y": 30}, mode) == found, "the way back is as long"


def test_kilometres_keep_one_digit():
    assert [kilometres(tenths) for tenths in (0, 9, 10, 123)] == ["0.0", "0.9", "1.0", "12.3"]


def test_a_search_matches_whole_words_of_names():
    async def check(client, db):
        wanted = place(db, "category = 'Museum'")
        found = await client.get("/search", params={"q": wanted["name"].upper()})
        assert wanted["name"] in links(found.text)
        part = await client.get("/search", params={"q": wanted["name"][:4]})
        assert "No name of a place has one of these words." in visible_text(part.text)
        assert "Renamed places" in links(part.text)

    visit(check)


def test_a_list_goes_on_over_pages_until_every_place_was_shown_once():
    async def check(client, db):
        town = place(db, "1")["town"]
        query, seen = {"category": "Cafe", "town": town}, []
        for number in (1, 2, 3):
            html = (await client.get("/find", params=query | {"page": number})).text
            seen += [name for name in links(html) if name.endswith("Cafe")]
            assert ("Next page" in links(html)) == (number < 3) and ("Previous page" in links(html)) == (number > 1)
        assert seen == [
            row["name"] for row in rows(db, "SELECT name FROM map_place WHERE category = 'Cafe' AND town = ? ORDER BY name", town)
        ]

    visit(check)


def test_the_form_for_finding_shows_no_list_until_both_are_chosen_and_none_for_unknown_words():
    async def check(client, db):
        assert "No place matches." not in visible_text((await client.get("/find")).text)
        nothing = await client.get("/find", params={"category": HOSTILE, "town": "Nowhere"})
        assert nothing.status_code == 200 and "No place matches." in visible_text(nothing.text)

    visit(check)


def test_directions_show_distance_and_time_and_lead_to_the_place():
    async def check(client, db):
        start, end = place(db, "category = 'Hotel'"), place(db, "category = 'Museum'")
        for mode in MODES:
            query = {"from": start["name"].lower(), "to": f" {end['name']} ", "mode": mode, "read": "yes"}
            answer, way = await client.get("/directions", params=query), route(start, end, mode)
            assert f"Distance: {way.km} km Time: {way.minutes} minutes" in visible_text(answer.text)
            assert end["name"] in links(answer.text)

    visit(check)


def test_road_works_come_before_a_drive_only_and_can_be_passed():
    async def check(client, db):
        town = one(db, "SELECT * FROM map_town WHERE works <> ''")
        start, end = (place(db, f"town = '{town['name']}' AND category = '{kind}'")["name"] for kind in ("Park", "Station"))
        query = {"from": start, "to": end, "mode": "Drive"}
        notice = await client.get("/directions", params=query)
        assert town["works"] in visible_text(notice.text) and "Distance" not in visible_text(notice.text)
        hidden = read_html(notice.text)
        assert ("button", "Continue") in [(node.role, node.name) for node in hidden.nodes.values()]
        assert "Distance" in visible_text((await client.get("/directions", params=query | {"read": "yes"})).text)
        assert "Distance" in visible_text((await client.get("/directions", params=query | {"mode": "Bike"})).text)

    visit(check)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, "Show route"),
        ({"from": "", "to": "", "mode": "Walk"}, "Show route"),
        ({"from": "Nowhere", "to": "{name}", "mode": "Walk"}, "The map does not know Nowhere."),
        ({"from": "{name}", "to": "", "mode": "Walk"}, "The map does not know this way."),
        ({"from": "{name}", "to": "{name}", "mode": "Fly"}, "The map does not know this way."),
        ({"from": "{word}", "to": "{name}", "mode": "Walk"}, "Did you mean"),
        ({"from": HOSTILE, "to": "{name}", "mode": "Walk"}, HOSTILE),
    ],
)
def test_wrong_directions_give_a_readable_page(query, shown):
    async def check(client, db):
        name = place(db, "1")["name"]
        filled = {key: value.replace("{name}", name).replace("{word}", name.split()[0]) for key, value in query.items()}
        answer = await client.get("/directions", params=filled)
        assert answer.status_code == 200 and shown in visible_text(answer.text) and "Distance" not in visible_text(answer.text)
        assert "click" not in links(answer.text)

    visit(check)


def test_a_place_is_saved_once_noted_and_removed():
    async def check(client, db):
        wanted = place(db, "slug NOT IN (SELECT place FROM map_saved)")
        path = f"/place/{wanted['slug']}"
        assert (await client.get(f"{path}/note")).status_code == 404, "a place that is not saved has no note"
        assert (await client.post(f"{path}/note", data={"note": "x"})).status_code == 404
        for _ in range(2):
            page = await client.post(f"{path}/save")
        assert "This place is saved." in visible_text(page.text) and "Remove from saved places" in visible_text(page.text)
        page = await client.post(f"{path}/note", data={"note": HOSTILE})
        assert f"Your note: {HOSTILE}" in visible_text(page.text) and "click" not in links(page.text)
        assert changed(db)["map_saved"]["added"] == [{"place": wanted["slug"], "note": HOSTILE}]
        assert "click" not in links((await client.get("/saved", params={"page": "1"})).text)
        page = await client.post(f"{path}/unsave")
        assert "This place is no longer saved." in visible_text(page.text)
        assert changed(db) == {}

    visit(check)


def test_a_review_is_stored_under_the_users_name():
    async def check(client, db):
        slug = place(db, "1")["slug"]
        page = await client.post(f"/place/{slug}/reviews", data={"stars": "4", "body": HOSTILE})
        assert f"4 stars: {HOSTILE} ({ME}, {TODAY})" in visible_text(page.text) and "click" not in links(page.text)
        row = {"place": slug, "author": ME, "stars": 4, "created": TODAY, "body": HOSTILE}
        assert changed(db) == {"map_review": {"added": [row], "removed": [], "changed": []}}

    visit(check)


def test_a_report_is_read_behind_a_notice_and_stored():
    async def check(client, db):
        slug = place(db, "1")["slug"]
        notice = await client.get(f"/place/{slug}/report")
        assert "Volunteers read every report" in visible_text(notice.text) and "What is right" not in visible_text(notice.text)
        assert "What is right" in visible_text((await client.get(f"/place/{slug}/report/form")).text)
        page = await client.post(f"/place/{slug}/report", data={"problem": "Phone", "value": HOSTILE})
        assert f"Phone: {HOSTILE} ({TODAY})" in visible_text(page.text) and "click" not in links(page.text)
        row = {"place": slug, "problem": "Phone", "value": HOSTILE, "created": TODAY}
        assert changed(db) == {"map_report": {"added": [row], "removed": [], "changed": []}}

    visit(check)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("reviews", {"stars": "9", "body": "x"}),
        ("reviews", {"stars": "3", "body": "  "}),
        ("reviews", {}),
        ("report", {"problem": "Weather", "value": "x"}),
        ("report", {"problem": "Phone", "value": ""}),
        ("report", {}),
    ],
)
def test_a_wrong_form_changes_nothing_and_says_so(path, form):
    async def check(client, db):
        page = await client.post(f"/place/{place(db, '1')['slug']}/{path}", data=form)
        assert "Please fill in all fields." in visible_text(page.text)
        assert changed(db) == {}

    visit(check)


@pytest.mark.parametrize("path", ["place/x", "place/x/note", "place/x/reviews", "place/x/report", "town/x", "place/%27%20OR%201", "towns"])
def test_an_unknown_address_is_a_page_of_the_map(path):
    async def check(client, db):
        answer = await client.get(f"/{path}")
        assert answer.status_code == 404 and links(answer.text) == ["Map", "Find places", "Directions", "Saved places"]
        posted = await client.post(f"/{path}/save")
        assert posted.status_code in (404, 405) and changed(db) == {}

    visit(check)


def test_each_former_name_is_listed_and_belongs_to_no_place_now():
    async def check(client, db):
        shown = " ".join([visible_text((await client.get("/renamed", params={"page": number})).text) for number in (1, 2, 3, 4)])
        for row in rows(db, "SELECT name, former FROM map_place WHERE former <> ''"):
            assert f"{row['former']} is now {row['name']}" in shown
            assert not links((await client.get("/search", params={"q": row["former"]})).text)[5:]

    visit(check)
