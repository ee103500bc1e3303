"""The models that play an evaluation's roles, opened for as long as it runs, within one budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from planact.actions import answer_pattern
from planact.cache import ResponseCache
from planact.endpoint import EndpointLLM
from planact.layout import base_model_identity
from planact.llm import LLM, Budget
from planact.recipe import Endpoint, Recipe, RecipeError
from planact_eval.vllm import adapter_config, serve

LOG = "vllm.log"
DEAD_ROUNDS, DEAD_LEAST = 2, 10  # full rounds of failed calls in a row, and calls at least, that stop the run; ours
TIMEOUT = 600.0  # seconds for one answer of a server of our own, the wait in its queue included; ours


@asynccontextmanager
async def open_models(
    recipe: Recipe, roles: dict[str, str], budget: Budget, folder: Path, servers: Mapping[str, Endpoint] | None = None
) -> AsyncIterator[dict[str, LLM]]:
    """The models by role; two roles played by one model folder share one model. `folder` is the run's, for logs.

    With `servers`, the models are served there already, by role.
    """
    async with AsyncExitStack() as stack:
        if recipe.eval.serving == "local":
            from planact_eval.serving import LocalLLM

            loaded = {path: LocalLLM(path) for path in dict.fromkeys(roles.values())}
            yield {role: loaded[path] for role, path in roles.items()}
            return
        endpoints = recipe.endpoints
        if servers is not None:
            endpoints = servers
        elif recipe.eval.serving == "vllm":
            endpoints = await stack.enter_async_context(served(recipe, roles, folder))
        yield {role: await stack.enter_async_context(open_endpoint(role, endpoints[role], budget, _extra(recipe, role))) for role in roles}


@asynccontextmanager
async def served(recipe: Recipe, names: Mapping[str, str], folder: Path, port: int = 0) -> AsyncIterator[dict[str, Endpoint]]:
    """vLLM for models by name, such as a role: one server for each base, from `port` on, 0 for any that is free.

    An adapter is served under its name and what it contains, so that an evaluation by URL and name takes no other one for it.
    """
    bases = {name: base_of(path) for name, path in names.items()}
    urls: dict[str, str] = {}
    called: dict[str, str] = {}  # adapters
    async with AsyncExitStack() as stack:
        for number, base in enumerate(dict.fromkeys(bases.values())):
            adapters = {name: names[name] for name in names if bases[name] == base != names[name]}
            log = folder / (f"{number}-{LOG}" if number else LOG)
            share = 1 / len(set(bases.values()))
            folders = tuple(dict.fromkeys(adapters.values()))
            server = await stack.enter_async_context(serve(base, recipe.serving, log, folders, share, port + number if port else 0))
            for name, adapter in adapters.items():
                called[name] = f"{name}-{base_model_identity(adapter)}"
                await server.load(called[name], adapter)
            urls[base] = server.base_url
        most = recipe.eval.episodes_in_flight
        yield {name: Endpoint(urls[base], called.get(name, base), "", 0.0, 0.0, TIMEOUT, most) for name, base in bases.items()}


def base_of(path: str) -> str:
    """What an adapter sits on; a full model or a Hub id is its own base."""
    return adapter_config(path)["base_model_name_or_path"] if (Path(path) / "adapter_config.json").exists() else path


@asynccontextmanager
async def open_judge(recipe: Recipe, budget: Budget) -> AsyncIterator[LLM | None]:
    """The model that scorers ask, None when the recipe names no `endpoints.judge`."""
    if "judge" not in recipe.endpoints:
        yield None
        return
    async with open_endpoint("judge", recipe.endpoints["judge"], budget) as judge:
        yield judge


def open_endpoint(
    role: str, endpoint: Endpoint, budget: Budget, extra_body: dict[str, Any] | None = None, cache: ResponseCache | None = None
) -> EndpointLLM:
    """A client, to be used in `async with`. Raises RecipeError when the endpoint cannot be used with the budget."""
    try:
        dead_after = max(DEAD_LEAST, DEAD_ROUNDS * endpoint.max_in_flight)
        return EndpointLLM(**asdict(endpoint), budget=budget, extra_body=extra_body, cache=cache, dead_after=dead_after)
    except ValueError as error:
        raise RecipeError(f"endpoints.{role}: {error}") from error


def _extra(recipe: Recipe, role: str) -> dict[str, Any] | None:
    """vLLM's structured outputs: the executor can only write what the parser reads."""
    if role != "executor" or not recipe.serving.structured_outputs:
        return None
    return {"structured_outputs": {"regex": answer_pattern(recipe.agent.grammar, reasoning=recipe.agent.reasons("executor"))}}
