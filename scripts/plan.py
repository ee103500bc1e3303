"""Show what a recipe would do, what that costs at least and at most, whether its training fits the device, and what is done already.

    python scripts/plan.py --config recipes/tiny/dynamic-replanning.yaml

Writes nothing, loads no weights, needs no network and no key. A training that does not fit is said so, and is no error.
"""

import argparse
import os
from importlib.util import find_spec

from planact.cli import load_or_exit, recipe_arguments, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    args = parser.parse_args()
    recipe = load_or_exit(args)

    def training() -> list[str]:
        if recipe.sft is None or recipe.data is None:
            return ["training  not part of this recipe"]
        if find_spec("trl") is None:
            return ["training  unknown without the libraries that train: pip install -e '.[train]'"]
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are imported: a plan asks nobody
        from planact_train.estimate import describe_training

        return describe_training(recipe, args.runs)

    def stage() -> None:
        from planact_data.describe import describe as describe_data
        from planact_eval.runner import describe as describe_eval

        print(f"{recipe.to_yaml()}")
        for line in (*describe_data(recipe, args.runs), "", *training(), "", *describe_eval(recipe, args.runs)):
            print(line)

    run(args, stage)


if __name__ == "__main__":
    main()
