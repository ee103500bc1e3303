"""What `accelerate launch` and Slurm make of the launch files: the environment of the processes, and the command line on each machine."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[1]
CONFIGS = sorted(REPO.glob("accelerate_configs/*.yaml"))
FSDP2 = [path for path in CONFIGS if path.stem.startswith("fsdp2")]


def launched(path, *flags):
    """accelerate's own reading of a config, its command line taken into account."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(["--config_file", str(path), *flags, "train.py"]))
    return arguments


@pytest.fixture
def environment(monkeypatch):
    """A function that sets this process's environment to that of a launched one."""

    def enter(variables):
        for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_"))]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            if name.startswith(("ACCELERATE_", "FSDP_")):
                monkeypatch.setenv(name, value)

    return enter


def test_there_is_a_config_for_every_launch_of_a_recipe():
    from typing import get_args, get_type_hints

    from planact.recipe import Training

    assert {path.stem for path in CONFIGS} == set(get_args(get_type_hints(Training)["launch"]))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_commented_leaves_precision_to_the_recipe_and_says_nothing_in_vain(path):
    text = path.read_text()
    config = yaml.safe_load(text)
    assert text.startswith("# ") and config["mixed_precision"] == "no"
    ignored = {"rdzv_backend", "same_network"}  # accelerate has them from its command line only
    assert not ignored & config.keys()
    assert launched(path).mixed_precision == "no" and launched(path).num_processes == config["num_processes"]


@pytest.mark.parametrize("path", FSDP2, ids=lambda path: path.stem)
def test_fsdp2_configs_become_fsdp2_with_whole_layers_as_units(path, environment):
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env
    from torch.distributed.fsdp import CPUOffloadPolicy

    arguments = launched(path, "--main_process_ip", "127.0.0.1", "--main_process_port", "0")
    environment(prepare_multi_gpu_env(arguments))
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True) and not isinstance(plugin.cpu_offload, CPUOffloadPolicy)
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy" and not plugin.activation_checkpointing
    state = "FULL_STATE_DICT" if path.stem == "fsdp2_qlora" else "SHARDED_STATE_DICT"
    assert plugin.state_dict_type.name == state and plugin.cpu_ram_efficient_loading == (path.stem != "fsdp2_qlora")


def test_zero3_takes_batch_and_clipping_from_the_recipe(environment):
    from accelerate.utils import DeepSpeedPlugin
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    arguments = launched(REPO / "accelerate_configs/deepspeed_zero3.yaml", "--main_process_port", "0")
    arguments.deepspeed_fields_from_accelerate_config = ""
    environment(prepare_deepspeed_cmd_env(arguments)[1])
    config = DeepSpeedPlugin().deepspeed_config
    names = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    assert {config[name] for name in names} == {"auto"}
    zero = config["zero_optimization"]
    assert zero["stage"] == 3 and zero["stage3_gather_16bit_weights_on_model_save"] is True
    assert zero["offload_optimizer"]["device"] == zero["offload_param"]["device"] == "none"


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def cluster(tmp_path):
    """A job of two machines: programs of that name come first on PATH. `srun` runs its command once for each machine."""
    bins = tmp_path / "bin"
    bins.mkdir()
    program(bins, "scontrol", 'if [ "$1" = show ]; then printf "node7\\nnode9\\n"; else echo "scontrol $*" >> "$CALLS"; fi')
    stay = """trap 'echo saved >> "$CALLS"; kill $!; exit 143' TERM; sleep 60 > /dev/null & wait $!"""
    program(bins, "accelerate", f'printf "%q " "$@" >> "$CALLS"; echo >> "$CALLS"; if [ -n "${{STAYS:-}}" ]; then {stay}; fi')
    each = 'SLURM_NODEID=$node "$@" & wait $! || exit $?'
    # As Slurm does it: SIGTERM to srun kills its processes, scancel has the signal sent to them.
    step = """trap 'kill -KILL $(jobs -p); exit 137' TERM; trap 'kill $(jobs -p); wait' USR2; echo $$ > "$CALLS.step" """
    program(bins, "srun", f"shift; {step}; for node in 0 1; do {each}; done")
    program(bins, "scancel", 'echo "scancel $*" >> "$CALLS"; kill -USR2 "$(cat "$CALLS.step")"')
    job = {"SLURM_JOB_NODELIST": "node[7,9]", "SLURM_JOB_ID": "41234", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4"}
    return os.environ | job | {"PATH": f"{bins}{os.pathsep}{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


COMMAND = ["bash", str(REPO / "slurm/sft.slurm"), "--config", "my recipe.yaml", "--role", "planner", "--set", "data.planner=[plan, replan]"]


def test_slurm_starts_one_launcher_on_each_machine_with_the_same_words(cluster):
    done = subprocess.run(COMMAND, env=cluster, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and not done.stderr
    lines = [shlex.split(line) for line in Path(cluster["CALLS"]).read_text().splitlines()]
    assert len(lines) == 2
    for rank, words in enumerate(lines):
        launch, script = words[: words.index("scripts/sft.py")], words[words.index("scripts/sft.py") + 1 :]
        assert script == COMMAND[2:]  # spaces and brackets as they were typed
        assert launch[0] == "launch" and (REPO / launch[2]).is_file()
        flags = dict(zip(launch[1::2], launch[2::2]))
        # 2 machines x 4 GPUs; port 20000 + 41234 mod 10000
        assert (flags["--num_machines"], flags["--num_processes"], flags["--machine_rank"]) == ("2", "8", str(rank))
        assert (flags["--main_process_ip"], flags["--main_process_port"], flags["--rdzv_backend"]) == ("node7", "21234", "c10d")


def test_accelerate_takes_slurms_command_line(cluster):
    subprocess.run(COMMAND, env=cluster, timeout=30, check=True)
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    words = shlex.split(Path(cluster["CALLS"]).read_text().splitlines()[1])
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(words[1:]))
    assert (arguments.num_machines, arguments.num_processes, arguments.machine_rank) == (2, 8, 1)
    assert (arguments.use_fsdp, arguments.fsdp_version, arguments.rdzv_backend, arguments.same_network) == (True, 2, "c10d", False)
    assert arguments.training_script_args == COMMAND[2:]


def test_a_failed_training_fails_the_job(cluster, tmp_path):
    program(tmp_path / "bin", "srun", "exit 7")
    assert subprocess.run(COMMAND, env=cluster, timeout=30, check=False).returncode == 7


def test_the_time_limit_has_the_training_save_and_puts_the_job_back_into_the_queue(cluster):
    job = subprocess.Popen(COMMAND, env=cluster | {"STAYS": "1"}, stdout=subprocess.PIPE, text=True)
    try:
        while not Path(cluster["CALLS"]).exists():
            assert job.poll() is None
        job.send_signal(10)  # SIGUSR1
        said, _ = job.communicate(timeout=30)
    finally:
        job.kill()
    assert job.returncode == 0 and "the job is requeued" in said
    calls = Path(cluster["CALLS"]).read_text().splitlines()
    assert calls[1:] == ["scancel --signal=TERM 41234", "saved", "scontrol requeue 41234"]


def test_the_log_lies_in_a_folder_that_is_there_and_a_job_has_all_memory_of_its_machines():
    lines = [line.split(" #")[0] for line in (REPO / "slurm/sft.slurm").read_text().splitlines() if line.startswith("#SBATCH")]
    [output] = [line.partition("--output=")[2] for line in lines if "--output=" in line]
    assert (REPO / output).parent.is_dir() and {"#SBATCH --exclusive", "#SBATCH --mem=0"} <= set(lines)
