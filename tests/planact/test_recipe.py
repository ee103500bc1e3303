"""What a good recipe loads to: types, parents, overrides, hashes, differences, and the command line around it."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.recipe import Agent, Data, Endpoint, Eval, Recipe, RecipeError, load_recipe
from planact.recipe_yaml import compose, dump, plain
from planact.sft_keys import sft_keys
from planact.types import content_hash

HEAD = "name: row\nseed: 3\nbase_model: org/model\n"
FULL = (
    HEAD
    + """description: all sections
agent:
  planner: base
  replan: every_k
  replan_every: 2
  plan_history: 1
  temperature: 1
endpoints:
  teacher:
    base_url: https://example.org/v1
    model: big
    api_key_env: BIG_KEY
    usd_per_m_prompt: 0.5
data:
  teacher: endpoint
  planner: [plan, replan]
  executor: [act_dynamic, react]
sft:
  learning_rate: 2e-5
  use_peft: true
  model_init_kwargs: {a: [1, 2], b: {c: 1}}
  planner: {lora_r: 16, model_init_kwargs: {b: {d: 2}}}
eval:
  limit: 5
"""
)


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="a.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def test_missing_sections_are_none_and_given_ones_have_defaults(write):
    assert load_recipe(write(HEAD)) == Recipe(name="row", seed=3, base_model="org/model")
    recipe = load_recipe(write(HEAD + "agent: {}\ndata: {}\neval: {}\nsft: {}\n"))
    assert (recipe.agent, recipe.data, recipe.eval, recipe.sft) == (Agent(), Data(), Eval(), {})


def test_full_recipe(write):
    recipe = load_recipe(write(FULL))
    assert recipe.agent == Agent(planner="base", replan="every_k", replan_every=2, plan_history=1, temperature=1.0)
    assert type(recipe.agent.temperature) is float
    assert recipe.endpoints == {"teacher": Endpoint("https://example.org/v1", "big", "BIG_KEY", usd_per_m_prompt=0.5)}
    assert recipe.data == Data(teacher="endpoint", planner=("plan", "replan"), executor=("act_dynamic", "react"))
    assert recipe.sft["learning_rate"] == 2e-5
    assert recipe.eval == Eval(limit=5)


def test_sft_for_merges_the_role_over_the_shared_settings(write):
    recipe = load_recipe(write(FULL))
    kwargs = {"a": [1, 2], "b": {"c": 1}}
    assert recipe.sft_for("executor") == {"learning_rate": 2e-5, "use_peft": True, "model_init_kwargs": kwargs}
    planner = recipe.sft_for("planner")
    assert planner["lora_r"] == 16 and planner["model_init_kwargs"] == {"a": [1, 2], "b": {"c": 1, "d": 2}}
    planner["model_init_kwargs"]["a"].append(3)
    assert recipe.sft["model_init_kwargs"] == kwargs
    with pytest.raises(RecipeError, match="planner and executor"):
        recipe.sft_for("teacher")
    with pytest.raises(RecipeError, match="no sft section"):
        load_recipe(write(HEAD)).sft_for("planner")


@pytest.mark.parametrize(
    "text, value",
    [
        ("2e-5", 2e-5), ("1E3", 1000.0), ("-2.5e+3", -2500.0), (".5", 0.5), ("3.", 3.0), ("7", 7), ("+7", 7), ("1_000", 1000), ("0", 0),
        ("yes", True), ("off", False), ("True", True), ("~", None), ("null", None), ("", None),
        ("'2e-5'", "2e-5"), ("010", "010"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("0x1F", "0x1F"), ("1e", "1e"),
        ("!!str 5", "5"),
    ],
)  # fmt: skip
def test_plain_scalars(text, value):
    read = plain(compose(f"k: {text}", str))["k"]
    assert read == value and type(read) is type(value)


def test_extends_merges_mappings_and_replaces_lists_and_scalars(write):
    write(FULL, "base/root.yaml")
    write("extends: root.yaml\nname: middle\nagent: {replan: never}\ndata: {executor: [act]}\n", "base/middle.yaml")
    recipe = load_recipe(write("extends: base/middle.yaml\nname: leaf\neval: null\nsft: {planner: {lora_r: 8}}\n"))
    assert (recipe.name, recipe.seed, recipe.eval) == ("leaf", 3, None)
    assert recipe.agent == Agent(planner="base", replan="never", replan_every=2, plan_history=1, temperature=1.0)
    assert recipe.data.planner == ("plan", "replan") and recipe.data.executor == ("act",)
    assert recipe.sft_for("planner")["lora_r"] == 8 and recipe.sft_for("planner")["learning_rate"] == 2e-5


def test_one_parent_may_serve_two_files_and_a_mapping_replaces_null(write):
    write(HEAD + "agent: null\n", "base.yaml")
    assert load_recipe(write("extends: base.yaml\nagent: {max_turns: 5}\n")).agent == Agent(max_turns=5)


def test_overrides(write):
    path = write(FULL)
    recipe = load_recipe(
        path, ["agent.replan=never", "name=other", "sft.learning_rate=3e-4", "sft.executor.lora_r=4", "data.planner=[plan]"]
    )
    assert (recipe.agent.replan, recipe.name, recipe.sft["learning_rate"], recipe.data.planner) == ("never", "other", 3e-4, ("plan",))
    assert recipe.sft_for("executor")["lora_r"] == 4
    assert load_recipe(path, ["seed=1", "seed=2"]).seed == 2, "the last one wins"
    assert load_recipe(path, ["eval=null"]).eval is None
    assert load_recipe(path, ["agent={replan: never, max_turns: 9}"]).agent.max_turns == 9
    assert load_recipe(path, ["description=a=b"]).description == "a=b"
    assert load_recipe(write(HEAD), ["eval.limit=2"]).eval == Eval(limit=2), "an override adds a missing section"


def test_aliases_are_read(write):
    recipe = load_recipe(write(HEAD + "sft: {planner: &small {lora_r: 8}, executor: *small}\n"))
    assert recipe.sft["planner"] == recipe.sft["executor"] == {"lora_r": 8}


def test_utf8_with_byte_order_mark_and_windows_line_ends(write):
    assert load_recipe(write(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode() + "description: día\r\n".encode())).description == "día"


def test_null_only_where_optional(write):
    recipe = load_recipe(write(HEAD + "data: {tasks: null}\nagent: {plan_history: ~}\n"))
    assert recipe.data.tasks is None and recipe.agent.plan_history is None


@pytest.mark.parametrize("text", [HEAD, FULL, HEAD + "description: '2e-5'\nsft: {run_name: 'no', report_to: ['null', '1']}\n"])
def test_to_yaml_loads_to_an_equal_recipe(write, text):
    recipe = load_recipe(write(text))
    assert load_recipe(write(recipe.to_yaml(), "b.yaml")) == recipe


SCALARS = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8)


@given(VALUES)
def test_dump_reads_back_equal(value):
    if "'<<'" in repr(value):
        return  # the one key that is refused
    read = plain(compose(dump({"k": value}), str))
    assert read == {"k": value} and content_hash(read) == content_hash({"k": value})


def test_section_hash_follows_the_named_sections_only(write):
    a, b = load_recipe(write(FULL)), load_recipe(write(FULL), ["eval.limit=6"])
    assert a.section_hash("agent", "sft", "seed") == b.section_hash("agent", "sft", "seed")
    assert a.section_hash("eval") != b.section_hash("eval")
    assert a.section_hash("eval") == content_hash({"eval": dataclasses.asdict(a.eval)})
    with pytest.raises(RecipeError, match="evel"):
        a.section_hash("evel")


def test_sft_keys_are_the_fields_of_the_installed_trl():
    trl = pytest.importorskip("trl")
    expected = {f.name for kind in (trl.SFTConfig, trl.ModelConfig) for f in dataclasses.fields(kind) if f.init}
    assert sft_keys() == expected


def test_sft_keys_are_not_checked_without_trl(write, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    sft_keys.cache_clear()
    try:
        assert load_recipe(write(HEAD + "sft: {learning_rat: 2e-5}\n")).sft == {"learning_rat": 2e-5}
    finally:
        sft_keys.cache_clear()


SCRIPT = """
import argparse, sys
from planact.cli import load_or_exit, recipe_arguments
parser = argparse.ArgumentParser()
recipe_arguments(parser)
args = parser.parse_args()
try:
    print(load_or_exit(args).name, args.runs)
finally:
    print(sorted({"torch", "trl", "transformers", "numpy", "httpx"} & set(sys.modules)))
"""


def run_script(*args):
    return subprocess.run([sys.executable, "-c", SCRIPT, *map(str, args)], capture_output=True, text=True, timeout=60, check=False)


def test_command_line_loads_a_recipe_without_heavy_imports(write):
    done = run_script("--config", write(FULL), "--set", "name=x", "--set", "agent.replan=never", "--runs", "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "x out\n[]\n", "")


def test_command_line_refuses_a_typo_with_exit_code_2(write):
    path = write(HEAD + "sft:\n  learning_rat: 2e-5\n")
    done = run_script("--config", path)
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert done.stderr == f"error: {path}:5: unknown key 'learning_rat' in section 'sft'; did you mean 'learning_rate'?\n"
    assert run_script().returncode == 2, "--config is required"
