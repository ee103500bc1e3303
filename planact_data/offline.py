"""A model that vLLM runs inside this process (`vllm.LLM.chat`): for a teacher on the machine's own GPUs, without a server.

Calls that arrive together are given to vLLM as one list, in a thread; those that arrive meanwhile are the next list.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Self

from planact.cache import ResponseCache, free_of_charge
from planact.llm import Budget, Completion, EndpointUnusable, Message, ModelError, RequestRefused
from planact.replies import encodable
from planact.types import Usage, content_hash

QUIET = 0.05  # seconds without a further call after which a list is begun; ours
MOST = 2048  # calls of one list, because a kill loses the list that is under way; vLLM runs 256 at once by default; ours

Outcome = Completion | ModelError


@dataclass(frozen=True)
class Call:
    key: str
    messages: list[Message]
    options: dict[str, Any]  # of vllm.SamplingParams
    outcome: asyncio.Future[Outcome]


class VLLMOffline:
    """See the module. The model is loaded by the first call that no cache answers. It costs nothing but time.

    `engine` holds further arguments of `vllm.LLM`, e.g. tensor_parallel_size.
    """

    def __init__(self, model: str, *, cache: ResponseCache, budget: Budget | None = None, quiet: float = QUIET, **engine: Any):
        """Raises EndpointUnusable when vLLM is not installed."""
        if importlib.util.find_spec("vllm") is None:
            raise EndpointUnusable(
                "data.teacher: vllm needs vLLM in this environment and it is not installed; type: pip install vllm, "
                "or serve the model elsewhere and set data.teacher: endpoint with endpoints.teacher.base_url"
            )
        self.name = model
        self._cache, self._budget, self._quiet, self._engine = cache, budget or Budget(), quiet, engine
        self._llm: Any = None
        self._thread = ThreadPoolExecutor(1, "vllm")  # one, so that the engine stays in the thread that made it
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}  # of the calls under way
        self._queue: deque[Call] = deque()
        self._last_arrival = 0.0
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._llm = None  # frees the GPU

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """One reply. Identical calls are answered once.

        Raises RequestRefused for what the model cannot take, EndpointUnusable when it cannot be loaded, BudgetExceeded.
        """
        options = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed, "logprobs": top_logprobs or None}
        prompt = encodable(list(messages))
        key = content_hash({"vllm": self.name, "engine": self._engine, "messages": prompt, **options}, length=32)
        if hit := self._cache.get(key):
            return hit
        started = time.monotonic()
        first = key not in self._outcomes
        if first:
            self._budget.check()
            future = self._outcomes[key] = asyncio.get_running_loop().create_future()
            self._queue.append(Call(key, prompt, options, future))
            self._last_arrival = started
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
        outcome = await asyncio.shield(self._outcomes[key])
        if isinstance(outcome, ModelError):
            raise outcome
        if not first:
            return free_of_charge(outcome)
        return replace(outcome, usage=replace(outcome.usage, seconds=time.monotonic() - started))

    async def _work(self) -> None:
        """Answer list after list until no call waits."""
        while (left := self._last_arrival + self._quiet - time.monotonic()) > 0:
            await asyncio.sleep(left)
        loop = asyncio.get_running_loop()
        while self._queue:
            calls = [self._queue.popleft() for _ in range(min(MOST, len(self._queue)))]
            calls.sort(key=lambda call: json.dumps(call.messages))  # vLLM keeps what neighbours begin with
            try:
                outcomes = await loop.run_in_executor(self._thread, self._answers, calls)
            except Exception as error:  # the boundary of these calls: each of their callers raises it
                outcomes = [error if isinstance(error, ModelError) else ModelError(f"vLLM failed on {self.name}: {error}")] * len(calls)
            for call, outcome in zip(calls, outcomes):
                self._finish(call, outcome)
        self._worker = None

    def _finish(self, call: Call, outcome: Outcome) -> None:
        if isinstance(outcome, Completion):
            self._budget.add(outcome.usage)
            if outcome.top_logprobs is None:
                self._cache.put(call.key, outcome)
        del self._outcomes[call.key]
        if not call.outcome.done():
            call.outcome.set_result(outcome)

    def _answers(self, calls: Sequence[Call]) -> list[Outcome]:
        """Runs in the thread. vLLM refuses a list for one prompt that is too long before it works on any, so halves find the prompt."""
        vllm = importlib.import_module("vllm")
        if self._llm is None:
            try:
                self._llm = vllm.LLM(model=self.name, **self._engine)
            except Exception as error:
                raise EndpointUnusable(f"vLLM cannot load {self.name}: {error}; check the model's name and the GPU's memory") from error
        parameters = [vllm.SamplingParams(**call.options) for call in calls]
        try:
            outputs = self._llm.chat([call.messages for call in calls], parameters, use_tqdm=False)
        except ValueError as error:
            if len(calls) == 1:
                return [RequestRefused(f"{self.name} in this process refuses this request: {error}")]
            middle = len(calls) // 2
            return self._answers(calls[:middle]) + self._answers(calls[middle:])
        if len(outputs) != len(calls):
            raise ModelError(f"vLLM gave {len(outputs)} answers to {len(calls)} prompts; give the same command again")
        return [_completion(output, bool(call.options["logprobs"])) for output, call in zip(outputs, calls)]


def _completion(output: Any, with_logprobs: bool) -> Completion:
    """A `vllm.RequestOutput` as a reply."""
    answer = output.outputs[0]
    usage = Usage(len(output.prompt_token_ids or ()), len(answer.token_ids), calls=1)
    alternatives = None
    if with_logprobs:
        first = answer.logprobs[0] if answer.logprobs else {}
        alternatives = {one.decoded_token: float(one.logprob) for one in first.values() if one.decoded_token is not None}
    return Completion(encodable(answer.text), usage, answer.finish_reason or "unknown", top_logprobs=alternatives)
