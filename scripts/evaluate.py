"""Evaluate a recipe on its benchmark: the plan-and-act loop over every task, and the summary.

    python scripts/evaluate.py --config recipes/tiny/dynamic-replanning.yaml

The same command again runs only the tasks that are missing.
"""

import argparse

from planact.cli import load_or_exit, recipe_arguments, require, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    args = parser.parse_args()
    recipe = load_or_exit(args)
    require(recipe, "agent", "eval")

    def stage() -> None:
        from planact_eval.ablation import write_table
        from planact_eval.runner import evaluate
        from planact_eval.table import Row

        folder, summary, trajectories = evaluate(recipe, args.runs)
        row = Row(recipe.name, "", None, summary)
        print(write_table(folder, recipe.name, [row], {row.key: trajectories}, {row.key: recipe}))

    run(args, stage)


if __name__ == "__main__":
    main()
