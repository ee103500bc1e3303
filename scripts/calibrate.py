"""Hold a judge model and an outcome reward model to the outcomes that the environment knows, on the saved episodes of an evaluation.

    python scripts/calibrate.py runs/eval/tiny-react-0123456789 --set endpoints.judge.model=my-judge

endpoints.judge and endpoints.orm of the run's recipe are asked, those that it has. Answers are kept: the same command again asks nothing.
Agreement, Brier score and calibration lie in RUN/calibration.md, calibration.json and reliability.svg.
"""

import argparse
from pathlib import Path

from planact.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of an evaluation")
    parser.add_argument("--votes", type=int, default=1, metavar="K", help="answers of the judge per episode; most decide (default: 1)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the run's recipe, e.g. eval.max_usd=2; repeatable"
    )
    args = parser.parse_args()
    if args.votes < 1:
        parser.error("--votes must be 1 or more")

    def stage() -> None:
        from planact_eval.calibration import calibrate

        print(calibrate(args.run, args.votes, args.set))

    run(args, stage)


if __name__ == "__main__":
    main()
