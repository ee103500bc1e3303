"""Episodes on all machines of a Ray cluster (`eval.backend: ray`).

This process alone writes the run store and holds the budget. Each worker, a Ray actor on one CPU, has a world and clients of its own and
plays several episodes at a time. What travels is text: the recipe as YAML, a task and what was played as JSON data. No API key
travels, because Ray writes down what it sends along as a worker's environment: keys are set on every machine before `ray start`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

from planact.env import EnvError
from planact.llm import Budget, EndpointUnusable
from planact.parallel import run_all
from planact.prompts import prompts_hash
from planact.recipe import Recipe, RecipeError, resolve
from planact.recipe_yaml import compose
from planact.spending import usage_of
from planact.store import differences
from planact.types import Outcome, StopReason, Task, Trajectory, from_dict, to_dict
from planact_envs.suites import load_suite
from planact_eval.episodes import Done, Play, Played, Stage, open_stage
from planact_eval.planned import Planned, eval_settings
from planact_eval.players import open_endpoint

TRIES = 3  # of an episode whose worker died, the last one alone on a worker; ours
START = 300.0  # seconds until a worker has opened its world; ours
STOP = 20.0  # seconds until a worker has closed it; ours


async def play_all(stage: Stage, episodes: Sequence[Planned], budget: Budget, done: Done) -> None:
    """Play all, started in order. The first error stops new starts and is raised once the episodes in flight have ended.

    The budget counts what finished episodes have cost, so that it may be overshot by the episodes in flight. Raises RecipeError without
    Ray, without prices for a budget, and when a machine has another planact; BudgetExceeded, EndpointUnusable, EnvError.
    """
    for role, endpoint in stage.recipe.endpoints.items():
        if role in stage.roles or role == "judge":
            open_endpoint(role, endpoint, budget)  # refuses a budget without prices before anything is started
    with connected() as ray:
        crew = Crew(ray, stage, len(episodes))

        async def work(episode: Planned) -> None:
            budget.check()
            played = await crew.play(episode)
            for trajectory in (*played.broken, played.trajectory):
                budget.add(usage_of(to_dict(trajectory)))
            done(episode, played)

        try:
            await run_all(episodes, work, crew.in_flight)
        finally:
            await crew.close()


@contextmanager
def connected() -> Iterator[ModuleType]:
    """Ray, connected to the cluster that RAY_ADDRESS names or that runs here, else to one that it starts here and stops again."""
    try:
        import ray
    except ImportError as error:
        raise RecipeError("eval.backend: ray needs Ray, which is not installed; pip install 'planact[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster started here reports nothing to anybody
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(include_dashboard=False, log_to_driver=False)
    except (ConnectionError, RuntimeError) as error:
        raise EnvError(f"Ray does not answer or start: {error}; check `ray status`, or unset RAY_ADDRESS to use this machine") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own would end this process on the spot
    try:
        yield ray
    finally:
        ray.shutdown()


class Crew:
    """The workers of one evaluation, one for each free CPU of the cluster as far as there are episodes for it."""

    def __init__(self, ray: ModuleType, stage: Stage, episodes: int):
        self.ray = ray
        cpus = max(1, int(ray.available_resources().get("CPU", 1)))
        wanted = min(stage.recipe.eval.episodes_in_flight, episodes)
        asked = [endpoint.max_in_flight for role, endpoint in stage.recipe.endpoints.items() if role in stage.roles or role == "judge"]
        workers = min(cpus, wanted, *asked)
        slots = min(ceil(wanted / workers), stage.in_flight)
        self.in_flight = min(wanted, workers * slots)
        shared = shared_out(stage.recipe, workers)
        about = (shared.to_yaml(), dict(stage.roles), eval_settings(stage.recipe, stage.suite, dict(stage.roles)))
        self.seats = [Seat(ray, about, slots) for _ in range(workers)]
        self.alone = Seat(ray, about, 1, cpus=0)  # for what may have killed a worker
        self.careful = asyncio.Lock()
        self.recipe = stage.recipe

    async def play(self, episode: Planned) -> Played:
        """Play an episode, again when its worker dies. One whose workers die again and again ends as broken by its environment."""
        for number in range(1, TRIES + 1):
            try:
                if number < TRIES:
                    return await self._freest().play(episode)
                async with self.careful:
                    return await self.alone.play(episode)
            except self.ray.exceptions.RayTaskError as error:  # the worker lives and raised something
                if isinstance(error.cause, (EndpointUnusable, RecipeError, EnvError)):
                    raise error.cause from None
                raise
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.OutOfMemoryError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}".splitlines()[0]
                print(f"note: the worker of {episode.key} is lost, try {number} of {TRIES} ({why})", file=sys.stderr)
        return self._broken(episode, f"the worker died {TRIES} times, the last time alone with this episode: {why}")

    def _broken(self, episode: Planned, error: str) -> Played:
        task, agent = episode.task, self.recipe.agent
        ended = {"turns": (), "stop_reason": StopReason.ENV_ERROR, "outcome": Outcome(None, reason="the environment failed")}
        hashed = prompts_hash(agent.prompts, agent.grammar, agent.cot)
        seed = self.recipe.seed + episode.repeat
        return Played(Trajectory(task.id, task.hash, task.intent, **ended, error=error, seed=seed, prompts_hash=hashed))

    def _freest(self) -> Seat:
        open_seats = [seat for seat in self.seats if not seat.lost]
        if not open_seats:
            raise EnvError(f"no Ray worker has started within {START:g} s; check `ray status` and give the same command again")
        return min(open_seats, key=lambda seat: seat.busy)

    async def close(self) -> None:
        await asyncio.gather(*(seat.close() for seat in (*self.seats, self.alone)))


class Seat:
    """A worker's place: the first episode starts the worker, and the first one after its death another."""

    def __init__(self, ray: ModuleType, about: tuple[str, dict[str, str], dict[str, Any]], slots: int, cpus: int = 1):
        self.ray, self.about = ray, about
        self.options = {"max_concurrency": slots + 1, "num_cpus": cpus}  # one more call, for `close`
        self.busy = 0  # episodes
        self.lost = False  # the cluster has no room for it any more
        self.worker: Any = None
        self.starting = asyncio.Lock()

    async def play(self, episode: Planned) -> Played:
        """Raises Ray's errors."""
        self.busy += 1
        try:
            worker = await self._started()
            try:
                found = await worker.play.remote(to_dict(episode.task), episode.repeat)
            except self.ray.exceptions.RayActorError:
                if self.worker is worker:
                    self.worker = None
                    self.ray.kill(worker)  # one that is only out of reach keeps its CPU
                raise
            broken = tuple(from_dict(Trajectory, each) for each in found["broken"])
            return Played(from_dict(Trajectory, found["trajectory"]), found["evidence"], broken)
        finally:
            self.busy -= 1

    async def _started(self) -> Any:
        async with self.starting:
            if self.lost:
                raise TimeoutError(f"no worker has started within {START:g} s")
            if self.worker is None:
                worker = self.ray.remote(Worker).options(**self.options).remote(*self.about)
                try:
                    await asyncio.wait_for(worker.open.remote(), START)
                except BaseException as error:
                    self.lost = isinstance(error, TimeoutError)
                    self.ray.kill(worker)
                    raise
                self.worker = worker
            return self.worker

    async def close(self) -> None:
        if self.worker is not None:
            with suppress(TimeoutError, self.ray.exceptions.RayError):
                await asyncio.wait_for(self.worker.close.remote(), STOP)
            self.ray.kill(self.worker)


class Worker:
    """What runs as a Ray actor. It raises what the episode or its opening raised."""

    def __init__(self, recipe: str, roles: Mapping[str, str], settings: Mapping[str, Any]):
        self.recipe = resolve(compose(recipe, lambda line: f"the sent recipe:{line}"))
        self.roles, self.settings = roles, settings
        self.over = asyncio.Event()

    async def open(self) -> None:
        """Open models and world. Raises RecipeError when this machine would run another evaluation, EnvError."""
        suite = load_suite(self.recipe.eval.suite)
        if changes := differences(dict(self.settings), eval_settings(self.recipe, suite, dict(self.roles))):
            raise RecipeError("a machine of the Ray cluster has another planact; install the same one on all: " + "; ".join(changes))
        opened: asyncio.Future[Play] = asyncio.get_running_loop().create_future()
        self.holder = asyncio.create_task(self._hold(Stage(self.recipe, suite, self.roles, Path()), opened))
        self.play_one = await opened

    async def _hold(self, stage: Stage, opened: asyncio.Future[Play]) -> None:
        """In a task of its own, because what is opened in one task cannot be closed in another."""
        try:
            async with open_stage(stage, Budget()) as play:
                opened.set_result(play)
                await self.over.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    async def play(self, task: Mapping[str, Any], repeat: int) -> dict[str, Any]:
        played = await self.play_one(Planned(from_dict(Task, task), repeat))
        broken = [to_dict(each) for each in played.broken]
        return {"trajectory": to_dict(played.trajectory), "evidence": played.evidence, "broken": broken}

    async def close(self) -> None:
        self.over.set()
        await self.holder


def shared_out(recipe: Recipe, workers: int) -> Recipe:
    """The recipe with one worker's share of each endpoint's calls in flight."""
    share = {role: replace(each, max_in_flight=max(1, each.max_in_flight // workers)) for role, each in recipe.endpoints.items()}
    return replace(recipe, endpoints=share)
