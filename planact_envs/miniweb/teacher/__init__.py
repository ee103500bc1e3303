"""The scripted teacher: a model without weights that answers the same rendered prompts as a real teacher would.

It tells from the prompt what it is asked for, looks the task up, and answers from the oracle's `Solution`. At a set rate it
makes the mistakes that real teachers make, so that the filters behind it have work to do.
"""

from __future__ import annotations

import asyncio
import random
from typing import Callable, Sequence

from planact.llm import Completion, Message, ModelError
from planact.teaching import annotation, expansion, feasibility, outcome
from planact.teaching import failures as failure_prompts
from planact.teaching import queries as query_prompts
from planact.teaching import reasoning as reasoning_prompts
from planact.teaching import variants as variant_prompts
from planact.types import Usage, content_hash
from planact_envs.miniweb.teacher import acting, failures, outcomes, pairs, planning, queries, reasoning, variants
from planact_envs.miniweb.teacher.knowledge import Habits

__all__ = ["ScriptedTeacher"]

Answer = Callable[[Sequence[Message], Habits, random.Random], str]

ANSWERS: dict[str, Answer] = {  # by the system prompt that asks for it
    annotation.PLAN_SYSTEM: planning.plan,
    annotation.REPLAN_SYSTEM: planning.replan,
    reasoning_prompts.PLAN_SYSTEM: reasoning.plan,
    reasoning_prompts.REPLAN_SYSTEM: reasoning.replan,
    reasoning_prompts.ACTION_SYSTEM: reasoning.action,
    query_prompts.SYSTEM: queries.write,
    query_prompts.FEASIBILITY_SYSTEM: queries.feasibility,
    outcome.JUDGE_SYSTEM: outcomes.judge,
    outcome.ORM_SYSTEM: outcomes.reward,
    expansion.SYSTEM: pairs.write,
    feasibility.SYSTEM: pairs.judge,
    failure_prompts.CLASSES_SYSTEM: failures.classes,
    failure_prompts.CLASSIFY_SYSTEM: failures.classification,
    variant_prompts.SYSTEM: variants.write,
}


class ScriptedTeacher:
    """`planact.llm.LLM` over the oracle. `error_rate` is the share of answers (0 to 1) with a planted mistake."""

    name = "scripted"

    def __init__(self, form: str, grammar: str, error_rate: float = 0.0, seed: int = 0):
        self.habits, self.seed = Habits(form, grammar, error_rate), seed

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """Raises ModelError for a prompt that is none of ours, and for a task that miniweb does not have."""
        await asyncio.sleep(0)  # as a real model would, it lets other episodes on, and Ctrl-C
        dice = random.Random(content_hash([list(messages), self.seed, seed]))
        head = messages[0]["content"]
        answer = ANSWERS.get(head) or (acting.act if acting.is_for_actor(head) else None)
        if answer is None:
            raise ModelError(
                f"the scripted teacher cannot read this prompt, which begins {head[:80]!r}; name another teacher in data.teacher"
            )
        text = answer(messages, self.habits, dice)
        words = sum(len(m["content"].split()) for m in messages)
        usage = Usage(prompt_tokens=words, completion_tokens=len(text.split()), calls=1)
        return Completion(text, usage, top_logprobs=outcomes.alternatives(text) if top_logprobs else None)
