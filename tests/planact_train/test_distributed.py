"""Recipes of 70B on a tiny base, through accelerate's launcher, the repository's own configs and scripts/sft.py: two processes on the CPU.

tests/planact_train/fsdp_on_cpu.py has accelerate take its real FSDP2 path there. One process is the yardstick: the same global batch
must give the same losses.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from planact.layout import data_folder, model_folder
from planact.recipe import load_recipe
from planact_envs.suites import load_suite
from planact_eval.serving import LocalLLM
from planact_train.merging import merge_adapter
from planact_train.sft import train

REPO = Path(__file__).parents[2]
QUESTION = [{"role": "user", "content": "Open the cart of the shop and then pay."}]
FSDP_ON_CPU = "tests/planact_train/fsdp_on_cpu.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "scripts/sft.py"]
PATIENCE = 240  # seconds for one training; a quiet machine takes 20
EXACT = ["sft.bf16=false", "sft.dtype=float32"]  # bfloat16 hides what a wrong shard or a wrong mean of gradients would do


@pytest.fixture(scope="session")
def large(small, llama):
    """A function that loads a recipe of recipes/llama-3.3-70b with a tiny base and rows; its `sft` and `training` are otherwise its own."""
    rows = small("dynamic-replanning")
    changes = [f"base_model={llama}", "training.processes=2", "training.batch=4", "training.held_out=0", "sft.use_cpu=true"]
    changes += ["sft.max_steps=4", "sft.save_steps=2", "sft.logging_steps=1", "sft.learning_rate=1e-2", "sft.report_to=none"]

    def load(name, *more):
        recipe = load_recipe(REPO / f"recipes/llama-3.3-70b/{name}.yaml", [*changes, *more])
        return dataclasses.replace(recipe, agent=rows.agent, data=rows.data, endpoints={}, eval=None)

    return load


def launched(config, *flags, script=(FSDP_ON_CPU, "scripts/sft.py")):
    accelerate = [str(Path(sys.executable).with_name("accelerate")), "launch", "--config_file", f"accelerate_configs/{config}.yaml"]
    return [*accelerate, "--num_processes", "2", "--main_process_port", "0", *flags, *script]


@contextlib.contextmanager
def training(command, recipe, runs):
    """A started training of the recipe's planner and the file of what it prints. Nothing of it lives on afterwards."""
    config, log = runs / "recipe.yaml", runs / "log.txt"
    config.write_text(recipe.to_yaml())
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("a") as file:
        command = [*command, "--config", str(config), "--role", "planner", "--runs", str(runs)]
        process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process, log
        finally:
            kill(process)


def kill(process):
    """SIGKILL to the launcher and its workers, which have sessions of their own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait(timeout=30)


def finish(command, recipe, runs):
    """Train to the end. Returns the model's folder and what was printed."""
    with training(command, recipe, runs) as (process, log):
        assert process.wait(timeout=PATIENCE) == 0, log.read_text()[-8000:]
    return folder_of(recipe, runs), log.read_text()


def killed_and_resumed(command, recipe, runs):
    """Train until the first checkpoint is there, kill every process, and train to the end. Returns the model's folder."""
    folder = folder_of(recipe, runs)
    with training(command, recipe, runs) as (process, log):
        deadline = time.monotonic() + PATIENCE
        while not list(folder.glob("checkpoint-*")):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-8000:]
            time.sleep(0.01)
        kill(process)
    assert not (folder / "finished.json").exists()
    again, printed = finish(command, recipe, runs)
    assert again == folder and f"resuming from {folder / 'checkpoint-'}" in printed and "fsdp2 x 2 on cpu" in printed
    return folder


def folder_of(recipe, runs):
    return model_folder(recipe, "planner", data_folder(recipe, load_suite(recipe.data.suite).version, runs), runs)


def losses(folder):
    return torch.tensor([entry["loss"] for entry in json.loads((folder / "curve.json").read_text()) if "loss" in entry])


def alone(recipe, runs):
    """The losses of the same recipe in this one process: as many rows in a step, one after the other."""
    straight = shutil.copytree(runs, runs.with_name("straight"), ignore=shutil.ignore_patterns("models"))
    one = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, launch="cpu", processes=1))
    return losses(train(one, "planner", straight))


def answer(folder):
    return asyncio.run(LocalLLM(folder).complete(QUESTION, max_tokens=8)).text


def test_an_adapter_on_a_4bit_base_under_fsdp2(large, runs):
    # The recipe as it is, in bfloat16 and with activation checkpointing; two processes round differently than one.
    recipe = large("finetuning-qlora", "training.merge=true")
    folder, printed = finish(launched("fsdp2_qlora"), recipe, runs)
    assert "fsdp2 x 2 on cpu" in printed  # launch.verify has seen that every parameter is a DTensor
    torch.testing.assert_close(losses(folder), alone(recipe, runs), atol=0.03, rtol=0)
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == recipe.base_model
    assert not (folder / "model.safetensors").exists()
    assert answer(folder) == answer(folder / "merged")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["FULL_STATE_DICT", "SHARDED_STATE_DICT"])
def test_a_full_model_under_fsdp2_is_killed_resumed_and_served(large, runs, kind):
    recipe = large("finetuning-full", *EXACT, "sft.max_steps=8")
    folder = killed_and_resumed(launched("fsdp2", "--fsdp_state_dict_type", kind), recipe, runs)
    sharded = (folder / "checkpoint-8/pytorch_model_fsdp_0").is_dir()
    assert sharded == (kind == "SHARDED_STATE_DICT")  # the model is whole, whatever its checkpoints are
    torch.testing.assert_close(losses(folder), alone(recipe, runs), atol=1e-4, rtol=0)
    whole = AutoModelForCausalLM.from_pretrained(runs.with_name("straight") / folder.relative_to(runs)).state_dict()
    for name, weight in AutoModelForCausalLM.from_pretrained(folder).state_dict().items():
        torch.testing.assert_close(weight, whole[name], atol=1e-3, rtol=0, msg=name)
    assert answer(folder) == answer(runs.with_name("straight") / folder.relative_to(runs))


@pytest.mark.slow
def test_an_adapter_under_fsdp2(large, runs):
    recipe = large("finetuning", *EXACT)
    folder, printed = finish(launched("fsdp2"), recipe, runs)
    assert "fsdp2 x 2 on cpu" in printed
    torch.testing.assert_close(losses(folder), alone(recipe, runs), atol=1e-4, rtol=0)
    last = folder / "checkpoint-4"  # sharded, and an adapter that loads all the same
    assert (last / "pytorch_model_fsdp_0").is_dir()
    assert (last / "adapter_model.safetensors").read_bytes() == (folder / "adapter_model.safetensors").read_bytes()
    assert answer(merge_adapter(folder, runs / "merged")) == answer(folder)


@pytest.mark.slow
def test_an_adapter_on_a_4bit_base_under_fsdp2_is_killed_and_resumed(large, runs):
    recipe = large("finetuning-qlora", "sft.max_steps=6")
    folder = killed_and_resumed(launched("fsdp2_qlora"), recipe, runs)
    torch.testing.assert_close(losses(folder), alone(recipe, runs), atol=0.05, rtol=0)
    assert answer(merge_adapter(folder, runs / "merged")) == answer(folder)


@pytest.mark.slow
def test_two_copies_of_a_model(large, runs):
    # accelerate's launcher starts one process on a CPU (MULTI_CPU is for mpirun), so it is torchrun that starts two.
    recipe = large("finetuning", *EXACT, "training.launch=ddp")
    folder, printed = finish(TORCHRUN, recipe, runs)
    assert "ddp x 2 on cpu" in printed
    torch.testing.assert_close(losses(folder), alone(recipe, runs), atol=1e-4, rtol=0)
    assert answer(folder)


@pytest.mark.slow
def test_a_stop_that_reaches_launcher_and_processes_saves_a_checkpoint(large, runs):
    # As scancel sends it; torchrun passes its own on to the processes, which so have two.
    recipe = large("finetuning", *EXACT, "training.launch=ddp", "sft.max_steps=1000", "sft.save_steps=500")
    folder = folder_of(recipe, runs)
    with training(TORCHRUN, recipe, runs) as (process, log):
        deadline = time.monotonic() + PATIENCE
        while "/1000 steps" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-8000:]
            time.sleep(0.01)
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.terminate()
        process.wait(timeout=PATIENCE)
    stopped = re.search(r"stopped by SIGTERM after step (\d+), which is saved", log.read_text())
    assert stopped and [path.name for path in folder.glob("checkpoint-*")] == [f"checkpoint-{stopped[1]}"], log.read_text()[-8000:]
