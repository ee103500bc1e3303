"""The task splits of both suites, the benchmark's promised sizes and lengths, and what every oracle solution must hold to."""

import re
import statistics
from collections import Counter

import pytest

from planact.types import FINAL_OPS, Op, content_hash
from planact_data.leaks import Gate
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.splits import GROUPS, SHORT_SIZES, SPLITS, share
from planact_envs.miniweb.tasks import SUITES, all_tasks, find, load_tasks, solution, template_of, world_reader
from planact_envs.miniweb.templates import TEMPLATES
from planact_envs.miniweb.templates.base import KINDS

ALL = list(all_tasks().values())
FULL = {split: load_tasks(split) for split in SPLITS}
SHORT = {split: load_tasks(split, "miniweb-short") for split in SPLITS}
TEMPLATES_AT_LEAST = {  # group -> templates, of these unseen
    "shop": (15, 4), "admin": (13, 4), "code": (14, 4), "map": (11, 3), "forum": (10, 3), "two-site": (6, 2),
}  # fmt: skip

RESULT = {  # kind -> is there an answer, does the database change; a comparison or a sum may lead to either
    "find": (True, False), "navigate": (False, False), "change": (False, True), "infeasible": (True, False),
}  # fmt: skip
FINGERPRINTS = ["fa2895218f0ebec2", "539040869fccd477", "667bf4ffc1d38c1e"]  # of the tasks of version 0.1.0, in the order of SPLITS


def main_of(task):
    return task.template, *(task.params[name] for name in template_of(task).main)


def moves_of(task):
    return len(solution(task).moves)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_has_its_sizes(group):
    tasks = {split: [task for task in FULL[split] if template_of(task).group == group] for split in SPLITS}
    unseen = [task for task in tasks["test"] if template_of(task).unseen]
    sizes = GROUPS[group]
    assert [len(tasks[split]) for split in SPLITS] == [sizes.test, sizes.validation, sizes.train]
    assert len(unseen) == sizes.unseen
    templates = [template for template in TEMPLATES.values() if template.group == group]
    assert (len(templates), sum(t.unseen for t in templates)) >= TEMPLATES_AT_LEAST[group]
    assert {task.template for task in tasks["train"]} == {template.name for template in templates if not template.unseen}


def test_the_sizes_are_those_of_webarena_lite():
    assert {split: len(tasks) for split, tasks in FULL.items()} == {"test": 165, "validation": 165, "train": 1113}
    assert [sum(getattr(sizes, name) for sizes in GROUPS.values()) for name in ("test", "unseen", "validation", "train")] == [
        165,
        55,
        165,
        1113,
    ]


def test_unseen_templates_are_in_no_other_split():
    assert not any(template_of(task).unseen for task in ALL if task.split != "test")
    assert not any(template.unseen and template.short for template in TEMPLATES.values())


def test_the_short_suite_is_as_it_was():
    """28 templates with 4 test, 2 validation and up to 120 training tasks each."""
    assert [len(SHORT[split]) for split in SPLITS] == [112, 56, 3117]
    fingerprints = [content_hash([task.hash for task in SHORT[split]]) for split in SPLITS]
    assert fingerprints == FINGERPRINTS


def test_what_trains_in_one_suite_tests_in_none():
    for split in SPLITS:
        short = {task.id for task in FULL[split] if template_of(task).short}
        assert short and short < {task.id for task in SHORT[split]}
    things = {split: {main_of(task) for task in (*FULL[split], *SHORT[split])} for split in SPLITS}
    assert not things["test"] & things["train"]
    assert not things["validation"] & (things["train"] | things["test"])


def test_ids_and_intents_are_unique():
    assert len({task.id for task in ALL}) == len({task.intent for task in ALL}) == len(ALL)
    for suite in SUITES:
        tasks = [task for split in SPLITS for task in load_tasks(split, suite)]
        assert len({task.id for task in tasks}) == len(tasks)


def test_no_training_request_passes_for_one_that_is_judged():
    gate = Gate((*FULL["validation"], *FULL["test"]), 0.9)
    assert [task.intent for task in FULL["train"] if gate.repeats(task.intent)] == [] and len(FULL["train"]) == 1113


def test_half_of_the_test_tasks_are_long_and_a_third_need_information_from_the_way():
    lengths = [moves_of(task) for task in FULL["test"]]
    assert statistics.median(lengths) >= 7
    assert sum(length >= 12 for length in lengths) >= 0.1 * len(lengths)
    assert 3 * sum(solution(task).needs_replanning for task in FULL["test"]) >= len(lengths)
    assert all(3 <= moves_of(task) <= 16 for task in ALL)
    new = [moves_of(task) for task in FULL["test"] if not template_of(task).short]
    assert statistics.median(new) >= 8


def test_every_kind_occurs_in_several_groups_and_in_training():
    groups = Counter(kind for kind, _ in {(template.kind, template.group) for template in TEMPLATES.values()})
    assert set(groups) == set(KINDS) and min(groups.values()) >= 2
    assert {template_of(task).kind for task in FULL["train"]} == {template_of(task).kind for task in FULL["test"]} == set(KINDS)


def test_no_wording_matches_another_up_to_its_params():
    wordings = [re.sub(r"\{\w+\}", "{}", phrasing) for template in TEMPLATES.values() for phrasing in template.phrasings]
    assert [wording for wording, count in Counter(wordings).items() if count > 1] == []
    assert all(len(template.phrasings) == 3 for template in TEMPLATES.values())


def test_all_phrasings_are_used():
    for template in TEMPLATES.values():
        intents = [task.intent for task in ALL if task.template == template.name]
        used = sum(any(re.fullmatch(pattern, intent) for intent in intents) for pattern in map(pattern_of, template.phrasings))
        assert used == 3 or (template.unseen and used), template.name  # few tasks may miss a wording


def pattern_of(phrasing):
    return re.sub(r"\\\{\w+\\\}", ".+", re.escape(phrasing))


def test_shares_follow_the_weights_and_stop_at_the_room():
    """Webster's method by hand: weights 3 and 1, four tasks; the quotients are 3, 1 / 1, 1 / ... so 3 to 1."""
    one, three = TEMPLATES["shop.price"], TEMPLATES["shop.today"]
    assert (one.weight, three.weight) == (1, 3)
    assert share(4, {three: 9, one: 9}) == {three: 3, one: 1}
    assert share(4, {three: 2, one: 9}) == {three: 2, one: 2}
    assert share(4, {three: 1, one: 1}) == {three: 1, one: 1}
    assert share(4, {}) == {}


def test_each_short_template_has_its_share_of_each_split():
    for name in (name for name, template in TEMPLATES.items() if template.short):
        counts = {split: sum(task.template == name for task in SHORT[split]) for split in SPLITS}
        assert counts["test"] == 4 and counts["validation"] == 2 and 60 <= counts["train"] <= SHORT_SIZES["train"], name


def test_find_and_errors():
    assert find(ALL[5].id) == ALL[5]
    assert template_of(ALL[5]).name == ALL[5].template
    with pytest.raises(KeyError, match=r"no task 'shop\.x\.001'"):
        find("shop.x.001")
    with pytest.raises(ValueError, match="miniweb-short has no split 'dev'"):
        load_tasks("dev", "miniweb-short")


def test_every_evaluation_names_the_database_and_a_site():
    for task in ALL:
        assert "database" in task.eval and task.eval["eval_types"], task.id
        assert task.start_url == HOME[task.sites[0]]
        kind, types = template_of(task).kind, task.eval["eval_types"]
        asks, changes = "string_match" in types, task.eval["database"] != {}
        assert asks == bool(solution(task).moves[-1].text), task.id
        assert asks or changes or "url_match" in types, task.id
        if kind in RESULT:
            assert (asks, changes) == RESULT[kind], task.id
        assert "url_match" in types or kind not in ("navigate", "infeasible"), task.id


def test_solutions_end_in_one_stop():
    for task in ALL:
        moves = solution(task).moves
        assert [move.op in FINAL_OPS for move in moves].count(True) == 1 and moves[-1].op in FINAL_OPS, task.id
        assert (moves[-1].op is Op.INFEASIBLE) == (template_of(task).kind == "infeasible"), task.id
    lengths = [moves_of(task) for split in SPLITS for task in SHORT[split]]
    assert min(lengths) >= 3 and max(lengths) <= 7 and 4 <= statistics.mean(lengths) <= 5.5


def test_plan_steps_are_short_and_hide_facts_until_they_are_seen():
    for task in ALL:
        known = solution(task)
        assert known.stages[-1].step.startswith(("Stop: ", "Report ")), task.id
        for stage in known.stages:
            assert stage.moves and len(known.wording(stage.reasoning, 0).split()) <= 15, task.id
        early = " ".join(known.wording(stage.step, 0) for stage in known.stages)
        late = " ".join(known.wording(stage.step, len(known.moves)) for stage in known.stages)
        for fact in known.facts.values():
            assert fact.value not in early and fact.unknown in early and fact.value in late and fact.unknown not in late, task.id


def test_the_world_that_tasks_are_read_from_cannot_be_written():
    with pytest.raises(Exception, match="readonly"):
        world_reader().execute("DELETE FROM shop_cart")
