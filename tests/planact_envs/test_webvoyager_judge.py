"""WebVoyager's judge: what it is shown, how its reply is read, and what becomes the outcome."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.llm import BudgetExceeded, ModelError, ScriptedLLM, message_text
from planact_envs.webvoyager.judge import CALLS, RULES, SCREENSHOTS, judge_answer, judge_messages, majority, read_verdict

OWN, THREE = CALLS


@pytest.fixture
def pictures(tmp_path):
    """Seventeen files that differ."""
    paths = [tmp_path / f"{number:03}.png" for number in range(17)]
    for number, path in enumerate(paths):
        path.write_bytes(b"\x89PNG" + bytes([number]))
    return paths


@pytest.mark.parametrize(
    "reply, verdict",
    [
        ("It shows the price.\nSUCCESS", True),
        ("The price is missing.\nNOT SUCCESS", False),
        ("**Verdict: NOT  SUCCESS**", False),
        ("SUCCESS.", True),
        ("NOT\nSUCCESS", False),
        ("The agent could not see the second page, but it was not needed. SUCCESS", True),
        ("SUCCESS or NOT SUCCESS? I say SUCCESS", None),
        ("NOT SUCCESS at first. Then: SUCCESS", None),
        ("It is a success", None),
        ("UNSUCCESSFUL", None),
        ("NOT SUCCESSFUL", None),
        ("This is not a SUCCESS", None),
        ("there was no SUCCESS", None),
        ("It isn't a full SUCCESS", None),
        ("", None),
    ],
)
def test_a_reply_is_read_strictly(reply, verdict):
    assert read_verdict(reply) is verdict


@given(st.text("aB .\n*:", max_size=30), st.text("aB .\n*:", max_size=30), st.booleans())
def test_one_verdict_in_any_words_is_found_and_two_are_refused(before, after, success):
    verdict, other = ("SUCCESS", "NOT SUCCESS") if success else ("NOT SUCCESS", "SUCCESS")
    assert read_verdict(f"{before} {verdict} {after}") is success
    assert read_verdict(f"{before} {verdict} {after} {other}") is None


@given(st.text())
def test_no_text_breaks_the_reader(text):
    assert read_verdict(text) in ((None,) if "SUCCESS" not in text else (True, False, None))


@pytest.mark.parametrize(
    "verdicts, result",
    [([True], True), ([None], None), ([True, False, True], True), ([False, None, False], False), ([True, None, False], None), ([], None)],
)
def test_the_majority_is_of_all_calls(verdicts, result):
    assert majority(verdicts) is result


def test_the_judge_sees_the_task_the_answer_and_the_screenshots_in_order():
    system, user = judge_messages("Find the price", "It is 3.", [b"one", b"two"])
    assert system == {"role": "system", "content": RULES}
    assert "Find the price" in message_text(user) and "It is 3." in message_text(user)
    urls = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    assert [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls] == [b"one", b"two"]


async def test_the_last_screenshots_are_judged_and_everything_is_recorded(pictures):
    judge = ScriptedLLM(["The price is there.\nSUCCESS"], name="eyes")
    outcome = await judge_answer(judge, OWN, "Find it", "Here", pictures)
    assert (outcome.success, outcome.scorer, outcome.reason) == (True, "webvoyager", "the judge says: SUCCESS")
    [said] = outcome.judgements
    assert (said.check, said.model, said.verdict, said.response) == ("webvoyager", "eyes", True, "The price is there.\nSUCCESS")
    [messages] = judge.calls
    urls = [part["image_url"]["url"] for part in messages[1]["content"] if part["type"] == "image_url"]
    assert len(urls) == SCREENSHOTS == 15
    assert urls[0].endswith(base64.b64encode(b"\x89PNG\x02").decode()) and urls[-1].endswith(base64.b64encode(b"\x89PNG\x10").decode())


@pytest.mark.parametrize(
    "replies, success",
    [
        (["SUCCESS", "NOT SUCCESS", "SUCCESS"], True),
        (["NOT SUCCESS", "hm", "NOT SUCCESS"], False),
        (["SUCCESS", "hm", "NOT SUCCESS"], None),
        (["SUCCESS"], None),  # the second and the third call fail
    ],
)
async def test_three_calls_vote(pictures, replies, success):
    outcome = await judge_answer(ScriptedLLM(replies), THREE, "Find it", "Here", pictures)
    assert outcome.success is success and outcome.scorer == "webvoyager-majority" and len(outcome.judgements) == 3
    assert [j.verdict for j in outcome.judgements] == [*map(read_verdict, replies), *[None] * (3 - len(replies))]


async def test_the_calls_of_one_vote_differ_in_their_seed(pictures):
    class Judge(ScriptedLLM):
        seeds = []

        async def complete(self, messages, **settings):
            self.seeds.append((settings["seed"], settings["temperature"]))
            return await super().complete(messages, **settings)

    await judge_answer(Judge(["SUCCESS"] * 3), THREE, "Find it", "Here", pictures)
    assert Judge.seeds == [(0, 0.0), (1, 0.0), (2, 0.0)]


@pytest.mark.parametrize("answer", ["", " \n"])
async def test_no_answer_is_a_failure_and_nobody_is_asked(pictures, answer):
    judge = ScriptedLLM([])
    outcome = await judge_answer(judge, OWN, "Find it", answer, pictures)
    assert (outcome.success, outcome.reason, judge.calls) == (False, "no answer", [])
    assert (await judge_answer(None, OWN, "Find it", answer, pictures)).success is False


async def test_without_a_judge_or_a_screenshot_or_an_answer_of_the_judge_nothing_is_scored(pictures):
    assert (await judge_answer(None, OWN, "Find it", "Here", pictures)).success is None
    assert "endpoints.judge" in (await judge_answer(None, OWN, "Find it", "Here", pictures)).reason
    assert (await judge_answer(ScriptedLLM(["SUCCESS"]), OWN, "Find it", "Here", [])).success is None

    def fail(messages):
        raise ModelError("no answer in 120 s")

    outcome = await judge_answer(ScriptedLLM(fail), OWN, "Find it", "Here", pictures)
    assert outcome.success is None and outcome.judgements[0].response == "no answer in 120 s"


async def test_a_spent_budget_stops_the_run(pictures):
    def stop(messages):
        raise BudgetExceeded("spent")

    with pytest.raises(BudgetExceeded):
        await judge_answer(ScriptedLLM(stop), OWN, "Find it", "Here", pictures)
