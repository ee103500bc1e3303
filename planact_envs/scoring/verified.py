"""The scorer of the package webarena-verified: the agent's response and the network events, without pages, substrings or a judge.

It wants the agent's response as a JSON object (task_type, status, retrieved_data). An answer in plain words is put into that
form: "N/A" is NOT_FOUND_ERROR, anything else SUCCESS with the answer as the one item that was retrieved, and the task type is the
expected one. Its tasks are reworded ones, so its numbers are not comparable with those of the other scorers.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from planact.recipe import RecipeError
from planact.types import Outcome, Task
from planact_envs.scoring.ending import Ending
from planact_envs.webarena.tasks import number_of

if TYPE_CHECKING:
    from webarena_verified.api import WebArenaVerified

NAME = "webarena-verified"


def check_installed() -> None:
    """Raises RecipeError when the package is not there or its dependencies are not."""
    try:
        import webarena_verified.api  # noqa: F401
    except ImportError as error:
        raise RecipeError(f"the scorer {NAME} needs the package of that name: {error}; type `make webarena`") from error


async def score(task: Task, ending: Ending) -> Outcome:
    verified = _package(tuple(sorted(ending.sites.urls.items())))
    number = number_of(task)
    response = agent_response(ending.answer, verified.get_task(number).expected_action)
    result = verified.evaluate_task(task_id=number, agent_response=response, network_trace=list(ending.events))
    if result.status == "error":
        return Outcome(None, NAME, f"webarena-verified could not score it: {_reasons(result)}")
    return Outcome(result.score == 1.0, NAME, "" if result.score == 1.0 else _reasons(result))


@functools.cache
def _package(urls: tuple[tuple[str, str], ...]) -> WebArenaVerified:
    from webarena_verified.api import WebArenaVerified
    from webarena_verified.types.config import WebArenaVerifiedConfig

    return WebArenaVerified(config=WebArenaVerifiedConfig(environments={f"__{site.upper()}__": {"urls": [url]} for site, url in urls}))


def agent_response(answer: str, task_type: str) -> dict[str, Any]:
    """The answer in the package's form, as it is when it has that form."""
    try:
        given = json.loads(answer)
    except ValueError:
        given = answer.strip()
    if isinstance(given, dict):
        return given
    if given == "N/A":
        return {"task_type": task_type, "status": "NOT_FOUND_ERROR", "retrieved_data": None, "error_details": "N/A"}
    items = given if isinstance(given, list) else [given]
    return {"task_type": task_type, "status": "SUCCESS", "retrieved_data": items if task_type.lower() == "retrieve" else None}


def _reasons(result: Any) -> str:
    said = [result.error_msg] if result.error_msg else []
    for evaluator in result.evaluators_results or ():
        said += [evaluator.error_msg] if evaluator.error_msg else []
        for assertion in evaluator.assertions or ():
            said += [assertion.error_msg] if assertion.error_msg else list(assertion.assertion_msgs or ())
    return "; ".join(said)[:1000] or "no reason given"
