"""In which order episodes start, and how many run at a time."""

from dataclasses import replace
from pathlib import Path

import pytest

from planact.recipe import load_recipe
from planact.types import Op, Task
from planact_envs.suites import Step, Suite, load_suite
from planact_eval.episodes import Stage
from planact_eval.planned import Planned
from planact_eval.runner import _note_limit, longest_first

REPO = Path(__file__).parents[2]
ORACLES = {"a": 2, "b": 5, "c": 0, "d": 3}  # template -> actions; c's oracle is not known


def oracle(task):
    return (Step(Op.CLICK),) * ORACLES[task.template] or None


def planned(templates):
    return [Planned(Task(f"{name}{i}", "toy", "test", (), name, "", name)) for i, name in enumerate(templates)]


def order(episodes, played=()):
    toy = Suite("toy", "1", lambda split: (), ("toy",), None, oracle=oracle)
    return " ".join(episode.key for episode in longest_first(episodes, toy, played))


@pytest.mark.parametrize(
    "templates, keys",
    [
        ("abad", "b1 d3 a0 a2"),  # by the oracle; alike ones in their own order
        ("acbd", "b2 c1 d3 a0"),  # c counts as the average of 2, 5 and 3 actions, 3.3
        ("ccc", "c0 c1 c2"),
        ("", ""),
    ],
)
def test_long_episodes_start_first(templates, keys):
    assert order(planned(templates)) == keys


def test_what_was_played_before_says_more_than_the_oracle():
    episodes = planned("abcd")
    earlier = {name: episode.task for name, episode in zip("abcd", planned("abcd"))}
    # a took 9 and 7 turns, 8 on average, and b, solved at once, 1; d has its oracle's 3; c nothing: (8 + 1 + 3) / 3 = 4.
    assert order(episodes, [(earlier["a"], 9), (earlier["b"], 1), (earlier["a"], 7)]) == "a0 c2 d3 b1"
    # c took 30 turns.
    assert order(episodes, [(earlier["c"], 30)]) == "c2 b1 d3 a0"


def test_repeats_of_a_task_stay_in_their_order():
    (task,) = [episode.task for episode in planned("a")]
    assert order([Planned(task, 2), Planned(task, 0), *planned("ab")[1:]]) == "b1 a0#2 a0"


@pytest.mark.parametrize("most, in_flight, said", [(None, 64, False), (16, 16, True), (64, 64, False), (100, 64, False)])
def test_a_suite_may_bound_what_one_process_plays_at_a_time(capsys, most, in_flight, said):
    recipe = load_recipe(REPO / "recipes/tiny/react.yaml", ["eval.episodes_in_flight=64"])
    stage = Stage(recipe, replace(load_suite("miniweb-short"), most_in_flight=most), {}, Path())
    assert stage.in_flight == in_flight
    _note_limit(stage)
    note = "note: miniweb-short takes 16 episodes at a time in one process, 64 were asked for\n"
    assert capsys.readouterr().err == (note if said else "")
