"""The command that an error message tells to type."""

import argparse
from pathlib import Path

import pytest

from planact.cli import command
from planact.layout import NotBuilt

NO_MODEL = NotBuilt("the planner is not trained", "scripts/sft.py", "--role planner")


@pytest.mark.parametrize(
    "config, changes, start",
    [
        ("recipes/tiny/react.yaml", [], "accelerate launch --config_file accelerate_configs/cpu.yaml scripts/sft.py"),
        ("recipes/tiny/react.yaml", ["training.processes=2"], "torchrun --nproc_per_node 2 scripts/sft.py"),
        (
            "recipes/tiny/react.yaml",
            ["training={launch: fsdp2, processes: 8}"],
            "accelerate launch --config_file accelerate_configs/fsdp2.yaml --num_processes 8 scripts/sft.py",
        ),
        # A table's cells each have a launch of their own.
        ("recipes/ablations/miniweb-quick.yaml", [], "accelerate launch --config_file accelerate_configs/cpu.yaml scripts/sft.py"),
    ],
)
def test_a_model_is_trained_by_the_recipes_own_launch(config, changes, start, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    args = argparse.Namespace(config=config, set=changes, runs=Path("runs"))
    sets = "".join(f" --set '{change}'" if " " in change else f" --set {change}" for change in changes)
    assert command(NO_MODEL, args) == f"{start} --config {config}{sets} --role planner"


def test_rows_are_built_by_a_plain_script():
    args = argparse.Namespace(config="a.yaml", set=[], runs=Path("my runs"))
    assert command(NotBuilt("no rows", "scripts/build_data.py"), args) == "python scripts/build_data.py --config a.yaml --runs 'my runs'"
