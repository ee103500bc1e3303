"""How well what says why episodes fail agrees with the hand labels of docs/failure_sample: the rules, or a judge model.

    python benchmarks/failure_sample.py [--json]
    python benchmarks/failure_sample.py --base-url http://localhost:8000/v1 --model NAME [--votes K]

Accuracy and Cohen's kappa for each part of the sample, and the table of kinds for all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from planact.endpoint import EndpointLLM
from planact.failures import KINDS, explain
from planact.types import Observation, Plan, Trajectory, Usage, from_dict
from planact_eval.agreement import accuracy, confusion, kappa
from planact_eval.asking import Question, ask
from planact_eval.failure_judge import asking
from planact_eval.failure_prompt import failure_messages
from planact_eval.markdown import table

FOLDER = Path(__file__).parents[1] / "docs" / "failure_sample"
EPISODES, LABELS = FOLDER / "episodes.jsonl", FOLDER / "labels.json"
PARTS = ("development", "held out", "held out again")  # the rules were revised after each of the first two
REQUIRED = {"index", "plan", "observation", "response", "action", "success", "text", "outline"}  # kept in the file when they are empty


@dataclass(frozen=True)
class Labelled:
    id: str
    part: str
    trajectory: Trajectory
    kind: str  # by hand


def compact(trajectory: Trajectory) -> Trajectory:
    """Without what neither a reader nor a rule needs: ids on pages, answers that could be read, costs, a plan that stands already."""

    def page(seen: Observation | None) -> Observation | None:
        return seen and replace(seen, text=seen.outline, outline="", tabs=())

    turns = tuple(
        replace(
            turn,
            observation=page(turn.observation),
            plan=turn.plan if turn.replanned else Plan(),
            response="" if turn.action else turn.response,
            plan_response="",
            planner=Usage(),
            executor=Usage(),
        )
        for turn in trajectory.turns
    )
    return replace(trajectory, turns=turns, final=page(trajectory.final), seconds=0.0, outcome=replace(trajectory.outcome, reason=""))


def whole(trajectory: Trajectory) -> Trajectory:
    """A compact trajectory with each page's outline and each turn's plan back in their places."""

    def page(seen: Observation | None) -> Observation | None:
        return seen and replace(seen, outline=seen.text)

    plans = accumulate((turn.plan for turn in trajectory.turns), lambda before, now: now or before)
    turns = tuple(replace(turn, observation=page(turn.observation), plan=plan) for turn, plan in zip(trajectory.turns, plans))
    return replace(trajectory, turns=turns, final=page(trajectory.final))


def pruned(data: Any) -> Any:
    """Stored data without the fields that have nothing to say."""
    if isinstance(data, dict):
        left = {key: pruned(value) for key, value in data.items()}
        return {key: value for key, value in left.items() if value or key in REQUIRED}
    return [pruned(value) for value in data] if isinstance(data, list) else data


def sample() -> list[Labelled]:
    """Raises KeyError for an episode without a label."""
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    rows = map(json.loads, EPISODES.read_text(encoding="utf-8").splitlines())
    return [Labelled(row["id"], row["part"], whole(from_dict(Trajectory, row["trajectory"])), labels[row["id"]][0]) for row in rows]


def by_rules() -> dict[str, str]:
    return {one.id: explain(one.trajectory).kind for one in sample()}


async def by_judge(base_url: str, model: str, votes: int) -> dict[str, str]:
    async with EndpointLLM(base_url, model) as judge:
        questions = [Question(one.id, one.id, failure_messages(one.trajectory)) for one in sample()]
        said = await asyncio.gather(*(ask(judge, asking(votes), question) for question in questions))
    return {question.key: record["kind"] for question, record in zip(questions, said, strict=True)}


def agreement(said: Mapping[str, str]) -> dict[str, Any]:
    """Part -> episodes, accuracy, kappa and the table of kinds: one row for each label, one column for each kind that was said."""
    measured = {}
    for part in (*PARTS, "all"):
        pairs = [(one.kind, said[one.id]) for one in sample() if part in (one.part, "all")]
        measured[part] = {"n": len(pairs), "accuracy": accuracy(pairs), "kappa": kappa(pairs), "confusion": confusion(pairs, KINDS)}
    return measured


def shown(measured: Mapping[str, Any]) -> str:
    lines = [["part", "episodes", "accuracy", "kappa"]]
    lines += [[part, str(m["n"]), f"{m['accuracy']:.3f}", f"{m['kappa']:.3f}"] for part, m in measured.items()]
    rows = [[kind, *map(str, counts)] for kind, counts in zip(KINDS, measured["all"]["confusion"], strict=True)]
    return f"{table(lines)}\n{table([['label / said', *KINDS], *rows])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", metavar="URL", help="ask the judge there instead of the rules")
    parser.add_argument("--model", default="judge", metavar="NAME", help="its name on that server")
    parser.add_argument("--votes", type=int, default=1, metavar="K", help="answers per episode; most of them decide")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    said = asyncio.run(by_judge(args.base_url, args.model, args.votes)) if args.base_url else by_rules()
    measured = agreement(said)
    print(json.dumps(measured) if args.json else shown(measured))


if __name__ == "__main__":
    main()
