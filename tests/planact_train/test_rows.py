"""Which rows a role is trained on, and which are held out."""

import pytest
from datasets import Dataset

from planact.layout import data_folder
from planact.recipe import RecipeError
from planact_envs.suites import load_suite
from planact_train.rows import load_rows, role_rows, split


def rows(*kinds_and_tasks):
    return Dataset.from_list([{"prompt": str(i), "kind": kind, "task_id": task} for i, (kind, task) in enumerate(kinds_and_tasks)])


def test_the_last_rows_of_each_kind_are_held_out_with_their_tasks():
    # One of each kind from the end: the last plan (task c) and the last act (task b). Task b's other row leaves training too.
    made = split(rows(("plan", "a"), ("act", "a"), ("act", "b"), ("act", "b"), ("plan", "c")), 1)
    assert made.train["prompt"][:] == ["0", "1"] and made.held_out["prompt"][:] == ["3", "4"]


def test_nothing_is_held_out_unless_it_is_asked_for():
    made = split(rows(("plan", "a")), 0)
    assert len(made.train) == 1 and made.held_out is None


def test_holding_out_everything_is_refused():
    with pytest.raises(RecipeError, match="held_out=5 leaves no row to train on; there are 2 rows of 2 tasks"):
        split(rows(("plan", "a"), ("plan", "b")), 5)


def test_rows_are_chosen_by_their_source(built, small):
    recipe = small("dynamic-replanning")
    folder = data_folder(recipe, load_suite(recipe.data.suite).version, built)
    everything, seeds = (len(load_rows(folder, ("plan",), 0, sources)) for sources in ((), ("seed",)))
    assert everything == seeds > 0
    with pytest.raises(RecipeError, match="no plan, replan rows come from targeted; change data.planner_sources"):
        role_rows(small("dynamic-replanning", "data.planner_sources=[targeted]"), "planner", folder)
