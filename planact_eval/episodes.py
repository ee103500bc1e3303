"""How planned episodes are played: with the models and the world opened once, several episodes in flight.

`play_here` plays them in this process; `planact_eval.ray_backend` opens the same stage on many machines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from planact.llm import LLM, Budget
from planact.loop import run_episode
from planact.parallel import run_all
from planact.recipe import Endpoint, Recipe
from planact.types import StopReason, Trajectory
from planact_envs import evidence
from planact_envs.suites import Suite, World, scorer_of
from planact_eval.planned import Planned
from planact_eval.players import open_judge, open_models


@dataclass(frozen=True)
class Stage:
    """What episodes are played with, before anything of it is opened."""

    recipe: Recipe
    suite: Suite
    roles: Mapping[str, str]  # planact_eval.planned.models_of
    folder: Path  # the run's
    servers: Mapping[str, Endpoint] | None = None  # where models are served already, by role

    @property
    def in_flight(self) -> int:
        """Episodes that one process plays at a time."""
        return min(self.recipe.eval.episodes_in_flight, self.suite.most_in_flight or self.recipe.eval.episodes_in_flight)


@dataclass(frozen=True)
class Played:
    """An episode that has ended."""

    trajectory: Trajectory
    evidence: Mapping[str, Any] | None = None  # JSON data (planact_envs.evidence)
    broken: tuple[Trajectory, ...] = ()  # earlier tries, which the environment broke


Play = Callable[[Planned], Awaitable[Played]]
Done = Callable[[Planned, Played], None]  # keeps what was played


@asynccontextmanager
async def open_stage(stage: Stage, budget: Budget) -> AsyncIterator[Play]:
    """A function that plays one episode, for as long as the context lasts.

    One whose world broke is played again in a fresh one (`eval.env_retries`); where episodes share sites, what it did there stays done,
    and it is left broken.
    """
    recipe = stage.recipe
    retries = recipe.eval.env_retries if stage.suite.isolated else 0
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(open_models(recipe, dict(stage.roles), budget, stage.folder, stage.servers))
        judge = await stack.enter_async_context(open_judge(recipe, budget))
        make_env = await stack.enter_async_context(stage.suite.open(world_of(stage, judge)))

        async def play(episode: Planned) -> Played:
            broken: list[Trajectory] = []
            while True:
                played = await play_once(episode)
                if played.trajectory.stop_reason != StopReason.ENV_ERROR or len(broken) == retries:
                    return replace(played, broken=tuple(broken))
                broken.append(played.trajectory)

        async def play_once(episode: Planned) -> Played:
            env = make_env()
            try:
                seed = recipe.seed + episode.repeat
                trajectory = await run_episode(episode.task, env, recipe.agent, models["executor"], models.get("planner"), seed=seed)
                return Played(trajectory, await evidence.collect(env, trajectory))
            finally:
                await env.close()

        yield play


def world_of(stage: Stage, judge: LLM | None) -> World:
    """What the recipe says about the world of its episodes."""
    recipe, screenshots = stage.recipe, stage.folder / "screenshots" if stage.recipe.eval.screenshots else None
    return World(recipe.agent.observation, scorer_of(stage.suite, recipe.eval.scorer), judge, recipe.eval.allowed_hosts, screenshots)


async def play_here(stage: Stage, episodes: Sequence[Planned], budget: Budget, done: Done) -> None:
    """Play all in this process, started in order. The first error stops new starts and is raised once the episodes in flight have ended."""
    async with open_stage(stage, budget) as play:

        async def work(episode: Planned) -> None:
            done(episode, await play(episode))

        await run_all(episodes, work, stage.in_flight)
