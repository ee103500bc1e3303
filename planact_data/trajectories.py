"""Action trajectories: an actor works on training tasks in the real loop, the environment's score keeps the solved ones."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from planact.llm import LLM
from planact.loop import run_episode
from planact.parallel import run_all
from planact.progress import Progress
from planact.recipe import Agent, Recipe
from planact.store import RunStore
from planact.types import Task, Trajectory, from_dict, to_dict
from planact_data.outcome import BROKEN
from planact_envs.suites import Suite, World

KIND = "trajectory"


async def roll_out(
    tasks: Sequence[Task],
    suite: Suite,
    agent: Agent,
    actor: LLM,
    store: RunStore,
    seed: int,
    in_flight: int,
    kind: str = KIND,
    hosts: tuple[str, ...] = (),
) -> None:
    """Put one trajectory per task into `store`. Tasks already there are not run again, unless the environment or the model broke their
    episode, and without others no world is opened. Pages may load from `hosts` too."""
    # The actor sees no plan, plans are written afterwards; limits of the recipe's own agent are no part of the data.
    actor_agent = Agent(planner="none", prompts=agent.prompts, observation=agent.observation, grammar=agent.grammar)
    todo = [task for task in tasks if not _is_done(store.get(task.id, kind))]
    if not todo:
        return
    world = World(agent.observation, suite.scorers[0], hosts=hosts)
    with Progress("trajectories" if kind == KIND else f"{kind}s", len(tasks), done=len(tasks) - len(todo), unit="tasks") as progress:
        solved = 0

        async def work(task: Task) -> None:
            nonlocal solved
            env = make_env()
            try:
                trajectory = await run_episode(task, env, actor_agent, actor, seed=seed)
            finally:
                await env.close()
            store.put(task.id, to_dict(trajectory), kind=kind, replace=True)
            solved += trajectory.outcome.success is True
            progress.update(f"{solved} solved")

        async with suite.open(world) as make_env:
            await run_all(todo, work, min(in_flight, suite.most_in_flight or in_flight))


def hosts_of(recipe: Recipe) -> tuple[str, ...]:
    """`eval.allowed_hosts`: what pages may load from is one thing for data and evaluation."""
    return recipe.eval.allowed_hosts if recipe.eval else ()


def _is_done(stored: Mapping[str, Any] | None) -> bool:
    return stored is not None and stored["stop_reason"] not in BROKEN


def rejection(trajectory: Trajectory) -> str:
    """Why the outcome filter drops a trajectory; "" when it is kept."""
    if trajectory.outcome.success is None:
        return f"unscored ({trajectory.stop_reason})"
    if not trajectory.outcome.success:
        return f"not solved ({trajectory.stop_reason})"
    if any(turn.action is None or turn.observation.error for turn in trajectory.turns):
        return "solved with failed actions"
    return ""


def load_trajectories(tasks: Sequence[Task], store: RunStore, kind: str = KIND) -> list[Trajectory]:
    """The stored trajectories of `tasks`, in the order of `tasks`."""
    return [from_dict(Trajectory, store.get(task.id, kind)) for task in tasks]
