"""How much a training has to do: rows, tokens, steps. Counted in the built rows, or estimated from the recipe's data sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from planact.layout import missing_kinds, row_kinds, row_sources
from planact.prompts import Message, executor_messages, planner_messages
from planact.recipe import Recipe, Training
from planact.types import Observation
from planact_envs.suites import Suite
from planact_train.settings import BATCH

SAMPLE = 200  # rows whose tokens are counted; ours
CHARACTERS = 4  # of a token, where no tokenizer is at hand; ours
PACKED = 0.97  # of a packed sequence that is tokens; ours, the least that the packer is held to
PAGE = {"miniweb": 150, "miniwob": 200, "": 3750}  # tokens of a page; measured, and half of what WebRL and long pages have
TURNS = {"miniweb": 7, "miniwob": 2, "": 7.5}  # of a solved episode; the paper's figure 4 for WebArena
LISTED = 20  # tokens of an earlier action in a prompt; ours
ANSWER = {"plan": 240, "replan": 240, "act": 40, "act_dynamic": 40, "react": 40}  # tokens; ours
REASONING = 400  # tokens before an answer of a row with reasoning; ours
IMPORTED = 1113  # trajectories of WebArena-Lite's training set (paper)


@dataclass(frozen=True)
class Rows:
    count: int
    tokens: float  # of a row, on average
    source: str  # how both are known


@dataclass(frozen=True)
class Steps:
    """One training, counted in what TRL calls rows: rows, or packed sequences."""

    steps: int
    accumulated: int  # passes of each process for one step
    batch: int  # rows of a step
    tokens: int  # of all steps


def rows_of(recipe: Recipe, role: str, suite: Suite, folder: Path, tokenizer: PreTrainedTokenizerBase | None) -> Rows:
    """The rows of `role` in `folder` where they are built, otherwise what the recipe's sizes make likely."""
    kinds = row_kinds(recipe, role)
    if set(kinds) & set(missing_kinds(recipe, folder)):
        return _estimated(recipe, role, suite)
    count, texts = 0, []
    for kind in kinds:
        found, sample = _read(folder / f"{kind}.parquet", row_sources(recipe, role))
        count += found
        texts += sample
    counted = [_length(prompt + completion, tokenizer) for prompt, completion in texts]
    how = f"tokens counted in {len(counted)} of them" if tokenizer else f"a token taken for {CHARACTERS} characters, no tokenizer is here"
    return Rows(count, sum(counted) / max(1, len(counted)), how)


def _read(path: Path, sources: tuple[str, ...]) -> tuple[int, list[tuple[list[Message], list[Message]]]]:
    """How many rows of the sources a file has, and some of them from all over it."""
    file = pq.ParquetFile(path)
    origins = file.read(columns=["source"])["source"].to_pylist()
    count = sum(not sources or source in sources for source in origins)
    groups = range(0, file.num_row_groups, -(-file.num_row_groups // 4))  # four parts of the file are read
    found = []
    for group in groups:
        rows = file.read_row_group(group, columns=["prompt", "completion", "source"]).to_pylist()
        rows = [row for row in rows if not sources or row["source"] in sources]
        found += [(row["prompt"], row["completion"]) for row in rows[:: max(1, len(rows) * len(groups) // SAMPLE)]]
    return count, found


def _length(messages: list[Message], tokenizer: PreTrainedTokenizerBase | None) -> int:
    if tokenizer is None:
        return sum(len(message["content"]) for message in messages) // CHARACTERS
    return len(tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), add_special_tokens=False)["input_ids"])


def _estimated(recipe: Recipe, role: str, suite: Suite) -> Rows:
    data = recipe.data
    tasks = len(suite.tasks("train")) if "train" in suite.splits else 0
    made = {
        "seed": min(data.tasks or tasks, tasks),
        "synthetic": data.synthetic,
        "expansion": data.expansion,
        "targeted": data.targeted,
        **dict.fromkeys(data.imports, IMPORTED),
    }
    chosen = row_sources(recipe, role) or tuple(made)
    counts = {kind: _count(kind, {source: made.get(source, 0) for source in chosen}, recipe, suite) for kind in getattr(data, role)}
    count = sum(counts.values())
    tokens = sum(counts[kind] * _tokens(kind, recipe, suite) for kind in counts) / max(1, count)
    return Rows(count, tokens, "estimated: the rows are not built")


def _count(kind: str, made: Mapping[str, int], recipe: Recipe, suite: Suite) -> int:
    """One plan for each pair; the other kinds have a row for each turn of a trajectory."""
    walked = sum(number for source, number in made.items() if source not in ("expansion", "targeted"))
    count = sum(made.values()) if kind == "plan" else int(walked * _like(TURNS, suite))
    return min(count, recipe.data.max_rows.get(kind, count))


def _tokens(kind: str, recipe: Recipe, suite: Suite) -> float:
    """Of an average row: the fixed text of its prompt, a page, half of the earlier actions, the answer."""
    empty = Observation("", "", "")
    plans = kind in ("plan", "replan")
    fixed = planner_messages(recipe.agent, "", empty) if plans else executor_messages(recipe.agent, "", None, (), empty)
    page = min(_like(PAGE, suite), recipe.agent.max_page_tokens or math.inf)
    listed = 0 if kind == "plan" else LISTED * _like(TURNS, suite) / 2
    return (
        _length(fixed, None)
        + page
        + listed
        + ANSWER[kind]
        + (REASONING if recipe.agent.reasons("planner" if kind in ("plan", "replan") else "executor") else 0)
    )


def _like(table: Mapping[str, float], suite: Suite) -> float:
    return next(value for name, value in table.items() if suite.name.startswith(name))


def accumulated(training: Training, settings: Mapping[str, Any]) -> int:
    """Passes of each process that make one step."""
    at_once = settings.get("per_device_train_batch_size", BATCH) * training.processes
    return settings.get("gradient_accumulation_steps", 1) if training.batch is None else max(1, training.batch // at_once)


def steps_of(rows: Rows, training: Training, settings: Mapping[str, Any]) -> Steps:
    """The steps of a training; rows longer than `max_length` count as cut."""
    limit = settings.get("max_length", 1024)  # TRL's default
    length = min(rows.tokens, limit or math.inf)
    sequences = max(1, math.ceil(rows.count * length / (limit * PACKED))) if settings.get("packing") else max(1, rows.count)
    passes = accumulated(training, settings)
    batch = passes * settings.get("per_device_train_batch_size", BATCH) * training.processes
    epochs = settings.get("num_train_epochs", 3.0)  # transformers' default
    limited = settings.get("max_steps", -1)
    steps = limited if limited > 0 else math.ceil(math.ceil(sequences / batch) * epochs)
    trained = steps * batch / sequences if limited > 0 else epochs
    return Steps(steps, passes, batch, int(trained * rows.count * length))
