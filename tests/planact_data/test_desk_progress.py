"""What the desk tells its progress: answers from the store apart from new ones, and the tallies in words."""

from collections import Counter

from planact.llm import ScriptedLLM
from planact.progress import Progress
from planact.store import RunStore
from planact.teaching import AnswerError
from planact.types import Usage
from planact_data import desk as module
from planact_data.desk import Desk, Question, Tally


def check(text):
    if text == "no":
        raise AnswerError("say yes", "format")
    return text


async def ask_all(store, names, kinds=("plan",)):
    """Ask once for each name and kind. Returns whether each item was taken as stored, by name, and the last note."""
    model, taken, notes = ScriptedLLM(lambda messages: messages[0]["content"]), {}, []
    desk, order = Desk(store, seed=0, in_flight=1), iter(names)

    class Recorded(Progress):
        def update(self, note="", steps=1, stored=False):
            taken[next(order)] = stored
            notes.append(note)
            super().update(note, steps, stored)

    async def work(name):
        for kind in kinds:
            await desk.ask(kind, model, Question(name, [{"role": "user", "content": name}], check, repairs=0))

    original, module.Progress = module.Progress, Recorded
    try:
        await desk.each("plans", names, work, kinds)
    finally:
        module.Progress = original
    return taken, notes[-1]


async def test_only_items_that_the_store_answers_are_taken_as_stored(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        assert (await ask_all(store, ["a", "no"]))[0] == {"a": False, "no": False}
        taken, note = await ask_all(store, ["a", "no", "c"])
        assert taken == {"a": True, "no": True, "c": False}
        assert note == "2 accepted, 1 rejected (1 format), 6 tokens"  # a word in and a word out for each, stored ones included


async def test_an_item_with_one_new_question_is_new_and_kinds_are_named(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        await ask_all(store, ["a"])
        taken, note = await ask_all(store, ["a"], kinds=("plan", "verdict"))
    assert taken == {"a": False}
    assert note == "plan: 1 accepted, 0 rejected, 2 tokens; verdict: 1 accepted, 0 rejected, 2 tokens"


def test_a_tally_in_words():
    reasons = Counter({"spans": 3, "format": 2, "foresight": 1, "scrolling": 1})
    tally = Tally(20, 13, 4, Usage(12_000, 345, 24, usd=1.234), reasons)
    assert str(tally) == "13 accepted, 7 rejected (3 spans, 2 format, 1 foresight), 12,345 tokens, $1.23"
    assert str(Tally(usage=Usage(10, 5, 1, usd=None))) == "0 accepted, 0 rejected, 15 tokens, price unknown"
