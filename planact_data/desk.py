"""The desk at which teachers are asked: every answer is checked, sent back for repair when it cannot be used, and stored once paid for.

    desk = Desk(store, seed=0, in_flight=16)
    answer = await desk.ask("plan", teacher, Question(task.id, messages, check))

The same question again, in this run or a later one, is answered from the store; one that the server refused is asked again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Iterable, Sequence, TypeVar

from planact.llm import LLM, EndpointUnusable, Message, RequestRefused
from planact.parallel import run_all
from planact.progress import Progress
from planact.store import RunStore, StoreError
from planact.teaching import AnswerError
from planact.types import Usage, content_hash

MAX_TOKENS = 4096  # completion tokens of one answer; ours
LONGEST_WAIT = 0.02  # seconds that an answer may wait for others that are stored with it; ours
PATIENCE = 2.0  # seconds until the first line about a stage: some have a hundred short waves
REFUSED = "refused"  # why a question without an answer was rejected: the server took others and not this one
ALL_REFUSED = 8  # first questions of a kind that a server may refuse before the run stops; ours
REPAIRS = 2  # times a teacher is shown what is wrong with its answer; ours

Item = TypeVar("Item")

_asked_anew: ContextVar[list[str]] = ContextVar("asked_anew")  # keys of the questions of the item at work that the store did not answer


@dataclass(frozen=True)
class Question:
    """`check` turns the reply into what is wanted and raises AnswerError on one that cannot be used."""

    key: str  # unique among the questions of its kind
    messages: Sequence[Message]
    check: Callable[[str], Any]
    repairs: int = REPAIRS
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_logprobs: int = 0  # if not 0, `check` reads so many alternatives for the first token, as a JSON object, instead of the reply


@dataclass(frozen=True)
class Answer:
    """`value` is None when the question was `rejected`: the reason, "" otherwise."""

    value: Any
    rejected: str = ""
    repairs: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass
class Tally:
    """What one kind of question has come to, stored answers included."""

    asked: int = 0
    accepted: int = 0
    repairs: int = 0
    usage: Usage = field(default_factory=Usage)
    rejected: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.rejected.most_common(3))
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        usd = ", price unknown" if self.usage.usd is None else f", ${self.usage.usd:.2f}" if self.usage.usd else ""
        return f"{self.accepted} accepted, {self.rejected.total()} rejected{f' ({reasons})' if reasons else ''}, {tokens:,} tokens{usd}"


class Desk:
    """`tallies` counts by kind what was asked since the desk was opened."""

    def __init__(self, store: RunStore, seed: int, in_flight: int):
        self.store, self.seed, self.in_flight = store, seed, in_flight
        self.tallies: dict[str, Tally] = {}
        self._unsaved: list[tuple[str, str, dict[str, Any], asyncio.Future[None]]] = []  # kind, key, record
        self._last_commit = 0.0  # seconds

    def tally(self, kind: str) -> Tally:
        return self.tallies.setdefault(kind, Tally())

    async def ask(self, kind: str, model: LLM, question: Question) -> Answer:
        """The stored answer, or a new one that is stored before it is returned.

        Raises ModelError when the model cannot be reached, EndpointUnusable when it refuses the first questions of a kind, all of them.
        """
        key = f"{question.key}#{content_hash(list(question.messages))}"
        record = self.store.get(key, kind)
        if record is None or record["rejected"] == REFUSED:
            _asked_anew.get([]).append(key)
            record = await self._converse(model, question)
            await self._save(kind, key, record)
        answer = self._read(record, question)
        tally = self.tally(kind)
        tally.asked += 1
        tally.accepted += not answer.rejected
        tally.rejected.update([answer.rejected] if answer.rejected else [])
        tally.repairs += answer.repairs
        tally.usage += answer.usage
        if tally.rejected[REFUSED] == tally.asked >= ALL_REFUSED:
            raise EndpointUnusable(
                f"the first {tally.asked} questions ({kind}) were all refused: {record['text']}; raise the server's context length, which "
                f"must hold a question and {question.max_tokens} tokens of its answer, and give the same command again"
            )
        return answer

    async def _converse(self, model: LLM, question: Question) -> dict[str, Any]:
        """The record of a question: the reply that passed, or the last one and why it was rejected; tries and what they cost."""
        messages, usage, text, rejected, tries = list(question.messages), Usage(), "", "", 0
        for tries in range(question.repairs + 1):
            options = {"max_tokens": question.max_tokens, "temperature": question.temperature, "seed": self.seed + tries}
            options |= {"top_logprobs": question.top_logprobs} if question.top_logprobs else {}
            try:
                completion = await model.complete(messages, **options)
            except RequestRefused as error:
                rejected, text = REFUSED, str(error)
                break
            usage += completion.usage
            text = json.dumps(completion.top_logprobs) if question.top_logprobs else completion.text
            try:
                question.check(text)
                rejected = ""
                break
            except AnswerError as error:
                rejected, complaint = error.reason, str(error)
            fix = f"That answer cannot be used: {complaint}. Write the whole answer again."
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": fix}]
        return {"text": text, "rejected": rejected, "repairs": tries, "model": model.name, "usage": dict(vars(usage))}

    async def _save(self, kind: str, key: str, record: dict[str, Any]) -> None:
        """Return when the record is on disk, in one transaction with those that other questions have to save at this moment."""
        loop = asyncio.get_running_loop()
        self._unsaved.append((kind, key, record, saved := loop.create_future()))
        if len(self._unsaved) == 1:
            # After as long as the last one took: a slow disk gets few large transactions, and is busy half of the time at most.
            loop.call_later(min(self._last_commit, LONGEST_WAIT), self._commit)
        await saved

    def _commit(self) -> None:
        waiting, self._unsaved = self._unsaved, []
        error, started = None, time.perf_counter()
        try:
            with self.store.together():
                for kind, key, record, _ in waiting:
                    self.store.put(key, record, kind=kind, replace=True)
        except StoreError as caught:
            error = caught
        self._last_commit = time.perf_counter() - started
        for *_, saved in waiting:
            if not saved.done():  # its question may have been cancelled
                saved.set_exception(error) if error else saved.set_result(None)

    def _read(self, record: dict[str, Any], question: Question) -> Answer:
        """A stored record as an answer; its text is checked again, because a check may have become stricter since."""
        value, rejected = None, record["rejected"]
        if not rejected:
            try:
                value = question.check(record["text"])
            except AnswerError as error:
                rejected = error.reason
        return Answer(value, rejected, record["repairs"], Usage(**record["usage"]))

    async def each(self, label: str, items: Iterable[Item], work: Callable[[Item], Awaitable[None]], kinds: Sequence[str]) -> None:
        """Await `work` for all items, `in_flight` at a time, under a progress bar that shows the tallies of `kinds`."""
        items = list(items)
        with Progress(label, len(items), unit="items", patience=PATIENCE) as progress:

            async def one(item: Item) -> None:
                _asked_anew.set(anew := [])
                await work(item)
                progress.update(self._note(kinds), stored=not anew)

            await run_all(items, one, self.in_flight)

    def _note(self, kinds: Sequence[str]) -> str:
        """The tallies of `kinds`, each with its name when there are several."""
        return "; ".join(f"{kind}: {self.tally(kind)}" if len(kinds) > 1 else str(self.tally(kind)) for kind in kinds)
