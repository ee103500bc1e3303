"""All episodes of a run, or of two runs side by side, as one HTML file that opens offline.

Page texts and model answers are hostile. Everything is escaped and made visible; nothing is loaded, no address is a link, and the
page's policy lets only one script and one style run, named by their hashes. The script shows, hides and sorts what stands there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from markupsafe import Markup

from planact.store import StoreError
from planact_eval.asking import identity
from planact_eval.episode_list import Line, choices, difference, keys_of, lines_of, text_limit
from planact_eval.episode_view import MAX_TEXT, episode_view, templates
from planact_eval.failure_judge import KIND as FAILURE
from planact_eval.intervals import wilson
from planact_eval.pictures import Pictures
from planact_eval.run_folder import RunFolder, open_run
from planact_eval.runner import KIND

NAME = "view.html"
MAX_TEXTS = 60_000_000  # characters of all pages and answers together; ours, Chromium opens as much in seconds
HERE = Path(__file__).parent


def write_viewer(folders: Sequence[Path], out: Path, full: bool = False) -> Path:
    """Write the viewer of one run folder, or of two side by side, to `out`; returns `out`.

    Long pages are cut to one length at which all of them fit into MAX_TEXTS, and screenshots beyond pictures.MAX_PICTURES are left
    out, unless `full`. Raises StoreError (no run, nothing in it, nothing in common, disk) and RecipeError.
    """
    with ExitStack() as stack:
        runs = [stack.enter_context(open_run(folder)) for folder in folders]
        lines = [lines_of(run, name) for run, name in zip(runs, names_of(runs), strict=True)]
        if len(runs) == 2 and not set(lines[0]) & set(lines[1]):
            raise StoreError(f"{folders[0]} and {folders[1]} have no task in common; name two runs on one benchmark and split")
        lengths = [length for of_run in lines for line in of_run.values() for length in line.texts]
        limit = sys.maxsize if full else text_limit(lengths, MAX_TEXTS)
        page = templates().get_template("viewer.html.jinja").generate(page_of(runs, lines, limit))
        write_whole(out, page)
    return out


def page_of(runs: Sequence[RunFolder], lines: Sequence[Mapping[str, Line]], limit: int) -> dict[str, Any]:
    """What the template shows. The episodes are read one by one while the page is written, so that memory does not hold them all."""
    script = (HERE / "viewer.js").read_text(encoding="utf-8")
    style = "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "viewer.css"))
    cut = [f"Pages longer than {limit:,} characters are cut to keep this file small; --full shows them whole."] if limit < MAX_TEXT else []
    return {
        "title": " and ".join(names_of(runs)),
        "policy": policy(script, style),
        "script": Markup(script),  # ours, not the run's
        "style": Markup(style),
        "runs": [{"name": name, "facts": facts(run, of_run)} for name, run, of_run in zip(names_of(runs), runs, lines, strict=True)],
        "notes": [*cut, *(f"Sites and templates are not shown: {run.missing}" for run in runs if run.missing)],
        "choices": choices(lines),
        "total": len(keys_of(lines)),
        "rows": rows(runs, lines, limit),
    }


def policy(script: str, style: str) -> str:
    """The page's Content-Security-Policy: this script, this style, pictures in the page, and nothing else."""
    one, other = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (script, style))
    return (
        f"default-src 'none'; script-src 'sha256-{one}'; style-src 'sha256-{other}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def names_of(runs: Sequence[RunFolder]) -> list[str]:
    """The recipes' names; where one recipe made both, those of the folders, or else their paths."""
    ways = ([run.recipe.name for run in runs], [run.folder.resolve().name for run in runs], [str(run.folder) for run in runs])
    return next((names for names in ways if len(set(names)) == len(names)), ways[-1])


def facts(run: RunFolder, lines: Mapping[str, Line]) -> dict[str, str]:
    """What stands above the list of a run."""
    told, n = run.settings, len(lines)
    verdicts = [line.verdict for line in lines.values()]
    low, high = wilson(verdicts.count("success"), n)
    dollars = [line.usd for line in lines.values()]
    facts = {
        "benchmark": f"{told['suite']} {told['suite_version']} {told['split']}",
        "scorer": told["scorer"],
        **told["models"],
        "solved": f"{verdicts.count('success')} of {n}, {verdicts.count('success') / n:.1%} (95% interval {low:.1%} to {high:.1%})",
        "failed": str(verdicts.count("failure")),
        "broke": str(verdicts.count("error")),
        "not scored": str(verdicts.count("unscored")),
        "still to run": str(len(set(run.planned) - set(lines))),
        "dollars": "unknown" if None in dollars else f"{sum(dollars):.2f}",
    }
    return {name: str(value) for name, value in facts.items() if value not in ("0", "0.00")}


def rows(runs: Sequence[RunFolder], lines: Sequence[Mapping[str, Line]], limit: int) -> Iterator[dict[str, Any]]:
    """One row for each task and repeat."""
    pictures = [Pictures(run.folder) if limit < sys.maxsize else Pictures(run.folder, sys.maxsize, sys.maxsize) for run in runs]
    replaced = [run.replaced() for run in runs]
    for key in keys_of(lines):
        sides = [of_run.get(key) for of_run in lines]
        first = next(side for side in sides if side)
        there = [i for i, side in enumerate(sides) if side]
        notes = [f"{name} has not run it." for name, side in zip(names_of(runs), sides) if side is None]
        if len({side.task_hash for side in sides if side}) > 1:
            notes.append("The two runs were given different tasks under this name.")
        yield {
            "key": key,
            "intent": first.intent,
            "site": first.site,
            "template": first.template,
            "differs": difference(sides),
            "notes": notes,
            "sides": [sides[i] for i in there],
            "episodes": [view_of(runs[i], sides[i], limit, pictures[i], replaced[i]) for i in there],
        }


def view_of(run: RunFolder, line: Line, limit: int, picture: Pictures, replaced: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    notes = [f"An earlier attempt was replaced by a retry: {why}" for why in replaced.get(line.key, ())]
    trajectory = run.trajectory(line.key)
    if line.repeats:
        notes.append(f"Seed {trajectory.seed}; {line.repeats}.")
    return episode_view(line.run, trajectory, limit, picture, opinions(run, line.key), notes)


def opinions(run: RunFolder, key: str) -> list[dict[str, str]]:
    """What a judge said of why an episode failed; nothing of one that has been replaced since."""
    said = run.store.get(key, FAILURE)
    if said is None or said.get("of") != identity(run.store.get(key, KIND)):
        return []
    return [{name: str(said.get(name, "unknown")) for name in ("kind", "source", "message")}]


def write_whole(path: Path, chunks: Iterable[str]) -> None:
    """At every moment `path` is the old file or the whole new one. Raises StoreError when it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with open(part, "w", encoding="utf-8") as file:
                file.writelines(chunks)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name another file with --out") from error
