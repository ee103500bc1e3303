"""How a training is started: the command for what a recipe's `training` section asks for, as messages tell it."""

from __future__ import annotations

from planact.recipe import Training

GPUS_PER_NODE = 8  # of accelerate_configs/fsdp2_multinode.yaml


def launcher(training: Training) -> str:
    """The command that runs scripts/sft.py, without its options."""
    script, processes = "scripts/sft.py", training.processes
    if training.launch == "fsdp2_multinode":
        return f"sbatch --nodes {-(-processes // GPUS_PER_NODE)} slurm/sft.slurm"
    if training.launch == "cpu" and processes > 1:  # `accelerate launch` starts several processes on a CPU only through MPI
        return f"torchrun --nproc_per_node {processes} {script}"
    count = "" if training.launch == "cpu" else f" --num_processes {processes}"
    return f"accelerate launch --config_file accelerate_configs/{training.launch}.yaml{count} {script}"
