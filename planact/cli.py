"""What the scripts share on the command line: which recipe, which changes to it, where the results go."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from planact.recipe import Recipe, RecipeError, load_recipe


def recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config, --set and --runs."""
    parser.add_argument("--config", required=True, metavar="FILE", help="the recipe, e.g. recipes/tiny/plan.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value, e.g. agent.replan=never; repeatable"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="where results are written (default: %(default)s)"
    )


def load_or_exit(args: argparse.Namespace) -> Recipe:
    """The recipe that the arguments name. A recipe that cannot be used ends the program with exit code 2."""
    try:
        return load_recipe(args.config, args.set)
    except RecipeError as error:
        fail(error)


def fail(error: Exception | str) -> NoReturn:
    """Prints `error: ...` on stderr and ends the program with exit code 2: the user has something to correct."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)
