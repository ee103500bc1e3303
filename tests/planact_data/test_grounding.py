"""Plans behind trajectories: what is asked, what is accepted, what is sent back, and what is stored."""

import re

import pytest

from planact.llm import ModelError, ScriptedLLM
from planact.store import RunStore
from planact.teaching.annotation import (
    AnnotatedStep,
    parse_annotation,
    plan_annotation_messages,
    render_annotation,
    replan_annotation_messages,
)
from planact.types import Plan, PlanStep
from planact_data.grounding import MAX_TOKENS, REPAIRS, annotate_all, load_plans
from planact_envs.miniweb.tasks import find, solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.planning import annotate


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        yield store


def steps(*spans, text="do it"):
    """A step per span of action indices."""
    return tuple(AnnotatedStep(PlanStep(f"because of {n}", f"{text} {n}"), "copied", tuple(span)) for n, span in zip("abcd", spans))


def answer(*spans, **text):
    return render_annotation(steps(*spans, **text))


def plan(*spans, **text):
    return Plan(tuple(step.step for step in steps(*spans, **text)))


GOOD = answer([1], [2, 3], text="reach")  # the trajectory has three turns
BAD = [  # answer, what is said about it
    ("I would rather not.", "expected blocks '## Step 1'"),
    (answer([1], [2]), r"the steps cover actions \[1, 2\]; expected \[1, 2, 3\]"),
    (answer([1], [3], [2]), r"the steps cover actions \[1, 3, 2\]"),
    (answer([1, 2], [2, 3]), r"\[1, 2, 2, 3\]"),
    (answer([1], [], [2, 3]), "step 2 covers no action"),
    (answer([1], [2, 3], text="scroll to"), "step 1 mentions scrolling"),
]


async def test_a_good_answer_becomes_a_plan(store, solved):
    teacher = ScriptedLLM([GOOD])
    await annotate_all(solved[:1], False, teacher, store, 0, 1)
    assert load_plans(solved[0].task_id, store, replans=False) == [plan([1], [2, 3], text="reach")]
    assert teacher.calls == [plan_annotation_messages(solved[0].intent, solved[0].turns)]
    record = store.get(solved[0].task_id, "plan")
    assert (record["spans"], record["rejected"], record["repairs"]) == ([[[1], [2, 3]]], "", 0)
    assert record["usage"]["calls"] == 1


@pytest.mark.parametrize("bad, reason", BAD)
async def test_a_bad_answer_is_sent_back_with_the_reason(store, solved, bad, reason):
    teacher = ScriptedLLM([bad, GOOD])
    await annotate_all(solved[:1], False, teacher, store, 0, 1)
    first, second = teacher.calls
    assert second[: len(first)] == first and second[-2] == {"role": "assistant", "content": bad}
    assert second[-1]["role"] == "user"
    assert re.fullmatch(f"That answer cannot be used: .*{reason}.*Write the whole answer again.", second[-1]["content"])
    record = store.get(solved[0].task_id, "plan")
    assert (record["repairs"], record["usage"]["calls"], len(record["plans"])) == (1, 2, 1)


class SeedKeeper(ScriptedLLM):
    """Also keeps the seed of each call."""

    async def complete(self, messages, *, max_tokens, temperature=0.0, seed=0):
        self.seeds = [*getattr(self, "seeds", []), seed]
        return await super().complete(messages, max_tokens=max_tokens, temperature=temperature, seed=seed)


async def test_a_repair_is_asked_for_with_another_seed(store, solved):
    teacher = SeedKeeper(["no", "no", GOOD])
    await annotate_all(solved[:1], False, teacher, store, 7, 1)
    assert teacher.seeds == [7, 8, 9]


async def test_after_the_last_repair_the_plan_is_rejected_and_never_asked_for_again(store, solved):
    teacher = ScriptedLLM(["no"] * (REPAIRS + 1))
    await annotate_all(solved[:1], False, teacher, store, 0, 1)
    record = store.get(solved[0].task_id, "plan")
    assert record["plans"] == [] and "expected blocks" in record["rejected"] and record["repairs"] == REPAIRS
    assert record["usage"]["calls"] == len(teacher.calls) == REPAIRS + 1
    assert load_plans(solved[0].task_id, store, replans=False) == load_plans(solved[0].task_id, store, replans=True) == []
    await annotate_all(solved[:1], False, teacher, store, 0, 1)  # the script has run out: a call would raise


async def test_a_value_that_no_page_has_shown_is_sent_back(store, solved):
    carried, known = solved[2], solution(find(solved[2].task_id))
    part = next(iter(known.facts.values())).value
    early = render_annotation([*steps([1], [2], text=f"search for {part}"), *steps([3, 4, 5, 6, 7])])
    teacher = ScriptedLLM([early, answer(range(1, 8))])
    await annotate_all([carried], False, teacher, store, 0, 1)
    assert f"the plan states {part.strip(chr(39))}, which no page has shown yet" in teacher.calls[1][-1]["content"]
    assert store.get(carried.task_id, "plan")["repairs"] == 1


async def test_replans_are_asked_turn_by_turn_with_the_plan_before(store, solved):
    one = solved[0]
    teacher = ScriptedLLM([GOOD, answer([2], [3], text="then"), answer([3], text="last")])
    await annotate_all([one], False, teacher, store, 0, 1)
    await annotate_all([one], True, teacher, store, 0, 1)
    plans = [plan([1], [2, 3], text="reach"), plan([2], [3], text="then"), plan([3], text="last")]
    assert load_plans(one.task_id, store, replans=True) == plans
    assert teacher.calls[1:] == [replan_annotation_messages(one.intent, one.turns, done, plans[done - 1]) for done in (1, 2)]
    assert "## Last Plan\n1. then a\n2. then b" in teacher.calls[2][1]["content"]
    assert store.get(one.task_id, "replan")["spans"] == [[[2], [3]], [[3]]]


async def test_one_rejected_replan_rejects_the_replans_and_keeps_the_plan(store, solved):
    one = solved[0]
    teacher = ScriptedLLM([GOOD, answer([2, 3]), *["no"] * (REPAIRS + 1)])
    await annotate_all([one], False, teacher, store, 0, 1)
    await annotate_all([one], True, teacher, store, 0, 1)
    assert load_plans(one.task_id, store, replans=True) == [] and len(load_plans(one.task_id, store, replans=False)) == 1
    record = store.get(one.task_id, "replan")
    assert record["repairs"] == REPAIRS and record["usage"]["calls"] == 1 + REPAIRS + 1


async def test_what_is_stored_is_not_asked_for_again(store, solved):
    teacher = ScriptedTeacher("short", "webrl")
    await annotate_all(solved[:2], False, teacher, store, 0, 2)
    stored = dict(store.items("plan"))
    counted = ScriptedLLM([render_annotation(annotate(solution(find(solved[2].task_id)), 0))])
    await annotate_all(solved, False, counted, store, 0, 2)
    assert len(counted.calls) == 1 and len(stored) == 2 and stored.items() <= dict(store.items("plan")).items()


async def test_a_teacher_that_fails_stops_the_run_and_keeps_what_is_done(store, solved):
    with pytest.raises(ModelError, match="replies and was called"):
        await annotate_all([solved[0], solved[1]], False, ScriptedLLM([GOOD]), store, 0, 1)
    assert store.keys("plan") == {solved[0].task_id}


async def test_a_teacher_that_errs_half_the_time_is_repaired(store, solved):
    teacher = ScriptedTeacher("short", "webrl", error_rate=0.5, seed=1)
    await annotate_all(solved, False, teacher, store, 0, 2)
    await annotate_all(solved, True, teacher, store, 0, 2)
    right = ScriptedTeacher("short", "webrl")
    repairs = 0
    for trajectory in solved:
        plans = load_plans(trajectory.task_id, store, replans=True)
        assert len(plans) == len(trajectory.turns)
        known = solution(find(trajectory.task_id))
        assert plans[0] == Plan(tuple(step.step for step in annotate(known, 0)))
        for done, later in enumerate(plans[1:], 1):
            messages = replan_annotation_messages(trajectory.intent, trajectory.turns, done, plans[done - 1])
            expected = parse_annotation((await right.complete(messages, max_tokens=MAX_TOKENS)).text)
            assert [step.step for step in later.steps] == [step.step.step for step in expected]
        repairs += sum(store.get(trajectory.task_id, kind)["repairs"] for kind in ("plan", "replan"))
    assert 1 <= repairs <= 13  # of 3 + 2 + 3 + 6 answers, about half are spoiled
