"""Evaluate a recipe on its benchmark: the plan-and-act loop over every task, and the summary.

    python scripts/evaluate.py --config recipes/tiny/dynamic-replanning.yaml

The same command again runs only what is missing. `--checkpoint runs/models/planner-*/checkpoint-*` evaluates each checkpoint in
place of the finished model and draws success against training step.
"""

import argparse
from pathlib import Path

from planact.cli import load_or_exit, recipe_arguments, require, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    parser.add_argument(
        "--checkpoint", nargs="+", type=Path, metavar="FOLDER", help="checkpoints of one training, instead of the finished model"
    )
    parser.add_argument("--role", choices=("planner", "executor"), help="what the checkpoints play; told by the name of their folder")
    parser.add_argument("--retry-errors", action="store_true", help="run episodes again that the environment or an endpoint broke")
    parser.add_argument("--max-usd", metavar="USD", help="dollars for planner, executor and judge; the same as --set eval.max_usd=USD")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="the run's folder, instead of the one that its settings name")
    args = parser.parse_args()
    if args.run and args.checkpoint:
        parser.error("--run names one run and every checkpoint is one of its own; leave out --run")
    if args.max_usd is not None:
        args.set.append(f"eval.max_usd={args.max_usd}")
    recipe = load_or_exit(args)
    require(recipe, "agent", "eval")

    def stage() -> None:
        if args.checkpoint:
            from planact_eval.checkpoints import evaluate_checkpoints

            print(evaluate_checkpoints(recipe, args.checkpoint, args.runs, args.role))
            return
        from planact_eval.ablation import write_table
        from planact_eval.runner import evaluate
        from planact_eval.table import Row

        folder, summary, trajectories = evaluate(recipe, args.runs, args.retry_errors, folder=args.run)
        row = Row(recipe.name, "", None, summary)
        print(write_table(folder, recipe.name, [row], {row.key: trajectories}, {row.key: recipe}))

    run(args, stage)


if __name__ == "__main__":
    main()
