"""Show what a recipe would do, what that costs at least and at most, and what is done already.

    python scripts/plan.py --config recipes/tiny/dynamic-replanning.yaml

Writes nothing, needs no network and no key.
"""

import argparse

from planact.cli import load_or_exit, recipe_arguments, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    args = parser.parse_args()
    recipe = load_or_exit(args)

    def stage() -> None:
        from planact_data.describe import describe as describe_data
        from planact_eval.runner import describe as describe_eval

        print(f"{recipe.to_yaml()}")
        for line in (*describe_data(recipe, args.runs), "", *describe_eval(recipe, args.runs)):
            print(line)

    run(args, stage)


if __name__ == "__main__":
    main()
