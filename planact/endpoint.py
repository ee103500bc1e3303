"""A language model behind an OpenAI-compatible endpoint (vLLM, OpenAI, other providers), with our own retries.

    async with EndpointLLM("http://127.0.0.1:8000/v1", "llama", max_in_flight=32) as llm:
        reply = await llm.complete([{"role": "user", "content": "Hello"}], max_tokens=64)

What is retried (5 requests at most, within the call's `timeout`): 408, 409, 429, 5xx, lost connections and answers that
are no chat completion. Every other refusal ends the call at once. A client belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlsplit

from planact.cache import ResponseCache, free_of_charge
from planact.llm import Budget, Completion, EndpointUnusable, Message, ModelError, RequestRefused
from planact.replies import Failure, encodable, quoted, read_reply, refusal
from planact.types import content_hash

__all__ = ["EndpointLLM", "ResponseCache"]

MAX_REQUESTS = 5  # per call
MAX_BACKOFF = 30.0  # seconds
CONNECT_TIMEOUT = 10.0  # seconds; short, so that a lost connection attempt is retried within the call's deadline


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
        budget: Budget | None = None,
        cache: ResponseCache | None = None,
        backoff: float = 1.0,  # seconds; scale of the waits between retries
    ):
        """Raises ValueError for a base_url that is no address or holds a password, and for a max_usd without prices."""
        _check_address(base_url)
        self.name = model
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.requests = 0  # HTTP requests sent, retries included
        self._api_key_env = api_key_env
        self._prices = (usd_per_m_prompt, usd_per_m_completion)
        self._budget = budget or Budget()
        self._cache = cache
        self._backoff = backoff
        self._slots = asyncio.Semaphore(max_in_flight)
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

    async def complete(self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Completion:
        """One reply. Identical calls at temperature 0 that run at the same time are sent once.

        Raises BudgetExceeded before the request when the budget is spent, EndpointUnusable when no call can succeed (key,
        credit, address, model name), ModelError when this call failed for good.
        """
        request = {
            "model": self.name,
            "messages": encodable(list(messages)),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        key = content_hash({"base_url": self.base_url, **request}, length=32)
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
        async with self._slots:
            await self._sit_out_pause()
            self._budget.check()
            self._secret()
            self._open_client()
            started = time.monotonic()
            result = await self._answer(request, key)
        if isinstance(result, Failure):
            # Raised here, outside any `except`, so that no chained SDK error carries the request's headers.
            kind = EndpointUnusable if result.every_call else ModelError if result.retry else RequestRefused
            raise kind(f"{self.name} at {self.base_url}: {result.message}")
        completion = replace(result, usage=replace(result.usage, seconds=time.monotonic() - started))
        if self._cache is not None:
            self._cache.put(key, completion)
        return completion

    async def _answer(self, request: dict[str, Any], key: str) -> Completion | Failure:
        """Send the request until it is answered, refused, or out of tries or time."""
        deadline = time.monotonic() + self.timeout
        result: Completion | Failure | None = None
        try:
            async with asyncio.timeout(self.timeout):
                for number in range(1, MAX_REQUESTS + 1):
                    result = await self._send(request)
                    if isinstance(result, Completion) or not result.retry:
                        return result
                    if number == MAX_REQUESTS:
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
        before = f" The try before: {result.message}" if result else ""
        return Failure(f"no complete answer within timeout={self.timeout:g} s; check the server, or raise `timeout`.{before}")

    async def _send(self, request: dict[str, Any]) -> Completion | Failure:
        import openai

        self.requests += 1
        secret = self._secret() if self._api_key_env else ""
        try:
            answer = await self._client.chat.completions.with_raw_response.create(**request)
        except openai.APIStatusError as err:
            body = err.response.text
            key = f"the key in the environment variable {self._api_key_env}" if self._api_key_env else "api_key_env (no key was sent)"
            said = quoted(body, secret)
            return refusal(err.status_code, err.response.headers, body, said, key=key, base_url=self.base_url, model=self.name)
        except openai.APIConnectionError as err:
            cause = err.__cause__ or err
            return Failure(f"no connection, or a broken one ({type(cause).__name__}: {quoted(str(cause), secret) or 'no details'})")
        reply = read_reply(answer.content)
        usage = reply.usage(*self._prices)
        if reply.text is None:
            if reply.tokens:  # billed all the same
                self._budget.add(usage)
            return Failure(f"the answer is no chat completion: {quoted(answer.text, secret) or '(empty)'}")
        self._budget.add(usage)
        return Completion(reply.text, usage, reply.finish_reason)

    def _wait_before_retry(self, failure: Failure, key: str, number: int) -> float:
        """Seconds: what the server asked for, else exponential backoff with full jitter, repeatable per request."""
        if failure.wait is None:
            return random.Random(f"{key}/{number}").uniform(0.0, min(MAX_BACKOFF, self._backoff * 2 ** (number - 1)))
        self._paused_until = max(self._paused_until, time.monotonic() + failure.wait)
        return failure.wait

    async def _sit_out_pause(self) -> None:
        while (left := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def _open_client(self) -> None:
        if self._client is not None:
            return
        import openai

        async def secret() -> str:  # asked for each request, so a renewed key is used at once
            return self._secret()

        timeout = openai.Timeout(self.timeout, connect=min(CONNECT_TIMEOUT, self.timeout))
        self._client = openai.AsyncOpenAI(base_url=self.base_url, api_key=secret, max_retries=0, timeout=timeout)

    def _secret(self) -> str:
        """The API key. Raises EndpointUnusable when its variable is unset or cannot be sent in a header."""
        if not self._api_key_env:
            return "none"  # the SDK always sends some key; it must not be the OPENAI_API_KEY of the environment
        key = os.environ.get(self._api_key_env, "").strip()
        if not key:
            raise EndpointUnusable(
                f"{self.name} at {self.base_url} needs a key and the environment variable {self._api_key_env} is not set; "
                f"type: export {self._api_key_env}=<your key>"
            )
        if not (key.isascii() and key.isprintable()):
            raise EndpointUnusable(f"the environment variable {self._api_key_env} holds no key: it has characters that no key has")
        return key


def _check_address(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.username or parts.password:
        raise ValueError("base_url holds a user name or password; put the key in an environment variable and name it in api_key_env")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url is {base_url!r}, expected an address such as http://127.0.0.1:8000/v1")
