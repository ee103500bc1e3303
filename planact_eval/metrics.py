"""What a set of episodes adds up to. Every planned task is counted exactly once, as one of four verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from planact.failures import classify
from planact.types import StopReason, Task, Trajectory, Turn, Usage
from planact_envs.suites import Step
from planact_eval.grounding import Grounding, grounding
from planact_eval.intervals import cluster_bootstrap, pass_hat_k, wilson

Counts = Mapping[str, tuple[int, int]]  # of a part of the episodes: (success, planned)
Oracle = Callable[[Task], tuple[Step, ...] | None]

HORIZONS = ((4, "1-4"), (8, "5-8"), (12, "9-12"), (10**9, "13+"))  # actions of the oracle; ours
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
    by_template: Counts
    boot_low: float = 0.0  # 95 % bootstrap interval of `rate`, templates drawn as wholes
    boot_high: float = 1.0
    pass_hat: Mapping[str, float] = field(default_factory=dict)  # k -> pass^k, for k from 1 to the repeats
    grounding: Mapping[str, float | None] = field(default_factory=dict)  # planact_eval.grounding: exists, role, element
    repeated: float | None = None  # share of the turns that repeat an earlier action on an unchanged page; None: no turn
    call_seconds: float | None = None  # mean wait for one model call; None: no call was sent
    turns_by_verdict: Mapping[str, float] = field(default_factory=dict)  # mean turns of the episodes with a verdict
    failures: Mapping[str, int] = field(default_factory=dict)  # kind (planact.failures) -> episodes, those that broke included
    by_site: Counts = field(default_factory=dict)  # a task of two sites counts under "site+site"
    by_horizon: Counts = field(default_factory=dict)  # actions that the oracle needs; empty where no oracle is known

    def __post_init__(self) -> None:
        if self.planned != self.success + self.failure + self.error + self.unscored:
            raise ValueError(
                f"{self.planned} tasks were planned, but {self.success} succeeded, {self.failure} failed, {self.error} broke and "
                f"{self.unscored} were not scored; each planned task must have exactly one verdict"
            )


def summarize(
    tasks: Sequence[Task], trajectories: Sequence[Trajectory], repeats: int = 1, oracle: Oracle = lambda task: None, form: str = ""
) -> Summary:
    """The summary of `repeats` episodes per planned task, in any order.

    `oracle` is the suite's and `form` the observation form; without them there is no grounding and no horizon.
    Raises ValueError when there is no task, or naming the tasks that are missing, there twice, or not planned.
    """
    check_complete(tasks, trajectories, repeats)
    n = len(trajectories)
    verdicts = Counter(verdict(t) for t in trajectories)
    low, high = wilson(verdicts["success"], n)
    boot_low, boot_high = bootstrapped(tasks, trajectories)
    planner = sum((t.planner_usage for t in trajectories), Usage())
    executor = sum((t.executor_usage for t in trajectories), Usage())
    both = planner + executor
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
        model_calls=both.calls / n,
        seconds=sum(t.seconds for t in trajectories) / n,
        usd=(both + sum((t.judge_usage for t in trajectories), Usage())).usd,
        plan_validity=plan_validity(trajectories),
        stop_reasons=dict(sorted(Counter(str(t.stop_reason) for t in trajectories).items())),
        by_template=success_by(lambda task: task.template, tasks, trajectories),
        boot_low=boot_low,
        boot_high=boot_high,
        pass_hat={
            str(k): pass_hat_k(list(success_by(lambda task: task.id, tasks, trajectories).values()), k) for k in range(1, repeats + 1)
        },
        grounding=grounded(tasks, trajectories, oracle, form) if form else {},
        repeated=repeated_actions(trajectories),
        call_seconds=both.seconds / both.calls if both.calls else None,
        turns_by_verdict=turns_by_verdict(trajectories),
        failures=dict(sorted(Counter(kind for t in trajectories if (kind := classify(t))).items())),
        by_site=success_by(lambda task: "+".join(task.sites), tasks, trajectories),
        by_horizon=success_by(lambda task: horizon(oracle(task)), tasks, trajectories),
    )


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


def success_by(part: Callable[[Task], str], tasks: Sequence[Task], trajectories: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    """(success, planned) of each part of the tasks, in their order; tasks whose part is "" are left out."""
    parts = {task.id: part(task) for task in tasks}
    planned = Counter(parts[t.task_id] for t in trajectories)
    success = Counter(parts[t.task_id] for t in trajectories if verdict(t) == "success")
    return {name: (success[name], planned[name]) for name in dict.fromkeys(parts.values()) if name}


def horizon(oracle: Sequence[Step] | None) -> str:
    """The range that the oracle's number of actions lies in; "" where it is not known."""
    return "" if oracle is None else next(name for most, name in HORIZONS if len(oracle) <= most)


def bootstrapped(tasks: Sequence[Task], trajectories: Sequence[Trajectory]) -> tuple[float, float]:
    """The 95 % interval of the success rate when whole templates are drawn again."""
    template = {task.id: task.template for task in tasks}
    values: dict[str, list[float]] = {}
    for t in trajectories:
        values.setdefault(template[t.task_id], []).append(float(verdict(t) == "success"))
    return cluster_bootstrap(values)


def grounded(tasks: Sequence[Task], trajectories: Sequence[Trajectory], oracle: Oracle, form: str) -> dict[str, float | None]:
    known = {task.id: oracle(task) for task in tasks}
    return sum((grounding(t, form, known[t.task_id]) for t in trajectories), Grounding()).rates()


def repeated_actions(trajectories: Sequence[Trajectory]) -> float | None:
    """Share of the turns whose action, or whose lack of one, was done before in the episode on a page with the same text."""
    turns = sum(len(t.turns) for t in trajectories)
    different = sum(len({(turn.action, turn.observation.text) for turn in t.turns}) for t in trajectories)
    return (turns - different) / turns if turns else None


def turns_by_verdict(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    lengths: dict[str, list[int]] = {}
    for t in trajectories:
        lengths.setdefault(verdict(t), []).append(len(t.turns))
    return {name: sum(found) / len(found) for name, found in sorted(lengths.items())}


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
