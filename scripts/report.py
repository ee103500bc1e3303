"""Write tables (Markdown, CSV, LaTeX), plots (SVG, PNG) and the report of what has been evaluated; runs nothing.

    python scripts/report.py --config recipes/ablations/miniweb-quick.yaml
    python scripts/report.py runs/eval/tiny-react-0123456789 runs/eval/tiny-finetuning-0123456789

With --config, the cells of an ablation table that are not evaluated are shown as missing. With run folders, each is a row.
"""

import argparse
from pathlib import Path

from planact.cli import fail, recipe_arguments, run
from planact.grid import load_grid
from planact.recipe import RecipeError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser, required=False)
    parser.add_argument("run", nargs="*", type=Path, metavar="RUN", help="run folders, e.g. runs/eval/tiny-react-0123456789")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write (default: runs/NAME of the table, the one run, or runs/report)"
    )
    args = parser.parse_args()
    if bool(args.run) == bool(args.config):
        parser.error("name either an ablation table with --config, or run folders")
    if args.run and args.set:
        parser.error("--set changes the recipes of a table; run folders are reported as they were run")
    try:
        grid = load_grid(args.config, args.set) if args.config else None
    except RecipeError as error:
        fail(error)

    def stage() -> None:
        from planact_eval.reading import report_grid, report_runs

        if grid:
            print(report_grid(grid, args.runs, args.out))
            return
        one = args.run[0] if len(args.run) == 1 else args.runs / "report"
        print(report_runs(args.run, args.out or one))

    run(args, stage)


if __name__ == "__main__":
    main()
