"""The dataset card: front matter that the Hub and `load_dataset` read, and what was made, how, from what, and what was dropped.

`write_card` reads the manifest of a build and nothing else, so that it can be written again. The front matter's `lineage` is
the same story for programs: teachers, hashes of prompts and rows, and the files that rows were imported from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from planact_data.rows import COT_KINDS, KINDS

GATE = "nearest held-out requests"  # key of the leak gate's summary among the counts

_MEANING = {
    "plan": "request and first page → plan",
    "replan": "request, earlier plan, past actions and current page → plan of what is left",
    "act": "task, first plan, past actions and current page → next action",
    "act_dynamic": "the same under the newest plan",
    "react": "the same without a plan",
}
_STAGES = {  # key of the recipe's `data` section -> what it adds
    "synthetic": "**Synthetic trajectories.** The teacher wrote new requests, said which the sites can meet, an actor tried them, and a "
    "filter kept the solved ones.",
    "expansion": "**Plan expansion.** The teacher wrote pairs of request and plan after seed pairs; nobody carried them out.",
    "targeted": "**Targeted augmentation.** The teacher sorted seed pairs by the failures seen on the validation split and wrote variants "
    "of those that such failures call for.",
    "imports": "**Imports.** Trajectories from elsewhere, through the same gates.",
}
_BASICS = (
    "**Trajectories.** An actor worked on the training tasks without a plan; those that the environment scored as solved were kept.",
    "**Grounded plans.** The teacher wrote the plan behind each; its steps had to cover all actions and to state no value not yet seen.",
)
_LIMITS = (
    "The rows teach what the teacher and the actor can do; their habits come with them.",
    "Held-out requests and near-copies are kept out by their wording; one that asks for the same in other words passes.",
    "A trajectory counts as solved when its filter says so; what it did beside that is not judged.",
)
_ABOUT = """\
Training rows for the planner and the executor of a Plan-and-Act web agent (arXiv 2503.09572). Prompt and completion are chat messages,
rendered by the code that renders the agent's prompts."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))  # the Hub's names


def write_card(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write README.md beside the parquet files. Of the manifest only `rows` and `settings` must be there."""
    rows = {kind: manifest["rows"][kind] for kind in (*KINDS, *COT_KINDS) if kind in manifest["rows"]}
    settings, counts = manifest["settings"], manifest.get("counts", {})
    sections = [
        f"# Plan-and-Act rows from {settings['suite']} {settings['suite_version']}",
        _ABOUT,
        _rows(rows, settings),
        f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset("owner/name", "{next(iter(rows), "plan")}")["train"]\n```',
        _section("How they were made", _stages(settings)),
        _section("What was dropped and why", _bullets({key: count for key, count in counts.items() if key != GATE})),
        _section("What the teachers were asked", _questions(manifest.get("questions", {}))),
        _section("Leak gate", _leaks(counts.get(GATE, {}))),
        _section("Licence", _licence(manifest)[1]),
        _section("Known limits", [f"- {limit}" for limit in _LIMITS]),
        _section("Build them again", _command(manifest)),
    ]
    front = yaml.safe_dump(_front_matter(rows, manifest), sort_keys=False, allow_unicode=True)
    text = "\n\n".join(section for section in sections if section)
    (folder / "README.md").write_text(f"---\n{front}---\n\n{text}\n", encoding="utf-8")


def _front_matter(rows: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    settings = manifest["settings"]
    total = sum(entry["rows"] for entry in rows.values())
    return {
        "license": _licence(manifest)[0],
        "pretty_name": f"Plan-and-Act rows from {settings['suite']}",
        "language": ["en"],
        "tags": ["plan-and-act", "web-agents", "trl", "synthetic"],
        "size_categories": [next((name for size, name in _SIZES if total < size), "n>1M")],
        "configs": [{"config_name": kind, "data_files": f"{kind}.parquet"} for kind in rows],
        "lineage": {
            "suite": f"{settings['suite']} {settings['suite_version']}",
            "models": settings.get("models", {}),
            "prompts": settings.get("prompts"),  # hash of the agent's prompts
            "teaching": manifest.get("teaching"),  # hash of the teacher's prompts
            "seed": settings.get("seed"),
            "parents": _parents(manifest),
            "rows": {kind: {"rows": entry["rows"], "hash": entry.get("hash")} for kind, entry in rows.items()},
        },
    }


def _parents(manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    """What was imported: the name of each file from the recipe, its hash from the settings."""
    files = (yaml.safe_load(manifest.get("recipe", "")) or {}).get("data", {}).get("imports", {})
    hashes = sorted((manifest["settings"].get("imports") or {}).items())
    return [{"format": format_, "file": Path(files.get(format_, "")).name, "sha256": hash_} for format_, hash_ in hashes]


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def _rows(rows: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    lines = ["| configuration | row | rows | from | dropped |", "|---|---|---|---|---|"]
    for kind, entry in rows.items():
        meaning = _MEANING[kind.removesuffix("_cot")] + (", after reasoning in `<think>` tags" if kind in COT_KINDS else "")
        source = ", ".join(f"{count} {name}" for name, count in entry.get("by source", {}).items())
        dropped = {"exact duplicates": entry.get("duplicates dropped", 0)} | entry.get("dropped", {})
        told = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        lines.append(f"| `{kind}` | {meaning} | {entry['rows']} | {source} | {told} |")
    if limits := settings.get("max_rows"):
        told = ", ".join(f"`{kind}` {limit}" for kind, limit in limits.items())
        lines += ["", f"Where there were more rows than this, as many were drawn at random: {told}."]
    kept = [f"`{kind}` {entry['kept tokens']:.0%}" for kind, entry in rows.items() if entry.get("kept tokens", 1.0) < 1.0]
    if kept:
        lines += ["", f"Long pages were shortened by whole nodes; share of the pages' tokens that was kept: {', '.join(kept)}."]
    return "\n".join(lines)


def _stages(settings: Mapping[str, Any]) -> list[str]:
    models = ", ".join(f"{role} {_cell(model)}" for role, model in settings.get("models", {}).items())
    stages = [*_BASICS, *(text for key, text in _STAGES.items() if settings.get(key))]
    return [*(f"{number}. {text}" for number, text in enumerate(stages, 1)), "", f"Models: {models or 'not recorded'}."]


def _questions(questions: Mapping[str, Any]) -> list[str]:
    if not questions:
        return []
    lines = [
        "| question | asked | accepted | rejected | repairs | prompt tokens | completion tokens | USD |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, work in questions.items():
        rejected = ", ".join(f"{count} {reason}" for reason, count in work["rejected"].items())
        usd = "unknown" if work["usd"] is None else f"{work['usd']:.2f}"
        cells = (
            kind,
            work["asked"],
            work["accepted"],
            _cell(rejected),
            work["repairs"],
            work["prompt tokens"],
            work["completion tokens"],
            usd,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _cell(text: str) -> str:
    """Text from elsewhere, such as a refusal in a server's words, must not end its cell, row or line."""
    return " ".join(text.replace("|", "\\|").split())


def _leaks(gate: Mapping[str, Any]) -> list[str]:
    if not gate:
        return []
    return [
        "Every request was compared with those of the test and validation splits; `nearest-held-out.csv` names the nearest one of each.",
        "",
        *_bullets(gate),
    ]


def _licence(manifest: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The Hub's name of the licence, and what there is to say about it."""
    settings, parents = manifest["settings"], _parents(manifest)
    scripted = set(settings.get("models", {}).values()) == {"scripted"}
    own = settings["suite"].startswith("miniweb")
    lines = []
    if scripted and own:
        lines.append("Pages, requests, plans and actions of miniweb are by its authors: Apache-2.0.")
    if not scripted:
        lines.append(
            "The texts of the models named above are subject to their providers' terms, which may limit what may be trained on them."
        )
    if not own:
        lines.append(f"Pages and requests come from {settings['suite']}; its terms apply.")
    if parents:
        names = ", ".join(f"`{parent['file']}` ({parent['format']})" for parent in parents)
        lines.append(f"The licence of what was imported from {names} is unknown: ask its authors before you pass it on.")
    return ("apache-2.0" if scripted and own and not parents else "unknown"), lines


def _command(manifest: Mapping[str, Any]) -> list[str]:
    if "recipe" not in manifest:
        return []
    return ["`python scripts/build_data.py --config recipe.yaml`, where recipe.yaml is", "", "```yaml", manifest["recipe"].strip(), "```"]


def _bullets(data: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}- {_cell(key)}:", *(_bullets(value, indent + "  ") or [f"{indent}  - none"])]
        else:
            lines.append(f"{indent}- {_cell(key)}: {value}")
    return lines
