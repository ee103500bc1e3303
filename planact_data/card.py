"""The dataset card: front matter that the Hub and `load_dataset` read, and what was made, how, and what was dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from planact_data.rows import KINDS

_MEANING = {
    "plan": "request and first page → plan",
    "replan": "request, earlier plan, past actions and current page → plan of what is left",
    "act": "task, first plan, past actions and current page → next action",
    "act_dynamic": "the same under the newest plan",
    "react": "the same without a plan",
}


def write_card(folder: Path, manifest: dict[str, Any]) -> None:
    """Write README.md beside the parquet files."""
    rows = {kind: manifest["rows"][kind] for kind in KINDS if kind in manifest["rows"]}
    front = {
        "license": "apache-2.0",
        "tags": ["plan-and-act", "web-agents", "trl", "synthetic"],
        "configs": [{"config_name": kind, "data_files": f"{kind}.parquet"} for kind in rows],
    }
    settings, counts = manifest["settings"], manifest["counts"]
    title = f"# Plan-and-Act rows from {settings['suite']} {settings['suite_version']}"
    lines = [f"---\n{yaml.safe_dump(front, sort_keys=False)}---", "", title, ""]
    lines += ["| configuration | row | rows | exact duplicates dropped |", "|---|---|---|---|"]
    lines += [f"| `{kind}` | {_MEANING[kind]} | {entry['rows']} | {entry['duplicates dropped']} |" for kind, entry in rows.items()]
    lines += ["", "Prompt and completion are chat messages, rendered by the code that renders inference prompts.", ""]
    lines += ["## What was dropped and why", "", *_bullets(counts), "", "## Teacher", "", *_bullets(manifest["teacher"])]
    lines += ["", "## Settings", "", *_bullets(settings), ""]
    (folder / "README.md").write_text("\n".join(lines))


def _bullets(data: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines += [f"{indent}- {key}:", *(_bullets(value, indent + "  ") or [f"{indent}  - none"])]
        else:
            lines.append(f"{indent}- {key}: {value}")
    return lines
