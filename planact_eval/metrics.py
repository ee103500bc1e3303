"""What a set of episodes adds up to. Every planned task is counted exactly once, as one of four verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from planact.types import StopReason, Task, Trajectory, Turn, Usage

Z = 1.959964  # two-sided 95 % of the normal distribution
BROKEN = frozenset({StopReason.ENV_ERROR, StopReason.MODEL_ERROR})
NAMED = 5  # task ids that an error message names


@dataclass(frozen=True)
class Summary:
    """One row's result. Raises ValueError when the four verdicts do not add up to the planned tasks."""

    planned: int  # episodes: tasks times repeats
    success: int
    failure: int
    error: int  # the environment or the model's endpoint broke
    unscored: int  # ended in order, but the scorer gave no verdict
    rate: float  # success / planned, 0 to 1: an error is never a success and never left out
    low: float  # 95 % Wilson interval of `rate`
    high: float
    turns: float  # mean per episode, as the next four
    replans: float  # plans put in force after the first turn
    plan_tokens: float  # prompt + completion tokens of the planner
    act_tokens: float  # prompt + completion tokens of the executor
    model_calls: float  # calls of both that were sent; answers from a cache are not
    seconds: float  # mean wall time of an episode
    usd: float | None  # of all episodes together; None: at least one call has no known price
    plan_validity: float | None  # share of the turns at which the planner was asked that got a readable plan; None: never asked
    stop_reasons: Mapping[str, int]  # StopReason -> episodes
    by_template: Mapping[str, tuple[int, int]]  # template -> (success, planned)

    def __post_init__(self) -> None:
        if self.planned != self.success + self.failure + self.error + self.unscored:
            raise ValueError(
                f"{self.planned} tasks were planned, but {self.success} succeeded, {self.failure} failed, {self.error} broke and "
                f"{self.unscored} were not scored; each planned task must have exactly one verdict"
            )


def summarize(tasks: Sequence[Task], trajectories: Sequence[Trajectory], repeats: int = 1) -> Summary:
    """The summary of `repeats` episodes per planned task, in any order.

    Raises ValueError when there is no task, or naming the tasks that are missing, there twice, or not planned.
    """
    check_complete(tasks, trajectories, repeats)
    n = len(trajectories)
    verdicts = Counter(verdict(t) for t in trajectories)
    low, high = wilson(verdicts["success"], n)
    planner = sum((t.planner_usage for t in trajectories), Usage())
    executor = sum((t.executor_usage for t in trajectories), Usage())
    return Summary(
        planned=n,
        success=verdicts["success"],
        failure=verdicts["failure"],
        error=verdicts["error"],
        unscored=verdicts["unscored"],
        rate=verdicts["success"] / n,
        low=low,
        high=high,
        turns=sum(len(t.turns) for t in trajectories) / n,
        replans=sum(t.replans for t in trajectories) / n,
        plan_tokens=tokens(planner) / n,
        act_tokens=tokens(executor) / n,
        model_calls=(planner.calls + executor.calls) / n,
        seconds=sum(t.seconds for t in trajectories) / n,
        usd=(planner + executor).usd,
        plan_validity=plan_validity(trajectories),
        stop_reasons=dict(sorted(Counter(str(t.stop_reason) for t in trajectories).items())),
        by_template=success_by_template(tasks, trajectories),
    )


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a rate, 0 to 1; (0, 1) when nothing was tried.

    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n), E. B. Wilson 1927, JASA 22:209-212, equation 4 of Brown, Cai and
    DasGupta 2001, Statistical Science 16:101-133, which recommends it for small n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a rate")
    if n == 0:
        return 0.0, 1.0
    p, z2 = successes / n, Z * Z
    middle = p + z2 / (2 * n)
    half = Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)  # exact where rounding would not be


def verdict(trajectory: Trajectory) -> str:
    """ "success", "failure", "error" (something broke) or "unscored"."""
    if trajectory.outcome.success is not None:
        return "success" if trajectory.outcome.success else "failure"
    return "error" if trajectory.stop_reason in BROKEN else "unscored"


def tokens(usage: Usage) -> int:
    """Prompt + completion tokens."""
    return usage.prompt_tokens + usage.completion_tokens


def planner_was_asked(turn: Turn) -> bool:
    """Cached answers count too, so tokens are no sign."""
    return turn.replanned or turn.plan_failure is not None


def plan_validity(trajectories: Sequence[Trajectory]) -> float | None:
    asked = [turn for t in trajectories for turn in t.turns if planner_was_asked(turn)]
    return sum(turn.replanned for turn in asked) / len(asked) if asked else None


def success_by_template(tasks: Sequence[Task], trajectories: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    """Template -> (success, planned), in the order of the tasks."""
    template = {task.id: task.template for task in tasks}
    planned = Counter(dict.fromkeys(template.values(), 0)) + Counter(template[t.task_id] for t in trajectories)
    success = Counter(template[t.task_id] for t in trajectories if verdict(t) == "success")
    return {template: (success[template], count) for template, count in planned.items()}


def check_complete(tasks: Sequence[Task], trajectories: Sequence[Trajectory], repeats: int = 1) -> None:
    """Raises ValueError unless each task has exactly `repeats` trajectories and each trajectory a task."""
    if not tasks:
        raise ValueError("no task was planned, so there is nothing to summarize")
    planned, run = Counter(task.id for task in tasks), Counter(t.task_id for t in trajectories)
    faults = {
        "planned twice": [i for i, count in planned.items() if count > 1],
        "not run" if repeats == 1 else f"not run {repeats} times": [i for i in planned if run[i] < repeats],
        "run twice" if repeats == 1 else f"run more than {repeats} times": [i for i, count in run.items() if count > repeats],
        "not planned": [i for i in run if i not in planned],
    }
    found = "; ".join(f"{what}: {_names(ids)}" for what, ids in faults.items() if ids)
    if found:
        raise ValueError(f"every planned task must be there exactly once, but {found}")


def _names(ids: Sequence[str]) -> str:
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
