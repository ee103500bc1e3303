"""An OpenAI-compatible server: its address, its key, a client for it, and what its errors mean for the model asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from planact.llm import EndpointUnusable, Message, ModelError, RequestRefused
from planact.replies import Failure, encodable, quoted, refusal
from planact.types import content_hash

CONNECT_TIMEOUT = 10.0  # seconds; short, so that a lost connection attempt is retried within the call's deadline


@dataclass(frozen=True)
class Server:
    """Raises ValueError for a base_url that is no address or holds a password."""

    base_url: str
    model: str
    api_key_env: str = ""  # name of the environment variable that holds the key; empty: the server needs none
    extra_body: Mapping[str, Any] | None = None  # fields of every request beside OpenAI's

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.username or parts.password:
            raise ValueError("base_url holds a user name or password; put the key in an environment variable and name it in api_key_env")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url is {self.base_url!r}, expected an address such as http://127.0.0.1:8000/v1")
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.model} at {self.base_url}"

    def secret(self) -> str:
        """The API key. Raises EndpointUnusable when its variable is unset or cannot be sent in a header."""
        if not self.api_key_env:
            return "none"  # the SDK always sends some key; it must not be the OPENAI_API_KEY of the environment
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise EndpointUnusable(
                f"{self} needs a key and the environment variable {self.api_key_env} is not set; type: export {self.api_key_env}=<your key>"
            )
        if not (key.isascii() and key.isprintable()):
            raise EndpointUnusable(f"the environment variable {self.api_key_env} holds no key: it has characters that no key has")
        return key

    def client(self, timeout: float) -> Any:
        """An `openai.AsyncOpenAI` without retries of its own; `timeout` in seconds per request. It belongs to one event loop."""
        import openai

        async def secret() -> str:  # asked for each request, so a renewed key is used at once
            return self.secret()

        limits = openai.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout))
        return openai.AsyncOpenAI(base_url=self.base_url, api_key=secret, max_retries=0, timeout=limits)

    def request(
        self, messages: Sequence[Message], max_tokens: int, temperature: float, seed: int, top_logprobs: int
    ) -> tuple[str, dict[str, Any]]:
        """The hash of everything that changes the answer, and the body of the request."""
        body = {
            "model": self.model,
            "messages": encodable(list(messages)),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        if top_logprobs:  # absent otherwise, so that no other request's hash changes
            body |= {"logprobs": True, "top_logprobs": top_logprobs}
        return content_hash({"base_url": self.base_url, **(self.extra_body or {}), **body}, length=32), body

    def quoted(self, text: str) -> str:
        """A text of the server's, fit for a message: without the key."""
        return quoted(text, self.secret() if self.api_key_env else "")

    def failure(self, error: Exception) -> Failure:
        """What an `openai.APIStatusError` or `openai.APIConnectionError` of this server means."""
        import openai

        if isinstance(error, openai.APIStatusError):
            return self.refusal(error.status_code, error.response.headers, error.response.text)
        cause = error.__cause__ or error
        away = type(cause).__name__ in ("ConnectError", "ConnectTimeout")  # by name: which httpx the SDK stands on is its own affair
        return Failure(f"no connection, or a broken one ({type(cause).__name__}: {self.quoted(str(cause)) or 'no details'})", away=away)

    def refusal(self, status: int, headers: Any, body: str) -> Failure:
        """What an HTTP error status means."""
        key = f"the key in the environment variable {self.api_key_env}" if self.api_key_env else "api_key_env (no key was sent)"
        return refusal(status, headers, body, self.quoted(body), key=key, base_url=self.base_url, model=self.model)

    def error(self, failure: Failure) -> ModelError:
        """The exception for a call that failed for good."""
        kind = EndpointUnusable if failure.every_call else ModelError if failure.retry else RequestRefused
        return kind(f"{self}: {failure.message}")
