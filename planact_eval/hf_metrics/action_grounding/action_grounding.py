"""Whether actions hit what is on the page, for `evaluate.load("planact_eval/hf_metrics/action_grounding")`."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from planact.actions import ActionFormatError, parse_action
from planact.types import ELEMENT_OPS, Action
from planact_eval.grounding import Grounding, ground

DESCRIPTION = """Of the actions on an element, the share whose element is on the page (exists), and is of a kind that the action works
on (role). Answers without a readable action are counted apart."""
INPUTS = """predictions: the executor's answers as it wrote them
references: the text of the page that it saw at each
form: the observation form of the pages (a recipe's agent.observation)
grammar: the spelling of the actions, webrl or browsergym"""


class ActionGrounding(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=DESCRIPTION, citation="", inputs_description=INPUTS, features=features)

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str], form: str = "axtree", grammar: str = "webrl"
    ) -> dict[str, float | None]:
        actions = [(_action(answer, grammar), page) for answer, page in zip(predictions, references, strict=True)]
        on_elements = [(action, page) for action, page in actions if action and action.op in ELEMENT_OPS]
        total = sum((ground(action, page, form) for action, page in on_elements), Grounding())
        rates = total.rates()
        unreadable = sum(action is None for action, _ in actions)
        return {"exists": rates["exists"], "role": rates["role"], "actions": total.actions, "unreadable": unreadable}


def _action(answer: str, grammar: str) -> Action | None:
    try:
        return parse_action(answer, grammar)
    except ActionFormatError:
        return None
