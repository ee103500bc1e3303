"""The desk with models that answer from a script: what is asked, what is asked again, what is stored."""

import asyncio

import pytest

from planact.llm import Completion, EndpointUnusable, ModelError, RequestRefused, ScriptedLLM
from planact.store import RunStore, StoreError, read_run
from planact.teaching import AnswerError
from planact.types import Usage
from planact_data.desk import ALL_REFUSED, Desk, Question


def number(text):
    """A check: the answer is a whole number below ten."""
    if not text.isdigit():
        raise AnswerError(f"{text!r} is not a number", "no number")
    if int(text) > 9:
        raise AnswerError("too large", "large")
    return int(text)


def question(key="q", text="how many?", **settings):
    return Question(key, [{"role": "user", "content": text}], settings.pop("check", number), **settings)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


@pytest.fixture
def store(path):
    with RunStore.open(path, {}) as store:
        yield store


async def test_an_answer_is_checked_stored_and_counted(store):
    llm, desk = ScriptedLLM(["7"]), Desk(store, seed=3, in_flight=2)
    answer = await desk.ask("plan", llm, question())
    assert (answer.value, answer.rejected, answer.repairs) == (7, "", 0)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.calls) == (2, 1, 1)
    ((key, record),) = store.items("plan")
    assert key.startswith("q#") and (record["text"], record["rejected"], record["model"]) == ("7", "", "scripted")
    tally = desk.tally("plan")
    assert (tally.asked, tally.accepted, tally.rejected.total(), tally.usage) == (1, 1, 0, answer.usage)
    assert "1 accepted, 0 rejected, 3 tokens" in str(tally)


async def test_a_repair_shows_the_answer_and_what_is_wrong_with_it_under_another_seed(store):
    seeds = []

    class Seen(ScriptedLLM):
        async def complete(self, messages, *, max_tokens, temperature=0.0, seed=0, top_logprobs=0):
            seeds.append((seed, max_tokens, temperature))
            return await super().complete(messages, max_tokens=max_tokens)

    llm, desk = Seen(["many", "12", "4"]), Desk(store, seed=3, in_flight=1)
    answer = await desk.ask("plan", llm, question(max_tokens=50, temperature=0.5))
    assert (answer.value, answer.repairs, answer.usage.calls) == (4, 2, 3)
    assert seeds == [(3, 50, 0.5), (4, 50, 0.5), (5, 50, 0.5)]
    first, _, third = llm.calls
    assert [m["role"] for m in third] == ["user", "assistant", "user", "assistant", "user"] and third[:1] == first
    assert third[1]["content"] == "many" and "'many' is not a number" in third[2]["content"]
    assert third[3]["content"] == "12" and "too large" in third[4]["content"]
    assert desk.tally("plan").repairs == 2


async def test_what_cannot_be_repaired_is_rejected_for_the_last_reason_and_not_asked_again(store):
    llm, desk = ScriptedLLM(["many", "x", "99"]), Desk(store, seed=0, in_flight=1)
    for _ in range(2):
        answer = await desk.ask("plan", llm, question())
        assert (answer.value, answer.rejected, answer.repairs) == (None, "large", 2)
    assert len(llm.calls) == 3
    assert desk.tally("plan").rejected == {"large": 2} and desk.tally("plan").accepted == 0


async def test_a_refused_request_is_rejected_and_the_run_goes_on(store):
    def refuse(messages):
        raise RequestRefused("the prompt is too long")

    desk = Desk(store, seed=0, in_flight=1)
    answer = await desk.ask("plan", ScriptedLLM(refuse), question())
    assert answer.value is None and answer.rejected == "refused" and answer.usage == Usage()
    ((_, record),) = store.items("plan")
    assert record["text"] == "the prompt is too long"


def refuse(messages):
    raise RequestRefused("maximum context length is 4096 tokens")


async def test_a_refused_question_is_asked_again_by_the_next_run(path):
    for model, value, rejected in ((ScriptedLLM(refuse), None, {"refused": 1}), (ScriptedLLM(["7"]), 7, {}), (ScriptedLLM([]), 7, {})):
        with RunStore.open(path, {}) as store:
            desk = Desk(store, seed=0, in_flight=1)
            assert (await desk.ask("plan", model, question())).value == value
            assert desk.tally("plan").rejected == rejected


async def test_a_server_that_refuses_the_first_questions_of_a_kind_stops_the_run(store):
    desk, asked = Desk(store, seed=0, in_flight=1), []

    async def work(item):
        asked.append(await desk.ask("plan_cot", ScriptedLLM(refuse), question(str(item), max_tokens=500)))

    with pytest.raises(EndpointUnusable, match="length is 4096 tokens; raise the server's context length, .* a question and 500 tokens"):
        await desk.each("reasoning", range(20), work, ["plan_cot"])
    assert len(asked) == ALL_REFUSED - 1
    sometimes = ScriptedLLM(lambda messages: "1" if len(sometimes.calls) == 1 else refuse(messages))
    answers = [await desk.ask("plan", sometimes, question(str(item))) for item in range(20)]
    assert [answer.rejected for answer in answers] == [""] + ["refused"] * 19


async def test_another_failure_stops_the_run_and_stores_nothing(store):
    def fail(messages):
        raise ModelError("the server is gone")

    with pytest.raises(ModelError, match="gone"):
        await Desk(store, seed=0, in_flight=1).ask("plan", ScriptedLLM(fail), question())
    assert store.count("plan") == 0


async def test_the_next_run_asks_nothing_and_counts_the_same(path):
    tallies = []
    for replies in (["x", "7"], []):
        with RunStore.open(path, {}) as store:
            desk = Desk(store, seed=0, in_flight=1)
            assert (await desk.ask("plan", ScriptedLLM(replies), question())).value == 7
            tallies.append(desk.tallies)
    assert tallies[0] == tallies[1]


async def test_a_check_that_became_stricter_rejects_a_stored_answer_without_a_call(store):
    def below_five(text):
        if int(text) >= 5:
            raise AnswerError("five or more", "strict")
        return int(text)

    await Desk(store, seed=0, in_flight=1).ask("plan", ScriptedLLM(["7"]), question())
    desk = Desk(store, seed=0, in_flight=1)
    answer = await desk.ask("plan", ScriptedLLM([]), question(check=below_five))
    assert (answer.value, answer.rejected) == (None, "strict") and desk.tally("plan").rejected == {"strict": 1}


async def test_another_prompt_key_or_kind_is_another_question(store):
    llm, desk = ScriptedLLM([str(i) for i in range(4)]), Desk(store, seed=0, in_flight=1)
    asked = [("plan", question()), ("plan", question(text="how few?")), ("plan", question("other")), ("judge", question())]
    assert [(await desk.ask(kind, llm, q)).value for kind, q in asked] == [0, 1, 2, 3]
    assert [(await desk.ask(kind, llm, q)).value for kind, q in asked] == [0, 1, 2, 3]
    assert len(llm.calls) == 4 and store.count("plan") == 3


async def test_log_probabilities_are_what_is_checked_and_stored(store):
    desk = Desk(store, seed=0, in_flight=1)
    asked = question(check=lambda text: text, top_logprobs=5)
    assert (await desk.ask("orm", ScriptedLLM(["YES indeed"]), asked)).value == '{"YES": 0.0}'
    assert (await desk.ask("orm", ScriptedLLM([]), asked)).value == '{"YES": 0.0}'


class Slow:
    """Answers "1" a little later, and says how many it answered at once."""

    name, now, most = "slow", 0, 0

    async def complete(self, messages, **options):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.005)
        self.now -= 1
        return Completion("1", Usage(1, 1, calls=1))


async def test_each_asks_all_items_some_at_a_time(store, capsys):
    llm, desk, seen = Slow(), Desk(store, seed=0, in_flight=4), []

    async def work(item):
        seen.append((await desk.ask("plan", llm, question(str(item)))).value)

    await desk.each("plans", range(20), work, ["plan"])
    assert seen == [1] * 20 and llm.most == 4 and store.count("plan") == 20
    assert "plans: 20/20 items 20 accepted, 0 rejected, 40 tokens" in capsys.readouterr().err


async def test_answers_are_on_disk_when_ask_returns_and_share_a_transaction(store, path):
    """Eight answers come at the same moment; SQLite counts what was committed, not what was put."""
    llm, desk = Slow(), Desk(store, seed=0, in_flight=8)
    commits = []
    store._db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    async def work(item):
        await desk.ask("plan", llm, question(str(item)))
        with read_run(path) as run:
            assert any(key.startswith(f"{item}#") for key in run.keys("plan"))

    await desk.each("plans", range(8), work, ["plan"])
    assert len(commits) < 8


async def test_a_store_that_cannot_write_fails_every_question_that_waits_for_it(store):
    desk = Desk(store, seed=0, in_flight=4)
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0]}")
    long = Slow()
    long.complete = lambda messages, **options: asyncio.sleep(0.001, Completion("1" * 100_000, Usage()))
    asks = (desk.ask("plan", long, question(str(i), check=len)) for i in range(3))
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(result) for result in results] == [StoreError] * 3 and "full" in str(results[0])
    store._db.execute("PRAGMA max_page_count = 100000")
    assert (await desk.ask("plan", ScriptedLLM(["1"]), question())).value == 1
