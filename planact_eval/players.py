"""The models that play an evaluation's roles, opened for as long as it runs, within one budget."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import AsyncIterator

from planact.endpoint import EndpointLLM
from planact.llm import LLM, Budget
from planact.recipe import Recipe, RecipeError


@asynccontextmanager
async def open_models(recipe: Recipe, roles: dict[str, str], budget: Budget) -> AsyncIterator[dict[str, LLM]]:
    """The models by role; two roles played by one model folder share one model."""
    if recipe.eval.serving == "endpoint":
        async with AsyncExitStack() as stack:
            yield {role: await stack.enter_async_context(_endpoint(recipe, role, budget)) for role in roles}
    else:
        from planact_eval.serving import LocalLLM

        loaded = {path: LocalLLM(path) for path in dict.fromkeys(roles.values())}
        yield {role: loaded[path] for role, path in roles.items()}


@asynccontextmanager
async def open_judge(recipe: Recipe, budget: Budget) -> AsyncIterator[LLM | None]:
    """The model that scorers ask, None when the recipe names no `endpoints.judge`."""
    if "judge" not in recipe.endpoints:
        yield None
        return
    async with _endpoint(recipe, "judge", budget) as judge:
        yield judge


def _endpoint(recipe: Recipe, role: str, budget: Budget) -> EndpointLLM:
    try:
        return EndpointLLM(**asdict(recipe.endpoints[role]), budget=budget)
    except ValueError as error:
        raise RecipeError(f"endpoints.{role}: {error}") from error
