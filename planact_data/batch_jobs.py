"""The OpenAI Batch API: send a file of requests, wait for it, read the answers. What was sent is remembered on disk.

A batch has a name of ours in its metadata, and a record `<folder>/<name>.json` that is written before the batch is made: a run
that was killed at any moment finds its batches again, and pays for none twice.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from planact.layout import write_json
from planact.llm import EndpointUnusable
from planact.replies import Failure, Reply, read_reply
from planact.server import Server

ENDPOINT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")  # a batch's statuses after which nothing changes (openai.types.Batch)
MAX_REQUESTS = 10  # for one thing asked of the server, before it counts as gone
LISTED = 1000  # newest batches of the account that are searched for one of ours
AGAIN = "give the same command again: only what is missing is sent"

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A batch and the keys (`custom_id`) of its requests. `batch` is the server's id, "" before there is one."""

    name: str
    keys: tuple[str, ...]
    batch: str = ""


class BatchJobs:
    """Batches on one server; `poll` is in seconds."""

    def __init__(self, server: Server, folder: Path, timeout: float, poll: float):
        self.server, self.folder, self.poll = server, folder, poll
        self._client = server.client(timeout)

    async def remembered(self) -> list[Job]:
        """The batches of earlier runs that were not forgotten. Raises EndpointUnusable, ModelError."""
        jobs = [_read_job(path) for path in sorted(self.folder.glob("*.json"))]
        for i, job in enumerate(jobs):
            if not job.batch and (batch := await self._retried(lambda name=job.name: self._find(name))):
                jobs[i] = replace(job, batch=batch.id)
                self._remember(jobs[i])
        for job in jobs:
            if not job.batch:  # killed before the batch was made: nothing was paid
                self.forget(job)
        return [job for job in jobs if job.batch]

    async def send(self, lines: Mapping[str, bytes]) -> Job:
        """Make a batch of the request lines, by key. Raises EndpointUnusable, ModelError."""
        job = Job(uuid.uuid4().hex, tuple(lines))
        self._remember(job)
        content = b"".join(lines.values())
        file = await self._retried(lambda: self._client.files.create(file=("requests.jsonl", content), purpose="batch"))
        answers: list[Any] = []

        async def create() -> Any:
            if answers and (made := await self._find(job.name)):  # the answer before was lost, the batch was not
                return made
            answers.append(None)
            settings = {"endpoint": ENDPOINT, "completion_window": "24h", "metadata": {"planact": job.name}}
            return await self._client.batches.create(input_file_id=file.id, **settings)

        job = replace(job, batch=(await self._retried(create)).id)
        self._remember(job)
        return job

    async def results(self, job: Job) -> dict[str, Reply | Failure]:
        """Wait for the batch to end; what became of each of its keys. Raises EndpointUnusable, ModelError."""
        batch = await self._ended(job)
        found: dict[str, Reply | Failure] = {}
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                content = (await self._retried(lambda file=file: self._client.files.content(file))).content
                found |= dict(self._answers(content))
        lost = Failure(_why_missing(batch))
        return {key: found.get(key, lost) for key in job.keys}

    def forget(self, job: Job) -> None:
        self._path(job).unlink(missing_ok=True)

    async def close(self) -> None:
        await self._client.close()

    async def _ended(self, job: Job) -> Any:
        shown = ""
        while True:
            batch = await self._retried(lambda: self._client.batches.retrieve(job.batch))
            counts = batch.request_counts
            done = f"{counts.completed + counts.failed}/{counts.total}" if counts else f"0/{len(job.keys)}"
            if f"{batch.status} {done}" != shown:
                shown = f"{batch.status} {done}"
                tqdm.write(f"batch {job.batch}: {done} done ({batch.status.replace('_', ' ')})", file=sys.stderr)
            if batch.status in ENDED:
                return batch
            await asyncio.sleep(self.poll)

    def _answers(self, content: bytes) -> Iterator[tuple[str, Reply | Failure]]:
        """The lines of an output or error file. A line that says nothing is left out, so that its request counts as missing."""
        for line in content.splitlines():
            try:
                data = json.loads(line)
                key, response, error = str(data["custom_id"]), data.get("response"), data.get("error")
                if not response:
                    message = self.server.quoted(f"{error.get('code')}: {error.get('message')}")
                    yield key, Failure(f"not answered in its batch ({message}); {AGAIN}")
                elif response["status_code"] == 200:
                    yield key, read_reply(json.dumps(response["body"]).encode())
                else:
                    yield key, self.server.refusal(int(response["status_code"]), {}, json.dumps(response["body"]))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                continue

    async def _find(self, name: str) -> Any:
        number = 0
        async for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get("planact") == name:
                return batch
            if (number := number + 1) >= LISTED:
                break
        return None

    async def _retried(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` returns. A server that is away for a while is waited for: hours of a batch must not be lost to it."""
        import openai

        failure = Failure("")
        for number in range(MAX_REQUESTS):
            self.server.secret()
            try:
                return await ask()
            except (openai.APIStatusError, openai.APIConnectionError) as error:
                failure = self.server.failure(error)
            if failure.status == 404:
                advice = f"when the batches remembered in {self.folder} are gone for good, remove that folder"
                raise EndpointUnusable(f"{self.server}: {failure.message}; data.teacher: batch needs OpenAI's Batch API; {advice}")
            if not failure.retry:
                break
            if number < MAX_REQUESTS - 1:
                await asyncio.sleep(min(self.poll, failure.wait if failure.wait is not None else 2.0**number))
        # What was sent goes on without us, so even a refusal is no verdict on the requests in it.
        raise self.server.error(replace(failure, message=f"{failure.message}; batches that were sent are remembered: {AGAIN}", retry=True))

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.name}.json"

    def _remember(self, job: Job) -> None:
        write_json(self._path(job), asdict(job))


def _read_job(path: Path) -> Job:
    try:
        data = json.loads(path.read_text())
        return Job(path.stem, tuple(map(str, data["keys"])), str(data["batch"]))
    except (ValueError, LookupError, TypeError) as error:
        message = f"{path} is no record of a batch ({error}); if you made no such file, look for the batch among those of your account"
        raise EndpointUnusable(f"{message}; to go on without it type: mv {path} {path}.damaged") from None


def _why_missing(batch: Any) -> str:
    """What a batch's status says about a request without an answer."""
    if batch.status == "failed":
        errors = (batch.errors.data if batch.errors else None) or []
        said = "; ".join(f"{e.code}: {e.message}" for e in errors[:3]) or "no reason given"
        hint = "wait until other batches are done, or ask for a higher limit" if "limit" in said else "put this right"
        return f"batch {batch.id} was refused as a whole ({said}); {hint}, then {AGAIN}"
    if batch.status == "expired":
        return f"batch {batch.id} expired after 24 hours before this request had its turn, which costs nothing; {AGAIN}"
    if batch.status == "cancelled":
        return f"batch {batch.id} was cancelled before this request had its turn; {AGAIN}"
    return f"batch {batch.id} is completed and has no answer to this request; {AGAIN}"
