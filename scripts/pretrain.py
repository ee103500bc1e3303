"""Make a tiny base model from nothing.

    python scripts/pretrain.py --config recipes/tiny/base.yaml

The committed one takes about half an hour on two cores.
"""

import argparse
from pathlib import Path

from planact.cli import load_or_exit, recipe_arguments, require


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    recipe = load_or_exit(parser.parse_args())
    require(recipe, "pretrain", "sft")
    from planact_train.base import pretrain

    exact = pretrain(recipe, Path(recipe.base_model))
    print(f"saved {recipe.base_model}; {exact:.1%} of held-out answers exact")


if __name__ == "__main__":
    main()
