"""What ends a training before its end: losses that are no number, a full disk, a second start, Ctrl-C and SIGTERM. What was saved stays."""

import argparse
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from planact.cli import run
from planact.database import RunLocked
from planact.layout import TrainingError, data_folder, model_folder
from planact_envs.suites import load_suite
from planact_train import faults
from planact_train.checkpoints import checkpoints, fault
from planact_train.faults import alone, check_space, reported
from planact_train.settings import sft_config
from planact_train.sft import train
from planact_train.trainer import AnswerTrainer

ARGS = argparse.Namespace(config="recipes/tiny/finetuning.yaml", set=[], runs=Path("runs"))
ADAMW = "sft.optim=adamw_torch"


def folder_of(recipe, runs):
    return model_folder(recipe, "planner", data_folder(recipe, load_suite("miniweb-short").version, runs), runs)


def trainer_of(base, folder, **settings):
    """A trainer of four questions; checkpoints in `folder`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [
        {
            "prompt": [{"role": "user", "content": f"Question {n}"}],
            "completion": [{"role": "assistant", "content": "Yes."}],
            "task_id": f"t{n}",
        }
        for n in range(4)
    ]
    keys = {"use_cpu": True, "bf16": False, "max_steps": 4, "save_steps": 1, "per_device_train_batch_size": 2, "optim": "adamw_torch"}
    return AnswerTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        args=sft_config(keys | {"gradient_checkpointing": False, "max_length": 256} | settings, folder, seed=0),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )


def test_the_best_checkpoint_is_kept_and_known_by_its_name(base, tmp_path):
    # The loss falls from step to step, so the highest one, taken for the best here, is that of the first.
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True, "save_total_limit": 2}
    trainer = trainer_of(base, tmp_path, eval_strategy="steps", eval_steps=1, learning_rate=1e-2, lr_scheduler_type="constant", **best)
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert losses == sorted(losses, reverse=True) and len(losses) == 4
    assert checkpoints(tmp_path) == [tmp_path / "checkpoint-1", tmp_path / "checkpoint-4"]
    saved = json.loads((tmp_path / "checkpoint-4/trainer_state.json").read_text())
    assert saved["best_model_checkpoint"] == trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-1")


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_what_was_good(runs, small, capsys):
    # After one step with such a learning rate the weights are about 1e30, and the next loss overflows float32.
    recipe = small("finetuning", ADAMW, "sft.learning_rate=1e30", "sft.warmup_steps=0", "sft.save_steps=1", "sft.save_total_limit=1")
    folder = folder_of(recipe, runs)
    with pytest.raises(SystemExit) as caught:
        run(ARGS, lambda: train(recipe, "planner", runs))
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert re.search("error: the (loss|gradient norm) of step 2 is (nan|inf); the step is not taken and nothing of it is saved", said)
    assert f"The last checkpoint is {folder / 'checkpoint-1'}. The step's rows are of the tasks " in said
    assert "sft.learning_rate below 1e+30" in said and "sft.max_grad_norm below 1.0" in said
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-1"] and not (folder / "finished.json").exists()


def test_the_rows_of_the_step_are_named(base, tmp_path):
    trainer = trainer_of(base, tmp_path, train_sampling_strategy="sequential")
    weight = trainer.model.get_input_embeddings().weight
    weight.register_hook(lambda gradient: gradient * (1 if trainer.state.global_step == 0 else float("nan")))
    before = None

    class Watch(faults.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            nonlocal before
            before = weight.detach().clone()

    trainer.add_callback(Watch())
    # Batches of two rows in their order: the second step holds t2 and t3.
    with pytest.raises(
        TrainingError, match=r"the gradient norm of step 2 is nan.*checkpoint-1\. The step's rows are of the tasks t2, t3\. "
    ):
        trainer.train()
    assert torch.equal(weight, before) and torch.isfinite(weight).all()  # the step was not taken


def limited(size):
    """Files of more than `size` bytes cannot be written: what a full disk does, without one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "tokenizer.json", "trainer_state.json"])
def test_a_save_that_fails_leaves_nothing_and_keeps_the_earlier_ones(base, tmp_path, file):
    trainer = trainer_of(base, tmp_path, save_steps=2)

    class Fill(faults.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 4:  # the checkpoint of step 2 tells how long this file is
                limited((tmp_path / "checkpoint-2" / file).stat().st_size - 10)

    trainer.add_callback(Fill())
    try:
        with pytest.raises(TrainingError) as caught:
            trainer.train()
    finally:
        limited(resource.RLIM_INFINITY)
    assert f"{tmp_path} could not be written (" in str(caught.value) and " are free there. " in str(caught.value)
    assert f"The last checkpoint is {tmp_path / 'checkpoint-2'}. Put this right and give the same command again" in str(caught.value)
    assert fault(tmp_path / "checkpoint-2", trainer.origin) is None
    assert not (tmp_path / "saving").exists() and len(checkpoints(tmp_path)) == 1


@pytest.fixture
def disk(tmp_path):
    """A file system of 4 MB, and how to make it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_and_training_goes_on_when_there_is_room(disk, runs, small, capsys):
    folder, enlarge = disk
    recipe = small("finetuning", ADAMW, "sft.max_steps=12", "sft.save_steps=1", "sft.save_total_limit=null")  # half a megabyte each
    (folder / "models").mkdir()
    (runs / "models").symlink_to(folder / "models")
    with pytest.raises(TrainingError, match="could not be written.*The last checkpoint is "):
        train(recipe, "planner", runs)
    made = checkpoints(folder_of(recipe, runs))
    assert 1 <= len(made) < 12 and not (folder_of(recipe, runs) / "saving").exists()
    capsys.readouterr()
    enlarge()
    train(recipe, "planner", runs)
    said = capsys.readouterr().out
    assert f"resuming from {made[-1]}" in said and "is skipped" not in said
    assert (folder_of(recipe, runs) / "finished.json").exists()


def test_too_little_room_is_told_before_the_first_step(base, tmp_path, monkeypatch):
    trainer = trainer_of(base, tmp_path, save_total_limit=2)
    weights = sum(p.numel() * 4 for p in trainer.model.parameters())
    # Three checkpoints (two that are kept, one that is written) of weights and AdamW's two moments, and the model: 3 * 3 + 1 weights.
    monkeypatch.setattr(faults, "_free", lambda folder: 10 * weights)
    check_space(trainer)
    monkeypatch.setattr(faults, "_free", lambda folder: 10 * weights - 1)
    with pytest.raises(TrainingError, match=rf"{tmp_path} needs .*3 checkpoints of .*are free; make room, lower sft.save_total_limit"):
        check_space(trainer)
    (tmp_path / "checkpoint-1").mkdir()  # one of them is on the disk already
    check_space(trainer)


def test_errors_that_are_no_failed_write_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="^mat1 and mat2"), reported(tmp_path):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(TrainingError, match="There is no checkpoint yet"), reported(tmp_path):
        (tmp_path / "none" / "file").write_text("")


def test_a_second_start_of_the_same_training_is_refused(runs, small):
    recipe = small("finetuning")
    folder = folder_of(recipe, runs)
    with alone(folder), pytest.raises(RunLocked, match=rf"{folder.name} is in use by pid {os.getpid()} on "):
        train(recipe, "planner", runs)
    assert not folder.exists()


def signal_after(checkpoint, number):
    """A thread that sends this process a signal once there is such a checkpoint."""

    def send():
        while not checkpoint.exists():
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


LONG = [ADAMW, "sft.max_steps=60", "sft.save_steps=20"]


def test_sigterm_ends_after_the_step_with_a_checkpoint(runs, small, capsys):
    recipe = small("finetuning", *LONG)
    folder, before = folder_of(recipe, runs), signal.getsignal(signal.SIGTERM)
    signal_after(folder / "checkpoint-20", signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        run(ARGS, lambda: train(recipe, "planner", runs))
    assert caught.value.code == 143 and signal.getsignal(signal.SIGTERM) == before
    last = checkpoints(folder)[-1]
    step = int(last.name.removeprefix("checkpoint-"))
    assert 20 < step < 60 and step != 40
    assert f"stopped by SIGTERM after step {step}, which is saved" in capsys.readouterr().out
    assert not (folder / "finished.json").exists() and not (folder / "model.safetensors").exists()
    train(recipe, "planner", runs)
    assert f"resuming from {last}" in capsys.readouterr().out and (folder / "finished.json").exists()


def train_and_be_told_twice(base, folder):
    """In a process of its own: the signal comes twice in the second step."""
    trainer = trainer_of(base, folder, save_steps=4)

    class Stop(faults.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 1:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)

    trainer.add_callback(Stop())
    trainer.train()


def test_sigterm_from_launcher_and_batch_system_is_one_stop(base, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=train_and_be_told_twice, args=(base, tmp_path))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == 143 and checkpoints(tmp_path) == [tmp_path / "checkpoint-2"]


def test_ctrl_c_keeps_what_was_saved(runs, small, capsys):
    recipe = small("finetuning", *LONG)
    folder = folder_of(recipe, runs)
    signal_after(folder / "checkpoint-20", signal.SIGINT)
    with pytest.raises(SystemExit) as caught:
        run(ARGS, lambda: train(recipe, "planner", runs))
    assert caught.value.code == 130 and "the same command goes on from here" in capsys.readouterr().err
    train(recipe, "planner", runs)
    assert f"resuming from {folder / 'checkpoint-'}" in capsys.readouterr().out and (folder / "finished.json").exists()
