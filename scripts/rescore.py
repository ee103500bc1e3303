"""Score the saved episodes of an evaluation again with other scorers, and show where scorers disagree.

    python scripts/rescore.py runs/eval/tiny-react-0123456789 --scorer vab --scorer browsergym

No page is opened and no model plays. The run's own verdicts stay as they are; the new ones lie in RUN/rescored/.
"""

import argparse
from pathlib import Path

from planact.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of an evaluation")
    parser.add_argument("--scorer", action="append", required=True, metavar="NAME", help="e.g. vab; repeatable")
    parser.add_argument("--no-judge", action="store_true", help="ask no judge model; what the run was answered is used")
    args = parser.parse_args()

    def stage() -> None:
        from planact_eval.rescoring import rescore

        print(rescore(args.run, args.scorer, not args.no_judge))

    run(args, stage)


if __name__ == "__main__":
    main()
