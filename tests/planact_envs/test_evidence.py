"""What may be written down of an episode: no secrets, no more than its share of disk, and whole parts only."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.env import EnvError
from planact.types import Observation, Outcome, StopReason, Trajectory, from_dict
from planact_envs import evidence
from planact_envs.evidence import Evidence, collect, evidence_of, kept, without_passwords
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks
from planact_envs.webarena.network import storable

ENDED = Trajectory("t", "h", "", (), StopReason.ANSWERED, Outcome(True), Observation("", "", "http://a/end"))


def test_evidence_comes_back_from_json_as_it_was():
    made = Evidence(
        "http://a/", {"http://a/": "<p>"}, {"k": "text"}, ({"request": {}},), {"t": {"added": [{"n": 1}]}}, {"shop": "http://a"}
    )
    data = json.loads(json.dumps(kept(made, {})))
    assert from_dict(Evidence, data).pages == made.pages and from_dict(Evidence, data).database == made.database
    assert [dict(event) for event in from_dict(Evidence, data).events] == [{"request": {}}]
    assert from_dict(Evidence, kept(Evidence(), {})) == Evidence()


def test_what_does_not_fit_is_left_out_whole_and_named(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_BYTES", 100)
    made = Evidence("u", {"http://a/": "p" * 60, "http://b/": "q" * 10}, {"k": "r" * 50}, ({"e": "x" * 90},), {"t": 1})
    found = kept(made, {})
    # 8 + 4 bytes of database and 52 + 3 of the reading leave 33: neither the events nor the first page (62 + 11) fit, the second (23) does.
    assert found["database"] == {"t": 1} and found["readings"] == {"k": "r" * 50}
    assert found["events"] is None and list(found["pages"]) == ["http://b/"]
    assert [line.split(":")[0] for line in found["left_out"]] == ["events ", "pages http"]
    assert all("did not fit into 100" in line for line in found["left_out"])


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=400), max_size=6), st.dictionaries(st.text(max_size=20), st.text(max_size=400))
)
def test_no_evidence_is_larger_than_its_limit(pages, readings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "MAX_BYTES", 500)
        found = kept(Evidence("u", pages, readings), {})
    assert len(json.dumps([*found["pages"].items(), *found["readings"].items()])) <= 500 + 10 * 13  # and brackets and separators
    assert len(found["pages"]) + len(found["readings"]) + len(found["left_out"]) == len(pages) + len(readings)


def test_given_secrets_are_hidden_in_every_text_however_they_are_spelled():
    made = Evidence("http://a/?p=pass%20word%261", {"http://a/?p=pass+word%261": "pass word&amp;1"}, {"pass word&1": "[pass word&1]"})
    assert "word" not in json.dumps(kept(made, {"password": "pass word&1"}))
    assert "short" in json.dumps(kept(Evidence("short"), {"password": "short"}))  # a word that any page may hold


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ('<input type="password" value="hunter2" name=p>', '<input type="password" value="[a secret]" name=p>'),
        ("<input value=hunter2 type=password>", '<input value="[a secret]" type=password>'),
        ('<input type="text" value="lamp">', '<input type="text" value="lamp">'),
    ],
)
def test_what_a_password_field_holds_is_hidden(html, shown):
    assert kept(Evidence("u", {"u": html}), {})["pages"]["u"] == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("user=me&password=hunter2&go=1", "user=me&password=[a secret]&go=1"),
        ("login%5Bpassword%5D=hunter2", "login%5Bpassword%5D=[a secret]"),
        ('{"username": "me", "password": "hunter2"}', '{"username": "me", "password": "[a secret]"}'),
        ("comment=the+password+is+gone&passengers=2", "comment=the+password+is+gone&passengers=2"),
    ],
)
def test_passwords_in_what_was_sent_are_hidden(body, shown):
    assert without_passwords(body) == shown


def entry(path, *headers, cookies=(), body=""):
    named = [{"name": name, "value": "v"} for name in headers]
    request = {"method": "POST", "url": f"http://a{path}", "headers": named, "postData": {"mimeType": "", "text": body}}
    return {"request": request, "response": {"status": 200, "headers": named, "cookies": [{"name": n, "value": "v"} for n in cookies]}}


def test_network_events_are_kept_without_what_signs_in_and_without_assets():
    names = ("Referer", "Authorization", "X-CSRF-Token", "Cookie", "X-Proxy")
    (found,) = storable([entry("/a.css"), entry("/a?b=.css", *names, cookies=("sid", "mage-messages"), body="password=x")], ["x-proxy"])
    assert found["request"]["headers"] == found["response"]["headers"] == [{"name": "Referer", "value": "v"}]
    assert found["response"]["cookies"] == [{"name": "mage-messages", "value": "v"}]
    assert found["request"]["postData"]["text"] == "password=[a secret]"


# ---- collecting ----------------------------------------------------------------------------------------------------------------------


class Broken:
    async def evidence(self):
        raise EnvError("the browser is gone")


async def test_an_environment_without_evidence_and_an_episode_that_broke_have_none():
    assert await collect(object(), ENDED) is None
    assert await collect(Broken(), Trajectory("t", "h", "", (), StopReason.ENV_ERROR, Outcome(None))) is None


async def test_evidence_that_cannot_be_had_costs_no_episode_and_is_named():
    stored = await collect(Broken(), ENDED)
    assert stored["left_out"] == ["everything: the browser is gone"]
    assert evidence_of(stored, ENDED) == Evidence("http://a/end", left_out=("everything: the browser is gone",))
    assert evidence_of(None, ENDED).url == "http://a/end"  # a run of an older version


async def test_miniweb_leaves_the_pages_that_are_checked_and_what_changed():
    task = next(one for one in load_tasks("test") if "program_html" in one.eval["eval_types"])
    env = MiniwebEnv()
    await env.reset(task)
    await env.score("")
    found = from_dict(Evidence, await env.evidence())
    assert set(found.pages) == {task.start_url, *(check["url"] for check in task.eval["program_html"] if check["url"] != "last")}
    assert found.database == {} and found.events is None and found.url == task.start_url
    await env.close()
