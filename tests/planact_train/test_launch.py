"""What runs held against what a recipe asks for: by facts, and in processes that a launcher really started."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from planact.launcher import launcher
from planact.recipe import RecipeError, Training, load_recipe
from planact_train.launch import STRATEGY, Running, check_launch, header, mismatch, unfit, verify

REPO = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ON_CPU = Running("single", processes=1, started=1, asked="", device="cpu", visible=0, precision="no")
ON_H100 = replace(ON_CPU, device="NVIDIA H100 80GB HBM3", visible=8)
FSDP2 = replace(ON_H100, strategy="fsdp2", processes=8, started=8, asked="fsdp2")
FSDP2_RECIPE = Training(launch="fsdp2", processes=8)


@pytest.mark.parametrize(
    "training, command",
    [
        (Training(), "accelerate launch --config_file accelerate_configs/cpu.yaml scripts/sft.py"),
        (Training(processes=2), "torchrun --nproc_per_node 2 scripts/sft.py"),
        (Training(launch="ddp"), "accelerate launch --config_file accelerate_configs/ddp.yaml --num_processes 1 scripts/sft.py"),
        (FSDP2_RECIPE, "accelerate launch --config_file accelerate_configs/fsdp2.yaml --num_processes 8 scripts/sft.py"),
        (Training(launch="fsdp2_multinode", processes=16), "sbatch --nodes 2 slurm/sft.slurm"),
        (Training(launch="fsdp2_multinode", processes=17), "sbatch --nodes 3 slurm/sft.slurm"),
    ],
)
def test_the_command_names_the_recipes_own_launch(training, command):
    assert launcher(training) == command
    named = re.search(r"accelerate_configs/\S+|slurm/\S+|scripts/\S+", command)[0]
    assert (REPO / named).is_file()


def told(training, settings, running):
    return unfit(settings, running) or mismatch(training, running)


@pytest.mark.parametrize(
    "training, settings, running",
    [
        (Training(), {"use_cpu": True, "bf16": False}, ON_CPU),
        (Training(processes=2), {}, replace(ON_CPU, strategy="ddp", processes=2, started=2)),
        (Training(launch="ddp"), {}, replace(ON_H100, strategy="ddp")),
        (FSDP2_RECIPE, {"load_in_4bit": True, "bnb_4bit_quant_storage": "bfloat16"}, FSDP2),
        (Training(launch="fsdp2_multinode", processes=8), {}, FSDP2),
        (Training(launch="deepspeed_zero3", processes=8), {"bf16": True}, replace(FSDP2, strategy="zero3", asked="deepspeed")),
        (Training(launch="ddp", processes=8), {"load_in_4bit": True}, replace(FSDP2, strategy="ddp", asked="")),
    ],
)
def test_what_a_recipe_asks_for_passes(training, settings, running):
    assert told(training, settings, running) is None


@pytest.mark.parametrize(
    "training, settings, running, said",
    [
        # FSDP config, no GPU, no use_cpu: accelerate starts 8 processes that know nothing of each other.
        (FSDP2_RECIPE, {}, replace(ON_CPU, started=8, asked="fsdp2"), "8 processes were started and each believes that it is alone"),
        (Training(), {}, replace(ON_CPU, started=2), "2 processes were started"),
        (Training(processes=2), {}, ON_CPU, "training.processes is 2 and 1 is running .*MULTI_CPU"),
        (FSDP2_RECIPE, {}, replace(FSDP2, processes=4, started=4), "training.processes is 8 and 4 is running$"),
        (FSDP2_RECIPE, {}, replace(FSDP2, strategy="ddp", device="cpu"), "ddp is running: accelerate was asked for fsdp2.* runs on cpu"),
        (FSDP2_RECIPE, {}, replace(FSDP2, strategy="ddp", asked=""), "does not ask for sharding"),
        (FSDP2_RECIPE, {}, replace(FSDP2, strategy="zero3", asked="deepspeed"), "shards with fsdp2 and zero3 is running"),
        (Training(launch="deepspeed_zero3", processes=8), {}, FSDP2, "shards with zero3 and fsdp2 is running"),
        (Training(launch="deepspeed_zero3", processes=8), {}, replace(FSDP2, strategy="zero2"), "shards with zero3 and zero2 is running"),
        (Training(launch="ddp", processes=8), {}, FSDP2, "shards nothing and fsdp2 is running"),
        (Training(launch="ddp"), {}, ON_H100, "one process sees 8 GPUs"),
        (Training(), {"bf16": False}, replace(ON_CPU, precision="bf16"), "mixed_precision bf16, which would win"),
        (FSDP2_RECIPE, {"load_in_4bit": True}, FSDP2, "set sft.bnb_4bit_quant_storage=bfloat16"),
        (FSDP2_RECIPE, {"load_in_4bit": True, "bnb_4bit_quant_storage": "uint8"}, FSDP2, "whole on every GPU"),
        (Training(), {"use_liger_kernel": True}, ON_CPU, "Liger's kernels run on GPUs only"),
    ],
)
def test_what_accelerate_gets_wrong_in_silence_is_told(training, settings, running, said):
    assert re.search(said, told(training, settings, running))


def test_the_error_ends_with_the_command_to_type():
    with pytest.raises(RecipeError, match=r"type: torchrun --nproc_per_node 2 scripts/sft.py --config RECIPE --role ROLE$"):
        check_launch(Training(processes=2), {"use_cpu": True})
    with pytest.raises(RecipeError, match="pip install deepspeed"):
        check_launch(Training(launch="deepspeed_zero3"), {})
    assert check_launch(Training(), {"use_cpu": True, "bf16": False}) == ON_CPU


PROBE = """
import json, os, sys
from planact.recipe import RecipeError, Training, load_recipe
from planact_train.launch import check_launch
training, settings = Training(**json.loads(sys.argv[1])), json.loads(sys.argv[2])
try:
    said = check_launch(training, settings).strategy
except RecipeError as error:
    said = str(error)
open(f"{sys.argv[3]}/{os.environ.get('RANK', '0')}", "w").write(said)
"""


def started_by(command, training, settings, folder):
    """What each process says that `command` starts, by rank."""
    (folder / "sft.py").write_text(textwrap.dedent(PROBE))
    out = folder / "out"
    out.mkdir()
    arguments = [str(folder / "sft.py"), json.dumps(training), json.dumps(settings), str(out)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=240, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    return [path.read_text() for path in sorted(out.iterdir())]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


def config(tmp_path, **values):
    """An accelerate config of two processes, as a file."""
    path = tmp_path / "accelerate.yaml"
    lines = {"compute_environment": "LOCAL_MACHINE", "mixed_precision": '"no"', "num_machines": 1, "num_processes": 2, "machine_rank": 0}
    path.write_text("".join(f"{key}: {value}\n" for key, value in (lines | values).items()))
    return [str(BIN / "accelerate"), "launch", "--config_file", str(path), "--main_process_port", "0"]


FSDP2_CONFIG = {"distributed_type": "FSDP", "use_cpu": "false", "fsdp_config": "{fsdp_version: 2}"}


def test_fsdp_on_a_cpu_is_refused_in_every_process(tmp_path):
    # accelerate runs DDP here, and says nothing.
    said = started_by(config(tmp_path, **FSDP2_CONFIG), {"launch": "fsdp2", "processes": 2}, {"use_cpu": True}, tmp_path)
    assert len(said) == 2 and said[0] == said[1]
    assert said[0].startswith("training.launch=fsdp2 shards with fsdp2 and ddp is running: accelerate was asked for fsdp2")
    again = f"--num_processes 2 scripts/sft.py {shlex.quote(json.dumps({'launch': 'fsdp2', 'processes': 2}))}"
    assert again in said[0]  # its own options again


@pytest.mark.slow
def test_processes_without_a_gpu_are_not_left_alone_with_one_folder(tmp_path):
    said = started_by(config(tmp_path, **FSDP2_CONFIG), {"launch": "fsdp2", "processes": 2}, {}, tmp_path)
    assert len(said) == 2 and all("2 processes were started and each believes that it is alone" in text for text in said)


@pytest.mark.slow
def test_multi_cpu_of_accelerate_is_one_process(tmp_path):
    said = started_by(config(tmp_path, distributed_type="MULTI_CPU", use_cpu="true"), {"processes": 2}, {"use_cpu": True}, tmp_path)
    assert len(said) == 1 and "training.processes is 2 and 1 is running" in said[0] and "type: torchrun --nproc_per_node 2" in said[0]


@pytest.mark.slow
def test_what_the_message_says_instead_passes(tmp_path):
    command = shlex.split(launcher(Training(processes=2)))[:-1]
    said = started_by([str(BIN / command[0]), *command[1:]], {"processes": 2}, {"use_cpu": True}, tmp_path)
    assert said == ["ddp", "ddp"]


@pytest.mark.slow
def test_fsdp2_passes_where_accelerate_shards(tmp_path):
    # The shim makes accelerate take CPU processes for devices; the rest is its own code.
    command = [*config(tmp_path, **FSDP2_CONFIG), str(REPO / "tests/planact_train/fsdp_on_cpu.py")]
    assert started_by(command, {"launch": "fsdp2", "processes": 2}, {"use_cpu": True}, tmp_path) == ["fsdp2", "fsdp2"]


@pytest.mark.parametrize("version", [{"FSDP_VERSION": "1"}, {}])
def test_fsdp_1_is_refused_also_where_the_config_names_no_version(version, monkeypatch):
    for name, value in ({"ACCELERATE_USE_FSDP": "true"} | version).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match="accelerate was asked for FSDP 1, .* type: accelerate launch .*/fsdp2.yaml"):
        check_launch(FSDP2_RECIPE, {"use_cpu": True})


def trainer_of(model, kind, **state):
    """What `verify` looks at of a trainer: its accelerator and the wrapped model."""
    return SimpleNamespace(accelerator=SimpleNamespace(distributed_type=kind, state=SimpleNamespace(**state)), model_wrapped=model)


@pytest.fixture
def mesh():
    """One gloo process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_a_model_that_is_not_sharded_stops_before_the_first_step(mesh):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    trainer = trainer_of(model, "FSDP", fsdp_plugin=SimpleNamespace(fsdp_version=2))
    with pytest.raises(RecipeError, match=r"4 of 4 parameters are whole in every process under fsdp2, 0.weight for one"):
        verify(trainer, FSDP2)
    torch.distributed.fsdp.fully_shard(model[0], mesh=mesh)
    with pytest.raises(RecipeError, match=r"2 of 4 parameters .* 1.weight for one"):
        verify(trainer, FSDP2)
    torch.distributed.fsdp.fully_shard(model, mesh=mesh)
    verify(trainer, FSDP2)


def test_a_trainer_of_another_strategy_stops_too():
    model, two = torch.nn.Linear(2, 2), replace(ON_CPU, strategy="ddp", processes=2)
    with pytest.raises(RecipeError, match="made for single and fsdp2 was running"):
        verify(trainer_of(model, "NO"), FSDP2)
    with pytest.raises(RecipeError, match="2 processes train and the model is a Linear, no DDP"):
        verify(trainer_of(model, "MULTI_GPU"), two)
    verify(trainer_of(model, "MULTI_GPU"), replace(two, processes=1))
    verify(trainer_of(model, "NO"), ON_CPU)


def test_the_header_is_one_line():
    facts = {"strategy": "fsdp2", "processes": 8, "device": "NVIDIA H100 80GB HBM3", "weights": "bfloat16", "precision": "bf16"}
    facts |= {"attention": "kernels-community/flash-attn2", "loss": "TRL's chunked head on answer tokens", "rows": "rows packed (bfd)"}
    # 2 rows at once x 2 accumulated x 8 processes = 32
    assert header(facts | {"optimizer": "adamw_torch_fused", "batch": [2, 2, 8]}) == (
        "fsdp2 x 8 on NVIDIA H100 80GB HBM3, bfloat16 weights computed in bf16, attention kernels-community/flash-attn2, "
        "TRL's chunked head on answer tokens, rows packed (bfd), adamw_torch_fused, batch 32 = 2 x 2 steps x 8 processes"
    )


def recipes():
    """Every recipe that trains, by its name."""
    loaded = [load_recipe(path) for path in sorted((REPO / "recipes").rglob("*.yaml")) if "ablations" not in path.parts]
    return [pytest.param(recipe, id=recipe.name) for recipe in loaded if recipe.sft is not None and recipe.agent is not None]


@pytest.mark.parametrize("recipe", recipes())
def test_a_shipped_recipe_passes_where_its_own_launch_runs(recipe):
    training = recipe.training
    strategy = STRATEGY.get(training.launch, "ddp" if training.launch == "ddp" or training.processes > 1 else "single")
    running = replace(ON_CPU if training.launch == "cpu" else ON_H100, strategy=strategy)
    running = replace(running, processes=training.processes, started=training.processes)
    assert [told(training, recipe.sft_for(role), running) for role in ("planner", "executor")] == [None, None]
