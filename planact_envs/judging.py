"""One question to a judge model, and the record of what it said. Scorers of every suite ask through `ask_judge`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planact.llm import LLM, BudgetExceeded, EndpointUnusable, Message, ModelError
from planact.types import Judgement, content_hash

MAX_TOKENS = 1024  # completion tokens; room for a judge that gives its reasons first (ours)


async def ask_judge(
    judge: LLM,
    check: str,
    messages: Sequence[Message],
    read: Callable[[str], bool | None],
    *,
    max_tokens: int = MAX_TOKENS,
    seed: int = 0,
) -> Judgement:
    """Ask at temperature 0. `read` turns the reply into a verdict, None when it cannot; a reply cut at `max_tokens` has none.

    A call that fails is a judgement without a verdict whose `response` is the error. Raises BudgetExceeded and
    EndpointUnusable only: the run must stop, and the task be run again later.
    """
    prompt_hash = content_hash(list(messages))
    try:
        reply = await judge.complete(messages, max_tokens=max_tokens, temperature=0.0, seed=seed)
    except (BudgetExceeded, EndpointUnusable):
        raise
    except ModelError as error:
        return Judgement(check, judge.name, prompt_hash, str(error), None, failed=True)
    verdict = None if reply.finish_reason == "length" else read(reply.text)
    return Judgement(check, judge.name, prompt_hash, reply.text, verdict, reply.usage)
