"""Ask a model about the episodes of a run: as often as wanted, within the run's budget, and only what is not answered yet.

Answers are in the run store. One counts as long as the same model was asked the same words as often, about the same episode.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from planact.layout import STORE
from planact.llm import LLM, Budget, Completion, Message, RequestRefused
from planact.parallel import run_all
from planact.progress import Progress
from planact.recipe import Endpoint, Recipe, RecipeError
from planact.spending import note_spent, spent
from planact.store import RunStore, read_run
from planact.types import Usage, content_hash, to_dict
from planact_eval.players import open_endpoint

VARIED = 0.7  # temperature of several votes, which would be the same at 0; ours

Value = TypeVar("Value")


@dataclass(frozen=True)
class Question:
    key: str  # the episode's
    of: str  # `identity` of the episode that it is about
    messages: Sequence[Message]


@dataclass(frozen=True)
class Asking:
    """`read` turns the replies to one question into what is stored of them; a request that the model refused has no reply."""

    kind: str  # in the run store
    role: str  # of `endpoints`
    read: Callable[[Sequence[Completion | None]], dict[str, Any]]
    votes: int = 1
    max_tokens: int = 1024  # completion tokens; room for a judge that gives its reasons first (ours)
    top_logprobs: int = 0


def identity(stored: Mapping[str, Any]) -> str:
    """Tells a stored episode from one that takes its place later."""
    return content_hash(stored)


def answers(folder: Path, recipe: Recipe, asking: Asking, questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """Key -> what is stored of the answers to all `questions`. The model is called for those that have none.

    Raises RecipeError when the recipe names no endpoint for the role, ModelError, BudgetExceeded with all that was paid for kept.
    """
    endpoint = recipe.endpoints.get(asking.role)
    if endpoint is None:
        raise RecipeError(
            f"the run's recipe names no endpoints.{asking.role}; add it with --set endpoints.{asking.role}.base_url=... "
            f"and --set endpoints.{asking.role}.model=..."
        )
    with reopened(folder) as store:
        todo = [one for one in questions if not answered(store.get(one.key, asking.kind), one, asking, endpoint.model)]
        if todo:
            asyncio.run(_ask(store, recipe, endpoint, asking, todo))
        return {one.key: store.get(one.key, asking.kind) for one in questions}


@contextmanager
def reopened(folder: Path) -> Iterator[RunStore]:
    """A run's store, to add to it. Raises StoreError when there is none or another process writes it."""
    with read_run(folder / STORE) as run:
        settings = run.fingerprint
    with RunStore.open(folder / STORE, settings) as store:
        yield store


def answered(stored: Mapping[str, Any] | None, question: Question, asking: Asking, model: str) -> bool:
    if stored is None:
        return False
    said = (stored["of"], stored["model"], stored["prompt_hash"], len(stored["votes"]))
    return said == (question.of, model, content_hash(list(question.messages)), asking.votes)


async def _ask(store: RunStore, recipe: Recipe, endpoint: Endpoint, asking: Asking, todo: Sequence[Question]) -> None:
    budget = Budget(recipe.eval.max_usd if recipe.eval else None)
    budget.add(spent(store))
    async with open_endpoint(asking.role, endpoint, budget) as model:
        with Progress(f"ask the {asking.role}", len(todo), unit="episodes") as bar:

            async def work(question: Question) -> None:
                record = await ask(model, asking, question)
                store.put(question.key, record, asking.kind, replace=True)
                bar.update()

            try:
                await run_all(todo, work, endpoint.max_in_flight)
            finally:
                note_spent(store, budget.spent)


async def ask(model: LLM, asking: Asking, question: Question) -> dict[str, Any]:
    """What is stored of one question. Raises ModelError when the model cannot be reached."""
    replies = [await _vote(model, asking, question, seed) for seed in range(asking.votes)]
    usage = sum((reply.usage for reply in replies if reply), Usage())
    asked = {"of": question.of, "model": model.name, "prompt_hash": content_hash(list(question.messages)), "usage": to_dict(usage)}
    return asking.read(replies) | asked


async def _vote(model: LLM, asking: Asking, question: Question, seed: int) -> Completion | None:
    temperature = VARIED if asking.votes > 1 else 0.0
    try:
        return await model.complete(
            question.messages, max_tokens=asking.max_tokens, temperature=temperature, seed=seed, top_logprobs=asking.top_logprobs
        )
    except RequestRefused:
        return None


def majority(votes: Sequence[Value | None]) -> Value | None:
    """What more votes say than anything else; None on a tie, and where no vote could be read."""
    counted = Counter(vote for vote in votes if vote is not None).most_common(2)
    return None if not counted or (len(counted) == 2 and counted[0][1] == counted[1][1]) else counted[0][0]
