"""What the scripts share on the command line: which recipe, which changes to it, where results go, how an error ends a script."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from planact.env import EnvError
from planact.launcher import launcher
from planact.layout import NotBuilt, TrainingError
from planact.llm import BudgetExceeded, ModelError
from planact.recipe import Recipe, RecipeError, Training, load_recipe
from planact.store import StoreError

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve each other on a shared machine
    "TOKENIZERS_PARALLELISM": "false",  # data loaders fork
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # each long stage has one bar of its own
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def recipe_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds --config, --set and --runs; and sets how the libraries behave, where the user has not set it: before they are imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    parser.add_argument("--config", required=required, metavar="FILE", help="the recipe, e.g. recipes/tiny/finetuning.yaml")
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


def require(recipe: Recipe, *sections: str) -> None:
    """Ends the program when the recipe lacks a section that this script works on."""
    for section in sections:
        if getattr(recipe, section) is None:
            fail(
                f"the recipe '{recipe.name}' has no section `{section}`, so this stage is not part of it; "
                "add the section or extend a recipe that has it"
            )


def run(args: argparse.Namespace, stage: Callable[[], None]) -> None:
    """Run a stage; what a user can correct ends it with one clear message.

    Exit codes: 2 correct something, 3 budget, 130 Ctrl-C, 143 SIGTERM, which batch systems send.
    """
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        """As Ctrl-C does, also where the shell has Ctrl-C ignored."""
        asked.append(number)
        interrupt = signal.getsignal(signal.SIGINT)
        (interrupt if callable(interrupt) else signal.default_int_handler)(number, frame)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        stage()
    except KeyboardInterrupt:
        print("\ninterrupted; what is done is kept, and the same command goes on from here", file=sys.stderr)
        raise SystemExit(128 + (asked or [signal.SIGINT])[0]) from None
    except BudgetExceeded as error:
        print(f"stopped: {error}", file=sys.stderr)
        raise SystemExit(3) from None
    except NotBuilt as error:
        fail(f"{error}\nmake it with: {command(error, args)}")
    except (RecipeError, StoreError, ModelError, EnvError, TrainingError) as error:
        fail(error)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        advice = "what is done is kept; make room and give the same command again"
        fail(f"{error.filename or 'a file'} cannot be written ({error.strerror}); {advice}")
    finally:
        signal.signal(signal.SIGTERM, before)


def command(error: NotBuilt, args: argparse.Namespace) -> str:
    """The command line that makes what is missing."""
    start = launcher(_training(args)) if error.script.endswith("sft.py") else f"python {error.script}"
    if error.config:
        return f"{start} --config {error.config} {error.options}"
    changes = [f"--set {shlex.quote(change)}" for change in args.set]
    runs = [] if args.runs == Path("runs") else [f"--runs {shlex.quote(str(args.runs))}"]
    return " ".join(filter(None, [start, f"--config {shlex.quote(args.config)}", *changes, *runs, error.options]))


def _training(args: argparse.Namespace) -> Training:
    """How the recipe wants to be trained. The file of an ablation table is no recipe; its cells each have their own."""
    try:
        return load_recipe(args.config, args.set).training
    except RecipeError:
        return Training()


def fail(error: Exception | str) -> NoReturn:
    """Prints `error: ...` on stderr and ends the program with exit code 2: the user has something to correct."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)
