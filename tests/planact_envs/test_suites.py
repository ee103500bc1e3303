"""Benchmarks by name, ours and those of other packages."""

import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from planact.recipe import RecipeError
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.knowledge import Habits
from planact_envs.suites import World, load_suite, scorer_of

FOREIGN = """
    from contextlib import asynccontextmanager
    from planact.types import Task
    from planact_envs.suites import Suite

    def make() -> Suite:
        @asynccontextmanager
        async def open_(world):
            yield lambda: "an env"
        return Suite("toy", "1.0", lambda split: (Task("t", "toy", split, (), "Do it.", "http://toy", "t"),), ("toy",), open_)

    def unannotated():
        raise AssertionError("called")
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A folder on the path with a module `toyworld` and the metadata of a package that names it as a suite."""
    (tmp_path / "toyworld.py").write_text(textwrap.dedent(FOREIGN))
    info = tmp_path / "toyworld-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyworld\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[planact.suites]\ntoy = toyworld:make\nbad = toyworld:unannotated\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("toyworld", None)


@pytest.mark.parametrize("name", ["miniweb", "miniweb-short"])
async def test_miniweb(name):
    suite = load_suite(name)
    assert suite.name == name and suite.version.count(".") == 2
    assert len(suite.tasks("train")) > len(suite.tasks("test")) >= len(suite.tasks("validation")) > 0
    assert all(task.suite == "miniweb" and task.split == "test" for task in suite.tasks("test"))
    async with suite.open(World("html", suite.scorers[0])) as make_env:
        one, other = make_env(), make_env()
    assert isinstance(one, MiniwebEnv) and one.form == "html" and one is not other
    teacher = suite.teacher("short", "browsergym", 0.25, 3)
    assert isinstance(teacher, ScriptedTeacher)
    assert (teacher.habits, teacher.seed) == (Habits("short", "browsergym", 0.25), 3)


def test_miniweb_in_chromium_is_the_same_benchmark():
    here, there = load_suite("miniweb"), load_suite("miniweb-chromium")
    assert there.tasks("test") == here.tasks("test") and there.open is not here.open
    other = {"name": "miniweb-chromium", "open": there.open, "offline": there.offline, "most_in_flight": 32}
    assert replace(there, tasks=here.tasks) == replace(here, **other) and here.most_in_flight is None


def test_a_suite_scores_with_its_own_scorer_unless_a_recipe_names_another():
    suite = replace(load_suite("miniweb"), scorers=("own", "other"))
    assert scorer_of(suite, None) == scorer_of(suite, "own") == "own" and scorer_of(suite, "other") == "other"
    with pytest.raises(RecipeError, match="miniweb has no scorer 'vab'; set eval.scorer to own or other, or leave it out"):
        scorer_of(suite, "vab")


def test_the_suites_of_miniweb_are_one_world():
    full, short = load_suite("miniweb"), load_suite("miniweb-short")
    assert full.version == short.version and full.scorers == short.scorers
    assert len(full.tasks("test")) > len(short.tasks("test"))


@pytest.mark.parametrize("name", ["toy", "toyworld:make"])
async def test_a_suite_of_another_package(foreign, name):
    suite = load_suite(name)
    assert suite.name == "toy" and suite.tasks("test")[0].intent == "Do it."
    async with suite.open(World()) as make_env:
        assert make_env() == "an env"


def test_an_unknown_suite_names_the_known_ones(foreign):
    with pytest.raises(RecipeError, match="unknown suite 'webarena2'; suites are miniweb.*, bad, toy; .*module:function"):
        load_suite("webarena2")


@pytest.mark.parametrize("name", ["bad", "toyworld:unannotated", "os:abort", "sys:path"])
def test_only_a_function_that_says_it_makes_a_suite_is_called(foreign, name):
    with pytest.raises(RecipeError, match="must be a function annotated `-> Suite`"):
        load_suite(name)


@pytest.mark.parametrize("name", ["no_such_module_here:make", "toyworld:nothing"])
def test_a_suite_that_is_not_there_says_so(foreign, name):
    with pytest.raises(RecipeError, match="cannot be loaded: .*is its package installed"):
        load_suite(name)


def test_naming_suites_imports_none_of_them():
    code = "import sys, planact_envs.suites; assert not {'httpx', 'starlette', 'selectolax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
