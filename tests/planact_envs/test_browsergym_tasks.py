"""miniweb as BrowserGym sees it: its own environment class, its own actions, its own chat."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("browsergym.core", reason="needs the extra browsergym")

from planact_envs.miniweb.tasks import find, load_tasks

pytestmark = pytest.mark.browser
REPO = Path(__file__).parents[2]
PAGE = REPO / "docs/BROWSERGYM.md"
ONE_EACH = list({task.template: task.id for task in load_tasks("test")}.values())  # of every template of the test split


@pytest.fixture(scope="module")
def gym():
    """Runs a function in a thread of its own, where Playwright's loop is in nobody's way."""
    from browsergym import core

    from planact_envs.browsergym_tasks import register

    with ThreadPoolExecutor(1) as thread:
        thread.submit(register).result()
        yield lambda function, *arguments: thread.submit(function, *arguments).result()
        thread.submit(lambda: core._get_global_playwright().stop()).result()
        core._set_global_playwright(None)


def play(task_id, *actions, cheat=""):
    """The goal, then reward, done and info after each action; first the oracle of the task `cheat` acts."""
    import gymnasium

    from planact_envs.browsergym_tasks import MiniwebTask

    env = gymnasium.make(f"browsergym/miniweb.{task_id}", disable_env_checker=True)
    try:
        page, _ = env.reset(seed=0)
        if cheat:
            MiniwebTask(0, cheat).cheat(env.unwrapped.page, env.unwrapped.chat.messages)
        steps = [env.step(action) for action in actions]
        assert not any(step[0]["last_action_error"] for step in steps)
        return page["goal"], [(reward, done, info["task_info"]) for _, reward, done, _, info in steps]
    finally:
        env.close()


@pytest.mark.slow
@pytest.mark.parametrize("task_id", ONE_EACH)
def test_the_oracle_is_rewarded(gym, task_id):
    goal, [(reward, done, info)] = gym(lambda: play(task_id, "noop(0)", cheat=task_id))
    assert goal == find(task_id).intent
    assert (reward, done, info) == (1.0, True, {"scorer": "miniweb", "reason": ""})


def test_nothing_is_scored_before_the_agent_answers(gym):
    right = find("shop.price.000").eval["reference_answers"]["exact_match"]
    _, steps = gym(lambda: play("shop.price.000", "noop(0)", "goto('http://forum.miniweb/')", f"send_msg_to_user('{right}')"))
    assert steps[:2] == [(0.0, False, {}), (0.0, False, {})]
    assert steps[2][:2] == (1.0, True)  # the task asks for an answer, wherever it is given


def test_giving_up_is_the_answer_that_there_is_none(gym):
    _, [(reward, done, info)] = gym(lambda: play("shop.price.000", "report_infeasible('there is no shop')"))
    assert (reward, done) == (0.0, True) and "got 'N/A'" in info["reason"]


def test_what_another_task_asks_for_is_no_success(gym):
    _, [(reward, done, info)] = gym(lambda: play("forum.upvote.000", "noop(0)", cheat="forum.upvote.001"))
    assert (reward, done) == (0.0, True) and "unexpected" in info["reason"] and "expected" in info["reason"]


def test_registering_again_changes_nothing(gym):
    import gymnasium

    from planact_envs.browsergym_tasks import register

    names = {name for name in gymnasium.registry if name.startswith("browsergym/miniweb.")}
    specs = {name: gymnasium.spec(name) for name in names}
    gym(register)
    assert len(names) > 1000 and all(gymnasium.spec(name) is spec for name, spec in specs.items())


def test_the_example_of_the_documentation_runs():
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    done = subprocess.run([sys.executable, "-c", example], cwd=REPO, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{find('shop.price.000').intent} http://shop.miniweb/", "1.0 True"]


def test_importing_the_worlds_imports_no_browsergym():
    code = "import sys, planact_envs, planact_envs.suites; print({'browsergym', 'gymnasium', 'playwright'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
