"""The task splits, and what every oracle solution must hold to."""

import pytest

from planact.types import Op
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.tasks import SIZES, find, load_tasks, solution, template_of, world_reader
from planact_envs.miniweb.templates import TEMPLATES

ALL = [task for split in SIZES for task in load_tasks(split)]


def main_of(task):
    return tuple(task.params[name] for name in template_of(task).main)


def test_each_template_has_its_share_of_each_split():
    for name in TEMPLATES:
        counts = {split: sum(task.template == name for task in load_tasks(split)) for split in SIZES}
        assert counts["test"] == 4 and counts["validation"] == 2 and 60 <= counts["train"] <= 120, name
    assert len(TEMPLATES) >= 24


def test_splits_share_no_main_thing():
    for name in TEMPLATES:
        things = {split: {main_of(task) for task in load_tasks(split) if task.template == name} for split in SIZES}
        assert not things["test"] & things["train"], name
        assert not things["validation"] & (things["train"] | things["test"]), name


def test_ids_and_intents_are_unique():
    assert len({task.id for task in ALL}) == len({task.intent for task in ALL}) == len(ALL)


def test_all_phrasings_are_used():
    for template in TEMPLATES.values():
        starts = {phrasing.split("'")[0] for phrasing in template.phrasings}
        assert len(starts) == 3 and all(any(task.intent.startswith(start.split("{")[0]) for task in ALL) for start in starts), template.name


def test_find_and_errors():
    assert find(ALL[5].id) == ALL[5]
    assert template_of(ALL[5]).name == ALL[5].template
    with pytest.raises(KeyError, match=r"no task 'shop\.x\.001'"):
        find("shop.x.001")
    with pytest.raises(ValueError, match="no split 'dev'"):
        load_tasks("dev")


def test_every_evaluation_names_the_database_and_a_site():
    for task in ALL:
        assert "database" in task.eval and task.eval["eval_types"], task.id
        assert task.start_url == HOME[task.sites[0]]
        asks = "string_match" in task.eval["eval_types"]
        assert asks == (task.eval["database"] == {}) == bool(solution(task).moves[-1].text), task.id


def test_solutions_end_in_one_stop_and_are_short():
    lengths = []
    for task in ALL:
        moves = solution(task).moves
        lengths.append(len(moves))
        assert [move.op for move in moves].count(Op.STOP) == 1 and moves[-1].op is Op.STOP, task.id
        assert 3 <= len(moves) <= 7, task.id
    assert 4 <= sum(lengths) / len(lengths) <= 5.5


def test_plan_steps_are_short_and_hide_facts_until_they_are_seen():
    for task in ALL:
        known = solution(task)
        assert known.stages[-1].step == "Stop: the task is done." or known.stages[-1].step.startswith("Report "), task.id
        for stage in known.stages:
            assert stage.moves and len(known.wording(stage.reasoning, 0).split()) <= 15, task.id
        early = " ".join(known.wording(stage.step, 0) for stage in known.stages)
        late = " ".join(known.wording(stage.step, len(known.moves)) for stage in known.stages)
        for fact in known.facts.values():
            assert fact.value not in early and fact.unknown in early and fact.value in late and fact.unknown not in late, task.id


def test_enough_templates_need_information_from_the_way():
    with_facts = {task.template for task in ALL if solution(task).needs_replanning}
    assert len(with_facts) >= 8
    assert all(sum(name.startswith(site) for name in with_facts) >= 2 for site in HOME)


def test_the_world_that_tasks_are_read_from_cannot_be_written():
    with pytest.raises(Exception, match="readonly"):
        world_reader().execute("DELETE FROM shop_cart")
