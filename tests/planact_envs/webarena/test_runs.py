"""Runs on the user's sites: the evaluation of a recipe, what it refuses to start on, the logins, several start pages, the doctor."""

import json
import re
import stat
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from planact.env import EnvError
from planact.recipe import RecipeError, load_recipe
from planact.types import Action, Op, Task, to_dict
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browser
from planact_envs.chromium.session import ChromiumSession
from planact_envs.doctor import examine
from planact_envs.suites import World, load_suite
from planact_envs.webarena.env import WebArenaEnv
from planact_envs.webarena.login import Logins
from planact_envs.webarena.sites import Account, hosts_of, sites_from_environment
from planact_envs.webarena.tasks import load_tasks
from planact_eval.rescoring import rescore
from planact_eval.runner import evaluate

REPO = Path(__file__).parents[3]
RECIPE = REPO / "recipes/webarena-lite/react-endpoint.yaml"
PRICE = {"reference_answers": {"must_include": ["39.64"]}}
WISHES = "document.querySelector('.products-grid.wishlist').outerText"
WISH = {"program_html": [{"url": "__SHOPPING__/wishlist/", "locator": WISHES, "required_contents": {"must_include": ["Lamp"]}}]}


@pytest.fixture
def configure(sites, entry, tmp_path, monkeypatch):
    """Names the sites and writes the task file; gives back what the sites hold."""

    def configure_(*rows, **environ):
        file = tmp_path / "tasks.json"
        file.write_text(json.dumps([entry(number, *row) for number, row in enumerate(rows)]))
        for name, value in {**sites[1], "PLANACT_WEBARENA_LITE_TASKS": str(file), **environ}.items():
            monkeypatch.setenv(name, value)
        return sites[0]

    return configure_


@pytest.fixture
def model(serve):
    """The address of an OpenAI-compatible endpoint that puts a product on the wish list, or stops with its price."""

    async def complete(request):
        text = json.dumps((await request.json())["messages"])
        wishing = "Wish for" in text and text.count("Add to Wish List") and "do(action=" not in text.partition("Wish for")[2]
        reply = 'do(action="Click", element="1")' if wishing else 'exit(message="$39.64")'
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return JSONResponse({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage})

    return serve([Route("/v1/chat/completions", complete, methods=["POST"])])[0] + "/v1"


@pytest.mark.browser
def test_a_recipe_is_evaluated_on_the_sites_and_nothing_secret_is_kept(configure, model, tmp_path):
    shop = configure(
        ("What does the lamp cost?", "shopping", "__SHOPPING__/lamp", PRICE),
        ("Wish for the lamp", "shopping", "__SHOPPING__/lamp", WISH),
    )
    changes = [f"endpoints.executor.base_url={model}", f"endpoints.judge.base_url={model}", "endpoints.judge.api_key_env=''"]
    folder, summary, trajectories = evaluate(load_recipe(RECIPE, changes), tmp_path / "runs")
    assert [one.outcome.success for one in trajectories] == [True, True], trajectories
    assert {one.outcome.scorer for one in trajectories} == {"vab"} and summary.success == 2
    assert shop.wishes.count("Lamp") == 1
    assert shop.logins.count("shopping") == 1  # both episodes had the one login
    assert "| plan-and-act-released | " in rescore(folder, ["vab", "browsergym", "plan-and-act-released"])
    saved = json.loads((folder / "rescored/vab.json").read_text())["outcomes"]
    assert saved == {one.task_id: to_dict(one.outcome) for one in trajectories}
    for file in folder.rglob("*"):
        assert not file.is_file() or b"Password.123" not in file.read_bytes()


def test_a_run_does_not_start_while_a_site_does_not_answer(configure, model, tmp_path):
    configure(("What does the lamp cost?", "shopping", "__SHOPPING__/lamp", PRICE), SHOPPING="http://127.0.0.1:9")
    changes = [f"endpoints.executor.base_url={model}", f"endpoints.judge.base_url={model}", "endpoints.judge.api_key_env=''"]
    with pytest.raises(RecipeError, match=r"shopping at http://127.0.0.1:9: ConnectError[^\n]*\n.*scripts/doctor.py webarena-lite"):
        evaluate(load_recipe(RECIPE, changes), tmp_path)


async def test_a_run_does_not_start_without_the_package_of_its_scorer(configure, monkeypatch):
    configure(("What does the lamp cost?", "shopping", "__SHOPPING__/lamp", PRICE))
    monkeypatch.setitem(sys.modules, "webarena_verified.api", None)
    with pytest.raises(RecipeError, match="make webarena"):
        async with load_suite("webarena-lite").open(World("html", "webarena-verified")):
            pass


@pytest.fixture
async def opened(sites, tmp_path):
    """The sites, and a function that opens a session on them."""
    found = sites_from_environment(["shopping", "reddit", "gitlab"], sites[1])
    async with open_browser() as browser:
        yield found, partial(ChromiumSession.open, browser, "html", Gate(await hosts_of(found)))


@pytest.mark.browser
async def test_a_login_is_made_once_for_each_set_of_sites_and_only_its_owner_may_read_it(sites, opened, tmp_path):
    found, open_session = opened
    before = len(sites[0].logins)
    logins = Logins(found, open_session, tmp_path)
    file = await logins.state(("gitlab", "reddit"))
    assert await logins.state(("gitlab", "reddit")) == file and await logins.state(()) is None
    assert sites[0].logins[before:] == ["gitlab", "reddit"]
    assert file.name == "gitlab.reddit_state.json" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {cookie["name"] for cookie in json.loads(file.read_text())["cookies"]} == {"gitlab", "reddit"}


@pytest.mark.browser
async def test_a_refused_account_is_an_error_that_names_no_password(opened, tmp_path):
    found, open_session = opened
    wrong = replace(found, accounts={"reddit": Account("me", "hunter2")})
    with pytest.raises(EnvError, match="refused the account; .* REDDIT_PASSWORD") as refused:
        await Logins(wrong, open_session, tmp_path).state(("reddit",))
    assert "hunter2" not in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.browser
async def test_a_site_without_the_form_is_an_error_that_names_the_fields(opened, tmp_path, monkeypatch):
    found, open_session = opened
    monkeypatch.setattr("planact_envs.webarena.login.TIMEOUT", 500.0)
    strange = replace(found, urls={"reddit": found.urls["gitlab"] + "/team#"})
    with pytest.raises(EnvError, match="fields _username and _password"):
        await Logins(strange, open_session, tmp_path).state(("reddit",))


@pytest.mark.browser
async def test_several_start_pages_are_tabs_and_the_first_is_in_front(configure, opened, tmp_path):
    found, open_session = opened
    start = "__SHOPPING__/lamp |AND| __SHOPPING__/chair |AND| __REDDIT__/f/books/7/"
    spec = {"reference_url": "__SHOPPING__/chair", "url_note": "GOLD in PRED"}
    configure(("Compare them", "shopping", start, spec, False))
    (task,) = load_tasks("webarena-lite", "test")
    task = replace(task, eval={**task.eval, "geolocation": {"latitude": 40.4, "longitude": -79.9}})
    env = WebArenaEnv(World("html", "vab", screenshots=tmp_path), found, Logins(found, open_session, tmp_path), open_session)
    try:
        page = await env.reset(task)
        assert [Path(url).name for url in page.tabs] == ["lamp", "chair", "7"] and page.url.endswith("/lamp")
        assert not (await env.score("")).success
        page = await env.step(Action(Op.TAB_FOCUS, text="1"))
        assert page.url.endswith("/chair") and (await env.score("")).success
        failed = await env.step(Action(Op.CLICK, "77"))
        assert "no element" in failed.error and failed.url == page.url
        assert [one.name for one in sorted((tmp_path / task.id).glob("*/*"))] == ["00.png", "01.png", "02.png"]
    finally:
        await env.close()


@pytest.mark.browser
async def test_a_request_that_no_file_has_is_run_signed_in_and_is_not_scored(opened, tmp_path):
    found, open_session = opened
    env = WebArenaEnv(World("html", "vab"), found, Logins(found, open_session, tmp_path), open_session)
    try:
        page = await env.reset(Task("synthetic.1", "webarena-lite", "train", ("reddit", "map"), "Look", "webarena://reddit/", "synthetic"))
        assert page.url.startswith(found.urls["reddit"]) and (tmp_path / "reddit_state.json").exists()  # the map has no accounts
        outcome = await env.score("done")
        assert (outcome.success, outcome.reason) == (None, "the task has no evaluation")
    finally:
        await env.close()


@pytest.mark.browser
async def test_a_start_page_that_does_not_open_leaves_the_task_unscored(configure, opened, tmp_path):
    found, open_session = opened
    configure(("Open it", "shopping", "http://127.0.0.1:9/", PRICE, False))
    env = WebArenaEnv(World("html", "vab"), found, Logins(found, open_session, tmp_path), open_session)
    try:
        with pytest.raises(EnvError, match="cannot be opened"):
            await env.reset(load_tasks("webarena-lite", "test")[0])
    finally:
        await env.close()


@pytest.mark.browser
async def test_a_page_that_is_gone_or_never_rests_leaves_the_task_unscored(configure, opened, tmp_path, monkeypatch):
    found, open_session = opened
    spec = {"program_html": [{"url": "last", "locator": WISHES, "required_contents": {"must_include": ["Lamp"]}}]}
    configure(("Look", "shopping", "__SHOPPING__/lamp", spec, False))
    env = WebArenaEnv(World("html", "vab"), found, Logins(found, open_session, tmp_path), open_session)
    try:
        await env.reset(load_tasks("webarena-lite", "test")[0])
        await env.session.page.evaluate("setTimeout(() => { while (true); }, 0)")
        monkeypatch.setattr("planact_envs.scoring.rules.PATIENCE", 0.5)
        with pytest.raises(EnvError, match=r"could not be read for scoring within 0.5 s"):
            await env.score("")
    finally:
        await env.close()
    try:
        await env.reset(load_tasks("webarena-lite", "test")[0])
        await env.session.context.close()
        with pytest.raises(EnvError, match="the browser failed"):
            await env.score("")
    finally:
        await env.close()


# ---- the doctor ----------------------------------------------------------------------------------------------------------------------


def said(findings):
    return {finding.what: (finding.ok, finding.said) for finding in findings}


@pytest.mark.browser
def test_the_doctor_names_what_answers_and_what_does_not(configure, tmp_path):
    spec = PRICE | {"reference_answers": {"fuzzy_match": ["forty"]}}
    rows = [(f"Task {site}", site, f"__{site.upper()}__", spec, False) for site in ("shopping", "reddit", "map")]
    configure(*rows, REDDIT="http://127.0.0.1:9")
    found = said(examine("webarena-lite", tmp_path, None))
    assert found["tasks"] == (True, "3 of webarena-lite")
    assert found["shopping"][0] and re.search(r"status 200  \d+ ms", found["shopping"][1])
    assert found["reddit"][0] is False and "ConnectError" in found["reddit"][1]
    assert found["map"] == (None, "todo: its 1 tasks end unscored")
    assert found["judge"][0] is None and "3 of 3 tasks" in found["judge"][1]
    assert found["Chromium"][0] is True and found["disk"][1].endswith(f"GiB free for {tmp_path}")


def test_the_doctor_ends_with_code_1_and_says_what_to_type(tmp_path):
    environ = {"PATH": "", "CHROMIUM": "no-such-browser", "PYTHONPATH": str(REPO), "PLANACT_WEBARENA_LITE_TASKS": "no/such/file"}
    command = [sys.executable, "scripts/doctor.py", "--config", str(RECIPE), "--runs", str(tmp_path / "new")]
    done = subprocess.run(command, check=False, cwd=REPO, env=environ, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "MISSING  tasks" in done.stdout and "MISSING  Chromium" in done.stdout and "no-such-browser" in done.stdout
    assert "gpt-4-1106-preview" in done.stdout and not (tmp_path / "new").exists()


@pytest.mark.parametrize("suite", ["miniweb", "miniweb-short"])
def test_the_doctor_wants_no_browser_for_a_suite_in_process(suite, tmp_path):
    assert [(finding.what, finding.ok) for finding in examine(suite, tmp_path, None)] == [("tasks", True), ("disk", True)]


def test_the_doctor_wants_a_suite_or_a_recipe():
    command = [sys.executable, "scripts/doctor.py", "miniweb", "--config", str(RECIPE)]
    done = subprocess.run(command, check=False, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2 and "one of the two" in done.stderr
