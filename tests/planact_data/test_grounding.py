"""Plans behind trajectories: what is asked, what is accepted, what is sent back, and what is stored."""

import re

import pytest

from planact.llm import ModelError, ScriptedLLM
from planact.store import RunStore
from planact.teaching.annotation import AnnotatedStep, plan_annotation_messages, render_annotation
from planact.types import Plan, PlanStep
from planact_data.desk import REPAIRS, Desk
from planact_data.grounding import KIND, Grounded, ground_plans
from planact_envs.miniweb.tasks import find, solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.planning import annotate


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        yield store


@pytest.fixture
def desk(store):
    return Desk(store, seed=7, in_flight=1)


def steps(*spans, text="do it"):
    """A step per span of action indices."""
    return tuple(AnnotatedStep(PlanStep(f"because of {n}", f"{text} {n}"), "copied", tuple(span)) for n, span in zip("abcd", spans))


def answer(*spans, **text):
    return render_annotation(steps(*spans, **text))


GOOD = answer([1], [2, 3], text="reach")  # the trajectory has three turns
BAD = [  # answer, what is said about it
    ("I would rather not.", "expected blocks '## Step 1'"),
    (answer([1], [2]), r"the steps cover actions \[1, 2\]; expected \[1, 2, 3\]"),
    (answer([1], [3], [2]), r"the steps cover actions \[1, 3, 2\]"),
    (answer([1, 2], [2, 3]), r"\[1, 2, 2, 3\]"),
    (answer([1], [], [2, 3]), "step 2 covers no action"),
    (answer([1], [2, 3], text="scroll to"), "step 1 mentions scrolling"),
]


async def test_a_good_answer_becomes_a_plan(desk, store, solved):
    teacher = ScriptedLLM([GOOD])
    plans = await ground_plans(solved[:1], teacher, desk)
    plan = Plan(tuple(step.step for step in steps([1], [2, 3], text="reach")))
    assert plans == {solved[0].task_id: Grounded(plan, ((1,), (2, 3)))}
    assert teacher.calls == [plan_annotation_messages(solved[0].intent, solved[0].turns)]
    assert len(dict(store.items(KIND))) == desk.tally(KIND).accepted == 1


@pytest.mark.parametrize("bad, reason", BAD)
async def test_a_bad_answer_is_sent_back_with_the_reason(desk, solved, bad, reason):
    teacher = ScriptedLLM([bad, GOOD])
    assert len(await ground_plans(solved[:1], teacher, desk)) == 1
    first, second = teacher.calls
    assert second[: len(first)] == first and second[-2] == {"role": "assistant", "content": bad}
    assert second[-1]["role"] == "user"
    assert re.fullmatch(f"That answer cannot be used: .*{reason}.*Write the whole answer again.", second[-1]["content"])
    tally = desk.tally(KIND)
    assert (tally.repairs, tally.usage.calls, tally.accepted) == (1, 2, 1)


class SeedKeeper(ScriptedLLM):
    """Also keeps the seed of each call."""

    async def complete(self, messages, *, seed=0, **options):
        self.seeds = [*getattr(self, "seeds", []), seed]
        return await super().complete(messages, seed=seed, **options)


async def test_a_repair_is_asked_for_with_another_seed(desk, solved):
    teacher = SeedKeeper(["no", "no", GOOD])
    await ground_plans(solved[:1], teacher, desk)
    assert teacher.seeds == [7, 8, 9]


async def test_after_the_last_repair_the_plan_is_rejected_and_never_asked_for_again(desk, store, solved):
    teacher = ScriptedLLM(["no"] * (REPAIRS + 1))
    assert await ground_plans(solved[:1], teacher, desk) == {}
    assert len(teacher.calls) == REPAIRS + 1 and desk.tally(KIND).rejected == {"format": 1}
    again = Desk(store, seed=7, in_flight=1)
    assert await ground_plans(solved[:1], teacher, again) == {}  # the script has run out: a call would raise
    assert again.tally(KIND).rejected == {"format": 1}


async def test_a_value_that_no_page_has_shown_is_sent_back(desk, solved):
    carried, known = solved[2], solution(find(solved[2].task_id))
    part = next(iter(known.facts.values())).value
    early = render_annotation([*steps([1], [2], text=f"search for {part}"), *steps([3, 4, 5, 6, 7])])
    teacher = ScriptedLLM([early, answer(range(1, 8))])
    await ground_plans([carried], teacher, desk)
    assert f"the plan states {part.strip(chr(39))}, which no page has shown yet" in teacher.calls[1][-1]["content"]
    assert desk.tally(KIND).repairs == 1


async def test_what_is_stored_is_not_asked_for_again(desk, store, solved):
    first = await ground_plans(solved[:2], ScriptedTeacher("short", "webrl"), desk)
    counted = ScriptedLLM([render_annotation(annotate(solution(find(solved[2].task_id)), 0))])
    plans = await ground_plans(solved, counted, desk)
    assert len(counted.calls) == 1 and len(first) == 2 and first.items() <= plans.items() and len(plans) == 3


async def test_a_teacher_that_fails_stops_the_run_and_keeps_what_is_done(desk, store, solved):
    with pytest.raises(ModelError, match="replies and was called"):
        await ground_plans(solved[:2], ScriptedLLM([GOOD]), desk)
    assert [key.split("#")[0] for key in store.keys(KIND)] == [solved[0].task_id]


async def test_a_teacher_that_always_errs_first_is_repaired(desk, solved):
    plans = await ground_plans(solved, ScriptedTeacher("short", "webrl", error_rate=1.0), desk)
    for trajectory in solved:
        known = annotate(solution(find(trajectory.task_id)), 0)
        assert plans[trajectory.task_id].plan == Plan(tuple(step.step for step in known))
        assert plans[trajectory.task_id].spans == tuple(step.actions for step in known)
    assert 1 <= desk.tally(KIND).repairs <= 3  # a value from the future is no mistake where there is none
