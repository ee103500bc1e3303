"""From a recipe to a folder of rows: what is written, what is not done twice, what is refused."""

import dataclasses
import json
import os
import shutil
from dataclasses import replace

import pytest
import yaml
from datasets import load_dataset

from planact.layout import data_folder, data_store, read_manifest, store_settings
from planact.recipe import RecipeError
from planact.store import RunLocked, RunStore, StoreDamaged, read_run
from planact_data.build import build, missing_kinds
from planact_data.leaks import Gate
from planact_data.pipeline import select_tasks
from planact_data.rows import features
from planact_envs.miniweb.tasks import find, solution
from planact_envs.suites import load_suite

KINDS = ("plan", "replan", "act", "act_dynamic", "react")
SUITE = load_suite("miniweb-short")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def items(folder):
    with read_run(folder.parent / "run.sqlite") as store:
        return {kind: dict(store.items(kind)) for kind in ("trajectory", "plan", "replan")}


def rows_of(folder, kind):
    return load_dataset(str(folder), kind, cache_dir=str(folder.parent.parent / "cache"))["train"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def twelve(recipe):
    return recipe(tasks=12)


@pytest.fixture
def built(twelve, runs):
    """The rows of twelve tasks, made by the first test that needs them."""
    return build(twelve, runs)


def test_the_rows_of_twelve_tasks(twelve, built):
    tasks, _ = select_tasks(twelve, SUITE)
    turns = [len(solution(task).moves) for task in tasks]  # the teacher makes no mistake and no detour
    counts = {kind: entry["rows"] for kind, entry in read_manifest(built)["rows"].items()}
    assert counts == {"plan": 12, "replan": sum(turns) - 12, "act": sum(turns), "act_dynamic": sum(turns), "react": sum(turns)}
    seen = set()
    for kind in KINDS:
        rows = rows_of(built, kind)
        assert rows.features == features() and len(rows) == counts[kind] and set(rows["kind"]) == {kind}
        assert list(rows["task_id"]) == sorted(rows["task_id"], key=[task.id for task in tasks].index)  # in the order of the tasks
        seen.update(rows["id"])
    assert len(seen) == sum(counts.values())


def test_the_manifest_tells_what_was_done(twelve, built, runs):
    manifest = read_manifest(built)
    assert manifest["counts"]["seed"] == {
        "training tasks": len(SUITE.tasks("train")),
        "match a held-out intent": 0,
        "near-duplicate queries": 0,
        "tried": 12,
        "trajectories kept": 12,
        "trajectories rejected": {},
    }
    settings = manifest["settings"]
    assert (settings["suite"], settings["suite_version"], settings["tasks"], settings["seed"]) == ("miniweb-short", SUITE.version, 12, 1)
    plan, replan = manifest["questions"]["plan"], manifest["questions"]["replan"]
    assert (plan["asked"], plan["accepted"], plan["repairs"], plan["rejected"]) == (12, 12, 0, {})
    assert replan["asked"] == manifest["rows"]["replan"]["rows"]
    assert replan["prompt tokens"] > 10_000 > replan["completion tokens"] > 1_000
    assert (folder := data_folder(twelve, SUITE.version, runs)) == built and folder.parent.parent == runs / "data"


def test_a_finished_build_does_nothing(twelve, built, runs):
    before = times(built)
    store = built.parent / "run.sqlite"
    whole = store.read_bytes()
    store.write_bytes(b"not even opened")  # so no teacher can have been asked either
    try:
        assert build(twelve, runs) == built and missing_kinds(twelve, built) == []
    finally:
        store.write_bytes(whole)
    assert times(built) == before


def test_one_more_kind_adds_that_kind_only(recipe, tmp_path):
    folder = build(recipe(tasks=4, planner=("plan",), executor=("act",)), tmp_path)
    before, made, manifest = times(folder), items(folder), read_manifest(folder)
    more = recipe(tasks=4, planner=("plan", "replan"), executor=("act",))
    assert missing_kinds(more, folder) == ["replan"] and made["replan"] == {}
    assert build(more, tmp_path) == folder
    assert {name: times(folder)[name] for name in ("plan.parquet", "act.parquet")} == {
        n: before[n] for n in ("plan.parquet", "act.parquet")
    }
    assert items(folder)["trajectory"] == made["trajectory"] and items(folder)["plan"] == made["plan"]
    assert len(items(folder)["replan"]) == read_manifest(folder)["rows"]["replan"]["rows"]
    after = read_manifest(folder)
    assert {kind: after["rows"][kind] for kind in ("plan", "act")} == manifest["rows"] and set(after["rows"]) == {"plan", "act", "replan"}
    assert after["counts"]["seed"] == manifest["counts"]["seed"]
    assert [c["config_name"] for c in card_configs(folder)] == ["plan", "replan", "act"]


def card_configs(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])["configs"]


def test_a_lost_parquet_file_is_written_again_from_the_store(twelve, built, tmp_path):
    folder = copy(built, tmp_path)
    before, made = contents(folder), items(folder)
    (folder / "act.parquet").unlink()
    assert missing_kinds(twelve, folder) == ["act"]
    assert build(twelve, tmp_path) == folder
    assert contents(folder) == before and items(folder) == made


def copy(folder, runs):
    """The same build, with its store, under another runs folder."""
    shutil.copytree(folder.parent, runs / "data" / folder.parent.name)
    return runs / "data" / folder.parent.name / folder.name


def test_two_builds_are_equal_and_seeds_choose_other_tasks(twelve, built, tmp_path):
    again = build(twelve, tmp_path)
    assert again.name == built.name and contents(again) == contents(built)
    other = {task.id for task in select_tasks(replace(twelve, seed=2), SUITE)[0]}
    assert len(other) == 12 and other != set(rows_of(built, "plan")["task_id"])


def test_mistakes_are_filtered_and_counted(recipe, tmp_path):
    folder = build(recipe(tasks=24, teacher_error_rate=0.4, executor=("act",)), tmp_path)
    manifest = read_manifest(folder)
    counts, questions, stored = manifest["counts"]["seed"], manifest["questions"], items(folder)
    kept = counts["trajectories kept"]
    assert 10 <= kept < 24 and sum(counts["trajectories rejected"].values()) == 24 - kept
    assert kept == len(stored["plan"]) == manifest["rows"]["plan"]["rows"] + sum(questions["plan"]["rejected"].values())
    assert questions["plan"]["repairs"] == sum(record["repairs"] for record in stored["plan"].values()) > 0
    assert questions["replan"]["repairs"] > 5
    solved = {key for key, value in stored["trajectory"].items() if value["outcome"]["success"]}
    assert set(rows_of(folder, "act")["task_id"]) <= solved


def test_no_rows_at_all_is_an_error_with_advice(recipe, tmp_path):
    hopeless = recipe(tasks=1, teacher_error_rate=1.0, seed=2)  # under seed 2 the teacher slips on the only task
    with pytest.raises(
        RecipeError, match="no plan rows: 0 trajectories are solved and planned; dropped: none; raise data.tasks, or take a teacher"
    ):
        build(hopeless, tmp_path)


def test_a_torn_store_is_kept_and_named(twelve, built, tmp_path):
    folder = copy(built, tmp_path)
    store = folder.parent / "run.sqlite"
    torn = b"\x00torn" + store.read_bytes()[5:]
    store.write_bytes(torn)
    assert build(twelve, tmp_path) == folder  # nothing is missing, so it is not needed
    (folder / "act.parquet").unlink()
    with pytest.raises(StoreDamaged, match=rf"{store}: not readable as a database.*To set it aside and begin a new one type: mv {store} "):
        build(twelve, tmp_path)
    assert store.read_bytes() == torn


def test_two_builds_at_once_are_refused(recipe, tmp_path):
    small = recipe(tasks=2)
    store = data_store(small, SUITE.version, tmp_path)
    with RunStore.open(store, store_settings(small, SUITE.version)), pytest.raises(RunLocked, match=f"pid {os.getpid()} on"):
        build(small, tmp_path)


def test_recipes_that_differ_in_sizes_pay_once(recipe, tmp_path):
    small = build(recipe(tasks=3, planner=("plan",), executor=("act",)), tmp_path)
    made = items(small)
    large = build(recipe(tasks=6, planner=("plan",), executor=("act",)), tmp_path)
    assert small != large and small.parent == large.parent
    assert set(rows_of(large, "plan")["task_id"]) != set(rows_of(small, "plan")["task_id"])
    for kind in ("trajectory", "plan"):
        assert made[kind].items() <= items(large)[kind].items()


def test_all_training_tasks_are_selected_and_no_held_out_intent_is(recipe):
    chosen, counts = select_tasks(recipe(), SUITE)
    assert sorted(task.id for task in chosen) == sorted(task.id for task in SUITE.tasks("train")) and counts["tried"] == len(chosen)
    held_out = (*SUITE.tasks("validation"), *SUITE.tasks("test"))
    gate = Gate(held_out, 0.9)
    assert not any(gate.repeats(task.intent) for task in chosen)
    assert not {task.intent for task in chosen} & {task.intent for task in held_out}


def test_tasks_that_leak_or_repeat_are_dropped_and_counted(recipe):
    train, test = SUITE.tasks("train")[:6], SUITE.tasks("test")[0]
    leak = replace(train[0], id="leak", intent=test.intent.upper() + "!")
    twin = replace(train[0], id="twin", intent=f"{train[0].intent} ")
    pool = (leak, *train, twin)
    suite = dataclasses.replace(SUITE, tasks=lambda split: pool if split == "train" else SUITE.tasks(split))
    chosen, counts = select_tasks(recipe(), suite)
    assert sorted(task.id for task in chosen) == sorted(task.id for task in train)
    assert counts == {"training tasks": 8, "match a held-out intent": 1, "near-duplicate queries": 1, "tried": 6}


def test_no_held_out_intent_is_in_any_row(built):
    held_out = [task.intent for task in (*SUITE.tasks("validation"), *SUITE.tasks("test"))]
    text = "\n".join(json.dumps(rows_of(built, kind)["prompt"][:], ensure_ascii=False) for kind in KINDS)
    assert find(rows_of(built, "plan")["task_id"][0]).intent in text
    assert not [intent for intent in held_out if json.dumps(intent, ensure_ascii=False)[1:-1] in text]
