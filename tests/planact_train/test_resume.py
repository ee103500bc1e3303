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
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from planact.layout import data_folder, model_folder
from planact_envs.suites import load_suite
from planact_train.sft import train

REPO = Path(__file__).parents[2]
# 10 rows in batches of 4 are 3 steps per epoch, so saves fall inside epochs and on their ends, and inside logging intervals.
STEPS = ["sft.max_steps=14", "sft.save_steps=2", "sft.logging_steps=3", "sft.save_total_limit=1"]
LORA = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=[q_proj, v_proj]", "sft.lora_dropout=0.2"]
VARIANTS = {
    "muon, rows of like length together": ["sft.optim=muon"],
    "packed rows": ["sft.packing=true", "sft.per_device_train_batch_size=1"],
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


@pytest.fixture(scope="module")
def attentive(base, tmp_path_factory):
    """A base without convolutions, which run on into the next row of a pack."""
    folder, tokenizer = tmp_path_factory.mktemp("attentive"), AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def folder_of(recipe, runs):
    return model_folder(recipe, "planner", data_folder(recipe, load_suite("miniweb-short").version, runs), runs)


def kill_when(process, folder, moment):
    """SIGKILL, so many seconds after something is there: the folder of a save, or the final model. Returns whether it came to that."""
    name, delay = moment
    began, seen = time.monotonic(), None
    there = (folder / name).exists
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
    """Kill a training in each of `moments`, then leave it to end. Returns how many kills it took."""
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


def test_killed_in_saves_and_in_steps(processes, runs, small):
    recipe = small("finetuning", *STEPS, *VARIANTS["adamw, accumulated batches, random order"])
    assert killed_and_resumed(processes, recipe, runs, [("saving", 0.0), ("checkpoint-6", 0.02)]) == 2
    assert_same_training(folder_of(recipe, runs), straight(recipe, runs))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_a_dozen_times(processes, runs, small, attentive, variant):
    base = [f"base_model={attentive}"] if variant == "packed rows" else []
    recipe, dice = small("finetuning", *STEPS, *VARIANTS[variant], *base), random.Random(variant)
    moments = [("saving", delay) for delay in (0.0, 0.001, 0.003, 0.01, 0.03)]  # a save takes about 0.05 s
    moments += [(f"checkpoint-{step}", dice.uniform(0, 0.1)) for step in (4, 6, 8, 10, 12)]
    moments += [("checkpoint-14", 0.0), ("model.safetensors", 0.0), ("adapter_model.safetensors", 0.0), ("curve.json", 0.0)]
    kills = killed_and_resumed(processes, recipe, runs, moments)
    print(f"{variant}: {kills} kills")
    assert kills >= 10
    assert_same_training(folder_of(recipe, runs), straight(recipe, runs))


def test_the_same_command_goes_on_from_its_checkpoint(runs, small, changes):
    more = ["sft.max_steps=30", "sft.save_steps=5"]
    recipe = small("finetuning", *more)
    folder = folder_of(recipe, runs)
    options = [f"--set={change}" for change in (*changes, *more)]
    command = [
        sys.executable,
        "scripts/sft.py",
        "--config",
        "recipes/tiny/finetuning.yaml",
        "--role",
        "planner",
        "--runs",
        str(runs),
        *options,
    ]
    process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)
    while not (folder / "checkpoint-5").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (folder / "finished.json").exists()
    second = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert second.returncode == 0 and f"resuming from {folder / 'checkpoint-'}" in second.stdout, second.stderr
    assert [entry["step"] for entry in json.loads((folder / "curve.json").read_text())] == list(range(1, 31))
