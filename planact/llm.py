"""What the method needs of a language model: one call, `complete`. `planact.endpoint` has the one for real endpoints."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from planact.types import Usage

# {"role": "system" | "user" | "assistant", "content": text, or OpenAI's list of parts: {"type": "text", "text": ...} and
# {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}}
Message = dict[str, Any]


class ModelError(RuntimeError):
    """A call failed for good. The message says what happened and what to do."""


class BudgetExceeded(ModelError):
    """The run's limit of dollars or tokens is reached; the call was not made."""


class RequestRefused(ModelError):
    """The model takes other requests and not this one (too long, filtered): asking again brings the same."""


class EndpointUnusable(ModelError):
    """No call to this endpoint can succeed (key, credit, address or model name): stop the run rather than the one call."""


def message_text(message: Message) -> str:
    """What a message says in words, without its images."""
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["type"] == "text")


@dataclass(frozen=True)
class Completion:
    """A model's reply. `usage.usd` None: the price, or the number of tokens, is unknown."""

    text: str
    usage: Usage
    finish_reason: str = "stop"  # "length": cut at max_tokens
    cached: bool = False  # not paid for: from the cache, or shared with an identical call
    top_logprobs: Mapping[str, float] | None = None  # alternatives for the first token -> log-probability; None: not asked for


class LLM(Protocol):
    name: str

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """One reply to `messages`, with the log-probabilities of so many alternatives for its first token.

        Raises ModelError when there is none, or a model that cannot tell log-probabilities is asked for them.
        """


class ScriptedLLM:
    """A model that answers from a script. It counts the whitespace-separated words as tokens, no images, and costs nothing.

    `replies` is a sequence, used up in order, or a function of the messages. `calls` holds the messages of each call.
    """

    def __init__(self, replies: Sequence[str] | Callable[[Sequence[Message]], str], name: str = "scripted"):
        self.name = name
        self.calls: list[list[Message]] = []
        self._replies = replies

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """The next reply, whole whatever `max_tokens` is; its first word is certain. Raises ModelError when the sequence has run out."""
        self.calls.append(copy.deepcopy(list(messages)))
        text = self._reply(messages)
        words = sum(len(message_text(m).split()) for m in messages)
        certain = dict.fromkeys(text.split()[:1], 0.0) if top_logprobs else None
        return Completion(text, Usage(words, len(text.split()), calls=1), top_logprobs=certain)

    def _reply(self, messages: Sequence[Message]) -> str:
        if callable(self._replies):
            return self._replies(messages)
        if len(self.calls) > len(self._replies):
            raise ModelError(f"{self.name} has {len(self._replies)} replies and was called {len(self.calls)} times; give it more replies")
        return self._replies[len(self.calls) - 1]


class Budget:
    """The limits of a whole run, shared by its clients. None means no limit. Calls in flight may still overshoot it."""

    def __init__(self, max_usd: float | None = None, max_tokens: int | None = None):
        self.max_usd = max_usd  # US dollars
        self.max_tokens = max_tokens  # prompt and completion tokens together
        self.spent = Usage()
        self._uncounted = False  # a reply told no tokens

    def add(self, usage: Usage) -> None:
        """Count a reply, or what an earlier part of the run has spent."""
        self.spent += usage
        self._uncounted |= usage.calls > 0 and usage.prompt_tokens == 0

    def check(self) -> None:
        """Raise BudgetExceeded when a limit is reached, or cannot be held because tokens or prices of a call are unknown."""
        tokens = self.spent.prompt_tokens + self.spent.completion_tokens
        if self.max_tokens is not None and self._uncounted:
            raise BudgetExceeded(
                f"a reply told no token counts, so max_tokens={self.max_tokens} cannot be held; "
                "use an endpoint that returns `usage`, or set no max_tokens"
            )
        if self.max_tokens is not None and tokens >= self.max_tokens:
            raise BudgetExceeded(f"the run has used {tokens} of max_tokens={self.max_tokens}; raise it and give the same command again")
        if self.max_usd is not None and self.spent.usd is None:
            raise BudgetExceeded(
                f"the price of a call is unknown, so max_usd={self.max_usd:g} cannot be held; set the endpoint's usd_per_m_prompt "
                "and usd_per_m_completion (0 for a server of your own), or set no max_usd"
            )
        if self.max_usd is not None and self.spent.usd >= self.max_usd:
            raise BudgetExceeded(
                f"the run has spent {self.spent.usd:.4f} of max_usd={self.max_usd:g}; raise it and give the same command again"
            )
