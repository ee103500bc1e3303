"""Which checkpoint a training goes on from: whole ones of its own, and what is said of every other."""

import dataclasses
import json
import shutil

import pytest

from planact.recipe import RecipeError
from planact_train.checkpoints import Origin, checkpoints, fault, last_checkpoint, publish, rotate

ORIGIN = Origin("planner-0123456789", "abcd", "plain")
FILES = {
    "model.safetensors": b"weights",
    "optimizer.pt": b"moments",
    "trainer_state.json": b"{}",
    "pytorch_model_fsdp_0/.metadata": b"shards",
}


def saved(folder, step, origin=ORIGIN):
    """A checkpoint as a training saves it."""
    made = folder / "saving" / f"checkpoint-{step}"
    for name, content in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    path = publish(made, origin, {"processes": 1})
    shutil.rmtree(folder / "saving")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_step_is_gone_on_from(tmp_path, capsys):
    for step in (9, 10, 100):  # in the order of numbers, not of letters
        saved(tmp_path, step)
    assert last_checkpoint(tmp_path, ORIGIN) == str(tmp_path / "checkpoint-100")
    assert capsys.readouterr().out == f"resuming from {tmp_path / 'checkpoint-100'}\n"


def test_no_checkpoint_means_from_the_beginning(tmp_path):
    assert last_checkpoint(tmp_path, ORIGIN) is None
    assert last_checkpoint(tmp_path / "not there", ORIGIN) is None


@pytest.mark.parametrize("name", [*FILES, "planact.json"])
@pytest.mark.parametrize("damage", ["missing", "short", "empty"])
def test_a_checkpoint_that_lacks_anything_is_named_and_kept(tmp_path, capsys, name, damage):
    whole, torn = saved(tmp_path, 10), saved(tmp_path, 20)
    content = (torn / name).read_bytes()
    (torn / name).unlink() if damage == "missing" else (torn / name).write_bytes(content[:-1] if damage == "short" else b"")
    damaged = {file: file.read_bytes() for file in torn.rglob("*") if file.is_file()}
    if (name, damage) == ("planact.json", "short"):
        return  # its last byte is a line end: nothing is lost
    assert last_checkpoint(tmp_path, ORIGIN) == str(whole)
    said = capsys.readouterr().out
    assert said.startswith(f"{torn} is skipped: ") and name in said and "It is kept as unusable-checkpoint-20\n" in said
    assert names(tmp_path) == ["checkpoint-10", "unusable-checkpoint-20"]
    assert {torn / file.relative_to(tmp_path / "unusable-checkpoint-20"): file.read_bytes() for file in files(tmp_path)} == damaged


def files(folder):
    return [file for file in (folder / "unusable-checkpoint-20").rglob("*") if file.is_file()]


def test_what_is_said_of_a_checkpoint_that_cannot_be_used(tmp_path):
    path = saved(tmp_path, 20)
    assert fault(path, ORIGIN) is None
    (path / "model.safetensors").write_bytes(b"we")
    assert fault(path, ORIGIN) == "its model.safetensors has 2 bytes of 7"
    (path / "model.safetensors").unlink()
    assert fault(path, ORIGIN) == "its model.safetensors is missing"
    other = dataclasses.replace(ORIGIN, model="executor-99")
    assert fault(path, other) == "it is a checkpoint of planner-0123456789, not of executor-99"
    assert "names or shapes" in fault(path, dataclasses.replace(ORIGIN, parameters="ffff"))
    assert fault(path.rename(tmp_path / "checkpoint-30"), ORIGIN) == "it was saved at step 20"
    (tmp_path / "checkpoint-30/planact.json").write_text('["a", "list"]')
    assert fault(tmp_path / "checkpoint-30", ORIGIN) == "its planact.json cannot be read (TypeError)"
    (tmp_path / "checkpoint-40").mkdir()
    assert fault(tmp_path / "checkpoint-40", ORIGIN) == "it has no planact.json, so planact did not save it"


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path, capsys):
    mine, foreign = saved(tmp_path / "mine", 10), saved(tmp_path / "other", 20, dataclasses.replace(ORIGIN, model="planner-other"))
    shutil.copytree(foreign, tmp_path / "mine" / foreign.name)
    assert last_checkpoint(tmp_path / "mine", ORIGIN) == str(mine)
    assert "it is a checkpoint of planner-other, not of planner-0123456789" in capsys.readouterr().out
    # A second one of that name does not push out the first.
    shutil.copytree(foreign, tmp_path / "mine" / foreign.name)
    last_checkpoint(tmp_path / "mine", ORIGIN)
    assert names(tmp_path / "mine") == ["checkpoint-10", "unusable-checkpoint-20", "unusable-checkpoint-20-2"]


def test_another_way_to_shard_is_an_error_and_not_a_new_beginning(tmp_path):
    path = saved(tmp_path, 10, dataclasses.replace(ORIGIN, strategy="fsdp2 SHARDED_STATE_DICT"))
    with pytest.raises(RecipeError, match="saved under fsdp2 SHARDED_STATE_DICT, and this training runs under plain.*launch it as before"):
        last_checkpoint(tmp_path, ORIGIN)
    assert names(tmp_path) == [path.name]


def test_what_a_kill_left_of_a_save_is_removed(tmp_path):
    whole = saved(tmp_path, 10)
    (tmp_path / "saving/checkpoint-20").mkdir(parents=True)
    (tmp_path / "saving/checkpoint-20/model.safetensors").write_bytes(b"we")
    assert last_checkpoint(tmp_path, ORIGIN) == str(whole)
    assert names(tmp_path) == ["checkpoint-10"]


def test_other_folders_are_no_checkpoints(tmp_path):
    for name in ("checkpoint-", "checkpoint-1x", "checkpoint-best", "xcheckpoint-1", "unusable-checkpoint-3"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-5").write_text("a file")
    assert checkpoints(tmp_path) == [] and last_checkpoint(tmp_path, ORIGIN) is None


@pytest.mark.parametrize(
    "limit, best, kept",
    [
        (2, None, [30, 40]),
        (2, 10, [10, 40]),  # the best one counts
        (1, 10, [10, 40]),  # and goes on counting above the limit
        (1, 40, [40]),
        (1, None, [40]),
        (9, None, [10, 20, 30, 40]),
        (None, None, [10, 20, 30, 40]),
        (0, None, [10, 20, 30, 40]),
    ],
)
def test_old_checkpoints_go_but_neither_the_newest_nor_the_best(tmp_path, limit, best, kept):
    for step in (10, 20, 30, 40):
        saved(tmp_path, step)
    (tmp_path / "saving").mkdir()
    rotate(tmp_path, limit, best and str(tmp_path / f"checkpoint-{best}"))
    assert checkpoints(tmp_path) == [tmp_path / f"checkpoint-{step}" for step in kept]
    assert list((tmp_path / "saving").iterdir()) == []


def test_the_mark_says_whose_checkpoint_it_is(tmp_path):
    mark = json.loads((saved(tmp_path, 10) / "planact.json").read_text())
    assert mark["step"] == 10 and mark["processes"] == 1 and Origin(mark["model"], mark["parameters"], mark["strategy"]) == ORIGIN
    assert mark["files"] == {name: len(content) for name, content in sorted(FILES.items())}
