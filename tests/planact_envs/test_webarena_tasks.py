"""WebArena's task files: read from packages that are never imported, or from a path; what is wrong with one is said with its place."""

import json
import sys
from pathlib import Path

import pytest

from planact.recipe import RecipeError
from planact_envs.scoring.functions import _CALL, FUNCTIONS
from planact_envs.scoring.locator import parse_click, parse_locator
from planact_envs.webarena import tasks
from planact_envs.webarena.sites import SITES, needed_sites
from planact_envs.webarena.tasks import load_tasks, number_of, task_file

ENTRY = {
    "sites": ["shopping"],
    "task_id": 3,
    "old_task_id": 44,
    "storage_state": "./.auth/gitlab.reddit_state.json",
    "start_url": "__SHOPPING__/one |AND| __SHOPPING__/two",
    "geolocation": None,
    "intent_template": "Find {{n}}",
    "instantiation_dict": {"n": 2},
    "intent": "Find 2",
    "eval": {"eval_types": ["string_match"], "reference_answers": {"must_include": ["2"]}, "reference_url": "", "program_html": []},
    "intent_template_id": 7,
}


def with_eval(**evaluation):
    return ENTRY | {"eval": ENTRY["eval"] | evaluation}


@pytest.fixture
def write(tmp_path, monkeypatch):
    def write_(data):
        path = tmp_path / "tasks.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        monkeypatch.setenv("PLANACT_WEBARENA_LITE_TASKS", str(path))

    return write_


def installed(suite):
    """The tasks of the real file, where its package is there."""
    try:
        return load_tasks(suite, "test")
    except RecipeError:
        pytest.skip(f"the task file of {suite} is not installed: `make webarena` installs it")


def test_an_entry_becomes_a_task_under_webarenas_own_number(write):
    write([ENTRY])
    (task,) = load_tasks("webarena-lite", "test")
    assert (task.id, number_of(task), task.template, task.params) == ("webarena-lite.44", 44, "7", {"n": "2"})
    assert task.eval["login"] == ["gitlab", "reddit"] and task.eval["reference_answers"] == {"must_include": ["2"]}
    assert task.start_url == ENTRY["start_url"]  # the addresses come later, so the task has one hash wherever its sites are


def test_an_entry_without_a_login_or_an_old_number(write):
    write([{key: value for key, value in ENTRY.items() if key not in ("storage_state", "old_task_id")}])
    (task,) = load_tasks("webarena-lite", "test")
    assert task.id == "webarena-lite.3" and task.eval["login"] == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "cannot be read"),
        ({"tasks": []}, "holds no list"),
        ([ENTRY, ENTRY], "holds a task twice"),
        ([ENTRY | {"intent": 5}], "entry 0: `intent` is missing or is no str"),
        ([ENTRY, 5], "entry 1: `task_id` is missing"),
        ([ENTRY | {"eval": {}}], "eval: `eval_types` is missing"),
        ([with_eval(program_html=[{"url": "last"}])], "program_html: `locator` is missing"),
        ([with_eval(program_html=[5])], "program_html: `url` is missing"),
        ([with_eval(reference_answers={"must_include": [5]})], "`must_include` is neither a text nor a list of texts"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_place(write, data, said):
    write(data)
    with pytest.raises(RecipeError, match=said):
        load_tasks("webarena-lite", "test")


def test_a_path_that_is_no_file_is_refused_by_the_name_of_the_variable(monkeypatch):
    monkeypatch.setenv("PLANACT_WEBARENA_TASKS", "no/such/file.json")
    with pytest.raises(RecipeError, match="PLANACT_WEBARENA_TASKS names no/such/file.json"):
        task_file("webarena")


def test_a_package_that_is_not_installed_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.delenv("PLANACT_WEBARENA_LITE_TASKS", raising=False)
    monkeypatch.setattr(tasks, "INSTALLED", {"webarena-lite": (("no-such-distribution", "tasks.json"),)})
    with pytest.raises(RecipeError, match="make webarena"):
        task_file("webarena-lite")


def test_a_small_file_of_the_published_form_is_read(monkeypatch):
    monkeypatch.setenv("PLANACT_WEBARENA_LITE_TASKS", str(Path(__file__).parent / "webarena/tasks.json"))
    found = load_tasks("webarena-lite", "test")
    assert [task.eval["eval_types"] for task in found] == [["string_match"], ["url_match"], ["program_html"]]
    assert needed_sites(found) == ("shopping", "reddit")


def test_there_are_no_training_tasks(write):
    write([ENTRY])
    with pytest.raises(RecipeError, match="webarena-lite has no split 'train'; it has validation and test"):
        load_tasks("webarena-lite", "train")
    with pytest.raises(RecipeError, match="webarena has no split 'validation'; it has test"):
        load_tasks("webarena", "validation")


def test_webarena_tasks_of_other_templates_are_for_validation(write, tmp_path, monkeypatch):
    write([ENTRY])
    other = {key: value for key, value in ENTRY.items() if key != "old_task_id"} | {"task_id": 45}
    (tmp_path / "all.json").write_text(json.dumps([other, other | {"task_id": 50, "intent": "Open 5", "intent_template_id": 8}]))
    monkeypatch.setenv("PLANACT_WEBARENA_TASKS", str(tmp_path / "all.json"))
    (task,) = load_tasks("webarena-lite", "validation")
    assert (task.id, task.suite, task.split, task.intent) == ("webarena-lite.50", "webarena-lite", "validation", "Open 5")


def test_the_published_files_leave_115_tasks_for_validation():
    # 190 templates in WebArena, 165 of them in WebArena-Lite; the other 25 have 115 tasks.
    test = installed("webarena-lite")
    installed("webarena")
    found = load_tasks("webarena-lite", "validation")
    assert len(found) == 115 and len({task.template for task in found}) == 190 - 165
    assert not {task.template for task in found} & {task.template for task in test}


@pytest.mark.parametrize(("suite", "count", "judged"), [("webarena-lite", 165, 40), ("webarena", 812, 118)])
def test_the_published_files_have_the_published_sizes(suite, count, judged):
    """812 tasks; the 165 of WebArena-Lite by site: shopping 45, admin 35, GitLab 30, map 26, reddit 19, two sites 10 (VisualAgentBench)."""
    found = installed(suite)
    assert len(found) == count and len({number_of(task) for task in found}) == count
    assert needed_sites(found) == tuple(site for site in SITES if site != "homepage")
    fuzzy = [
        task
        for task in found
        if "fuzzy_match" in (task.eval["reference_answers"] or {})
        or any("fuzzy_match" in check["required_contents"] for check in task.eval["program_html"])
    ]
    assert len(fuzzy) == judged
    if suite == "webarena-lite":
        alone = [task.sites[0] for task in found if len(task.sites) == 1]
        assert [alone.count(site) for site in ("shopping", "shopping_admin", "gitlab", "map", "reddit")] == [45, 35, 30, 26, 19]
    assert "browsergym.webarenalite" not in sys.modules and "webarena_verified" not in sys.modules


@pytest.mark.parametrize("suite", ["webarena-lite", "webarena"])
def test_every_expression_of_the_published_files_is_of_a_known_form(suite):
    checks = [check for task in installed(suite) for check in task.eval["program_html"]]
    locators = {check["locator"] for check in checks if check["locator"]}
    for text in locators | {check["url"] for check in checks}:
        if text.startswith("func:"):
            assert _CALL.fullmatch(text)["name"] in FUNCTIONS
    parsed = [parse_locator(text) for text in locators if not text.startswith("func:")]
    assert len(parsed) > 40 and all(parts[0]["steps"] for parts in parsed)
    for check in checks:
        for action in check.get("prep_actions", ()):
            assert parse_click(action)[0]["form"] == "click"
