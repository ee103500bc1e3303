"""The outcome filter (paper 4.1): which trajectories solved their task, by the environment's score, a judge, or an outcome reward model."""

from __future__ import annotations

import json
from typing import Literal

from planact.teaching import AnswerError
from planact.teaching.outcome import ORM_THRESHOLD, judge_messages, orm_messages, p_yes, parse_verdict
from planact.types import Outcome, StopReason, Trajectory
from planact_data.desk import Desk, Question
from planact_data.models import Models

JUDGE, ORM = "judge", "orm"
ALTERNATIVES = 20  # for the first token; the most that vLLM and OpenAI give
BROKEN = (StopReason.ENV_ERROR, StopReason.MODEL_ERROR)

How = Literal["environment", "judge", "orm"]


async def judged(trajectory: Trajectory, how: How, models: Models, desk: Desk) -> Outcome:
    """The outcome that decides whether a trajectory is kept; unscored when its episode broke or the answer cannot be read.

    Raises ModelError when the model cannot be reached, or is to tell log-probabilities and does not.
    """
    if how == "environment" or trajectory.stop_reason in BROKEN:
        return trajectory.outcome
    return await (_by_judge if how == JUDGE else _by_orm)(trajectory, models, desk)


async def _by_judge(trajectory: Trajectory, models: Models, desk: Desk) -> Outcome:
    messages = judge_messages(trajectory.intent, trajectory.turns, trajectory.final, trajectory.answer)
    answer = await desk.ask(JUDGE, models.judge, Question(trajectory.task_id, messages, parse_verdict))
    if answer.rejected:
        return Outcome(None, JUDGE, f"the judge's answer cannot be used: {answer.rejected}")
    return Outcome(answer.value, JUDGE, "" if answer.value else "the judge says no")


async def _by_orm(trajectory: Trajectory, models: Models, desk: Desk) -> Outcome:
    messages = orm_messages(trajectory.intent, trajectory.turns, trajectory.final)
    question = Question(trajectory.task_id, messages, _probability, repairs=0, max_tokens=1, top_logprobs=ALTERNATIVES)
    answer = await desk.ask(ORM, models.orm, question)
    if answer.rejected:
        return Outcome(None, ORM, f"the reward model's answer cannot be used: {answer.rejected}")
    return Outcome(answer.value >= ORM_THRESHOLD, ORM, f"probability of YES {answer.value:.3f}")


def _probability(text: str) -> float:
    """The probability of YES in the stored alternatives for the first token. Raises AnswerError."""
    probability = p_yes(json.loads(text))
    if probability is None:
        raise AnswerError("neither YES nor NO is among the likeliest first tokens", "neither YES nor NO")
    return probability
