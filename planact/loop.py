"""The plan-and-act loop. Evaluation, data generation and RL all run episodes through `run_episode`.

    plan once ── for each turn: (replan?) ── executor answers ── parse ── act ── observe ── ... ── score

Whether a planner is asked, and when again, is the recipe's `agent.planner` and `agent.replan`. Every way an episode can
end is a `StopReason`; a bad answer of a model is a turn with a `failure`, never an exception.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import NamedTuple, Sequence

from planact.actions import ActionFormatError, parse_action
from planact.env import Env, EnvError
from planact.llm import LLM, BudgetExceeded, Completion, EndpointUnusable, ModelError
from planact.plans import PlanFormatError, parse_plan
from planact.prompts import executor_messages, planner_messages, prompts_hash, replanner_messages
from planact.recipe import Agent
from planact.triggers import replan_trigger
from planact.types import FINAL_OPS, Action, FailureInfo, Observation, Op, Outcome, Plan, StopReason, Task, Trajectory, Turn, Usage

MAX_INVALID = 3  # unreadable or impossible actions in a row that end an episode (released code: 3 empty actions)
MAX_REPEATS = 5  # times the same action on an unchanged page ends an episode (released code: 5)


class EpisodeEnd(Exception):
    """Raised inside an episode when it is over; turned into a Trajectory in `run_episode` alone."""

    def __init__(self, reason: StopReason, answer: str = "", error: str = ""):
        super().__init__(reason)
        self.reason, self.answer, self.error = reason, answer, error


async def run_episode(task: Task, env: Env, agent: Agent, executor: LLM, planner: LLM | None = None, seed: int = 0) -> Trajectory:
    """Run `task` to its end and score it.

    An episode that the environment or the endpoint broke is returned unscored (`Outcome.success` None) with the error.
    Raises BudgetExceeded and EndpointUnusable only: a run out of money or without an endpoint must stop, and this task
    must be run again later.
    """
    if (planner is None) != (agent.planner == "none"):
        raise ValueError(f"agent.planner is {agent.planner!r} but the planner model is {planner!r}")
    episode = Episode(task, env, agent, executor, planner, seed)
    started = time.monotonic()
    try:
        end = await episode.run()
        outcome = await env.score(end.answer)
    except (ModelError, EnvError) as error:
        end, outcome = broken(error)
    return episode.trajectory(end, outcome, time.monotonic() - started)


def broken(error: ModelError | EnvError) -> tuple[EpisodeEnd, Outcome]:
    """The end of an episode that an error cut off, unscored. Raises the error when the whole run must stop."""
    if isinstance(error, (BudgetExceeded, EndpointUnusable)):
        raise error
    if isinstance(error, ModelError):
        return EpisodeEnd(StopReason.MODEL_ERROR, error=str(error)), Outcome(None, reason="the model failed")
    return EpisodeEnd(StopReason.ENV_ERROR, error=str(error)), Outcome(None, reason="the environment failed")


class Planning(NamedTuple):
    """What the planner did for one turn."""

    replanned: bool = False  # its plan is in force
    response: str = ""
    failure: FailureInfo | None = None
    usage: Usage = Usage()


class Episode:
    """The state of one running episode: the turns so far, the page that is open and the plan in force."""

    def __init__(self, task: Task, env: Env, agent: Agent, executor: LLM, planner: LLM | None, seed: int):
        self.task, self.env, self.agent = task, env, agent
        self.executor, self.planner, self.seed = executor, planner, seed
        self.turns: list[Turn] = []
        self.page: Observation | None = None
        self.plan = Plan()
        self.planning = Planning()  # for the turn that is coming

    async def run(self) -> EpisodeEnd:
        limit = asyncio.timeout(self.agent.max_episode_seconds)
        try:
            async with limit:
                self.page = await self.env.reset(self.task)
                while True:
                    await self.turn()
        except EpisodeEnd as end:
            return end
        except TimeoutError:
            if not limit.expired():
                raise
            if self.page is None:
                raise EnvError(f"task {self.task.id}: the world did not open within {self.agent.max_episode_seconds:g} s") from None
            return EpisodeEnd(StopReason.TIME_LIMIT)

    async def turn(self) -> None:
        """Plan if it is time, let the executor answer, carry the action out. Raises EpisodeEnd."""
        self.check_limits()
        self.planning = await self.make_plan() if self.plan_is_due() else Planning()
        await self.act()

    async def act(self) -> None:
        """The executor's part of a turn. Raises EpisodeEnd."""
        completion = await self.ask_executor()
        action, failure = None, None
        try:
            action = parse_action(completion.text, self.agent.grammar)
        except ActionFormatError as error:
            failure = FailureInfo("format", str(error))
        turn = Turn(
            index=len(self.turns),
            plan=self.plan,
            observation=self.page,
            response=completion.text,
            action=action,
            replanned=self.planning.replanned,
            plan_response=self.planning.response,
            plan_failure=self.planning.failure,
            failure=failure,
            planner=self.planning.usage,
            executor=completion.usage,
        )
        self.turns.append(turn)
        if action and action.op in FINAL_OPS:
            raise EpisodeEnd(StopReason.ANSWERED if action.op == Op.STOP else StopReason.INFEASIBLE, _answer(action))
        self.page = await self.observe(action, failure)

    async def observe(self, action: Action | None, failure: FailureInfo | None) -> Observation:
        if action is None:
            return _same_page(self.page, failure.message)
        return await self.env.step(action)

    def check_limits(self) -> None:
        if len(self.turns) >= self.agent.max_turns:
            raise EpisodeEnd(StopReason.MAX_TURNS)
        if _invalid_in_a_row(self.turns, self.page) >= MAX_INVALID:
            raise EpisodeEnd(StopReason.INVALID_ACTIONS, error=self.page.error)
        if _repeats(self.turns) >= MAX_REPEATS:
            raise EpisodeEnd(StopReason.REPEATED_ACTION)
        limit = self.agent.max_episode_tokens
        if limit is not None and sum(_tokens(t.planner) + _tokens(t.executor) for t in self.turns) >= limit:
            raise EpisodeEnd(StopReason.TOKEN_BUDGET)

    def plan_is_due(self) -> bool:
        if not self.turns or not self.planner:
            return self.planner is not None
        match self.agent.replan:
            case "every_turn":
                return True
            case "every_k":
                return len(self.turns) % self.agent.replan_every == 0
            case "on_trigger":
                return replan_trigger(self.agent, self.task.intent, self.turns, self.page) is not None
        return False

    async def make_plan(self) -> Planning:
        """Ask the planner until a plan can be read, `planner_retries` times more at most; else the plan in force stays."""
        agent, first = self.agent, not self.turns
        if first:
            messages = planner_messages(agent, self.task.intent, self.page)
        else:
            messages = replanner_messages(agent, self.task.intent, self.turns, self.page)
        usage, failure, completion = Usage(), None, None
        for attempt in range(1 + agent.planner_retries):
            completion = await self.planner.complete(
                messages, max_tokens=agent.planner_max_tokens, temperature=agent.temperature, seed=self.seed + attempt
            )
            usage += completion.usage
            try:
                self.plan = parse_plan(completion.text)
                return Planning(True, completion.text, None, usage)
            except PlanFormatError as error:
                failure = FailureInfo("plan", str(error))
            messages = [
                *messages,
                {"role": "assistant", "content": completion.text},
                {"role": "user", "content": f"Error: {failure.message}"},
            ]
        return Planning(False, completion.text, failure, usage)

    async def ask_executor(self) -> Completion:
        agent = self.agent
        plan = self.plan if self.planner else None
        messages = executor_messages(agent, self.task.intent, plan, self.turns, self.page)
        settings = {"max_tokens": agent.executor_max_tokens, "temperature": agent.temperature}
        seeds = range(self.seed * agent.best_of, (self.seed + 1) * agent.best_of)  # those of repeats do not overlap
        asked = [self.executor.complete(messages, seed=seed, **settings) for seed in seeds]
        return most_named(answered(await asyncio.gather(*asked, return_exceptions=True)), agent.grammar)

    def trajectory(self, end: EpisodeEnd, outcome: Outcome, seconds: float) -> Trajectory:
        return Trajectory(
            task_id=self.task.id,
            task_hash=self.task.hash,
            intent=self.task.intent,
            turns=tuple(self.turns),
            stop_reason=end.reason,
            outcome=outcome,
            final=self.page,
            answer=end.answer,
            error=end.error,
            seconds=seconds,
            seed=self.seed,
            prompts_hash=prompts_hash(self.agent.prompts, self.agent.grammar, self.agent.cot),
        )


def answered(results: Sequence[Completion | BaseException]) -> list[Completion]:
    """The replies among the results of several calls. Raises what is more than a failed call, and an error when none was answered."""
    errors = [result for result in results if isinstance(result, BaseException)]
    stops = [error for error in errors if not isinstance(error, ModelError) or isinstance(error, (BudgetExceeded, EndpointUnusable))]
    if stops or len(errors) == len(results):
        raise (stops or errors)[0]
    return [result for result in results if isinstance(result, Completion)]


def most_named(completions: Sequence[Completion], grammar: str) -> Completion:
    """The first answer with the action that most answers name, at the price of all (self-consistency, Wang 2022, arXiv 2203.11171)."""
    named = [_named(completion.text, grammar) for completion in completions]
    votes = Counter(action for action in named if action)
    winner = votes.most_common(1)[0][0] if votes else None
    usage = sum((completion.usage for completion in completions), Usage())
    return replace(completions[named.index(winner)], usage=usage)


def _named(text: str, grammar: str) -> tuple[Op, str, str] | None:
    """What an answer does; what it says about it is no part of the vote."""
    try:
        action = parse_action(text, grammar)
    except ActionFormatError:
        return None
    return action.op, action.element, action.text


def _answer(action: Action) -> str:
    return action.text if action.op == Op.STOP else "N/A"


def _same_page(page: Observation, error: str) -> Observation:
    return Observation(page.text, page.outline, page.url, page.title, page.tabs, error, page.screenshot)


def _invalid_in_a_row(turns: Sequence[Turn], page: Observation) -> int:
    """Trailing turns whose action was unreadable or could not be carried out."""
    errors = [t.observation.error for t in turns[1:]] + ([page.error] if turns else [])
    count = 0
    for error in reversed(errors):
        if not error:
            break
        count += 1
    return count


def _repeats(turns: Sequence[Turn]) -> int:
    """How many trailing turns did the same thing on the same page."""
    count = 0
    for turn in reversed(turns):
        if turn.action != turns[-1].action or turn.observation.text != turns[-1].observation.text:
            break
        count += 1
    return count


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
