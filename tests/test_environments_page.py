"""The example in docs/ENVIRONMENTS.md is run as it stands there, and the page names what exists."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import StopReason
from planact_envs import suites
from planact_envs.suites import World, load_suite

PAGE = (Path(__file__).parents[1] / "docs/ENVIRONMENTS.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)```", PAGE, re.S | re.M))


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The page's example as the package that its entry point describes."""
    (tmp_path / "sums.py").write_text(BLOCKS["python"])
    info = tmp_path / "sums-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sums\nVersion: 1\n")
    [(name, target)] = tomllib.loads(BLOCKS["toml"])["project"]["entry-points"][suites.GROUP].items()
    (info / "entry_points.txt").write_text(f"[{suites.GROUP}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("sums", None)


@pytest.mark.parametrize("name", ["sums", "sums:suite"])
@pytest.mark.parametrize("reply, success", [('exit(message="42")', True), ('exit(message="41")', False)])
async def test_the_example_runs_in_the_loop(module, name, reply, success):
    suite = load_suite(name)
    first, second = suite.tasks("test")
    agent = Agent(planner="none", executor="base", max_turns=3)
    async with suite.open(World(scorer=suite.scorers[0])) as make_env:
        executor = ScriptedLLM(['do(action="Click", element="3")', reply])
        episode = await run_episode(first, make_env(), agent, executor)
        assert first != second
    assert (episode.stop_reason, episode.outcome.success, episode.outcome.scorer) == (StopReason.ANSWERED, success, "exact")
    assert "17 + 25" in episode.turns[0].observation.text and "nothing to act on" in episode.turns[1].observation.error


def test_the_page_names_every_suite():
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.M)) == set(suites._SUITES)


def test_the_page_is_one_page():
    assert len(PAGE.splitlines()) <= 120
