"""Replans turn by turn: what the teacher sees, what is refused, and how a replan changed the plan before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.llm import ScriptedLLM
from planact.store import RunStore
from planact.teaching.annotation import AnnotatedStep, annotate_plan, render_annotation, replan_annotation_messages
from planact.types import Plan, PlanStep, to_dict
from planact_data.desk import REPAIRS, Desk
from planact_data.grounding import Grounded, ground_plans
from planact_data.replanning import KIND, REVISION, Revision, plans_behind, plans_of, revision, write_replans
from planact_envs.miniweb.tasks import find, solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.planning import annotate


@pytest.fixture
def desk(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        yield Desk(store, seed=0, in_flight=2)


def plan(*steps):
    return Plan(tuple(PlanStep("why", step) for step in steps))


def answer(*steps):
    """An annotation of (step, action indices)."""
    return render_annotation([AnnotatedStep(PlanStep("why", step), "copied", tuple(span)) for step, span in steps])


FIRST = Grounded(plan("Search the shop.", "Open it and report."), ((1,), (2, 3)))
SECOND = ("Open it.", [2]), ("Report the price.", [3])
THIRD = (("Report the price.", [3]),)


async def test_replans_are_asked_for_turn_by_turn_with_all_plans_before(desk, solved):
    one = solved[0]
    teacher = ScriptedLLM([answer(*SECOND), answer(*THIRD)])
    replans, counts = await write_replans([one], {one.task_id: FIRST}, teacher, desk)
    written = replans[one.task_id]
    assert plans_of(written) == [FIRST.plan, plan("Open it.", "Report the price."), plan("Report the price.")]
    assert [w.spans for w in written] == [((1,), (2, 3)), ((2,), (3,)), ((3,),)]
    earlier = [annotate_plan(w.plan, w.spans, one.turns) for w in written]
    assert teacher.calls == [replan_annotation_messages(one.intent, one.turns, earlier[:done]) for done in (1, 2)]
    assert counts == {
        "trajectories with a plan": 1,
        "with all replans": 1,
        "rejected": {"one of the replans was rejected": 0},
        "replans": 2,
        # "Open it and report." became "Open it."; "Search the shop." and then "Open it." were done, "Report the price." came and stayed
        "steps of the last plan": {"kept": 1, "refined": 1, "removed": 2, "added": 1},
    }


async def test_what_each_replan_changed_is_stored(desk, solved):
    one = solved[0]
    await write_replans([one], {one.task_id: FIRST}, ScriptedLLM([answer(*SECOND), answer(*THIRD)]), desk)
    stored = dict(desk.store.items(REVISION))
    assert stored == {
        f"{one.task_id}/1": to_dict(Revision(kept=0, refined=1, removed=1, added=1)),
        f"{one.task_id}/2": to_dict(Revision(kept=1, refined=0, removed=1, added=0)),
    }
    await write_replans([one], {one.task_id: FIRST}, ScriptedLLM([]), desk)  # nothing is asked again
    assert dict(desk.store.items(REVISION)) == stored


async def test_one_rejected_replan_rejects_the_replans_of_its_trajectory(desk, solved):
    one = solved[0]
    teacher = ScriptedLLM([answer(*SECOND), *["no"] * (REPAIRS + 1)])
    replans, counts = await write_replans([one, solved[1]], {one.task_id: FIRST}, teacher, desk)  # the other one has no plan
    assert replans == {} and len(teacher.calls) == 1 + REPAIRS + 1
    assert (counts["trajectories with a plan"], counts["with all replans"], counts["replans"]) == (1, 0, 0)
    assert counts["rejected"] == {"one of the replans was rejected": 1}
    assert plans_behind("replan", one.task_id, {one.task_id: FIRST}, replans) == []
    assert plans_behind("act_cot", one.task_id, {one.task_id: FIRST}, replans) == [FIRST.plan]


async def test_a_name_that_only_a_future_action_tells_is_sent_back(desk, solved):
    """The last trajectory of `solved` searches for a part number that its second page shows: stated before, it is refused."""
    carried = solved[2]
    known = solution(find(carried.task_id))
    (fact,) = known.facts.values()
    assert fact.seen_after > 1
    plans = {carried.task_id: Grounded(*_split(annotate(known, 0)))}
    turns = range(1, len(carried.turns))
    right = [render_annotation(annotate(known, done, carried.turns[done].observation.title)) for done in turns]
    early = right[0].replace(fact.unknown, fact.value.strip("'"))
    assert early != right[0]
    replans, _ = await write_replans([carried], plans, teacher := ScriptedLLM([early, *right]), desk)
    assert fact.value.strip("'") in teacher.calls[1][-1]["content"] and desk.tally(KIND).repairs == 1
    assert len(replans[carried.task_id]) == len(carried.turns)


def _split(steps):
    return Plan(tuple(step.step for step in steps)), tuple(step.actions for step in steps)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
async def test_whatever_the_scripted_teacher_does_wrong_is_repaired(desk, solved, rate):
    plans = await ground_plans(solved, ScriptedTeacher("short", "webrl"), desk)
    replans, _ = await write_replans(solved, plans, ScriptedTeacher("short", "webrl", rate), desk)
    for trajectory in solved:
        known = solution(find(trajectory.task_id))
        for done, written in enumerate(replans[trajectory.task_id]):
            expected = annotate(known, done, trajectory.turns[done].observation.title)
            assert (written.plan, written.spans) == _split(expected)
    repairs, replies = desk.tally(KIND).repairs, 2 + 3 + 6
    assert repairs == 0 if rate == 0 else 1 <= repairs <= replies


REVISIONS = [  # last plan, new plan, (kept, refined, removed, added)
    (["Search for 'Tee'.", "Open it.", "Report."], ["Open it.", "Report."], (2, 0, 1, 0)),
    (["Open it."], ["open  it"], (1, 0, 0, 0)),  # letters, spaces and the full stop do not count
    (["Search the products for the part number."], ["Search the products for 'ABC-77'."], (0, 1, 0, 0)),  # 4 of 5 words
    (["Report it."], ["Stop: the task is done."], (0, 0, 1, 1)),
    (["Report the price."], ["Report '$3'."], (0, 0, 1, 1)),  # 1 of 2 words
    (["Open it.", "Open it."], ["Open it."], (1, 0, 1, 0)),
    ([], ["Open it."], (0, 0, 0, 1)),
    (["Open it."], [], (0, 0, 1, 0)),
    # the most alike belong together: the second step was refined, the first is gone
    (["Open the page Orders.", "Open the page Orders of May."], ["Open the page Orders of June."], (0, 1, 1, 0)),
]


@pytest.mark.parametrize("last, new, counts", REVISIONS)
def test_how_a_replan_changed_the_last_plan(last, new, counts):
    assert revision(plan(*last), plan(*new)) == Revision(*counts)


usual = st.sampled_from(["open it", "open it now", "report the price", "report the low price", "stop", ""])
texts = st.lists(usual | st.text(max_size=8), max_size=8)


@given(texts, texts)
def test_every_step_is_counted_once(last, new):
    made = revision(plan(*last), plan(*new))
    assert made.kept + made.refined + made.removed == len(last) and made.kept + made.refined + made.added == len(new)
    assert revision(plan(*last), plan(*last)) == Revision(kept=len(last))
