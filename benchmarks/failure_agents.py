"""Play the failed episodes of the labelled sample (docs/failure_sample) again.

    python benchmarks/failure_agents.py [--run RUN ...]    # with failed episodes of evaluations on miniweb-short's validation split

Agents act on miniweb's validation tasks. Each makes one kind of mistake, at a place that the seed draws; what comes of it is up
to the pages, so that a label takes reading the episode.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from failure_sample import EPISODES, PARTS, compact, pruned

from planact.actions import render_action
from planact.layout import STORE
from planact.llm import LLM, Message, ScriptedLLM
from planact.loop import run_episode
from planact.plans import render_plan
from planact.recipe import Agent
from planact.store import read_run
from planact.types import ELEMENT_OPS, Action, Op, Plan, Task, Trajectory, content_hash, from_dict, to_dict
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.solution import Move
from planact_envs.miniweb.tasks import solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.pairs import plan_of
from planact_envs.observation import Element, describe_element, read_elements
from planact_envs.suites import load_suite

FORM, GRAMMAR, SEED = "short", "webrl", 0
AGENT = Agent(planner="none", executor="base", prompts="compact", observation=FORM, max_turns=12, planner_retries=0)
PLANNED = replace(AGENT, planner="base")
CHAT = "Sure! I would now look for the right link and open it, then read the page."
OF_A_RUN = 10  # failed episodes taken of each evaluation

Act = Callable[[int, Sequence[Element]], Action | str]  # (turn, elements of the page) -> what the executor writes


@dataclass(frozen=True)
class Cast:
    """Who plays an episode."""

    settings: Agent
    executor: LLM
    planner: LLM | None = None


def executor(act: Act) -> LLM:
    def reply(messages: Sequence[Message]) -> str:
        turn = sum(message["role"] == "assistant" for message in messages)
        said = act(turn, read_elements(messages[-1]["content"], FORM))
        return said if isinstance(said, str) else render_action(said, GRAMMAR)

    return ScriptedLLM(reply)


def planner(plan: Plan) -> LLM:
    return ScriptedLLM(lambda messages: render_plan(plan))


def on_page(move: Move, elements: Sequence[Element]) -> Action:
    """The move on this page; giving up when the page does not have its element."""
    if move.op not in ELEMENT_OPS:
        return Action(move.op, text=move.text)
    found = next((one for one in elements if (one.role, one.name) == (move.role, move.name)), None)
    return clicked(found, move) if found else Action(Op.STOP)


def clicked(element: Element, move: Move) -> Action:
    return Action(move.op, element.id, move.text, describe_element(element, FORM))


def following(moves: Sequence[Move]) -> Act:
    return lambda turn, elements: on_page(moves[turn], elements) if turn < len(moves) else Action(Op.STOP)


def somewhere(moves: Sequence[Move], dice: random.Random) -> int:
    """A turn at which the oracle acts on an element."""
    return dice.choice([n for n, move in enumerate(moves) if move.op in ELEMENT_OPS])


def teacher(task: Task, dice: random.Random) -> Cast:
    return Cast(AGENT, ScriptedTeacher(FORM, GRAMMAR, dice.choice([0.2, 0.3, 0.4, 0.5]), seed=dice.randrange(100)))


def other_request(task: Task, dice: random.Random) -> Cast:
    """Plans and acts for another request of the same template."""
    others = [one for one in load_suite("miniweb").tasks("validation") if one.template == task.template and one.id != task.id]
    other = dice.choice(others) if others else task
    return Cast(PLANNED, executor(following(solution(other).moves)), planner(plan_of(other.intent)))


def short_plan(task: Task, dice: random.Random) -> Cast:
    """A plan without its last step, carried out."""
    stages = solution(task).stages[:-1] or solution(task).stages
    moves = [move for stage in stages for move in stage.moves if move.op != Op.STOP]
    return Cast(PLANNED, executor(following(moves)), planner(Plan(plan_of(task.intent).steps[: len(stages)])))


def other_element(task: Task, dice: random.Random) -> Cast:
    """The right plan; once, another element of the same role than the step means."""
    moves = solution(task).moves
    at, place = somewhere(moves, dice), dice.random()

    def act(turn: int, elements: Sequence[Element]) -> Action:
        others = [one for one in elements if turn == at and one.role == moves[at].role and one.name != moves[at].name]
        return clicked(others[int(place * len(others))], moves[at]) if others else following(moves)(turn, elements)

    return Cast(PLANNED, executor(act), planner(plan_of(task.intent)))


def no_element(task: Task, dice: random.Random) -> Cast:
    """From a turn on, an element that the page does not have, or that cannot do what is asked of it."""
    moves = solution(task).moves
    at, missing = somewhere(moves, dice), dice.random() < 0.5

    def act(turn: int, elements: Sequence[Element]) -> Action:
        if turn < at:
            return on_page(moves[turn], elements)
        return Action(Op.CLICK, "99") if missing else Action(Op.SELECT, elements[0].id, "Red", describe_element(elements[0], FORM))

    return Cast(PLANNED, executor(act), planner(plan_of(task.intent)))


def misread(task: Task, dice: random.Random) -> Cast:
    """Right up to the answer, which is another text of the page."""
    moves, place = solution(task).moves, dice.random()

    def act(turn: int, elements: Sequence[Element]) -> Action:
        if turn < len(moves) - 1 or not moves[-1].text:
            return following(moves)(turn, elements)
        names = [one.name for one in elements if one.name and one.name != moves[-1].text]
        return Action(Op.STOP, text=names[int(place * len(names))])

    return Cast(PLANNED, executor(act), planner(plan_of(task.intent)))


def misreckoned(task: Task, dice: random.Random) -> Cast:
    """Right up to the answer, in which one digit or word is another."""
    moves = solution(task).moves
    answer = moves[-1].text
    digits = [n for n, c in enumerate(answer) if c.isdigit()]
    at = dice.choice(digits) if digits else 0
    wrong = f"{answer[:at]}{(int(answer[at]) + dice.randrange(1, 9)) % 10}{answer[at + 1 :]}" if digits else f"not {answer}"
    return Cast(AGENT, executor(following([*moves[:-1], replace(moves[-1], text=wrong if answer else "")])))


def stuck(task: Task, dice: random.Random) -> Cast:
    """From a turn on, the same click again and again; or there and back."""
    moves = solution(task).moves
    at, back = somewhere(moves, dice), dice.random() < 0.4

    def act(turn: int, elements: Sequence[Element]) -> Action:
        if turn < at:
            return on_page(moves[turn], elements)
        if back and (turn - at) % 2:
            return Action(Op.BACK)
        return clicked(elements[0], Move(Op.CLICK))

    return Cast(PLANNED, executor(act), planner(plan_of(task.intent)))


def early(task: Task, dice: random.Random) -> Cast:
    """The right plan, but it stops before it is through, as if it were done or could not be done."""
    moves = solution(task).moves
    at = dice.randrange(len(moves) - 1) + 1 if len(moves) > 1 else 0
    end = dice.choice([Action(Op.STOP), Action(Op.STOP, text="Done."), Action(Op.INFEASIBLE, text="This cannot be done.")])
    act = following(moves)
    return Cast(PLANNED, executor(lambda turn, elements: act(turn, elements) if turn < at else end), planner(plan_of(task.intent)))


def wandering(task: Task, dice: random.Random) -> Cast:
    """Any link of each page, until it is cut off or gives a text of the page as its answer."""
    steps, places = dice.randrange(3, 20), [dice.random() for _ in range(20)]

    def act(turn: int, elements: Sequence[Element]) -> Action:
        links = [one for one in elements if one.role == "link"]
        if turn >= steps or not links:
            return Action(Op.STOP, text=elements[int(places[turn] * len(elements))].name)
        return clicked(links[int(places[turn] * len(links))], Move(Op.CLICK))

    return Cast(AGENT, executor(act))


def hurried(task: Task, dice: random.Random) -> Cast:
    """All is right, but there are too few turns."""
    moves = solution(task).moves
    settings = replace(PLANNED, max_turns=max(1, len(moves) - dice.randrange(1, 3)))
    return Cast(settings, executor(following(moves)), planner(plan_of(task.intent)))


def talkative(task: Task, dice: random.Random) -> Cast:
    """Prose in place of actions from a turn on; or in place of the plan, and actions for another request."""
    moves = solution(task).moves
    if dice.random() < 0.3:
        act = other_request(task, dice).executor
        return Cast(PLANNED, act, ScriptedLLM(lambda messages: CHAT))
    at = dice.randrange(len(moves))
    act = following(moves)
    return Cast(PLANNED, executor(lambda turn, elements: act(turn, elements) if turn < at else CHAT), planner(plan_of(task.intent)))


AGENTS: dict[Callable[[Task, random.Random], Cast], tuple[int, int, int]] = {  # failed episodes of it in each part
    teacher: (8, 4, 3),
    other_request: (4, 2, 1),
    short_plan: (4, 2, 2),
    other_element: (7, 4, 4),
    no_element: (3, 1, 1),
    misread: (3, 1, 1),
    misreckoned: (3, 2, 1),
    stuck: (4, 2, 1),
    early: (4, 2, 3),
    wandering: (4, 3, 1),
    hurried: (3, 2, 1),
    talkative: (3, 1, 1),
}


async def played() -> list[tuple[str, str, Trajectory]]:
    """(part, agent, failed episode) of every agent, each on a task of its own."""
    tasks = list(load_suite("miniweb").tasks("validation"))
    random.Random(SEED).shuffle(tasks)
    left, found = iter(tasks), []
    for number, part in enumerate(PARTS):
        for cast_of, counts in AGENTS.items():
            wanted = counts[number]
            while wanted:
                trajectory = await play(next(left), cast_of)
                if trajectory.outcome.success is False:
                    found.append((part, cast_of.__name__, trajectory))
                    wanted -= 1
    return found


async def play(task: Task, cast_of: Callable[[Task, random.Random], Cast]) -> Trajectory:
    cast, env = cast_of(task, random.Random(f"{SEED}/{task.id}")), MiniwebEnv(FORM)
    try:
        return await run_episode(task, env, cast.settings, cast.executor, cast.planner, seed=SEED)
    finally:
        await env.close()


def of_run(folder: Path) -> Iterator[tuple[str, str, Trajectory]]:
    """Some failed episodes of an evaluation."""
    with read_run(folder / STORE) as store:
        trajectories = [from_dict(Trajectory, stored) for _, stored in store.items("trajectory")]
    failed = sorted((t for t in trajectories if t.outcome.success is False), key=lambda t: t.task_id)
    drawn = random.Random(SEED).sample(failed, min(OF_A_RUN, len(failed)))
    yield from ((PARTS[1], folder.name.rsplit("-", 1)[0], t) for t in drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, nargs="*", default=[], metavar="RUN", help="the folders of evaluations")
    parser.add_argument("--out", type=Path, default=EPISODES, metavar="FILE", help="where they are written (default: %(default)s)")
    args = parser.parse_args()
    found = asyncio.run(played()) + [one for run in args.run for one in of_run(run)]
    rows = [{"part": part, "agent": agent, "trajectory": pruned(to_dict(compact(t)))} for part, agent, t in found]
    rows = sorted(({"id": content_hash(row["trajectory"], 6)} | row for row in rows), key=lambda row: row["id"])  # neighbours tell nothing
    args.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} episodes in {args.out}; labels.json is of those that are committed")


if __name__ == "__main__":
    main()
