"""Benchmarks by name."""

import subprocess
import sys

import pytest

from planact.recipe import RecipeError
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.suites import load_suite


def test_miniweb():
    suite = load_suite("miniweb")
    assert suite.name == "miniweb" and suite.version.count(".") == 2
    assert len(suite.tasks("train")) > len(suite.tasks("test")) > len(suite.tasks("validation")) > 0
    assert all(task.suite == "miniweb" and task.split == "test" for task in suite.tasks("test"))
    env = suite.make_env("html")
    assert isinstance(env, MiniwebEnv) and env.form == "html"
    teacher = suite.teacher("short", "browsergym", 0.25, 3)
    assert isinstance(teacher, ScriptedTeacher)
    assert (teacher.form, teacher.grammar, teacher.error_rate, teacher.seed) == ("short", "browsergym", 0.25, 3)


def test_an_unknown_suite_names_the_known_ones():
    with pytest.raises(RecipeError, match="unknown suite 'webarena2'; suites are miniweb"):
        load_suite("webarena2")


def test_naming_suites_imports_none_of_them():
    code = "import sys, planact_envs.suites; assert not {'httpx', 'starlette', 'selectolax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
