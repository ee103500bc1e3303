"""What an episode leaves behind, so that it can be scored again when its world is gone.

`Env.evidence()`, which a suite may have, gives it after `score` and before `close`; the run store keeps it beside the trajectory.
What a check read on a page is kept as text, because `outerText` depends on styles and scripts that a saved page no longer has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from planact.env import Env, EnvError
from planact.llm import LLM
from planact.secrets import HIDDEN, MIN_VALUE, hide
from planact.types import StopReason, Task, Trajectory, from_dict, to_dict

KIND = "evidence"  # in the run store, under the episode's key
MAX_BYTES = 2_000_000  # of one episode's evidence as JSON; ours
_SECRET_FIELD = re.compile(
    r"""((?:^|[&{,])\s*["']?[^=&:,{}"']{0,80}(?:passw(?:or)?d|passphrase)[^=&:,{}"']{0,80}["']?\s*[=:]\s*)("[^"]*"|[^&,}\s]*)""", re.I
)
_PASSWORD_INPUT = re.compile(r"<input\b(?=[^<>]{0,2000}\btype\s*=\s*[\"']?password\b)[^<>]{0,2000}>", re.I)
_VALUE = re.compile(r"""(\bvalue\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)""", re.I)


@dataclass(frozen=True)
class Evidence:
    """Beside the trajectory, which holds the answer. What is not there was not read, or is named in `left_out`."""

    url: str = ""  # of the page that the episode ended on
    pages: Mapping[str, str] = field(default_factory=dict)  # address -> its HTML at the end
    readings: Mapping[str, str] = field(default_factory=dict)  # `reading_key` of a check -> the text that it read at the end
    events: tuple[Mapping[str, Any], ...] | None = None  # network events as HAR entries; None: not recorded
    database: Mapping[str, Any] | None = None  # what the episode changed, table by table (planact_envs.miniweb.database)
    sites: Mapping[str, str] = field(default_factory=dict)  # site -> its address, for the placeholders of the task
    left_out: tuple[str, ...] = ()  # what could not be read, or was too large, and why


@dataclass(frozen=True)
class Saved:
    """An episode as it lies in a run store, for a scorer."""

    task: Task
    trajectory: Trajectory
    evidence: Evidence
    judge: LLM | None = None


def reading_key(check: Mapping[str, Any]) -> str:
    """The name of what a `program_html` check reads: checks with one name read the same text."""
    return json.dumps([check["url"], check.get("locator", ""), *check.get("prep_actions", ())], ensure_ascii=False)


async def collect(env: Env, trajectory: Trajectory) -> dict[str, Any] | None:
    """The evidence of the episode that `env` has just ended; None where the suite has none, and when the episode broke."""
    evidence = getattr(env, "evidence", None)
    if evidence is None or trajectory.stop_reason in (StopReason.ENV_ERROR, StopReason.MODEL_ERROR):
        return None
    try:
        return await evidence()
    except EnvError as error:
        return kept(Evidence(left_out=(f"everything: {error}",)), {})


def evidence_of(stored: Mapping[str, Any] | None, trajectory: Trajectory) -> Evidence:
    """Of a run without evidence, such as an older one, the trajectory still tells the page that the episode ended on."""
    evidence = from_dict(Evidence, stored or {})
    if evidence.url or trajectory.final is None:
        return evidence
    return Evidence(url=trajectory.final.url, left_out=evidence.left_out)


def kept(evidence: Evidence, secrets: Mapping[str, str]) -> dict[str, Any]:
    """JSON-ready, without secrets, and within MAX_BYTES: a part that does not fit is left out whole, and said.

    `secrets` are values that must not be kept, by name, e.g. passwords and the values of cookies.
    """
    own = {name: value for name, value in secrets.items() if len(value) >= MIN_VALUE}
    data = _hidden(to_dict(evidence), own)
    whole = {"url": data["url"], "sites": data["sites"], "pages": {}, "readings": {}, "events": None, "database": None}
    room, left_out = MAX_BYTES, list(data["left_out"])
    for group, key, part in _parts(data):
        size = len(json.dumps(part)) + len(json.dumps(key))
        if size > room:
            left_out.append(f"{group} {key or ''}: {size} bytes did not fit into {MAX_BYTES}")
            continue
        room -= size
        if key is None:
            whole[group] = part
        else:
            whole[group][key] = part
    return {**whole, "left_out": left_out}


def _parts(data: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Any]]:
    """(group, key, part), what scorers need most first; a group without keys is one part, because half of it says nothing."""
    if data["database"] is not None:
        yield "database", None, data["database"]
    yield from (("readings", key, text) for key, text in data["readings"].items())
    if data["events"] is not None:
        yield "events", None, data["events"]
    yield from (("pages", address, html) for address, html in data["pages"].items())


def _hidden(data: Any, own: Mapping[str, str]) -> Any:
    if isinstance(data, str):
        return hide(_PASSWORD_INPUT.sub(lambda match: _VALUE.sub(rf'\1"{HIDDEN}"', match[0]), data), own)
    if isinstance(data, Mapping):
        return {_hidden(key, own): _hidden(value, own) for key, value in data.items()}
    return [_hidden(value, own) for value in data] if isinstance(data, list | tuple) else data


def without_passwords(body: str) -> str:
    """The body of a form, or of a JSON request, without what its fields named `password` or alike hold."""
    return _SECRET_FIELD.sub(lambda match: match[1] + (f'"{HIDDEN}"' if match[2].startswith('"') else HIDDEN), body)
