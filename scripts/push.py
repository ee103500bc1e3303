"""Push what a recipe made to the Hugging Face Hub, with its card: its training rows as a dataset, or with --role a trained model.

    python scripts/push.py --config recipes/tiny/dynamic-replanning.yaml --repo me/plan-and-act-rows

Everything is private, unless --public. The same files again make no commit. What looks like a key, a password or a cookie is refused.
"""

import argparse
from pathlib import Path

from planact.cli import fail, load_or_exit, recipe_arguments, require, run
from planact.recipe import Recipe

CARD_LINES = 30  # of the card, shown by a dry run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="the repository on the Hub; made when it is not there")
    parser.add_argument("--role", choices=("planner", "executor"), help="push this model of the recipe instead of its rows")
    parser.add_argument("--checkpoints", action="store_true", help="with --role: each checkpoint too, as a branch such as step-000050")
    parser.add_argument("--base", metavar="OWNER/NAME", help="with --role: the Hub's name of a base that the recipe names by a folder")
    parser.add_argument("--rows", metavar="OWNER/NAME", help="with --role: the dataset that the rows were pushed to, named in the card")
    parser.add_argument("--benchmark", metavar="OWNER/NAME", help="with --role: the dataset whose leaderboard shows the success rates")
    parser.add_argument("--public", action="store_true", help="let everyone read it")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and send nothing")
    args = parser.parse_args()
    recipe = load_or_exit(args)
    require(recipe, "agent", "data", *(["sft"] if args.role else []))
    if not args.role and (args.checkpoints or args.base or args.rows or args.benchmark):
        fail("--checkpoints, --base, --rows and --benchmark are for models; say which with --role planner or --role executor")

    def stage() -> None:
        from planact.hub import PublishError

        try:
            lines, card = publish_model(recipe, args) if args.role else publish_rows(recipe, args)
        except PublishError as error:
            fail(error)
        print("\n".join(lines))
        if args.dry_run:
            print("\ncard:\n" + "\n".join(card.read_text().splitlines()[:CARD_LINES]))

    run(args, stage)


def publish_rows(recipe: Recipe, args: argparse.Namespace) -> tuple[list[str], Path]:
    """Returns the lines to print, and the card."""
    from planact.layout import NotBuilt, data_folder, missing_kinds
    from planact_data.publish import push_rows
    from planact_envs.suites import load_suite

    folder = data_folder(recipe, load_suite(recipe.data.suite).version, args.runs)
    if missing := missing_kinds(recipe, folder):
        raise NotBuilt(f"the {', '.join(missing)} rows of {recipe.name} are not built", "scripts/build_data.py")
    lines = push_rows(folder, args.repo, public=args.public, dry_run=args.dry_run, message=f"Rows of {recipe.name}")
    return lines, folder / "README.md"


def publish_model(recipe: Recipe, args: argparse.Namespace) -> tuple[list[str], Path]:
    """Returns the lines to print, and the card."""
    from planact.layout import NotBuilt, finished_model
    from planact_envs.suites import load_suite
    from planact_train.hub import Names, push_model
    from planact_train.results import gather_results

    folder = finished_model(recipe, args.role, load_suite(recipe.data.suite).version, args.runs)
    if folder is None:
        raise NotBuilt(f"the {args.role} of {recipe.name} is not trained", "scripts/sft.py", f"--role {args.role}")
    gather_results(folder, args.role, args.runs)
    names = Names(args.repo, base=args.base, rows=args.rows, benchmark=args.benchmark)
    lines = push_model(folder, names, checkpoints=args.checkpoints, public=args.public, dry_run=args.dry_run)
    return lines, folder / "README.md"


if __name__ == "__main__":
    main()
