"""The models that a recipe's data builder asks: the teacher, and those that it may put in other roles."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import AsyncIterator

from planact.endpoint import EndpointLLM
from planact.llm import LLM, Budget
from planact.recipe import Recipe, RecipeError
from planact_envs.suites import Suite

SCRIPTED_IN_FLIGHT = 8  # episodes at once with a teacher that answers at once


@dataclass(frozen=True)
class Models:
    """Roles that the recipe gives no endpoint of their own are played by the teacher."""

    teacher: LLM
    actor: LLM  # acts in roll-outs
    reasoner: LLM  # writes the reasoning of CoT rows
    judge: LLM  # says from the text of a trajectory whether it solved its task
    orm: LLM  # the same as a probability of YES
    in_flight: int  # calls at once


@asynccontextmanager
async def open_models(recipe: Recipe, suite: Suite, budget: Budget, folder: Path) -> AsyncIterator[Models]:
    """The models of `recipe.data`; batch files and the reply cache lie in `folder`. Raises RecipeError when the suite has no teacher."""
    data = recipe.data
    if data.teacher == "scripted":
        if suite.teacher is None:
            raise RecipeError(f"the suite {suite.name} has no scripted teacher; set data.teacher: endpoint and endpoints.teacher")
        teacher = suite.teacher(recipe.agent.observation, recipe.agent.grammar, data.teacher_error_rate, recipe.seed)
        yield Models(teacher, teacher, teacher, teacher, teacher, SCRIPTED_IN_FLIGHT)
        return
    async with AsyncExitStack() as stack:
        opened: dict[str, LLM] = {}
        for role in ("teacher", "actor", "reasoner", "judge", "orm"):
            if role in recipe.endpoints:
                opened[role] = await stack.enter_async_context(EndpointLLM(**asdict(recipe.endpoints[role]), budget=budget))
        teacher = opened["teacher"]
        roles = {role: opened.get(role, teacher) for role in ("actor", "reasoner", "judge", "orm")}
        yield Models(teacher, **roles, in_flight=recipe.endpoints["teacher"].max_in_flight)
