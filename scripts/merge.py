"""Merge a trained adapter into its base: one model that vLLM and every other server loads.

    python scripts/merge.py --config recipes/tiny/dynamic-replanning.yaml --role planner

The model is written beside the adapter, into `merged/`, unless --out names another folder. Recipes of full models have
nothing to merge. With `training.merge: true` scripts/sft.py does the same at its end.
"""

import argparse
from pathlib import Path

from planact.cli import load_or_exit, recipe_arguments, require, run
from planact.layout import MERGED, NotBuilt, finished_model
from planact_envs.suites import load_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    parser.add_argument("--role", required=True, choices=("planner", "executor"))
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the merged model is written (default: merged/ in the adapter's)")
    args = parser.parse_args()
    recipe = load_or_exit(args)
    require(recipe, "agent", "data", "sft")

    def stage() -> None:
        folder = finished_model(recipe, args.role, load_suite(recipe.data.suite).version, args.runs)
        if folder is None:
            raise NotBuilt(f"the {args.role} of {recipe.name} is not trained", "scripts/sft.py", f"--role {args.role}")
        from planact_train.merging import merge_adapter  # seconds to import

        print(f"merged {args.role} of {recipe.name}: {merge_adapter(folder, args.out or folder / MERGED)}")

    run(args, stage)


if __name__ == "__main__":
    main()
