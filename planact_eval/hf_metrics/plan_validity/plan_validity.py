"""Share of readable plans, for `evaluate.load("planact_eval/hf_metrics/plan_validity")`."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from planact.plans import PlanFormatError, parse_plan

DESCRIPTION = "The share of a planner's answers that the parser of the agent's loop reads as a plan (paper A.3)."
INPUTS = "predictions: the planner's answers as it wrote them"


class PlanValidity(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string")})
        return evaluate.MetricInfo(description=DESCRIPTION, citation="", inputs_description=INPUTS, features=features)

    def _compute(self, predictions: Sequence[str]) -> dict[str, float]:
        return {"plan_validity": sum(map(_readable, predictions)) / len(predictions), "answers": len(predictions)}


def _readable(answer: str) -> bool:
    try:
        parse_plan(answer)
    except PlanFormatError:
        return False
    return True
