"""How fast the data builder asks a teacher, how many requests faults cost, how fast it stores answers, and how much memory that takes.

    python benchmarks/teacher.py [--json]

    wall_ratio       time / (calls x latency / calls in flight), 64 in flight, desk and store on disk      aim 1.15 or less
    bare_ratio       that time / the same calls from a bare openai client
    amplification    requests / rows while the server fails on one request in ten                         aim 1.17 or less
    rows_ratio       answers that are ready, through desk, store and Parquet, in rows per second / those of a loop of json.dumps
                     that, as the store does, has each row on disk before it takes the next               aim 0.5 or more
    unsafe_ratio     the same / a loop that leaves its rows to the system, which loses the last ones in a power cut
    memory_ratio     peak memory of 20,000 questions / that of 2,000                                      aim 1.5 or less

The server is another process on this machine with a fixed latency.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planact.cache import ResponseCache
from planact.endpoint import EndpointLLM
from planact.llm import LLM, Completion, Message
from planact.store import RunStore
from planact.types import Usage
from planact_data.desk import Desk, Question
from planact_data.parquet import write_parquet

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script has its own folder there, and the server is among the tests
from tests.openai_server import serving, stats

IN_FLIGHT = 64
LATENCY = 1.0  # seconds
ROUNDS = 24  # calls per slot
FAULTS = 0.1  # share of requests
PAGE = "[12] link 'Reviews of the blue lamp'\n" * 400  # 15 kB, as a page of a shop in a prompt
AIMS = {"wall_ratio": 1.15, "amplification": 1.17, "rows_ratio": 0.5, "memory_ratio": 1.5}


class Ready:
    """A model whose answer is there at once."""

    name = "ready"

    async def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        return Completion("## Step 1\n" + "Open the page of the order and read its date. " * 20, Usage(4000, 250, calls=1))


def question(number: int) -> Question:
    user = f"## User Query\nFind order {number}\n\n## Initial HTML State\n{PAGE}"
    return Question(str(number), [{"role": "system", "content": "Write a plan."}, {"role": "user", "content": user}], str.strip)


async def ask_all(numbers: Sequence[int], model: LLM, folder: Path) -> RunStore:
    """Put all questions to the model over a desk. The caller closes the store."""
    store = RunStore.open(folder / "run.sqlite", {})
    desk = Desk(store, 0, IN_FLIGHT)

    async def work(number: int) -> None:
        await desk.ask("plan", model, question(number))

    await desk.each("questions", numbers, work, ["plan"])
    return store


async def over_endpoint(url: str, calls: int, folder: Path, **settings: Any) -> float:
    """Seconds."""
    with ResponseCache(folder / "replies.sqlite") as cache:
        async with EndpointLLM(url, "m", max_in_flight=IN_FLIGHT, cache=cache, **settings) as llm:
            start = time.perf_counter()
            (await ask_all(range(calls), llm, folder)).close()
            return time.perf_counter() - start


async def bare(url: str, calls: int) -> float:
    """Seconds of the calls alone, with nothing kept."""
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        rest = iter(range(calls))

        async def worker() -> None:
            for number in rest:
                await client.chat.completions.create(model="m", messages=question(number).messages, max_tokens=4096)

        start = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - start


def speed(folder: Path) -> dict[str, float]:
    calls = IN_FLIGHT * ROUNDS
    with serving("--latency", str(LATENCY)) as url:
        alone = asyncio.run(bare(url, calls))
        ours = asyncio.run(over_endpoint(url, calls, folder))
    return {"wall_ratio": ours / (ROUNDS * LATENCY), "bare_ratio": ours / alone, "calls": calls}


def faults(folder: Path) -> dict[str, float]:
    rows = IN_FLIGHT * ROUNDS
    with serving("--latency", "0.05", "--fault-rate", str(FAULTS)) as url:
        asyncio.run(over_endpoint(url, rows, folder, backoff=0.1))
        counts = stats(url)
    assert counts["paid"] == rows, counts
    return {"amplification": counts["requests"] / rows}


def row_of(number: int, text: str) -> dict[str, Any]:
    asked = question(number)
    answer = [{"role": "assistant", "content": text}]
    row = {"id": f"{asked.key}/plan/0", "kind": "plan", "task_id": asked.key, "turn": 0, "prompts_hash": "0" * 16, "source": "seed"}
    return row | {"prompt": asked.messages, "completion": answer}


def build(rows: int, folder: Path) -> float:
    """Seconds from ready answers to a Parquet file."""
    start = time.perf_counter()
    with asyncio.run(ask_all(range(rows), Ready(), folder)) as store:
        written = write_parquet((row_of(i, record["text"]) for i, (_, record) in enumerate(store.items("plan"))), folder / "plan.parquet")
    assert written == rows
    return time.perf_counter() - start


def loop(rows: int, path: Path, safe: bool) -> float:
    """Seconds of the plainest way to write the same rows."""
    text = asyncio.run(Ready().complete([])).text
    start = time.perf_counter()
    with path.open("w") as file:
        for number in range(rows):
            file.write(json.dumps(row_of(number, text)) + "\n")
            if safe:
                file.flush()
                os.fsync(file.fileno())
    return time.perf_counter() - start


def rows_per_second(folder: Path, rows: int = 3000) -> dict[str, float]:
    build(10, folder / "imports")  # which are no part of the speed
    ours, plain, safe = build(rows, folder), loop(rows, folder / "plain.jsonl", False), loop(rows, folder / "safe.jsonl", True)
    return {"rows_per_second": rows / ours, "rows_ratio": safe / ours, "unsafe_ratio": plain / ours}


def memory(folder: Path) -> dict[str, float]:
    """Peak MB of processes that only differ in the number of questions."""
    peaks = {}
    for rows in (2000, 20_000):
        command = [sys.executable, __file__, "--build", str(rows), "--folder", str(folder / str(rows))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[rows] = int(done.stdout) / 1024
    return {"megabytes_of_2000": peaks[2000], "megabytes_of_20000": peaks[20_000], "memory_ratio": peaks[20_000] / peaks[2000]}


def peak() -> int:
    """KiB. Not getrusage's figure, in which a process begins with what its parent had."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", nargs="+", choices=["speed", "faults", "rows", "memory"], default=["speed", "faults", "rows", "memory"])
    parser.add_argument("--build", type=int, help=argparse.SUPPRESS)  # what `memory` measures
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.build:
        build(args.build, args.folder)
        print(peak())
        return
    measures = {"speed": speed, "faults": faults, "rows": rows_per_second, "memory": memory}
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            found |= measures[name](Path(folder) / name)
    found = {name: round(value, 3) for name, value in found.items()}
    if args.json:
        print(json.dumps(found | {"aims": AIMS}))
        return
    for name, value in found.items():
        print(f"{name:20} {value:10g}{f'  (aim {AIMS[name]:g})' if name in AIMS else ''}")


if __name__ == "__main__":
    main()
