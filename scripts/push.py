"""Push the training rows of a recipe to the Hugging Face Hub as a dataset, with their card: private, unless --public.

    python scripts/push.py --config recipes/tiny/dynamic-replanning.yaml --repo me/plan-and-act-rows

The same rows again make no commit. Rows that hold something like a key, a password or a cookie are refused.
"""

import argparse

from planact.cli import fail, load_or_exit, recipe_arguments, require, run

CARD_LINES = 30  # of the card, shown by a dry run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="the dataset on the Hub; made when it is not there")
    parser.add_argument("--public", action="store_true", help="let everyone read it")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    args = parser.parse_args()
    recipe = load_or_exit(args)
    require(recipe, "agent", "data")

    def stage() -> None:
        from planact.layout import NotBuilt, data_folder, missing_kinds
        from planact_data.publish import PublishError, push_folder
        from planact_envs.suites import load_suite

        folder = data_folder(recipe, load_suite(recipe.data.suite).version, args.runs)
        if missing := missing_kinds(recipe, folder):
            raise NotBuilt(f"the {', '.join(missing)} rows of {recipe.name} are not built", "scripts/build_data.py")
        try:
            push = push_folder(folder, args.repo, "dataset", public=args.public, dry_run=args.dry_run, message=f"Rows of {recipe.name}")
        except PublishError as error:
            fail(error)
        print("\n".join(push.lines(folder, done=not args.dry_run)))
        if args.dry_run:
            print("\ncard:\n" + "\n".join((folder / "README.md").read_text().splitlines()[:CARD_LINES]))

    run(args, stage)


if __name__ == "__main__":
    main()
