"""A model behind the OpenAI Batch API (or one like it): slower than an endpoint, up to 24 hours, and usually half the price.

    async with BatchLLM("https://api.openai.com/v1", "gpt-4o", folder=Path("runs/batches"), api_key_env="OPENAI_API_KEY") as llm:
        replies = await asyncio.gather(*(llm.complete(messages, max_tokens=500) for messages in many))

Calls wait for company: when no further one has come for a moment, all that wait are sent as one batch. Who needs another answer joins
the next batch. The prices are the user's to state, as everywhere: those of the batch endpoint.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from planact.cache import ResponseCache, free_of_charge
from planact.llm import Budget, BudgetExceeded, Completion, Message, ModelError
from planact.replies import Failure, Reply
from planact.server import Server
from planact_data.batch_jobs import ENDPOINT, BatchJobs, Job

MAX_REQUESTS = 50_000  # of one batch (openai.resources.batches, `create`)
MAX_BYTES = 200_000_000  # of its input file, 200 MB (the same)
QUIET = 2.0  # seconds without a further call after which all who can ask are taken to be waiting; ours
POLL = 30.0  # seconds between two looks at a batch; half of them take more than 7 minutes (OpenRouter's figures)
TRIES = 3  # batches that one request joins while the server fails on it
BYTES_PER_TOKEN = 3  # of a prompt, to know what a batch may cost at most; English text has four; ours

Outcome = Completion | Failure | Exception


@dataclass(frozen=True)
class Call:
    key: str
    line: bytes  # of the input file
    usd: float  # what it may cost at most
    outcome: asyncio.Future[Outcome]


class BatchLLM:
    """See the module. `folder` remembers what was sent, so that a killed run waits for it instead of paying twice.

    A batch that may pass the budget is not sent: what is left of it limits the size of the next one.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        folder: Path,
        cache: ResponseCache,
        api_key_env: str = "",  # name of the environment variable that holds the key; empty: the server needs none
        usd_per_m_prompt: float | None = None,
        usd_per_m_completion: float | None = None,
        timeout: float = 120.0,  # seconds without a byte in one HTTP request; a batch may take its 24 hours
        budget: Budget | None = None,
        quiet: float = QUIET,
        poll: float = POLL,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
    ):
        """Raises ValueError for a base_url that is no address or holds a password, and for a max_usd without prices."""
        self.name = model
        self.server = Server(base_url, model, api_key_env)
        self._jobs = BatchJobs(self.server, folder, timeout, poll)
        self._cache, self._budget = cache, budget or Budget()
        self._prices = (usd_per_m_prompt, usd_per_m_completion)
        self._quiet, self._most = quiet, (max_requests, max_bytes)
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}  # by key, until its first caller has taken it
        self._queue: deque[Call] = deque()  # not sent yet
        self._last_arrival = 0.0
        self._timer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # one per batch that is waited for
        self._reserved = 0.0  # USD that the batches under way may cost
        self._handed_out: list[Job] = []
        self._of_killed_runs: set[str] = set()  # keys whose price counts once they are asked for: the store may have them already
        if self._budget.max_usd is not None and None in self._prices:
            raise ValueError(f"max_usd={self._budget.max_usd:g} needs the prices of {model}: set usd_per_m_prompt and usd_per_m_completion")

    async def __aenter__(self) -> Self:
        """Raises EndpointUnusable, ModelError when batches of a killed run are remembered and the server does not answer."""
        for job in await self._jobs.remembered():
            self._outcomes |= {key: asyncio.get_running_loop().create_future() for key in job.keys}
            self._of_killed_runs.update(job.keys)
            self._start(self._wait_for(job))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in [*self._tasks, *filter(None, [self._timer])]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in self._handed_out:  # not sooner: a caller may be killed before it has stored what it was given
            self._jobs.forget(job)
        await self._jobs.close()

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """One reply, after the batch that it is in. Identical calls are sent once.

        Raises BudgetExceeded when the batch was not sent for want of money, EndpointUnusable when no call can succeed,
        RequestRefused when the model takes other requests and not this one, ModelError when this one was not answered.
        """
        started = time.monotonic()
        key, request = self.server.request(messages, max_tokens, temperature, seed, top_logprobs)
        outcome: Outcome = Failure("not asked")
        for _ in range(TRIES):
            if key not in self._outcomes and (hit := self._cache.get(key)):
                return hit
            outcome, first = await self._outcome(key, request)
            if isinstance(outcome, Completion):
                if not first:
                    return free_of_charge(outcome)
                if key in self._of_killed_runs:
                    self._of_killed_runs.remove(key)
                    self._budget.add(outcome.usage)
                return replace(outcome, usage=replace(outcome.usage, seconds=time.monotonic() - started))
            if not isinstance(outcome, Failure) or not outcome.retry or not outcome.status:
                break  # only an HTTP status says that the server failed on this one request
        raise self.server.error(outcome) if isinstance(outcome, Failure) else outcome

    async def _outcome(self, key: str, request: dict[str, Any]) -> tuple[Outcome, bool]:
        """What became of the request, and whether this caller is the first to learn it: the others do not pay."""
        future = self._outcomes.get(key)
        if future is None:
            self._budget.check()
            self.server.secret()
            future = self._outcomes[key] = asyncio.get_running_loop().create_future()
            self._of_killed_runs.discard(key)
            self._join(key, request, future)
        outcome = await asyncio.shield(future)
        first = self._outcomes.get(key) is future
        if first:
            del self._outcomes[key]
        return outcome, first

    def _join(self, key: str, request: dict[str, Any], future: asyncio.Future[Outcome]) -> None:
        line = json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": request}).encode() + b"\n"
        prompt, completion = self._prices
        usd = 0.0 if prompt is None or completion is None else len(line) / BYTES_PER_TOKEN * prompt + request["max_tokens"] * completion
        self._queue.append(Call(key, line, usd / 1e6, future))
        self._last_arrival = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.create_task(self._send_when_quiet())

    async def _send_when_quiet(self) -> None:
        while (left := self._last_arrival + self._quiet - time.monotonic()) > 0:
            await asyncio.sleep(left)
        self._timer = None
        self._send_queue()

    def _send_queue(self) -> None:
        """Send what fits into batches and into the budget; the rest waits until a batch is back and its real price is known."""
        while calls := self._next_batch():
            self._reserved += sum(call.usd for call in calls)
            self._start(self._run(calls))
        if self._queue and not self._tasks:
            left = self._budget.max_usd - self._budget.spent.usd
            message = f"{len(self._queue)} requests wait, each may cost ${self._queue[0].usd:.4f} and ${left:.4f} of max_usd are left"
            for call in self._queue:
                call.outcome.set_result(BudgetExceeded(f"{message}; raise it and give the same command again"))
            self._queue.clear()

    def _next_batch(self) -> list[Call]:
        spent, most = self._budget.spent.usd or 0.0, self._budget.max_usd
        left = float("inf") if most is None else most - spent - self._reserved
        calls, size, usd = [], 0, 0.0
        while self._queue and len(calls) < self._most[0]:
            call = self._queue[0]
            if usd + call.usd > left or (calls and size + len(call.line) > self._most[1]):
                break
            calls.append(self._queue.popleft())
            size, usd = size + len(call.line), usd + call.usd
        return calls

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and self._timer is None:
                self._send_queue()

        task.add_done_callback(ended)

    async def _run(self, calls: Sequence[Call]) -> None:
        """Send the calls as one batch and wait for it."""
        try:
            await self._wait_for(await self._jobs.send({call.key: call.line for call in calls}))
        except Exception as error:  # the boundary of these calls: each of their callers raises it
            for call in calls:
                if not call.outcome.done():
                    call.outcome.set_result(error)
        self._reserved -= sum(call.usd for call in calls)

    async def _wait_for(self, job: Job) -> None:
        try:
            results: dict[str, Reply | Failure | Exception] = dict(await self._jobs.results(job))
            self._handed_out.append(job)
        except ModelError as error:
            results = dict.fromkeys(job.keys, error)
        for key, result in results.items():
            future = self._outcomes.get(key)
            if future is not None and not future.done():
                future.set_result(self._completion(key, result))

    def _completion(self, key: str, result: Reply | Failure | Exception) -> Outcome:
        if not isinstance(result, Reply):
            return result
        usage = result.usage(*self._prices)
        if key not in self._of_killed_runs and (result.text is not None or result.tokens):  # what has tokens is billed all the same
            self._budget.add(usage)
        if result.text is None:
            return Failure("the answer is no chat completion", status=200)
        completion = Completion(result.text, usage, result.finish_reason, top_logprobs=result.top_logprobs)
        if completion.top_logprobs is None:
            self._cache.put(key, completion)
        return completion
