"""Run an ablation table: for every cell build rows, train what is missing, evaluate; then write the table and the report.

    python scripts/ablate.py --config recipes/ablations/miniweb-quick.yaml

Cells share what they have in common: rows, models and finished evaluations are found again by their content. Models that
need several GPUs are trained beforehand with `accelerate launch scripts/sft.py`; finished ones are not trained again.
"""

import argparse
from pathlib import Path

from planact.cli import fail, recipe_arguments, run
from planact.grid import load_grid
from planact.layout import finished_model
from planact.recipe import Recipe, RecipeError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    args = parser.parse_args()
    try:
        grid = load_grid(args.config, args.set)
    except RecipeError as error:
        fail(error)

    def stage() -> None:
        from planact_eval.ablation import benchmark, evaluate_grid

        benchmark([cell.recipe for cell in grid.cells])  # what cannot stand in one table is said before hours of work
        for cell in grid.cells:
            prepare(cell.recipe, args.runs)
        print(evaluate_grid(grid, args.runs))

    run(args, stage)


def prepare(recipe: Recipe, runs: Path) -> None:
    """Build the rows and train the models of a cell, as far as they are missing."""
    from planact_data.build import build
    from planact_envs.suites import load_suite

    roles = [role for role in ("planner", "executor") if recipe.agent and getattr(recipe.agent, role) == "trained"]
    if recipe.data is None or not roles:
        return
    build(recipe, runs)
    version = load_suite(recipe.data.suite).version
    for role in roles:
        if finished_model(recipe, role, version, runs) is None or recipe.training.merge:
            from planact_train.sft import train  # seconds to import, and not needed when all is trained

            train(recipe, role, runs)


if __name__ == "__main__":
    main()
