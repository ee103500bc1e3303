"""What runs a training: how many processes, sharded how; held against what the recipe asks for."""

from __future__ import annotations

from accelerate import PartialState

from planact.recipe import RecipeError, Training


def check_launch(training: Training) -> None:
    """Raises RecipeError when another number of processes runs than the recipe plans."""
    running = PartialState().num_processes
    if running != training.processes:
        raise RecipeError(
            f"the recipe plans {training.processes} processes and {running} is running; launch it with `accelerate launch "
            f"--config_file accelerate_configs/{training.launch}.yaml --num_processes {training.processes}`, "
            f"or set training.processes={running}"
        )
