"""A language model behind an OpenAI-compatible endpoint (vLLM, OpenAI, other providers), with our own retries.

    async with EndpointLLM("http://127.0.0.1:8000/v1", "llama", max_in_flight=32) as llm:
        reply = await llm.complete([{"role": "user", "content": "Hello"}], max_tokens=64)

What is retried (5 requests at most, within the call's `timeout`): 408, 409, 429, 5xx, lost connections and answers that
are no chat completion. A server that has answered before and is not there any more, such as one that is started again, is
waited for until the `timeout`. Every other refusal ends the call at once. The calls in flight follow what the server takes
(`planact.pacing`). A client belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from planact.cache import ResponseCache, free_of_charge
from planact.llm import Budget, Completion, EndpointUnusable, Message
from planact.pacing import Pace
from planact.replies import Failure, read_reply
from planact.server import Server

__all__ = ["EndpointLLM", "ResponseCache"]

MAX_REQUESTS = 5  # per call, beside those that find a server of before away
MAX_BACKOFF = 30.0  # seconds


@dataclass
class Shared:
    """A call that several callers wait for."""

    task: asyncio.Task[Completion]
    waiters: int = 0


class EndpointLLM:
    """See the module. Prices are US dollars per million tokens, without any discount for cached prompts; None: unknown."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = "",  # name of the environment variable that holds the key; empty: the server needs none
        usd_per_m_prompt: float | None = None,
        usd_per_m_completion: float | None = None,
        timeout: float = 120.0,  # seconds for one `complete`, from its first request to its end, retries included
        max_in_flight: int = 16,
        dead_after: int | None = None,  # calls in a row without a working server, after which no more are sent; None: never
        budget: Budget | None = None,
        cache: ResponseCache | None = None,
        backoff: float = 1.0,  # seconds; scale of the waits between retries
        extra_body: Mapping[str, Any] | None = None,  # what every request holds beside OpenAI's fields, e.g. vLLM's structured_outputs
    ):
        """Raises ValueError for a base_url that is no address or holds a password, and for a max_usd without prices."""
        self.server = Server(base_url, model, api_key_env, extra_body)
        self.name, self.base_url = model, self.server.base_url
        self.timeout = timeout
        self.requests = 0  # HTTP requests sent, retries included
        self._prices = (usd_per_m_prompt, usd_per_m_completion)
        self._budget = budget or Budget()
        self._cache = cache
        self._backoff = backoff
        self._pace = Pace(max_in_flight, dead_after)
        self._answered = False  # the server was there once
        self._paused_until = 0.0  # monotonic seconds; a Retry-After holds back every call
        self._shared: dict[str, Shared] = {}  # by request hash
        self._client: Any = None
        if self._budget.max_usd is not None and None in self._prices:
            raise ValueError(
                f"max_usd={self._budget.max_usd:g} needs the prices of {model}: set usd_per_m_prompt and usd_per_m_completion "
                "(0 for a server of your own)"
            )

    def __repr__(self) -> str:
        return f"EndpointLLM({self.base_url!r}, {self.name!r})"

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """One reply. Identical calls at temperature 0 that run at the same time are sent once.

        A reply with log-probabilities is not cached: its caller stores what it makes of them, and the file holds texts only.
        Raises BudgetExceeded before the request when the budget is spent, EndpointUnusable when no call can succeed (key,
        credit, address, model name), ModelError when this call failed for good.
        """
        key, request = self.server.request(messages, max_tokens, temperature, seed, top_logprobs)
        if self._cache is not None and (hit := self._cache.get(key)) is not None:
            return hit
        if temperature > 0:
            return await self._call(request, key)
        return await self._call_once(request, key)

    async def close(self) -> None:
        """Close the connections. The cache and the budget belong to the caller."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _call_once(self, request: dict[str, Any], key: str) -> Completion:
        """Join the running call for this request, or start it. It is cancelled when its last waiter is."""
        first = key not in self._shared
        if first:
            self._shared[key] = Shared(asyncio.create_task(self._call(request, key)))
        shared = self._shared[key]
        shared.waiters += 1
        try:
            completion = await asyncio.shield(shared.task)
        finally:
            shared.waiters -= 1
            if not shared.waiters:
                shared.task.cancel()
                del self._shared[key]
        return completion if first else free_of_charge(completion)

    async def _call(self, request: dict[str, Any], key: str) -> Completion:
        async with self._pace:
            await self._sit_out_pause()
            if self._pace.dead:
                raise EndpointUnusable(self._dead())
            self._budget.check()
            self.server.secret()
            if self._client is None:
                self._client = self.server.client(self.timeout)
            started = time.monotonic()
            result = await self._answer(request, key)
            self._pace.ended(result if isinstance(result, Failure) else None)
        if isinstance(result, Failure):
            if self._pace.dead:
                result = replace(result, message=f"{result.message}. {self._dead()}", every_call=True)
            # Raised here, outside any `except`, so that no chained SDK error carries the request's headers.
            raise self.server.error(result)
        completion = replace(result, usage=replace(result.usage, seconds=time.monotonic() - started))
        if self._cache is not None and completion.top_logprobs is None:
            self._cache.put(key, completion)
        return completion

    def _dead(self) -> str:
        advice = "check the server and give the same command again: what is done is kept"
        return f"{self.server} has failed {self._pace.failed} calls in a row, so no more are sent; {advice}"

    async def _answer(self, request: dict[str, Any], key: str) -> Completion | Failure:
        """Send the request until it is answered, refused, or out of tries or time."""
        deadline = time.monotonic() + self.timeout
        result: Completion | Failure | None = None
        try:
            async with asyncio.timeout(self.timeout):
                reached = 0
                for number in itertools.count(1):
                    result = await self._send(request)
                    if isinstance(result, Completion):
                        self._answered = True
                        self._pace.answered()
                        return result
                    if not result.retry:
                        return result
                    self._pace.stumbled(result)
                    reached += not (result.away and self._answered)
                    if reached == MAX_REQUESTS:
                        advice = f"given up after {number} requests; check the server and give the same command again"
                        return replace(result, message=f"{result.message}; {advice}")
                    wait = self._wait_before_retry(result, key, number)
                    if time.monotonic() + wait >= deadline:
                        advice = f"the next try is {wait:.0f} s away, past timeout={self.timeout:g} s; raise `timeout`"
                        return replace(result, message=f"{result.message}; {advice}")
                    await asyncio.sleep(wait)
                    await self._sit_out_pause()
        except TimeoutError:
            pass
        before, status = (f" The try before: {result.message}", result.status) if result else ("", 0)
        message = f"no complete answer within timeout={self.timeout:g} s; check the server, or raise `timeout`.{before}"
        return Failure(message, status=status)

    async def _send(self, request: dict[str, Any]) -> Completion | Failure:
        import openai

        self.requests += 1
        try:
            answer = await self._client.chat.completions.with_raw_response.create(**request, extra_body=self.server.extra_body)
        except (openai.APIStatusError, openai.APIConnectionError) as err:
            return self.server.failure(err)
        reply = read_reply(answer.content)
        usage = reply.usage(*self._prices)
        if reply.text is None:
            if reply.tokens:  # billed all the same
                self._budget.add(usage)
            return Failure(f"the answer is no chat completion: {self.server.quoted(answer.text) or '(empty)'}", status=200)
        self._budget.add(usage)
        if not request.get("logprobs"):
            return Completion(reply.text, usage, reply.finish_reason)
        if reply.text and reply.top_logprobs is None:
            advice = "an outcome reward model (ORM) needs an endpoint that returns them, such as vLLM's"
            return Failure(f"the answer has no log-probabilities; {advice}", retry=False, every_call=True)
        return Completion(reply.text, usage, reply.finish_reason, top_logprobs=reply.top_logprobs or {})

    def _wait_before_retry(self, failure: Failure, key: str, number: int) -> float:
        """Seconds: what the server asked for, else exponential backoff with full jitter, repeatable per request."""
        if failure.wait is None:
            return random.Random(f"{key}/{number}").uniform(0.0, min(MAX_BACKOFF, self._backoff * 2 ** (number - 1)))
        self._paused_until = max(self._paused_until, time.monotonic() + failure.wait)
        return failure.wait

    async def _sit_out_pause(self) -> None:
        while (left := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
