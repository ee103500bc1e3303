"""Write one HTML file to read a run's episodes in, every turn of them; with a second run, the two side by side.

    python scripts/view.py runs/eval/tiny-react-0123456789

It opens offline in any browser and may be passed on: nothing that a page or a model wrote can run in it.
"""

import argparse
from pathlib import Path

from planact.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of an evaluation")
    parser.add_argument("other", type=Path, nargs="?", metavar="OTHER", help="the folder of an evaluation to compare it with")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where it is written (default: view.html in RUN)")
    parser.add_argument("--full", action="store_true", help="every page and screenshot whole, however large the file becomes")
    args = parser.parse_args()

    def stage() -> None:
        from planact_eval.viewer import NAME, write_viewer

        print(write_viewer([args.run, *filter(None, [args.other])], args.out or args.run / NAME, args.full))

    run(args, stage)


if __name__ == "__main__":
    main()
