"""Say what a benchmark needs and whether it is there: task files, sites, Chromium, judge, disk.

    python scripts/doctor.py webarena-lite
    python scripts/doctor.py --config recipes/webarena-lite/react-endpoint.yaml

Exit code 1 when something that is needed is missing.
"""

import argparse
from pathlib import Path

from planact.cli import fail
from planact.recipe import RecipeError, load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", help="the name of a suite, e.g. webarena-lite")
    parser.add_argument("--config", metavar="FILE", help="a recipe, whose suite, scorer and judge are looked at")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of the recipe; repeatable")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="where results would go (default: %(default)s)")
    args = parser.parse_args()
    if bool(args.suite) == bool(args.config):
        parser.error("name a suite or give --config, one of the two")

    from planact_envs.doctor import examine

    suite, judge, scorer = args.suite, None, None
    if args.config:
        try:
            recipe = load_recipe(args.config, args.set)
        except RecipeError as error:
            fail(error)
        if recipe.eval is None:
            fail(f"the recipe '{recipe.name}' has no section `eval`, so there is nothing to look at")
        suite, scorer, endpoint = recipe.eval.suite, recipe.eval.scorer, recipe.endpoints.get("judge")
        judge = f"{endpoint.base_url} {endpoint.model}" if endpoint else None
    findings = examine(suite, args.runs, judge, scorer)
    print("\n".join(map(str, findings)))
    raise SystemExit(any(finding.ok is False for finding in findings))


if __name__ == "__main__":
    main()
