"""The code host's groups as a visitor sees them: lists, tickets and merge requests."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from planact_envs.miniweb import sites
from planact_envs.miniweb.content.code_groups import CLOSERS, GROUPS, OPEN, PEOPLE, SHARES
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import connect, difference, one, rows
from planact_envs.miniweb.scorer import visible_text
from planact_envs.miniweb.world import build_world
from planact_envs.page import read_html

URL = "http://code.miniweb"
HOSTILE = "<a href='/x'>click</a> \"; DROP TABLE code_merge; -- {{ 1 }}"


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


def links(html):
    return [node.name for node in read_html(html).nodes.values() if node.role == "link"]


def ticket(db, where="status = 'open'"):
    found = one(db, f"SELECT * FROM code_ticket WHERE {where} ORDER BY id")
    return found, f"/group/{found['team']}/ticket/{found['id']}"


@pytest.fixture(scope="module")
def world():
    return connect(build_world())


def test_in_each_group_one_person_closed_most_and_no_two_labels_are_on_as_many_tickets(world):
    closed = rows(
        world, "SELECT team, closer, count(*) AS n FROM code_ticket WHERE status = 'closed' GROUP BY team, closer ORDER BY team, n DESC"
    )
    labels = rows(
        world, "SELECT team, label, count(*) AS n FROM code_ticket WHERE status = 'open' GROUP BY team, label ORDER BY team, n DESC"
    )
    teams = {row["team"] for row in closed}
    assert len(teams) == len(GROUPS)
    for team in teams:
        assert tuple(row["n"] for row in closed if row["team"] == team) == CLOSERS
        assert tuple(row["n"] for row in labels if row["team"] == team) == SHARES


def test_titles_are_unique_and_due_dates_differ_within_a_group(world):
    for sql in ("title FROM code_ticket", "title FROM code_merge", "ticket FROM code_merge", "team, due FROM code_milestone"):
        found = rows(world, f"SELECT {sql}")
        assert len({tuple(row.values()) for row in found}) == len(found) >= 60


def test_the_groups_are_reached_from_my_stars():
    async def check(client, db):
        assert "Groups" in links((await client.get("/stars")).text)
        first, last = [(await client.get("/groups", params={"page": page})).text for page in (1, 3)]
        assert sorted(GROUPS)[0] in links(first) and sorted(GROUPS)[-1] in links(last)
        group = await client.get("/group/search")
        names = rows(db, "SELECT name FROM code_person WHERE team = 'search'")
        assert len(names) == PEOPLE and all(row["name"] in visible_text(group.text) for row in names)

    visit(check)


def test_the_lists_of_a_group_show_each_ticket_once():
    async def check(client, db):
        for path, status, size in (("tickets", "open", OPEN), ("closed", "closed", sum(CLOSERS))):
            titles = [
                row["title"] for row in rows(db, "SELECT title FROM code_ticket WHERE team = 'search' AND status = ? ORDER BY id", status)
            ]
            pages = [(await client.get(f"/group/search/{path}", params={"page": page})).text for page in range(1, -(-size // 5) + 1)]
            assert [name for html in pages for name in links(html) if name in titles] == titles
            assert "Next page" not in links(pages[-1])

    visit(check)


def test_a_ticket_is_assigned_and_put_into_a_milestone():
    async def check(client, db):
        found, path = ticket(db, "status = 'open' AND assignee = '' AND milestone = ''")
        person = one(db, "SELECT name FROM code_person WHERE team = ?", found["team"])["name"]
        milestone = one(db, "SELECT title FROM code_milestone WHERE team = ?", found["team"])["title"]
        page = await client.post(f"{path}/save", data={"assignee": person, "milestone": milestone})
        assert "The ticket has been saved." in visible_text(page.text) and f"Assigned to: {person}" in visible_text(page.text)
        after = {"assignee": person, "milestone": milestone}
        assert changed(db)["code_ticket"]["changed"] == [{"id": found["id"], "before": {"assignee": "", "milestone": ""}, "after": after}]
        await client.post(f"{path}/save", data={"assignee": "Nobody", "milestone": "None"})
        assert changed(db) == {}

    visit(check)


@pytest.mark.parametrize(
    "form", [{}, {"assignee": ME, "milestone": "None"}, {"assignee": "Nobody", "milestone": HOSTILE}, {"assignee": "Nobody"}]
)
def test_people_and_milestones_of_elsewhere_are_not_taken(form):
    async def check(client, db):
        answer = await client.post(f"{ticket(db)[1]}/save", data=form)
        assert answer.status_code == 404 and "There is no such page here." in visible_text(answer.text)
        assert changed(db) == {}

    visit(check)


def test_a_ticket_is_closed_once_and_leaves_the_list_of_open_ones():
    async def check(client, db):
        found, path = ticket(db)
        page = await client.post(f"{path}/close")
        assert "The ticket has been closed." in visible_text(page.text) and f"Closed by: {ME}" in visible_text(page.text)
        assert "Close ticket" not in [node.name for node in read_html(page.text).nodes.values()]
        assert found["title"] not in links((await client.get(f"/group/{found['team']}/tickets")).text)
        changes = changed(db)["code_ticket"]["changed"]
        assert [change["after"] for change in changes] == [{"status": "closed", "closer": ME}]
        other, closed = ticket(db, f"status = 'closed' AND closer <> '{ME}'")
        await client.post(f"{closed}/close")
        assert ticket(db, f"id = {other['id']}")[0] == other, "whoever closed it first stays"

    visit(check)


def test_a_merge_request_and_its_ticket_name_each_other():
    async def check(client, db):
        merge = one(db, "SELECT * FROM code_merge")
        found, path = ticket(db, f"id = {merge['ticket']}")
        assert f"Solved by the merge request {merge['title']}" in visible_text((await client.get(path)).text)
        page = await client.get(f"/group/{merge['team']}/merge/{merge['id']}")
        assert f"Solves the ticket: {found['title']}" in visible_text(page.text)

    visit(check)


def test_a_comment_on_a_merge_request_is_stored_and_shown_as_text():
    async def check(client, db):
        merge = one(db, "SELECT * FROM code_merge")
        path = f"/group/{merge['team']}/merge/{merge['id']}"
        empty = await client.post(f"{path}/comment", data={"body": " "})
        assert "Please fill in all fields." in visible_text(empty.text) and changed(db) == {}
        page = await client.post(f"{path}/comment", data={"body": HOSTILE})
        assert f"{HOSTILE} ({ME}, {TODAY})" in visible_text(page.text) and "click" not in links(page.text)
        row = {"merge": merge["id"], "author": ME, "created": TODAY, "body": HOSTILE}
        assert changed(db) == {"code_remark": {"added": [row], "removed": [], "changed": []}}

    visit(check)


@pytest.mark.parametrize(
    "path", ["group/x", "group/x/tickets", "group/search/ticket/99999999999999999999", "group/search/ticket/x", "group/search/merge/0"]
)
def test_an_unknown_address_is_a_page_of_the_code_host(path):
    async def check(client, db):
        answer = await client.get(f"/{path}")
        assert answer.status_code == 404 and links(answer.text) == ["All projects", "My stars"]

    visit(check)


def test_a_ticket_of_another_group_is_not_found_under_this_one():
    async def check(client, db):
        found, _ = ticket(db, "team <> 'search'")
        assert (await client.get(f"/group/search/ticket/{found['id']}")).status_code == 404
        assert (await client.post(f"/group/search/ticket/{found['id']}/close")).status_code == 404
        assert changed(db) == {}

    visit(check)
