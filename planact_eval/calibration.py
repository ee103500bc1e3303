"""What the judge and the outcome reward model (ORM) are worth: both are asked about episodes whose outcome the environment knows.

    text = calibrate(Path("runs/eval/tiny-react-0123456789"), votes=3)

They are asked as the data engine asks them (planact.teaching.outcome); answers stay in the run store. An episode that a
judge scored tells nothing about a judge, and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planact.layout import write_json
from planact.llm import Completion
from planact.recipe import Recipe, RecipeError, load_recipe
from planact.teaching import AnswerError
from planact.teaching.outcome import ORM_THRESHOLD, judge_messages, orm_messages, p_yes, parse_verdict
from planact.types import Trajectory, to_dict
from planact_eval.agreement import Bin, accuracy, brier, calibration_error, detection, kappa, reliability
from planact_eval.asking import Asking, Question, answers, identity, majority
from planact_eval.markdown import table
from planact_eval.run_folder import RunFolder, open_run
from planact_eval.runner import KIND as TRAJECTORY

ROLES = ("judge", "orm")
ALTERNATIVES = 20  # for the first token; the most that vLLM and OpenAI give
REPORT, RESULTS, PLOT = "calibration.md", "calibration.json", "reliability"
EVERYWHERE = "all"


@dataclass(frozen=True)
class Known:
    """An episode that the environment scored."""

    key: str
    of: str  # planact_eval.asking.identity
    site: str
    trajectory: Trajectory

    @property
    def solved(self) -> bool:
        return self.trajectory.outcome.success


@dataclass(frozen=True)
class Worth:
    """How far one role agrees with the environment on some episodes. Rates are 0 to 1, None where nothing counts."""

    episodes: int
    solved: int  # by the environment
    unread: int  # answers without a verdict, left out of what follows
    accuracy: float | None
    kappa: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    brier: float | None = None  # of the probability of YES, as the next two
    calibration_error: float | None = None
    bins: tuple[Bin, ...] = field(default_factory=tuple)


def calibrate(folder: Path, votes: int = 1, changes: Sequence[str] = ()) -> str:
    """Write calibration.json, calibration.md and the reliability plot into the run's folder. Returns what a user should read.

    `changes` are `key=value` overrides of the run's recipe, which names the endpoints and the limit of dollars. Of `judge` and `orm`,
    those that it has are asked, the judge `votes` times. Raises StoreError, RecipeError, ModelError, BudgetExceeded.
    """
    with open_run(folder) as run:
        known = scored_by_the_environment(run)
    recipe = load_recipe(folder / "recipe.yaml", changes)
    roles = [role for role in ROLES if role in recipe.endpoints]
    if not roles:
        raise RecipeError("there is nobody to calibrate: name endpoints.judge or endpoints.orm, e.g. with --set endpoints.judge.model=...")
    if not known:
        raise RecipeError(f"{folder} has no episode that the environment scored, so there is nothing to hold a judge to")
    said = {role: _told(role, folder, recipe, known, votes) for role in roles}
    sites = [EVERYWHERE, *sorted({one.site for one in known})]
    worth = {role: {site: _worth(role, known, told, site) for site in sites} for role, told in said.items()}
    models = {role: recipe.endpoints[role].model for role in roles}
    write_json(folder / RESULTS, {"models": models, "votes": votes, "worth": to_dict(worth)})
    text = "\n".join(_text(role, models[role], worth[role]) for role in roles)
    (folder / REPORT).write_text(f"# Judges of {folder.name}\n\n{text}", encoding="utf-8")
    if "orm" in roles and (bins := worth["orm"][EVERYWHERE].bins):
        _draw(folder, bins, models["orm"])
    return f"{text}\nreport  {folder / REPORT}"


def scored_by_the_environment(run: RunFolder) -> list[Known]:
    found = []
    keys = run.keys()
    for key in keys:
        trajectory = run.trajectory(key)
        if trajectory.outcome.success is None or trajectory.outcome.judgements or not trajectory.turns:
            continue
        task = run.task_of(trajectory)
        site = "+".join(task.sites) if task else "unknown"
        found.append(Known(key, identity(run.store.get(key, TRAJECTORY)), site, trajectory))
    return found


def _told(role: str, folder: Path, recipe: Recipe, known: Sequence[Known], votes: int) -> dict[str, Any]:
    """Key -> the stored verdict of the judge (true, false, null), or the reward model's probability of YES (or null)."""
    questions = [Question(one.key, one.of, _messages(role, one.trajectory)) for one in known]
    stored = answers(folder, recipe, asking(role, votes), questions)
    return {key: record["verdict" if role == "judge" else "p_yes"] for key, record in stored.items()}


def _messages(role: str, trajectory: Trajectory) -> list[dict[str, Any]]:
    last = trajectory.final or trajectory.turns[-1].observation
    if role == "judge":
        return judge_messages(trajectory.intent, trajectory.turns, last, trajectory.answer)
    return orm_messages(trajectory.intent, trajectory.turns, last)


def asking(role: str, votes: int = 1) -> Asking:
    if role == "judge":
        return Asking("judge verdict", role, read_verdicts, votes)
    return Asking("orm probability", role, read_probability, max_tokens=1, top_logprobs=ALTERNATIVES)


def read_verdicts(replies: Sequence[Completion | None]) -> dict[str, Any]:
    """The verdict of most votes; null on a tie."""
    votes = [_verdict(reply) for reply in replies]
    return {"verdict": majority(votes), "votes": votes}


def _verdict(reply: Completion | None) -> bool | None:
    try:
        return parse_verdict(reply.text) if reply else None
    except AnswerError:
        return None


def read_probability(replies: Sequence[Completion | None]) -> dict[str, Any]:
    """The probability of YES against NO in the first token of the one reply; null when it thought of neither."""
    votes = [p_yes(reply.top_logprobs or {}) if reply else None for reply in replies]
    return {"p_yes": votes[0], "votes": votes}


def _worth(role: str, known: Sequence[Known], told: dict[str, Any], site: str) -> Worth:
    here = [one for one in known if site in (EVERYWHERE, one.site)]
    heard = [(one.solved, told[one.key]) for one in here if told[one.key] is not None]
    verdicts = heard if role == "judge" else [(solved, p >= ORM_THRESHOLD) for solved, p in heard]
    words = [(str(solved), str(said)) for solved, said in verdicts]
    found = detection(verdicts)
    rates = (accuracy(words), kappa(words), found.precision, found.recall, found.f1)
    counts = (len(here), sum(one.solved for one in here), len(here) - len(heard))
    if role == "judge":
        return Worth(*counts, *rates)
    return Worth(*counts, *rates, brier(heard), calibration_error(heard), tuple(reliability(heard)))


def _text(role: str, model: str, worth: dict[str, Worth]) -> str:
    names = ["accuracy", "kappa", "precision", "recall", "f1", *(["brier", "calibration_error"] if role == "orm" else [])]
    lines = [["site", "episodes", "solved", "unread", *(name.replace("_", " ") for name in names)]]
    for site, one in worth.items():
        lines.append([site, str(one.episodes), str(one.solved), str(one.unread), *(_number(getattr(one, name)) for name in names)])
    text = f"## {role}: {model}\n\n{table(lines)}"
    if role == "orm":
        rows = [[f"{b.low:.1f} to {b.high:.1f}", str(b.count), _number(b.told), _number(b.solved)] for b in worth[EVERYWHERE].bins]
        text += "\n" + table([["probability of YES", "episodes", "mean told", "share solved"], *rows])
    return text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _draw(folder: Path, bins: Sequence[Bin], model: str) -> None:
    from planact_eval.plot import png, svg
    from planact_eval.plot_reliability import reliability_diagram

    figure = reliability_diagram(bins, model)
    (folder / f"{PLOT}.svg").write_text(svg(figure), encoding="utf-8")
    (folder / f"{PLOT}.png").write_bytes(png(figure))
