"""WebArena's episodes in Chromium, scored live by each scorer and then from what they left behind; and what is never kept."""

import json
from dataclasses import replace
from functools import partial

import pytest

from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.types import Action, Op, Outcome, from_dict
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browser
from planact_envs.chromium.session import ChromiumSession
from planact_envs.evidence import Evidence, Saved, collect, reading_key
from planact_envs.suites import World
from planact_envs.webarena.env import WebArenaEnv
from planact_envs.webarena.login import Logins
from planact_envs.webarena.offline import BY_RULES, SCORERS
from planact_envs.webarena.sites import Account, Sites, hosts_of, sites_from_environment
from planact_envs.webarena.tasks import task_of
from tests.planact_envs.webarena.test_episodes import AGENT, TASKS, said

QUICK = ("wrong answer", "wish", "changed field", "judged page", "strange locator")
SLOW = [name for name in TASKS if name not in (*QUICK, "not hosted")]


@pytest.fixture
async def opened(sites, tmp_path):
    """A function that opens the environment of an episode with a scorer."""
    found = sites_from_environment(["shopping", "reddit", "gitlab"], sites[1])
    async with open_browser() as browser:
        open_session = partial(ChromiumSession.open, browser, "html", Gate(await hosts_of(found)))
        logins = Logins(found, open_session, tmp_path)
        judge = ScriptedLLM(lambda messages: "correct", name="a-judge")
        yield lambda scorer: WebArenaEnv(World("html", scorer, judge), found, logins, open_session)


def made(entry, number, name):
    site, start, evaluation, _, _ = TASKS[name]
    return task_of("webarena-lite", entry(number, said(name), site, f"__{site.upper()}__{start}", evaluation), "test")


async def both_ways(opened, entry, names):
    """Verdict and reason of every scorer, live and from the evidence as a store gives it back."""
    live, offline = {}, {}
    for number, name in enumerate(names):
        task, env = made(entry, number, name), opened("vab")
        try:
            trajectory = await run_episode(task, env, AGENT, ScriptedLLM(TASKS[name][3]))
            evidence = from_dict(Evidence, json.loads(json.dumps(await collect(env, trajectory))))
            for scorer in BY_RULES:
                env.world = replace(env.world, scorer=scorer)
                live[name, scorer] = await env.score(trajectory.answer)
        finally:
            await env.close()
        for scorer in BY_RULES:
            offline[name, scorer] = await SCORERS[scorer](Saved(task, trajectory, evidence, env.world.judge))
    return live, offline


def compared(live, offline):
    assert {key: one.success for key, one in offline.items()} == {key: one.success for key, one in live.items()}
    for key, one in live.items():
        assert offline[key].scorer == one.scorer == key[1]
        if one.success is not None:  # what is unknown live is unknown offline, where the reason is that nothing was read
            assert offline[key].reason == one.reason


@pytest.mark.browser
async def test_the_evidence_of_an_episode_gives_the_verdicts_and_reasons_that_it_had_live(opened, entry):
    live, offline = await both_ways(opened, entry, QUICK)
    compared(live, offline)
    assert {one.success for one in live.values()} == {True, False, None}
    assert "which was not saved: page last: no locator of a known form" in offline["strange locator", "vab"].reason


@pytest.mark.slow
@pytest.mark.browser
async def test_so_does_the_evidence_of_every_other_kind_of_check(opened, entry):
    compared(*await both_ways(opened, entry, SLOW))


@pytest.mark.browser
async def test_checks_that_the_scorer_did_not_need_are_read_all_the_same(opened, entry):
    """An answer that fails ends the scoring before any page is opened; another scorer may take the answer."""
    _, _, wish, _, _ = TASKS["wish"]
    spec = {"reference_answers": {"must_include": ["lamp"]}, **wish}
    task = task_of("webarena-lite", entry(1, "Wish", "shopping", "__SHOPPING__/lamp", spec), "test")
    env = opened("vab")
    try:
        trajectory = await run_episode(task, env, AGENT, ScriptedLLM(['do(action="Click", element="1")', 'exit(message="lamps")']))
        evidence = from_dict(Evidence, await collect(env, trajectory))
    finally:
        await env.close()
    saved = Saved(task, trajectory, evidence)
    assert trajectory.outcome.success is False and len(evidence.readings) == 1
    assert (await SCORERS["vab"](saved)).success is False and (await SCORERS["browsergym"](saved)).success is True
    gone = await SCORERS["browsergym"](replace(saved, evidence=replace(evidence, readings={})))
    assert gone.success is None and "/wishlist/, which was not saved" in gone.reason
    nowhere = await SCORERS["browsergym"](replace(saved, evidence=replace(evidence, sites={})))
    assert nowhere.success is None and "where the sites were was not saved" in nowhere.reason
    assert evidence.events and evidence.events[0]["request"]["url"].endswith("/lamp")  # and none of a page that a check opened
    assert not any("wishlist" in event["request"]["url"] for event in evidence.events)


@pytest.mark.browser
async def test_cookies_passwords_and_headers_that_sign_in_are_not_kept(opened, entry):
    env = opened("vab")
    headers = {"x-access": "the-access-token-of-the-proxy"}
    env.sites = Sites(env.sites.urls, {"reddit": Account("me", "correct horse")}, headers)
    task = task_of("webarena-lite", entry(1, "Look", "reddit", "__REDDIT__", {"reference_url": "__REDDIT__"}, login=False), "test")
    try:
        await env.reset(task)
        session = {"name": "reddit", "value": "session-0123456789abcdef", "url": env.sites.url("reddit")}
        await env.session.context.add_cookies([session])
        await env.session.context.set_extra_http_headers(headers)
        page = await env.step(Action(Op.GOTO, text=env.sites.url("reddit")))
        assert "Hello session-0123456789abcdef" in page.text
        await env.session.page.evaluate("document.body.append('correct horse', 'the-access-token-of-the-proxy')")
        await env.score("")
        kept = json.dumps(await env.evidence())
    finally:
        await env.close()
    assert "Hello [a secret]" in kept and '"events": [' in kept
    for secret in ("session-0123456789abcdef", "correct horse", "the-access-token-of-the-proxy", '"x-access"', '"cookie"'):
        assert secret not in kept.lower(), secret


async def test_a_verdict_by_network_events_needs_the_events(monkeypatch):
    monkeypatch.setattr("planact_envs.scoring.verified.check_installed", lambda: None)
    saved = Saved(None, None, Evidence("http://a/"))
    outcome = await SCORERS["webarena-verified"](saved)
    assert outcome == Outcome(None, "webarena-verified", outcome.reason) and "network events were not saved" in outcome.reason


def test_checks_that_read_the_same_have_one_name():
    check = {"url": "last", "locator": "", "required_contents": {"must_include": ["a"]}}
    assert reading_key(check) == reading_key(check | {"required_contents": {}}) != reading_key(check | {"prep_actions": ["x"]})
