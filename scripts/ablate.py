"""Run an ablation table: for every cell build rows, train what is missing, evaluate; then write the table and the report.

    python scripts/ablate.py --config recipes/ablations/miniweb-quick.yaml

Cells share what they have in common: rows, models and finished evaluations are found again by their content. Models that
need several GPUs are trained beforehand with `accelerate launch scripts/sft.py`; finished ones are not trained again.
"""

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on a shared machine

from planact.cli import fail, recipe_arguments, run
from planact.grid import load_grid
from planact.recipe import RecipeError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    args = parser.parse_args()
    try:
        grid = load_grid(args.config, args.set)
    except RecipeError as error:
        fail(error)

    def stage() -> None:
        from planact_data.build import build
        from planact_eval.ablation import evaluate_grid

        for cell in grid.cells:
            if cell.recipe.data is None:
                continue
            build(cell.recipe, args.runs)
            for role in ("planner", "executor"):
                if getattr(cell.recipe.agent, role) == "trained":
                    from planact_train.sft import train

                    train(cell.recipe, role, args.runs)
        print(evaluate_grid(grid, args.runs))

    run(args, stage)


if __name__ == "__main__":
    main()
