"""Make a tiny base model from nothing (CPU, about an hour for the committed one).

    python scripts/pretrain.py --config recipes/tiny/base.yaml
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on a shared machine

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
