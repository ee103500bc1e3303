"""Say why the episodes of an evaluation failed: the kinds of failures by site and template, by rules, or with a judge model too.

    python scripts/failures.py runs/eval/tiny-react-0123456789 --judge

Without --judge no model is asked. With it, endpoints.judge of the run's recipe is asked about what the rules can only guess; answers
are kept, and the same command again asks nothing. Every episode with its evidence lies in RUN/failures.md and RUN/failures.json.
"""

import argparse
from pathlib import Path

from planact.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of an evaluation")
    parser.add_argument("--judge", action="store_true", help="ask endpoints.judge about what the rules guess")
    parser.add_argument("--all", action="store_true", help="with --judge: about every failure of the agent")
    parser.add_argument("--votes", type=int, default=1, metavar="K", help="answers per episode; most of them decide (default: 1)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the run's recipe, e.g. eval.max_usd=2; repeatable"
    )
    args = parser.parse_args()
    if args.votes < 1:
        parser.error("--votes must be 1 or more")

    def stage() -> None:
        from planact_eval.failure_judge import explain_run

        ask = "" if not args.judge else "all" if args.all else "guesses"
        print(explain_run(args.run, ask, args.votes, args.set))

    run(args, stage)


if __name__ == "__main__":
    main()
