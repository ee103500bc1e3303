"""Run folders for the tests of the viewer: episodes of real tasks, written by hand."""

from dataclasses import replace
from pathlib import Path

from planact.recipe import load_recipe
from planact.store import RunStore
from planact.types import (
    Action,
    FailureInfo,
    Judgement,
    Observation,
    Op,
    Outcome,
    Plan,
    PlanStep,
    StopReason,
    Trajectory,
    Turn,
    Usage,
    to_dict,
)
from planact_envs.suites import load_suite

REPO = Path(__file__).parents[2]
TASKS = {task.id: task for task in load_suite("miniweb-short").tasks("test")}
IDS = ("shop.price.000", "shop.sku.000", "forum.points.000", "code.release.000")
SETTINGS = {"suite": "miniweb-short", "suite_version": "1", "split": "test", "scorer": "miniweb", "models": {"executor": "some model"}}


def plan(*steps):
    return Plan(tuple(PlanStep(f"because of {step}", step) for step in steps))


def page(name, error="", screenshot=None):
    return Observation(
        f"page '{name}'\nlink 'Open {name}' [1]\nend", f"outline of {name}", f"http://shop/{name}", name, (), error, screenshot
    )


def episode(id, success, turns=2, **fields):
    """Clicks and a stop. The task's own intent and hash, unless told otherwise."""
    clicks = (
        Turn(
            i, Plan(), page(f"page{i}"), f"click {i}", Action(Op.CLICK, "1", target=f"link 'Open page{i}'"), executor=Usage(100, 10, 1, 0.5)
        )
        for i in range(turns - 1)
    )
    stop = Turn(turns - 1, Plan(), page("last"), "exit", Action(Op.STOP, text="42"), executor=Usage(200, 5, 1, 0.5))
    outcome = Outcome(success, "miniweb", "" if success else "answer: expected '43', got '42'")
    made = {"intent": TASKS[id].intent, "turns": (*clicks, stop), "stop_reason": StopReason.ANSWERED, "outcome": outcome}
    made |= {"final": page("last"), "answer": "42", "seconds": 1.5 * turns}
    return Trajectory(id, TASKS[id].hash, **(made | fields))


def planned_episode(id):
    """A failure with everything in it: a plan, an unreadable replan, a refined one, reasoning, an error, judges."""
    first, second = plan("open the page of the order", "report it"), plan("open the page of the last order", "report '42'")
    turns = (
        Turn(
            0,
            first,
            page("home"),
            "<think>\nThe order is behind this link.\n</think>\n\ndo(1)",
            Action(Op.CLICK, "1", target="link 'Open home'"),
            True,
            "<think>\nFind the order.\n</think>\n\n## Step 1",
            planner=Usage(900, 10, 2, 1.25, 0.5),
            executor=Usage(1200, 34, 1, 0.5, None),
        ),
        Turn(
            1,
            first,
            page("order"),
            "gibberish",
            None,
            False,
            "no plan",
            FailureInfo("plan", "no plan found"),
            FailureInfo("format", "no action"),
        ),
        Turn(2, second, page("order", "no action"), "exit", Action(Op.STOP, text="42"), True, "## Step 1 of the second"),
    )
    judged = Judgement("fuzzy_match", "judge-model", "abc", "The answers differ: NO", False)
    outcome = Outcome(False, "miniweb", "answer: expected '43', got '42'", (judged,))
    return replace(episode(id, False), turns=turns, outcome=outcome, final=page("order"))


def write_run(folder, episodes, changes=(), replaced=(), failures=(), settings=SETTINGS):
    """A run folder of the recipe tiny/react with trajectories by key, retried ones by (key, trajectory), and judged failures by key."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(load_recipe(REPO / "recipes/tiny/react.yaml", ["eval.limit=null", *changes]).to_yaml())
    with RunStore.open(folder / "run.sqlite", settings) as store, store.together():
        for key, trajectory in episodes.items():
            store.put(key, to_dict(trajectory), "trajectory")
        for number, (key, trajectory) in enumerate(replaced):
            store.put(f"{key} {number}", to_dict(trajectory), "replaced trajectory")
        for key, failure in dict(failures).items():
            store.put(key, failure, "failure")
    return folder
