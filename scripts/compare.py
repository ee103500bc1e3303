"""Compare two evaluations task by task: who solves what, McNemar's test, what it costs, and how their settings differ.

    python scripts/compare.py runs/eval/tiny-react-0123456789 runs/eval/tiny-static-9876543210

Both must be of one suite, version and split, and of one scorer: `--scorer vab` takes the verdicts of scripts/rescore.py.
"""

import argparse
from pathlib import Path

from planact.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="A", help="the folder of an evaluation")
    parser.add_argument("other", type=Path, metavar="B", help="the folder of another")
    parser.add_argument("--scorer", metavar="NAME", help="verdicts that scripts/rescore.py wrote, instead of the runs' own")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the Markdown there too")
    args = parser.parse_args()

    def stage() -> None:
        from planact_eval.compare import compare

        text = compare(args.run, args.other, args.scorer)
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(text, encoding="utf-8")
        print(text)

    run(args, stage)


if __name__ == "__main__":
    main()
