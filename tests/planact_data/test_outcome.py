"""The outcome filter: the environment's score, a judge's verdict, a reward model's probability; each paid once."""

from dataclasses import replace

import pytest

from planact.llm import EndpointUnusable, ScriptedLLM
from planact.store import RunStore
from planact.teaching.outcome import judge_messages, orm_messages, render_verdict
from planact.types import Outcome, StopReason
from planact_data.desk import Desk
from planact_data.models import Models
from planact_data.outcome import judged


@pytest.fixture
def desk(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        yield Desk(store, 0, 4)


def models(**roles):
    nobody = ScriptedLLM([])
    return Models(**dict.fromkeys(("teacher", "actor", "reasoner", "judge", "orm"), nobody) | roles, in_flight=4, questions=4)


class Likely(ScriptedLLM):
    """A reward model with these alternatives for its first token."""

    def __init__(self, told):
        super().__init__(lambda messages: "YES", name="orm")
        self.told, self.settings = told, []

    async def complete(self, messages, **settings):
        self.settings.append(settings)
        return replace(await super().complete(messages, **settings), top_logprobs=self.told)


async def test_the_environment_keeps_its_score_and_nobody_is_asked(desk, solved):
    wrong = replace(solved[0], outcome=Outcome(False, "miniweb", "answer: expected '3', got '4'"))
    for trajectory in (solved[0], wrong, replace(solved[0], outcome=Outcome(None))):
        assert await judged(trajectory, "environment", models(), desk) == trajectory.outcome


@pytest.mark.parametrize("yes", [True, False])
async def test_the_judge_decides_whatever_the_environment_said(desk, solved, yes):
    judge = ScriptedLLM([render_verdict("Because.", yes)])
    trajectory = replace(solved[0], outcome=Outcome(not yes, "miniweb"))
    outcome = await judged(trajectory, "judge", models(judge=judge), desk)
    assert (outcome.success, outcome.scorer, outcome.reason) == (yes, "judge", "" if yes else "the judge says no")
    one = trajectory
    assert judge.calls == [judge_messages(one.intent, one.turns, one.final, one.answer)]
    assert await judged(trajectory, "judge", models(), desk) == outcome  # from the store: nobody there has an answer


async def test_a_judge_that_cannot_be_read_leaves_it_unscored(desk, solved):
    judge = ScriptedLLM(["I like it"] * 3)
    outcome = await judged(solved[0], "judge", models(judge=judge), desk)
    assert (outcome.success, outcome.reason) == (None, "the judge's answer cannot be used: format") and len(judge.calls) == 3


@pytest.mark.parametrize(
    "told, success, reason",
    [
        ({"YES": -0.7, "NO": -0.7}, True, "probability of YES 0.500"),  # the threshold itself counts as YES (WebRL)
        ({"YES": -1.5, "NO": -0.5}, False, "probability of YES 0.269"),  # 1 / (1 + e)
        ({"It": -0.1}, None, "the reward model's answer cannot be used: neither YES nor NO"),
    ],
)
async def test_the_reward_model_decides_by_its_probability_and_is_asked_once(desk, solved, told, success, reason):
    orm = Likely(told)
    for _ in range(2):
        outcome = await judged(solved[0], "orm", models(orm=orm), desk)
        assert (outcome.success, outcome.scorer, outcome.reason) == (success, "orm", reason)
    assert orm.calls == [orm_messages(solved[0].intent, solved[0].turns, solved[0].final)]
    assert orm.settings == [{"max_tokens": 1, "temperature": 0.0, "seed": 0, "top_logprobs": 20}]


@pytest.mark.parametrize("how", ["judge", "orm"])
async def test_a_broken_episode_is_not_asked_about(desk, solved, how):
    broken = replace(solved[0], turns=(), final=None, stop_reason=StopReason.ENV_ERROR, outcome=Outcome(None, reason="down"))
    assert await judged(broken, how, models(), desk) == broken.outcome


async def test_an_endpoint_without_log_probabilities_ends_the_run(desk, solved):
    def answer(messages):
        raise EndpointUnusable("the answer has no log-probabilities")

    with pytest.raises(EndpointUnusable):
        await judged(solved[0], "orm", models(orm=ScriptedLLM(answer)), desk)
