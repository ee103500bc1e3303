"""Build the training rows of a recipe: trajectories, plans, replans, and a `datasets` folder with a card.

    python scripts/build_data.py --config recipes/tiny/dynamic-replanning.yaml

The same command again builds only what is missing. `--max-usd 5` stops when five dollars are spent, earlier runs included: calls
in flight end and are kept, the exit code is 3, and the same command with a higher limit goes on from there.
"""

import argparse

from planact.cli import load_or_exit, recipe_arguments, require, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    parser.add_argument("--max-usd", metavar="USD", help="dollars for all models together; the same as --set data.max_usd=USD")
    args = parser.parse_args()
    if args.max_usd is not None:
        args.set.append(f"data.max_usd={args.max_usd}")
    recipe = load_or_exit(args)
    require(recipe, "agent", "data")

    def stage() -> None:
        from planact.layout import read_manifest, wanted_kinds
        from planact_data.build import build

        folder = build(recipe, args.runs)
        rows = read_manifest(folder)["rows"]
        for kind in wanted_kinds(recipe):
            print(f'{kind}: {rows[kind]["rows"]} rows   load_dataset("{folder}", "{kind}")')

    run(args, stage)


if __name__ == "__main__":
    main()
