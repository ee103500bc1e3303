"""Folder keys: the same work is found again, other work never is."""

from dataclasses import replace
from pathlib import Path

import pytest

from planact.layout import (
    MANIFEST,
    NotBuilt,
    base_model_identity,
    data_folder,
    data_settings,
    data_store,
    model_folder,
    model_settings,
    read_manifest,
    row_kinds,
    write_json,
)
from planact.recipe import Agent, Data, Endpoint, Eval, Recipe, RecipeError, Training
from planact.types import to_dict

ROOT = Path(__file__).parents[2]
TEACHER = Endpoint("http://localhost:8000/v1", "gpt-4o")
RECIPE = Recipe(
    name="tiny/row",
    seed=0,
    base_model="some/model",
    agent=Agent(),
    endpoints={"teacher": TEACHER},
    data=Data(),
    sft={"learning_rate": 2e-5, "planner": {"num_train_epochs": 2}, "executor": {"num_train_epochs": 3}},
    eval=Eval(),
)


def agent(**changes):
    return replace(RECIPE, agent=replace(RECIPE.agent, **changes))


def data(**changes):
    return replace(RECIPE, data=replace(RECIPE.data, **changes))


def taught(**changes):
    """A recipe whose teacher is behind an endpoint."""
    return replace(data(teacher="endpoint"), endpoints={"teacher": replace(TEACHER, **changes)})


@pytest.fixture
def runs(tmp_path):
    """A runs folder with built rows of every kind."""
    rows = {kind: {"rows": 3, "hashes": {"seed": f"hash of {kind}"}} for kind in ("plan", "replan", "act", "act_dynamic", "react")}
    write_json(tmp_path / "data" / MANIFEST, {"rows": rows})
    return tmp_path


OTHER_ROWS = [
    replace(RECIPE, seed=1),
    data(suite="other"),
    data(tasks=10),
    data(teacher="endpoint"),
    data(synthetic=1),
    data(expansion=1),
    data(targeted=1),
    data(failures_of="runs/eval/x/run.sqlite"),
    data(outcome_filter="judge"),
    data(imports={"webrl": __file__}),
    data(teacher_error_rate=0.1),
    data(near_duplicate=0.8),
    data(max_rows={"plan": 3}),
    agent(observation="short"),
    agent(grammar="browsergym"),
    agent(prompts="compact"),
    agent(plan_history=1),
    agent(plan_history=0),
    agent(max_page_tokens=100),
]
SAME_ROWS = [
    replace(RECIPE, name="another/name", description="other words"),
    replace(RECIPE, base_model="another/model"),
    replace(RECIPE, sft={}),
    replace(RECIPE, sft=None, eval=None),
    replace(RECIPE, eval=Eval(split="validation", limit=5)),
    replace(RECIPE, endpoints={}),  # the scripted teacher needs none
    data(planner=("plan", "replan"), executor=("act_dynamic",)),  # which kinds are wanted
    agent(planner="base", executor="base"),
    agent(replan="every_turn"),
    agent(cot=True),  # other files in the same folder
    data(max_usd=1.0),
    agent(replan="every_k", replan_every=7),
    agent(planner_max_tokens=7, planner_retries=0),
    agent(max_turns=7, executor_max_tokens=7, max_episode_tokens=7, temperature=0.5),  # the teacher has limits of its own
]


@pytest.mark.parametrize("recipe", SAME_ROWS)
def test_what_does_not_change_the_rows_keeps_their_folder(runs, recipe):
    assert data_folder(recipe, "1", runs) == data_folder(RECIPE, "1", runs)


def test_what_changes_the_rows_changes_their_folder(tmp_path):
    keys = [data_folder(recipe, "1", tmp_path) for recipe in [RECIPE, *OTHER_ROWS]] + [data_folder(RECIPE, "2", tmp_path)]
    assert len(set(keys)) == len(OTHER_ROWS) + 2
    assert all(key.parent.parent == tmp_path / "data" and len(key.name) == 10 for key in keys)


OTHER_ANSWERS = [
    replace(RECIPE, seed=1),
    data(suite="other"),
    data(teacher_error_rate=0.1),
    agent(observation="short"),
    agent(grammar="browsergym"),
]
SAME_ANSWERS = [*SAME_ROWS, data(tasks=10), data(synthetic=9, expansion=9, targeted=9), data(near_duplicate=0.5), agent(plan_history=1)]


def test_recipes_that_differ_in_sizes_share_what_was_paid_for(tmp_path):
    stores = {data_store(recipe, "1", tmp_path) for recipe in [RECIPE, *SAME_ANSWERS]}
    assert stores == {data_folder(RECIPE, "1", tmp_path).parent / "run.sqlite"}
    others = [data_store(recipe, "1", tmp_path) for recipe in OTHER_ANSWERS] + [data_store(RECIPE, "2", tmp_path)]
    assert len({*others, *stores}) == len(OTHER_ANSWERS) + 2


def test_the_rows_of_a_reasoning_agent_are_files_of_their_own():
    assert row_kinds(data(planner=("plan", "replan")), "planner") == ("plan", "replan")
    assert row_kinds(agent(cot=True), "executor") == ("act_cot",)


def test_an_import_is_known_by_its_content(tmp_path):
    (tmp_path / "one.json").write_text("[]")
    (tmp_path / "two.json").write_text("[]")
    (tmp_path / "three.json").write_text("[1]")
    one, two, three = (
        data_folder(data(imports={"webrl": str(tmp_path / f"{name}.json")}), "1", tmp_path) for name in ("one", "two", "three")
    )
    assert one == two != three
    gone = data_folder(data(imports={"webrl": str(tmp_path / "gone.json")}), "1", tmp_path)  # a recipe is looked at without it
    assert gone not in (one, three)
    (tmp_path / "gone.json").write_text("[]")
    assert data_folder(data(imports={"webrl": str(tmp_path / "gone.json")}), "1", tmp_path) == one
    with pytest.raises(RecipeError, match="which cannot be read: Is a directory"):
        data_folder(data(imports={"webrl": str(tmp_path)}), "1", tmp_path)


def test_every_data_setting_of_a_recipe_is_covered_here():
    trained_on = {"planner", "executor", "planner_sources", "executor_sources"}
    others = {field for recipe in OTHER_ROWS for field in changed(recipe.data, RECIPE.data)}
    assert others | trained_on | {"max_usd"} == set(to_dict(RECIPE.data))


def changed(one, other):
    return [key for key, value in to_dict(one).items() if value != to_dict(other)[key]]


def test_a_teacher_is_known_by_its_model_not_by_its_address(tmp_path):
    key = data_folder(taught(), "1", tmp_path)
    assert data_settings(taught(), "1")["models"] == {"teacher": "gpt-4o"}
    same = {"base_url": "http://other:1/v1", "api_key_env": "KEY", "timeout": 9.0, "max_in_flight": 2, "usd_per_m_prompt": 1.0}
    assert data_folder(taught(**same), "1", tmp_path) == key
    assert data_folder(taught(model="gpt-4"), "1", tmp_path) != key != data_folder(RECIPE, "1", tmp_path)
    without = replace(RECIPE, endpoints={"teacher": replace(TEACHER, model="unused")})
    assert data_folder(without, "1", tmp_path) == data_folder(RECIPE, "1", tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPE, name="another/name", description="other words"),
        replace(RECIPE, eval=None),
        replace(RECIPE, sft=RECIPE.sft | {"executor": {"num_train_epochs": 9}}),  # of the other role
        data(executor=("react",)),
        data(tasks=10),  # what matters is the rows that came out
        agent(replan="every_turn", max_turns=3),
    ],
)
def test_what_does_not_change_a_model_keeps_its_folder(runs, recipe):
    assert model_folder(recipe, "planner", runs / "data", runs) == model_folder(RECIPE, "planner", runs / "data", runs)


def test_what_changes_a_model_changes_its_folder(runs):
    others = [
        replace(RECIPE, seed=1),
        replace(RECIPE, base_model="another/model"),
        replace(RECIPE, sft=RECIPE.sft | {"learning_rate": 1e-5}),
        replace(RECIPE, sft=RECIPE.sft | {"planner": {"num_train_epochs": 9}}),
        data(planner=("plan", "replan")),
        data(planner=("replan", "plan")),
        data(planner=("replan",)),
        data(planner_sources=("synthetic",)),
        replace(RECIPE, training=Training(batch=32)),
        replace(RECIPE, training=Training(held_out=1)),
        replace(RECIPE, training=Training(processes=2)),
    ]
    keys = {model_folder(recipe, "planner", runs / "data", runs) for recipe in [RECIPE, *others]}
    keys.add(model_folder(RECIPE, "executor", runs / "data", runs))
    before = len(keys)
    manifest = read_manifest(runs / "data")
    manifest["rows"]["plan"]["hashes"]["seed"] = "other rows"
    write_json(runs / "data" / MANIFEST, manifest)
    keys.add(model_folder(RECIPE, "planner", runs / "data", runs))
    assert len(keys) == before + 1 >= len(others) + 2


def test_the_settings_of_a_model(runs):
    assert model_settings(RECIPE, "planner", runs / "data") == {
        "role": "planner",
        "rows": {"plan": {"seed": "hash of plan"}},
        "base_model": "some/model",
        "sft": {"learning_rate": 2e-5, "num_train_epochs": 2},
        "batch": None,
        "held_out": 0,
        "seed": 0,
    }
    folder = model_folder(RECIPE, "planner", runs / "data", runs)
    assert folder.parent == runs / "models" and folder.name.startswith("planner-")


def test_rows_that_are_not_built_are_named(tmp_path):
    both = data(planner=("plan", "replan"))
    with pytest.raises(NotBuilt, match="the plan, replan rows of tiny/row are not built") as missing:
        model_settings(both, "planner", tmp_path)
    assert missing.value.script == "scripts/build_data.py"
    write_json(tmp_path / MANIFEST, {"rows": {"plan": {"hashes": {"seed": "h"}}}})
    with pytest.raises(NotBuilt, match="the replan rows"):
        model_settings(both, "planner", tmp_path)
    assert model_settings(RECIPE, "planner", tmp_path)["rows"] == {"plan": {"seed": "h"}}


def test_who_is_told_about_a_training_does_not_make_it_another_model(tmp_path):
    write_json(tmp_path / MANIFEST, {"rows": {"plan": {"hashes": {"seed": "h"}}}})
    plain = data(planner=("plan",))

    def trained(**sft):
        return model_settings(replace(plain, sft={**(plain.sft or {}), **sft}), "planner", tmp_path)

    told = trained(report_to="wandb", run_name="x", project="y", push_to_hub=True, hub_model_id="me/model", trackio_space_id="me/space")
    assert told == trained() != trained(learning_rate=1.0)


def test_a_local_base_model_is_known_by_its_content(tmp_path):
    def folder(name, **files):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / ".".join(file.rsplit("_", 1))).write_text(text)
        return base_model_identity(str(tmp_path / name))

    first = folder("a", model_safetensors="weights", config_json="{}")
    assert folder("b", config_json="{}", model_safetensors="weights", README_md="words", training_bin="x") == first
    assert folder("records", config_json="{}", model_safetensors="weights", run_json="x", finished_json="y", curve_json="z") == first
    others = [
        folder("c", model_safetensors="weights!", config_json="{}"),
        folder("d", model_safetensors="weights", config_json="{ }"),
        folder("e", model2_safetensors="weights", config_json="{}"),
        folder("f", model_safetensors="weights", config_json="{}", template_jinja="x"),
        folder("g", model_safetensors="weights", adapter_config_json="{}"),
    ]
    assert len({first, *others}) == 6
    with pytest.raises(NotBuilt, match="there is no model in"):
        folder("h", model_safetensors="a save that was cut short")


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.3-70B-Instruct", "gpt2"])
def test_a_hub_id_stands_for_itself(name):
    assert base_model_identity(name) == name


@pytest.mark.parametrize("path", ["models/none", "runs/models/none", "./none", "/none/at/all", "a/b/c"])
def test_a_base_model_that_is_not_there_is_named_with_the_command_that_makes_it(path):
    with pytest.raises(NotBuilt, match=f"there is no model in {path}") as missing:
        base_model_identity(path)
    made = missing.value
    assert (made.script, made.options) == ("scripts/pretrain.py", f"--set base_model={path}") and (ROOT / made.config).exists()


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "x.json"
    write_json(path, {"a": "é"})
    assert path.read_text() == '{\n  "a": "é"\n}\n' and list(path.parent.iterdir()) == [path]
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{\n  "a": "é"\n}\n' and list(path.parent.iterdir()) == [path]


def test_a_batch_that_the_recipe_sets_is_the_same_on_any_number_of_processes(runs):
    one, many = (replace(RECIPE, training=Training(batch=32, processes=processes)) for processes in (1, 8))
    assert model_folder(one, "planner", runs / "data", runs) == model_folder(many, "planner", runs / "data", runs)
