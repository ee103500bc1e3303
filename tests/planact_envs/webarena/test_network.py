"""The network events of an episode in Chromium, and webarena-verified's verdict on them."""

import json
from dataclasses import replace
from functools import partial

import pytest

from planact.types import Action, Op, StopReason, Task, Trajectory, from_dict
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browser
from planact_envs.chromium.session import ChromiumSession
from planact_envs.evidence import Evidence, Saved
from planact_envs.suites import World
from planact_envs.webarena.env import WebArenaEnv
from planact_envs.webarena.login import Logins
from planact_envs.webarena.offline import SCORERS
from planact_envs.webarena.sites import hosts_of, sites_from_environment

pytestmark = pytest.mark.browser
MISSING = "webarena-verified is not installed: `make webarena` installs it"
LOGIN = {"login": [], "geolocation": None, "program_html": []}
TASK = Task("webarena.44", "webarena", "test", ("gitlab",), "Open my todos page", "__GITLAB__/team", "303", eval=LOGIN)


@pytest.fixture
async def env(sites, tmp_path):
    found = sites_from_environment(["shopping", "reddit", "gitlab"], sites[1])
    async with open_browser() as browser:
        open_session = partial(ChromiumSession.open, browser, "html", Gate(await hosts_of(found)))
        env = WebArenaEnv(World("html", "webarena-verified"), found, Logins(found, open_session, tmp_path), open_session)
        yield env
        await env.close()


def headers(message):
    return {header["name"].lower(): header["value"] for header in message["headers"]}


async def test_requests_are_noted_in_order_with_what_was_sent_and_without_cookies(env):
    posted = replace(TASK, start_url="__REDDIT__/f/books/7/title", eval=LOGIN | {"login": ["reddit"]})
    await env.reset(posted)
    await env.step(Action(Op.TYPE, "1", "hello you"))
    await env.step(Action(Op.CLICK, "2"))
    events = [event for event in await env.recorder.entries() if "favicon" not in event["request"]["url"]]
    assert [(event["request"]["method"], event["response"]["status"]) for event in events] == [("GET", 200), ("POST", 303), ("GET", 200)]
    start, post, after = events
    assert post["request"]["postData"] == {"mimeType": "application/x-www-form-urlencoded", "text": "comment=hello+you"}
    assert post["response"]["redirectURL"] == "/f/books/7/title/comment" and after["request"]["url"].endswith(
        post["response"]["redirectURL"]
    )
    assert headers(start["request"])["sec-fetch-dest"] == "document"
    assert all("cookie" not in headers(event["request"]) for event in events)


@pytest.mark.parametrize(("path", "success"), [("/dashboard/todos", True), ("/team", False)])
async def test_a_page_that_was_visited_counts_for_webarena_verified(env, path, success):
    pytest.importorskip(
        "webarena_verified.api", reason="webarena-verified is not installed: `make webarena` installs it", exc_type=ImportError
    )
    await env.reset(TASK)
    page = await env.step(Action(Op.GOTO, text=env.sites.url("gitlab") + path))
    assert not page.error
    outcome = await env.score("done")
    assert outcome.success is success, outcome


@pytest.mark.parametrize(("path", "success"), [("/dashboard/todos", True), ("/team", False)])
async def test_saved_events_have_the_verdict_that_they_had_live(env, path, success):
    pytest.importorskip("webarena_verified.api", reason=MISSING, exc_type=ImportError)
    await env.reset(TASK)
    await env.step(Action(Op.GOTO, text=env.sites.url("gitlab") + path))
    live = await env.score("done")
    evidence = from_dict(Evidence, json.loads(json.dumps(await env.evidence())))
    trajectory = Trajectory(TASK.id, TASK.hash, "", (), StopReason.ANSWERED, live, answer="done")
    saved = await SCORERS["webarena-verified"](Saved(TASK, trajectory, evidence))
    assert saved == live and saved.success is success
