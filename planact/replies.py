"""What the answer of an OpenAI-compatible server means: a completion, a failure to retry, or one that needs the user."""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planact.types import Usage

MAX_RETRY_AFTER = 60.0  # seconds
IMAGE = re.compile(r"data:image/[\w.+-]+;base64,[\w+/=-]*")  # servers echo what they refuse
TOO_LONG = re.compile(r"context.{0,3}length|context.window|too long|too many tokens|maximum.{0,20}tokens", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """Why one request brought no completion."""

    message: str
    retry: bool = True
    wait: float | None = None  # seconds that the server asked for
    every_call: bool = False  # the next call would fail in the same way
    status: int = 0  # of the HTTP answer; 0: there was none
    away: bool = False  # nobody listens at the server's address: the request was not sent


@dataclass(frozen=True)
class Reply:
    """The parts of a chat completion. Token counts are None when the server told none."""

    text: str | None  # None: the body is no chat completion
    finish_reason: str = "unknown"
    tokens: tuple[int, int] | None = None  # prompt, completion
    top_logprobs: dict[str, float] | None = None  # alternatives for the first token; None when the server told none

    def usage(self, usd_per_m_prompt: float | None, usd_per_m_completion: float | None) -> Usage:
        """One call's usage; usd is None when the tokens or a price are unknown."""
        if self.tokens is None:
            return Usage(calls=1, usd=None)
        usd = None
        if usd_per_m_prompt is not None and usd_per_m_completion is not None:
            usd = (self.tokens[0] * usd_per_m_prompt + self.tokens[1] * usd_per_m_completion) / 1e6
        return Usage(*self.tokens, calls=1, usd=usd)


def read_reply(body: bytes) -> Reply:
    """The body of a 200 answer, whatever it is: proxies and overloaded servers send pages, cut JSON or empty lists."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return Reply(None)
    if not isinstance(data, dict):
        return Reply(None)
    tokens = _tokens(data.get("usage"))
    try:
        choice = data["choices"][0]
        text = choice["message"]["content"]
        reason = str(choice.get("finish_reason") or "unknown")
    except (LookupError, TypeError, AttributeError):
        return Reply(None, tokens=tokens)
    if text is None:  # a refusal, or all tokens went into the reasoning
        text = ""
    return Reply(encodable(text) if isinstance(text, str) else None, reason, tokens, _first_token(choice.get("logprobs")))


def refusal(status: int, headers: Mapping[str, str], body: str, said: str, *, key: str, base_url: str, model: str) -> Failure:
    """What an HTTP error means: retry, or stop with advice. `said` is the body for people, `key` says where the key comes from."""
    said = f"HTTP {status}: {said or '(no message)'}"
    if status == 402 or "insufficient_quota" in body:
        return Failure(f"{said}; the account has no credit left: top it up, or check {key}", retry=False, every_call=True, status=status)
    if status in (408, 409, 429) or status >= 500:
        return Failure(said, wait=retry_after(headers), status=status)
    if status in (401, 403):
        return Failure(f"{said}; check {key} and its right to use this model", retry=False, every_call=True, status=status)
    if status == 404:
        advice = f"check base_url (most end in /v1) and the model name; to list the models type: curl {base_url}/models"
        return Failure(f"{said}; {advice}", retry=False, every_call=True, status=status)
    if status == 413 or TOO_LONG.search(body):
        advice = "the prompt and max_tokens exceed the model's context: lower max_tokens, shorten the observation or serve a longer one"
        return Failure(f"{said}; {advice}", retry=False, status=status)
    return Failure(f"{said}; {base_url} rejects this request: check that it serves {model} as a chat model", retry=False, status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, at most MAX_RETRY_AFTER; None when the server does not say. The header holds seconds or a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None


def quoted(text: str, secret: str) -> str:
    """A server's text for a message: one line of at most 300 characters, without control characters, images and the secret."""
    with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
        text = str(json.loads(text)["error"]["message"])
    if secret:
        text = text.replace(secret, "***")
    return "".join(c for c in " ".join(IMAGE.sub("(image)", text).split()) if c.isprintable())[:300]


def encodable(data: Any) -> Any:
    """A text, or lists and mappings of texts: lone surrogates, which no UTF-8 text can hold, become question marks."""
    if isinstance(data, dict):
        return {key: encodable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [encodable(value) for value in data]
    return data.encode("utf-8", "replace").decode("utf-8") if isinstance(data, str) else data


def _first_token(logprobs: Any) -> dict[str, float] | None:
    try:
        listed = [(entry["token"], entry["logprob"]) for entry in logprobs["content"][0]["top_logprobs"]]
    except (LookupError, TypeError):
        return None
    told = [(token, value) for token, value in listed if isinstance(token, str) and isinstance(value, int | float)]
    return {encodable(token): float(value) for token, value in told if math.isfinite(value)} or None


def _tokens(counts: Any) -> tuple[int, int] | None:
    counts = counts if isinstance(counts, dict) else {}
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    told = isinstance(prompt, int) and isinstance(completion, int) and prompt > 0 and completion >= 0
    return (prompt, completion) if told else None
