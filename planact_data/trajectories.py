"""Action trajectories: an actor works on training tasks in the real loop, the environment's score keeps the solved ones."""

from __future__ import annotations

from typing import Sequence

from planact.llm import LLM
from planact.loop import run_episode
from planact.parallel import run_all
from planact.progress import Progress
from planact.recipe import Agent
from planact.store import RunStore
from planact.types import Task, Trajectory, from_dict, to_dict
from planact_envs.suites import Suite, World

KIND = "trajectory"


async def roll_out(
    tasks: Sequence[Task], suite: Suite, agent: Agent, actor: LLM, store: RunStore, seed: int, in_flight: int, kind: str = KIND
) -> None:
    """Put one trajectory per task into `store`; tasks already there are not run again, and without others no world is opened."""
    # The actor sees no plan, plans are written afterwards; limits of the recipe's own agent are no part of the data.
    actor_agent = Agent(planner="none", prompts=agent.prompts, observation=agent.observation, grammar=agent.grammar)
    there = store.keys(kind)
    todo = [task for task in tasks if task.id not in there]
    if not todo:
        return
    world = World(agent.observation, suite.scorers[0])
    with Progress("trajectories" if kind == KIND else f"{kind}s", len(tasks), done=len(tasks) - len(todo), unit="tasks") as progress:
        solved = 0

        async def work(task: Task) -> None:
            nonlocal solved
            env = make_env()
            try:
                trajectory = await run_episode(task, env, actor_agent, actor, seed=seed)
            finally:
                await env.close()
            store.put(task.id, to_dict(trajectory), kind=kind)
            solved += trajectory.outcome.success is True
            progress.update(f"{solved} solved")

        async with suite.open(world) as make_env:
            await run_all(todo, work, in_flight)


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
