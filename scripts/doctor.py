"""Say what is needed and whether it is there: GPUs, versions, kernels, Hub token, endpoints; task files, sites, Chromium, judge; disk.

    python scripts/doctor.py                                                            # this machine
    python scripts/doctor.py webarena-lite                                              # a benchmark
    python scripts/doctor.py --config recipes/webarena-lite/react-endpoint.yaml         # what a recipe's stages need

Exit code 1 when something that is needed is missing.
"""

import argparse
from pathlib import Path

from planact.cli import fail
from planact.recipe import Recipe, RecipeError, load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", help="the name of a suite, e.g. webarena-lite")
    parser.add_argument("--config", metavar="FILE", help="a recipe, whose training, endpoints, suite, scorer and judge are looked at")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the recipe; repeatable")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="where results would go (default: %(default)s)")
    args = parser.parse_args()
    if args.suite and args.config:
        parser.error("name a suite or give --config, one of the two")

    findings = look(args)
    print("\n".join(dict.fromkeys(map(str, findings))))  # training and evaluation need the same disk
    raise SystemExit(any(finding.ok is False for finding in findings))


def look(args: argparse.Namespace) -> list:
    from planact_envs.doctor import examine
    from planact_train.doctor import examine_machine

    if args.suite:
        return examine(args.suite, args.runs, None)
    if not args.config:
        return examine_machine(args.runs)
    try:
        return look_at_recipe(load_recipe(args.config, args.set), args.runs)
    except RecipeError as error:
        fail(error)


def look_at_recipe(recipe: Recipe, runs: Path) -> list:
    from planact_envs.doctor import disk, examine
    from planact_train.doctor import examine_endpoints, examine_training

    found = [*examine_training(recipe), disk(runs)] if recipe.sft is not None else []
    found += examine_endpoints(recipe)
    if recipe.eval is not None:
        endpoint = recipe.endpoints.get("judge")
        judge = f"{endpoint.base_url} {endpoint.model}" if endpoint else None
        found += examine(recipe.eval.suite, runs, judge, recipe.eval.scorer)
    return found


if __name__ == "__main__":
    main()
