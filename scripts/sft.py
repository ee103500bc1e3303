"""Fine-tune the planner or the executor of a recipe with TRL's SFTTrainer.

    accelerate launch --config_file accelerate_configs/cpu.yaml scripts/sft.py --config recipes/tiny/dynamic-replanning.yaml --role planner

TRL's own flags work too (`--learning_rate 1.0e-5`) and are the same as `--set sft.learning_rate=1.0e-5`. The same
command again resumes from the last checkpoint.
"""

import argparse

from planact.cli import fail, load_or_exit, recipe_arguments, require, run
from planact.layout import finished_model
from planact_envs.suites import load_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    recipe_arguments(parser)
    parser.add_argument("--role", required=True, choices=("planner", "executor"))
    args, flags = parser.parse_known_args()
    args.set += trl_flags(flags)
    recipe = load_or_exit(args)
    require(recipe, "agent", "data", "sft")

    def stage() -> None:
        folder = finished_model(recipe, args.role, load_suite(recipe.data.suite).version, args.runs)
        if folder is None or recipe.training.merge:
            from planact_train.sft import train  # seconds to import, and not needed when rows are missing or the model is there

            folder = train(recipe, args.role, args.runs)
        print(f"{args.role} of {recipe.name}: {folder}")

    run(args, stage)


def trl_flags(flags: list[str]) -> list[str]:
    """`--learning_rate 1e-5` or `--learning_rate=1e-5` as overrides of the `sft` section; a flag without a value is true."""
    changes: list[str] = []
    for before, flag in zip(["", *flags], flags):
        if flag.startswith("--"):
            key, equals, value = flag[2:].partition("=")
            changes.append(f"sft.{key}={value if equals else 'true'}")
        elif before.startswith("--") and "=" not in before:
            changes[-1] = f"sft.{before[2:]}={flag}"
        else:
            fail(f"unexpected argument {flag!r}; TRL's settings are given as --name value")
    return changes


if __name__ == "__main__":
    main()
