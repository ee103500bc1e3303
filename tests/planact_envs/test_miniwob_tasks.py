"""The tasks of MiniWoB++ are known without a browser and without BrowserGym."""

import subprocess
import sys
from collections import Counter

import pytest

from planact.recipe import RecipeError
from planact_envs.miniwob.tasks import SEEDS, load_tasks
from planact_envs.suites import load_suite, scorer_of


def test_there_are_125_pages_with_five_draws_each_in_browsergyms_split():
    train, test = load_tasks("train"), load_tasks("test")
    assert (len(train), len(test)) == (62 * SEEDS, 63 * SEEDS)
    pages = Counter(task.template for task in (*train, *test))
    assert len(pages) == 125 and set(pages.values()) == {SEEDS}
    assert not {task.template for task in train} & {task.template for task in test}
    assert len({task.id for task in (*train, *test)}) == 625


def test_a_task_names_its_page_its_draw_and_what_the_page_asks_for():
    task = next(task for task in load_tasks("test") if task.id == "miniwob.click-button.0")
    assert (task.template, task.params, task.split, task.suite) == ("click-button", {"seed": "0"}, "test", "miniwob")
    assert task.intent == 'Click on the "no" button.'
    intents = {task.intent for task in load_tasks("test") if task.template == "click-button"}
    assert len(intents) > 1  # the draws ask for different buttons


def test_a_split_that_is_not_there_is_a_mistake_in_the_recipe():
    with pytest.raises(RecipeError, match="miniwob has no validation split; set eval.split to train or test"):
        load_tasks("validation")


def test_the_suite_needs_no_browser_until_it_is_opened():
    suite = load_suite("miniwob")
    assert scorer_of(suite, None) == "miniwob" and suite.tasks is load_tasks and suite.teacher is None
    heavy = {"browsergym", "playwright", "gymnasium", "miniwob"}
    code = f"import sys; from planact_envs.suites import load_suite; load_suite('miniwob').tasks('test'); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
