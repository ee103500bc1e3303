"""A training that is killed, again and again and anywhere, ends as one that was left alone: same curve, same weights (fp32, CPU)."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from planact.layout import data_folder, model_folder
from planact_envs.suites import load_suite
from planact_train.sft import train

REPO = Path(__file__).parents[2]
# Rows are 10: three steps of four rows are an epoch, so saves fall inside epochs and on their ends, and inside logging intervals.
STEPS = ["sft.max_steps=14", "sft.save_steps=2", "sft.logging_steps=3", "sft.save_total_limit=1"]
LORA = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=[q_proj, v_proj]", "sft.lora_dropout=0.2"]
VARIANTS = {
    "muon, rows of like length together": ["sft.optim=muon"],
    "adamw, accumulated batches, random order": [
        "sft.optim=adamw_torch",
        "sft.per_device_train_batch_size=2",
        "sft.gradient_accumulation_steps=2",
        "sft.train_sampling_strategy=random",
    ],
    "an adapter with dropout": ["sft.optim=adamw_torch", *LORA],
}


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have the libraries loaded already, so that a kill costs a second and not ten."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["planact_train.sft"])
    return context


def folder_of(recipe, runs):
    return model_folder(recipe, "planner", data_folder(recipe, load_suite("miniweb-short").version, runs), runs)


def kill_when(process, folder, moment):
    """SIGKILL at a moment: seconds from the start, or "saving" / "publishing" / "finishing" and the seconds after that is seen."""
    began, seen = time.monotonic(), None
    state, delay = moment
    there = {"start": lambda: True, "saving": (folder / "saving").exists, "final": (folder / "model.safetensors").exists}[state]
    while process.is_alive():
        if seen is None and there():
            seen = time.monotonic()
        if seen is not None and time.monotonic() - seen >= delay:
            process.kill()
            process.join()
            return True
        assert time.monotonic() - began < 120
        time.sleep(0.0002)
    return False


def killed_and_resumed(processes, recipe, runs, moments):
    """How many kills a training took; each in `moments` once, then it is left to end."""
    kills = 0
    for moment in moments:
        process = processes.Process(target=train, args=(recipe, "planner", runs))
        process.start()
        kills += kill_when(process, folder_of(recipe, runs), moment)
    train(recipe, "planner", runs)
    return kills


def assert_same_training(one, other):
    curve, wanted = (json.loads((folder / "curve.json").read_text()) for folder in (one, other))
    assert curve == wanted and [entry["step"] for entry in curve] == [3, 6, 9, 12]
    name = "adapter_model.safetensors" if (one / "adapter_model.safetensors").exists() else "model.safetensors"
    weights, expected = load_file(one / name), load_file(other / name)
    assert weights.keys() == expected.keys()
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, atol=1e-7, rtol=0, msg=key)


def straight(recipe, runs):
    """The same training, left alone."""
    alone = shutil.copytree(runs, runs.with_name("straight"), ignore=shutil.ignore_patterns("models"))
    return train(recipe, "planner", alone)


def test_killed_in_a_save_and_in_a_step(processes, runs, small):
    recipe = small("finetuning", *STEPS, *VARIANTS["adamw, accumulated batches, random order"])
    moments = [("saving", 0.0), ("saving", 0.02), ("final", 0.0)]
    assert killed_and_resumed(processes, recipe, runs, moments) >= 2
    assert_same_training(folder_of(recipe, runs), straight(recipe, runs))
