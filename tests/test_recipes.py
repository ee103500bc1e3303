"""Every file in recipes/ and accelerate_configs/ is loaded, to its end: a recipe that nobody loads rots."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from planact.grid import load_grid
from planact.layout import MANIFEST, model_folder, row_kinds, write_json
from planact.recipe import TRAINED_ROLES, Training, load_recipe
from planact.store import differences
from planact.types import to_dict

REPO = Path(__file__).parents[1]
ROWS = (  # of the paper's Table 1 that are its own system, from row 1 and then row 7 on
    "react",
    "base-planner",
    "finetuning",
    "synthetic-trajectories",
    "plan-expansion",
    "targeted-augmentation",
    "dynamic-replanning",
    "cot",
)
MIRRORS = {name: "replanning" if name == "dynamic-replanning" else name for name in ROWS}  # row -> its recipe in recipes/tiny
TABLE_1 = {  # success in percent by row: no executor training, fine-tuned on 1,113 tasks, and on 923 synthetic trajectories more
    "No Planner (ReAct)": (9.85, 36.36, 36.97),
    "Base planner (not trained)": (14.21, 17.16, 23.63),
    "+ Finetuning": (22.42, 16.36, 20.60),
    "+ Synthetic Trajectories": (24.24, 27.28, 30.30),
    "+ Plan Expansion": (27.10, 38.18, 39.40),
    "+ Targeted Augmentation": (29.63, 42.42, 43.63),
    "+ Dynamic Replanning": (44.24, 48.48, 53.94),
    "+ CoT": (None, None, 57.58),
}
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


def rung(model, row):
    return load_recipe(REPO / f"recipes/{model}/{MIRRORS[row] if model == 'tiny' else row}.yaml")


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
    """As the trainer gets them; but for `use_cpu`, since a machine without a GPU refuses bf16 otherwise."""
    from trl import get_peft_config, get_quantization_config

    from planact_train.settings import accumulation, measuring, model_config, sft_config

    recipe = load_recipe(path)
    if recipe.sft is None:
        return
    for role in TRAINED_ROLES:
        settings = recipe.sft_for(role)
        more = accumulation(recipe.training, settings) | measuring(recipe.training, settings)
        config, model = sft_config(settings | {"use_cpu": True}, tmp_path, recipe.seed, **more), model_config(settings, recipe.base_model)
        both = config.to_dict() | vars(model)
        assert settings.keys() <= both.keys()
        assert config.max_length == settings["max_length"]  # TRL's own default cuts web pages off
        adapter, bits = get_peft_config(model), get_quantization_config(model)
        assert (adapter is not None) == settings.get("use_peft", False)
        assert adapter is None or (adapter.r == settings["lora_r"] and adapter.target_modules)
        assert (bits is not None) == settings.get("load_in_4bit", False)
        assert adapter or not bits  # a base in 4 bits cannot be trained itself
        if recipe.training.batch:
            rows = config.per_device_train_batch_size * config.gradient_accumulation_steps * recipe.training.processes
            assert rows == recipe.training.batch


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_can_be_launched_and_runs_in_the_memory_type_that_its_strategy_shards(path):
    from planact_train.devices import device_of

    recipe = load_recipe(path)
    launch = REPO / f"accelerate_configs/{recipe.training.launch}.yaml"
    assert launch in LAUNCHES and device_of(recipe.training).memory
    if recipe.sft is None:
        return
    settings = recipe.sft_for("planner")
    sharded = recipe.training.launch.startswith("fsdp2")
    assert not (sharded and settings.get("use_cpu")) and (sharded or recipe.training.processes == 1)
    if recipe.training.launch == "fsdp2_qlora":  # FSDP2 shards floating types only
        assert settings["bnb_4bit_quant_storage"] == settings["dtype"] == "bfloat16"
    if not recipe.name.startswith("tiny/"):
        assert settings["dtype"] == ("bfloat16" if settings["use_peft"] else "float32")


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if p.parent.name in ("llama-3.3-70b", "llama-3.1-8b", "qwq-32b", "qwen3-8b")], ids=name
)
def test_every_value_says_whether_it_is_the_papers_or_ours(path):
    silent = [
        line
        for line in path.read_text().splitlines()
        if re.match(r"\s*[\w-]+: *[^\s#]", line)
        and not re.match(r"(extends|name|description):", line)
        and not re.search(r"# .*\b(paper|ours)\b", line)
    ]
    assert not silent


def test_the_page_about_the_recipes_names_every_one():
    page = (REPO / "recipes/README.md").read_text()
    missing = [name(path) for path in (*RECIPES, *GRIDS) if not re.search(rf"[`/]{re.escape(path.name)}`", page)]
    assert not missing
    for folder in {path.parent for path in RECIPES}:
        assert name(folder) in page


def test_the_page_about_training_names_every_key_and_every_way_to_launch():
    page = (REPO / "docs/TRAINING.md").read_text()
    missing = [field.name for field in dataclasses.fields(Training) if f"`{field.name}`" not in page]
    assert not missing and all(f"| `{path.stem}` |" in page for path in LAUNCHES)


def test_the_root_of_the_ladder_has_the_papers_values():
    # Figure 5: learning rate 2e-5, AdamW, cosine, warm-up 0.1, batch 32, 1 epoch, bf16, 8 GPUs, Llama-3.3-70B-Instruct.
    recipe = rung("llama-3.3-70b", "react")
    settings, training = recipe.sft_for("planner"), recipe.training
    assert [settings[key] for key in ("learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs")] == [2e-5, "cosine", 0.1, 1]
    assert settings["optim"].startswith("adamw") and settings["bf16"] is True and (training.batch, training.processes) == (32, 8)
    assert recipe.base_model == "meta-llama/Llama-3.3-70B-Instruct"


def test_the_ladder_grows_by_the_papers_numbers():
    # 923 synthetic trajectories, then 10,000 expanded and 5,000 targeted pairs, each kept by all rows after it.
    sizes = [(data.synthetic, data.expansion, data.targeted) for row in ROWS if (data := rung("llama-3.3-70b", row).data)]
    assert sizes == [(0, 0, 0)] * 3 + [(923, 0, 0), (923, 10000, 0)] + [(923, 10000, 5000)] * 3


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_table_has_a_tiny_mirror(row):
    """The same agent and row kinds; sizes a tenth, rounded."""
    large, tiny = rung("llama-3.3-70b", row), rung("tiny", row)
    what = ("planner", "executor", "replan", "cot", "grammar")
    assert [getattr(large.agent, key) for key in what] == [getattr(tiny.agent, key) for key in what]
    assert large.data.planner == tiny.data.planner and set(large.data.executor) <= set(tiny.data.executor)
    sizes = ("synthetic", "expansion", "targeted")
    assert [round(getattr(large.data, key) / 10) for key in sizes] == [getattr(tiny.data, key) for key in sizes]


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
    assert grid.title and {cell.row for cell in grid.cells} == set(grid.rows) and {cell.column for cell in grid.cells} == set(grid.columns)
    for cell in grid.cells:
        assert cell.recipe.name in known
        assert cell.recipe.agent and cell.recipe.eval
        if "trained" in (cell.recipe.agent.planner, cell.recipe.agent.executor):
            assert cell.recipe.data and cell.recipe.sft
    assert len({(cell.recipe.eval.suite, cell.recipe.eval.split, cell.recipe.eval.scorer) for cell in grid.cells}) == 1


def test_the_table_has_the_papers_numbers():
    grid = load_grid(REPO / "recipes/ablations/webarena-lite.yaml")
    assert grid.rows == tuple(TABLE_1)
    printed = {(row, column): rate for row, rates in TABLE_1.items() for column, rate in zip(grid.columns, rates, strict=True)}
    assert {(cell.row, cell.column): cell.paper for cell in grid.cells} == {key: rate for key, rate in printed.items() if rate is not None}
    backbones = load_grid(REPO / "recipes/ablations/cot-backbones.yaml")
    assert [cell.paper for cell in backbones.cells] == [53.94, 53.33, 54.88, 57.58]
    assert [cell.recipe.agent.cot for cell in backbones.cells] == [False, True, True, True]


def test_the_tiny_table_has_the_cells_of_the_papers():
    large, tiny = (load_grid(REPO / f"recipes/ablations/{table}.yaml") for table in ("webarena-lite", "miniweb"))
    assert [(cell.row, cell.column) for cell in large.cells] == [(cell.row, cell.column) for cell in tiny.cells]
    assert len(large.cells) == 7 * 3 + 1  # seven rows of three columns; reasoning has the last column only


def built(recipe, runs):
    """A folder with a manifest like the one that a build writes: trajectories give rows of every kind, written pairs only first plans."""
    data = recipe.data
    trajectories = [*(data.imports or ["seed"]), *(["synthetic"] if data.synthetic else [])]
    pairs = [source for source in ("expansion", "targeted") if getattr(data, source)]
    rows = {}
    for kind in (kind for role in TRAINED_ROLES for kind in row_kinds(recipe, role)):
        sources = trajectories + pairs * (kind in ("plan", "plan_cot"))
        rows[kind] = {"hashes": {source: f"{kind} from {source}" for source in sources}}
    folder = runs / "-".join([*trajectories, *pairs, *rows])
    write_json(folder / MANIFEST, {"rows": rows})
    return folder


@pytest.mark.parametrize("table", ["webarena-lite", "miniweb"])
def test_the_tables_cells_share_planners_and_executors(table, tmp_path):
    """Twenty-two cells, eleven trainings.

    Planners: rows 8 to 13 train one each, whatever the executor is: 6. Executors: for the two trained columns one that sees no plan
    (row 1) and one that does (rows 7 to 12), and one that reasons (row 13): 2 + 2 + 1 = 5.
    """
    models = {role: set() for role in TRAINED_ROLES}
    for cell in load_grid(REPO / f"recipes/ablations/{table}.yaml").cells:
        for role in TRAINED_ROLES:
            if getattr(cell.recipe.agent, role) == "trained":
                models[role].add(model_folder(cell.recipe, role, built(cell.recipe, tmp_path), tmp_path))
    assert (len(models["planner"]), len(models["executor"])) == (6, 5)


def test_the_rows_of_a_ladder_share_what_the_teacher_was_paid_for():
    from planact.layout import store_settings

    for table in ("webarena-lite", "miniweb", "cot-backbones"):
        settings = [store_settings(cell.recipe, "1") for cell in load_grid(REPO / f"recipes/ablations/{table}.yaml").cells]
        assert all(one == settings[0] for one in settings)


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_is_planned_with_nothing_built_and_without_the_files_that_it_imports(path, tmp_path, test_files):
    from planact_data.describe import describe
    from planact_eval.runner import describe as describe_eval

    recipe = load_recipe(path)
    lines = describe(recipe, tmp_path) + (describe_eval(recipe, tmp_path) if recipe.eval else [])
    assert lines and not list(tmp_path.iterdir())
    assert all(any(file in line for line in lines) for file in (recipe.data.imports.values() if recipe.data else ()))


@pytest.mark.parametrize("row", ["llama-3.3-70b/finetuning-full", "llama-3.3-70b/finetuning-qlora"])
def test_a_training_fits_the_device_that_its_recipe_names(row, tmp_path, test_files):
    from planact_train.estimate import describe_training

    lines = describe_training(load_recipe(REPO / f"recipes/{row}.yaml"), tmp_path)
    assert sum(line.startswith(TRAINED_ROLES) for line in lines) == sum(line.split()[0] == "fits" for line in lines) == 2


@pytest.fixture
def test_files(monkeypatch):
    """The task files that are the user's to fetch."""
    monkeypatch.setenv("WEBVOYAGER_TASKS", str(REPO / "tests/planact_envs/webvoyager/questions.jsonl"))
    monkeypatch.delenv("WEBVOYAGER_SITES", raising=False)
    monkeypatch.setenv("PLANACT_WEBARENA_LITE_TASKS", str(REPO / "tests/planact_envs/webarena/tasks.json"))
    monkeypatch.setenv("PLANACT_WEBARENA_TASKS", str(REPO / "tests/planact_envs/webarena/tasks.json"))


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_what_a_recipe_names_exists(path, test_files):
    from planact_data.rows import KINDS
    from planact_envs.suites import load_suite, scorer_of

    recipe = load_recipe(path)
    if recipe.data:
        assert set(recipe.data.planner) | set(recipe.data.executor) <= set(KINDS)
        assert recipe.data.imports or load_suite(recipe.data.suite).tasks("train")
    if recipe.eval:
        suite = load_suite(recipe.eval.suite)
        assert suite.tasks(recipe.eval.split) and scorer_of(suite, recipe.eval.scorer)


@pytest.mark.parametrize("path", LAUNCHES, ids=name)
def test_accelerate_loads_the_launch_configuration(path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == yaml.safe_load(path.read_text())["num_processes"]  # a key that it does not know is a ValueError
