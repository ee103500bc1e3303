"""The models that a recipe's data builder asks: the teacher, and those that it may put in other roles."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import AsyncIterator

from planact.cache import ResponseCache
from planact.endpoint import EndpointLLM
from planact.layout import TEACHING_ROLES
from planact.llm import LLM, Budget
from planact.recipe import Recipe, RecipeError
from planact_data.batch import MAX_REQUESTS, BatchLLM
from planact_data.offline import MOST, VLLMOffline
from planact_envs.suites import Suite

SCRIPTED_IN_FLIGHT = 8  # episodes at once with a teacher that answers at once
DEAD_AFTER = 10  # failed calls in a row after which a server that is away or broken stops the build; ours
VLLM_EPISODES = 64  # at once with an actor in this process; ours
REPLIES = "replies.sqlite"  # every reply that was paid for, in the store's folder


@dataclass(frozen=True)
class Models:
    """Roles that the recipe gives no endpoint of their own are played by the teacher."""

    teacher: LLM
    actor: LLM  # acts in roll-outs
    reasoner: LLM  # writes the reasoning of CoT rows
    judge: LLM  # says from the text of a trajectory whether it solved its task
    orm: LLM  # the same as a probability of YES
    in_flight: int  # episodes at once
    questions: int  # at once, at the desk


@asynccontextmanager
async def open_models(recipe: Recipe, suite: Suite, budget: Budget, folder: Path) -> AsyncIterator[Models]:
    """The models of `recipe.data`; batch files and the reply cache lie in `folder`.

    Raises RecipeError for a suite without a scripted teacher, and for endpoints that `data.teacher` cannot work with.
    """
    data = recipe.data
    if data.teacher == "scripted":
        if suite.teacher is None:
            raise RecipeError(f"the suite {suite.name} has no scripted teacher; set data.teacher: endpoint and endpoints.teacher")
        teacher = suite.teacher(recipe.agent.observation, recipe.agent.grammar, data.teacher_error_rate, recipe.seed)
        yield Models(teacher, teacher, teacher, teacher, teacher, SCRIPTED_IN_FLIGHT, SCRIPTED_IN_FLIGHT)
        return
    _check_endpoints(recipe)
    async with AsyncExitStack() as stack:
        cache = stack.enter_context(ResponseCache(folder / REPLIES))
        opened: dict[str, LLM] = {}
        offline: list[LLM] = []  # the one engine of this process
        for role in (role for role in TEACHING_ROLES if role in recipe.endpoints):
            if not recipe.endpoints[role].base_url and offline:
                opened[role] = offline[0]
                continue
            opened[role] = await stack.enter_async_context(_client(recipe, role, budget, cache, folder))
            offline += [opened[role]] * isinstance(opened[role], VLLMOffline)
        roles = {role: opened.get(role, opened["teacher"]) for role in TEACHING_ROLES}
        yield Models(**roles, in_flight=_episodes(recipe), questions=_questions(recipe))


def _client(recipe: Recipe, role: str, budget: Budget, cache: ResponseCache, folder: Path) -> EndpointLLM | BatchLLM | VLLMOffline:
    """Batches are for single questions: an episode would wait for one per turn, so the actor is called as it goes."""
    endpoint = recipe.endpoints[role]
    settings = asdict(endpoint)
    if not endpoint.base_url:
        return VLLMOffline(endpoint.model, cache=cache, budget=budget)
    if recipe.data.teacher == "batch" and role != "actor":
        del settings["max_in_flight"]
        return BatchLLM(**settings, folder=folder / "batches" / role, cache=cache, budget=budget)
    return EndpointLLM(**settings, cache=cache, budget=budget, dead_after=DEAD_AFTER)


def _check_endpoints(recipe: Recipe) -> None:
    endpoints, mode = recipe.endpoints, recipe.data.teacher
    if mode == "batch" and "actor" not in endpoints:
        raise RecipeError(
            f"{recipe.name}: data.teacher: batch answers within hours, and an episode needs an answer per turn; "
            "add endpoints.actor with base_url and model (it may be the same model, at its usual price)"
        )
    if mode == "vllm" and endpoints["teacher"].base_url:
        raise RecipeError(
            f"{recipe.name}: data.teacher: vllm runs the teacher in this process; "
            "leave endpoints.teacher.base_url empty, or set data.teacher: endpoint"
        )
    here = {endpoint.model for role, endpoint in endpoints.items() if role in TEACHING_ROLES and not endpoint.base_url}
    if len(here) > 1:
        raise RecipeError(
            f"{recipe.name}: {' and '.join(sorted(here))} cannot share one process and its GPUs; "
            "keep the teacher and give the others a server each: endpoints.<role>.base_url"
        )


def _episodes(recipe: Recipe) -> int:
    actor = recipe.endpoints.get("actor", recipe.endpoints["teacher"])
    return actor.max_in_flight if actor.base_url else VLLM_EPISODES


def _questions(recipe: Recipe) -> int:
    """Batches and vLLM are best given all that a stage has to ask."""
    return {"batch": MAX_REQUESTS, "vllm": MOST}.get(recipe.data.teacher, recipe.endpoints["teacher"].max_in_flight)
