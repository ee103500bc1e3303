"""Every file in recipes/ and accelerate_configs/ is loaded, to its end: a recipe that nobody loads rots."""

import re
from pathlib import Path

import pytest
import yaml

from planact.grid import load_grid
from planact.recipe import load_recipe
from planact.store import differences
from planact.types import to_dict

REPO = Path(__file__).parents[1]
GRIDS = sorted((REPO / "recipes/ablations").rglob("*.yaml"))
RECIPES = sorted(path for path in (REPO / "recipes").rglob("*.yaml") if path not in GRIDS)
LAUNCHES = sorted((REPO / "accelerate_configs").rglob("*.yaml"))


def name(path):
    return str(path.relative_to(REPO))


def keys(data, prefix=""):
    """The dotted keys that a file sets."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_there_are_recipes_tables_and_launch_configurations():
    assert len(RECIPES) >= 5 and GRIDS and LAUNCHES


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_loads_is_named_after_its_file_and_says_what_it_is(path, tmp_path):
    recipe = load_recipe(path)
    assert recipe.name == name(path).removeprefix("recipes/").removesuffix(".yaml")  # so no two have the same name
    assert recipe.description
    (tmp_path / "resolved.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "resolved.yaml") == recipe


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_trl_takes_the_settings_of_every_role(path, tmp_path):
    from planact_train.settings import model_config, sft_config

    recipe = load_recipe(path)
    if recipe.sft is None:
        return
    for role in ("planner", "executor"):
        settings = recipe.sft_for(role)
        config, model = sft_config(settings, tmp_path, recipe.seed), model_config(settings, recipe.base_model)
        both = config.to_dict() | vars(model)
        assert settings.keys() <= both.keys()
        assert config.max_length == settings["max_length"]  # TRL's own default cuts web pages off


@pytest.mark.parametrize("path", [p for p in RECIPES if "extends" in yaml.safe_load(p.read_text())], ids=name)
def test_a_row_differs_from_its_parent_by_exactly_the_keys_that_its_file_names(path):
    file = yaml.safe_load(path.read_text())
    parent, row = load_recipe(path.parent / file.pop("extends")), load_recipe(path)
    # A list is one value: "data.planner.0" stands for data.planner.
    changed = {re.sub(r"(\.\d+)+$", "", line.split(":")[0]) for line in differences(to_dict(parent), to_dict(row))}
    assert changed == set(keys(file))


def test_the_tiny_ladder_has_the_rungs_of_the_papers_table():
    # Table 1: no planner, a planner that was not trained, fine-tuned with one plan, and with a new plan at every turn.
    names = ("react", "base-planner", "finetuning", "dynamic-replanning")
    rungs = [load_recipe(REPO / f"recipes/tiny/{name}.yaml").agent for name in names]
    assert [(agent.planner, agent.executor, agent.replan) for agent in rungs] == [
        ("none", "trained", "never"),
        ("base", "trained", "never"),
        ("trained", "trained", "never"),
        ("trained", "trained", "every_turn"),
    ]


@pytest.mark.parametrize("path", GRIDS, ids=name)
def test_every_cell_of_a_table_resolves_to_a_recipe_that_can_be_evaluated(path):
    grid, known = load_grid(path), {load_recipe(recipe).name for recipe in RECIPES}
    assert grid.title and len(grid.cells) == len(grid.rows) * len(grid.columns)
    for cell in grid.cells:
        assert cell.recipe.name in known
        assert cell.recipe.agent and cell.recipe.eval
        if "trained" in (cell.recipe.agent.planner, cell.recipe.agent.executor):
            assert cell.recipe.data and cell.recipe.sft
    assert len({(cell.recipe.eval.suite, cell.recipe.eval.split, cell.recipe.eval.scorer) for cell in grid.cells}) == 1


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_what_a_recipe_names_exists(path, monkeypatch):
    from planact_data.rows import KINDS
    from planact_envs.suites import load_suite, scorer_of

    recipe = load_recipe(path)
    if recipe.eval and recipe.eval.suite == "webvoyager":  # its questions are the user's to fetch
        questions = REPO / "tests/planact_envs/webvoyager/questions.jsonl"
        monkeypatch.setenv("WEBVOYAGER_TASKS", str(questions))
        monkeypatch.delenv("WEBVOYAGER_SITES", raising=False)
    if recipe.eval and recipe.eval.suite == "webarena-lite":  # its task file is an extra
        monkeypatch.setenv("PLANACT_WEBARENA_LITE_TASKS", str(REPO / "tests/planact_envs/webarena/tasks.json"))
    if recipe.data:
        assert set(recipe.data.planner) | set(recipe.data.executor) <= set(KINDS)
        assert load_suite(recipe.data.suite).tasks("train")
    if recipe.eval:
        suite = load_suite(recipe.eval.suite)
        assert suite.tasks(recipe.eval.split) and scorer_of(suite, recipe.eval.scorer)


@pytest.mark.parametrize("path", LAUNCHES, ids=name)
def test_accelerate_loads_the_launch_configuration(path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == yaml.safe_load(path.read_text())["num_processes"]  # a key that it does not know is a ValueError
