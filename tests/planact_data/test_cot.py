"""Reasoning for rows: which rows get it, what the reasoner is shown, what is refused, and the rows that come of it."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from planact.actions import parse_action, strip_thinking
from planact.layout import read_manifest
from planact.llm import ScriptedLLM
from planact.plans import parse_plan
from planact.prompts import prompts_hash
from planact.store import RunStore
from planact.teaching.reasoning import LABEL, render_reasoning
from planact.types import Action, Observation, Op
from planact_data.build import build
from planact_data.cot import MAX_TOKENS, TEMPERATURE, write_reasoning
from planact_data.desk import REPAIRS, Desk
from planact_data.grounding import ground_plans
from planact_data.pairs import pair_of
from planact_data.replanning import plans_behind, write_replans
from planact_data.rows import COT_KINDS, KINDS, drafts, features, make_rows, pair_row
from planact_envs.miniweb.teacher import ScriptedTeacher


@pytest.fixture
def desk(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        yield Desk(store, seed=0, in_flight=2)


@pytest.fixture
async def material(solved, desk):
    """Three trajectories of 3, 4 and 7 turns with their plans and replans, their pairs, and one pair that was never run."""
    teacher = ScriptedTeacher("short", "webrl")
    plans = await ground_plans(solved, teacher, desk)
    replans, _ = await write_replans(solved, plans, teacher, desk)
    pairs = [pair_of(t, plans[t.task_id].plan, "seed") for t in solved]
    pairs.append(replace(pairs[0], id="expansion/0/1", source="expansion", parent=pairs[0].id))
    return SimpleNamespace(trajectories=solved, plans=plans, replans=replans, pairs=pairs)


def rows_of(kind, material, agent, reasoning, dropped=None):
    if kind.startswith("plan"):
        return [pair_row(kind, pair, agent, reasoning) for pair in material.pairs]
    return [
        row
        for t in material.trajectories
        for row in make_rows(kind, t, plans_behind(kind, t.task_id, material.plans, material.replans), agent, reasoning, dropped=dropped)
    ]


COUNTS = {"plan_cot": 3 + 1, "replan_cot": 2 + 3 + 6, "act_cot": 14, "act_dynamic_cot": 14, "react_cot": 14}


async def test_every_row_of_the_wanted_kinds_gets_a_reasoning(material, desk, agent):
    reasoning = await write_reasoning(material, COT_KINDS, ScriptedTeacher("short", "webrl"), desk, agent)
    rows = {kind: rows_of(kind, material, agent, reasoning) for kind in COT_KINDS}
    assert {kind: len(found) for kind, found in rows.items()} == COUNTS
    assert {row["id"] for found in rows.values() for row in found} == set(reasoning)
    assert {kind: desk.tally(kind).accepted for kind in COT_KINDS} == COUNTS
    schema = features()
    for row in (row for found in rows.values() for row in found):
        assert schema.encode_example(row) == row and row["prompts_hash"] == prompts_hash("compact", "webrl", cot=True)
        assert row["completion"][0]["content"].startswith(f"<think>\n{reasoning[row['id']]}\n</think>\n\n")


async def test_the_answer_after_the_reasoning_is_that_of_the_plain_row(material, desk, agent):
    reasoning = await write_reasoning(material, COT_KINDS, ScriptedTeacher("short", "webrl"), desk, agent)
    for kind in KINDS:
        plain, thoughtful = (rows_of(k, material, agent, reasoning) for k in (kind, f"{kind}_cot"))
        for a, b in zip(plain, thoughtful, strict=True):
            assert "<think>" not in str(a) and a["completion"][0]["content"] == strip_thinking(b["completion"][0]["content"]).lstrip()
            assert b["prompt"][0]["content"].startswith(f"{a['prompt'][0]['content'].split(chr(10))[0]}, think first")
            assert a["prompt"][1:] == b["prompt"][1:]  # earlier rounds have no reasoning
            read = parse_plan if kind in ("plan", "replan") else lambda text: parse_action(text, "webrl")
            assert read(a["completion"][0]["content"]) == read(b["completion"][0]["content"])


async def test_only_the_wanted_kinds_are_asked_about_and_once(material, desk, agent):
    teacher = ScriptedTeacher("short", "webrl")
    reasoning = await write_reasoning(material, {"plan_cot", "react_cot", "act"}, teacher, desk, agent)
    assert Counter(key.split("/")[-2] for key in reasoning) == {"plan_cot": 4, "react_cot": 14}
    assert await write_reasoning(material, {"plan_cot", "react_cot"}, ScriptedLLM([]), desk, agent) == reasoning
    assert await write_reasoning(material, KINDS, ScriptedLLM([]), desk, agent) == {}


async def test_actions_under_other_plans_are_other_questions(material, desk, agent):
    teacher = ScriptedTeacher("short", "webrl")
    reasoning = await write_reasoning(material, COT_KINDS, teacher, desk, agent)
    last = material.trajectories[2].task_id
    under = {kind: reasoning[f"{last}/{kind}_cot/5"] for kind in ("act", "act_dynamic", "react")}
    assert len(set(under.values())) == 3
    assert "step" in under["act"] and "step" in under["act_dynamic"] and "step" not in under["react"]


async def test_trajectories_without_replans_have_no_dynamic_rows_to_reason_about(material, desk, agent):
    material.replans = {}
    assert await write_reasoning(material, {"replan_cot", "act_dynamic_cot"}, ScriptedLLM([]), desk, agent) == {}


class Recorder(ScriptedLLM):
    """Also keeps the options of each call."""

    async def complete(self, messages, **options):
        self.options = options
        return await super().complete(messages, **options)


def draft_of(material, agent, kind="act_cot", turn=1):
    first = material.trajectories[0]
    return list(drafts(kind, first, [material.plans[first.task_id].plan], agent))[turn]


async def ask(material, desk, agent, replies, kind="act_cot"):
    """The reasoning of the rows of the first trajectory, when the reasoner replies so to every question of turn 1."""
    label = ""

    def reply(messages):
        nonlocal label
        label = messages[1]["content"].rpartition(LABEL)[2]
        if draft_of(material, agent, kind).prompt[-1]["content"] not in messages[1]["content"]:
            return render_reasoning("I go on.", label)
        text = replies[min(len(messages) // 2 - 1, len(replies) - 1)]
        return text.replace("LABEL", label)

    material.trajectories = material.trajectories[:1]
    reasoner = Recorder(reply)
    return reasoner, await write_reasoning(material, {kind}, reasoner, desk, agent)


async def test_the_reasoner_sees_the_prompt_of_the_row(material, desk, agent):
    reasoner, reasoning = await ask(material, desk, agent, [render_reasoning("I click it.", "LABEL")])
    draft = draft_of(material, agent)
    (asked,) = [m[1]["content"] for m in reasoner.calls if draft.prompt[-1]["content"] in m[1]["content"]]
    assert all(message["content"] in asked for message in draft.prompt)
    assert reasoning[draft.id] == "I click it."
    assert reasoner.options["max_tokens"] == MAX_TOKENS and reasoner.options["temperature"] == TEMPERATURE


@pytest.mark.parametrize(
    "bad, reason",
    [
        ("I would rather not.", "format"),
        (render_reasoning("", "LABEL"), "empty reasoning"),
        (render_reasoning("I stop.", 'exit(message="")'), "label differs"),
        (render_reasoning("I stop.", "nothing"), "label differs"),
        (render_reasoning("The given answer is to click.", "LABEL"), "gives itself away"),
        (render_reasoning("<think> I click.", "LABEL"), "chat markers"),
        (render_reasoning("FUTURE", "LABEL"), "foresight"),
    ],
)
async def test_bad_reasoning_is_sent_back_and_then_dropped(material, desk, agent, bad, reason):
    first = material.trajectories[0]
    seen = "".join(message["content"] for message in draft_of(material, agent).prompt)
    price = first.answer
    assert price and price not in seen  # stands on the last page alone
    bad = bad.replace("FUTURE", f"It will cost {price}.")
    good = render_reasoning("I click it.", "LABEL")
    _, repaired = await ask(material, desk, agent, [bad, good])
    assert repaired[draft_of(material, agent).id] == "I click it." and desk.tally("act_cot").repairs == 1
    fresh = replace(agent, prompts="full")  # another prompt, so another question
    _, dropped = await ask(material, desk, fresh, [bad])
    assert draft_of(material, fresh).id not in dropped and len(dropped) == len(first.turns) - 1
    assert desk.tally("act_cot").rejected == {reason: 1} and desk.tally("act_cot").repairs == 1 + REPAIRS
    lost: Counter = Counter()
    rows = rows_of("act_cot", material, fresh, dropped, lost)
    assert len(rows) == len(first.turns) - 1 and lost == {"rows without reasoning": 1}


@pytest.mark.parametrize("kind", ["plan_cot", "replan_cot", "act_cot", "react_cot"])
async def test_a_name_that_only_later_turns_tell_is_no_thought_of_an_earlier_one(material, desk, agent, kind):
    """The spare part is the Nylon Hinge, which no page shows before turn 4, where it is found by its number."""
    material.trajectories, material.pairs = material.trajectories[2:], material.pairs[2:3]
    reasoner = ScriptedLLM(lambda m: render_reasoning("What I buy is the Nylon Hinge.", m[1]["content"].rpartition(LABEL)[2]))
    reasoning = await write_reasoning(material, {kind}, reasoner, desk, agent)
    turns = {"plan_cot": [], "replan_cot": [4, 5, 6], "act_cot": [4, 5, 6], "react_cot": [4, 5, 6]}[kind]
    assert sorted(int(key.rpartition("/")[2]) for key in reasoning) == turns
    assert set(desk.tally(kind).rejected) == {"foresight"}


@pytest.mark.parametrize("kind", ["plan_cot", "act_cot"])
async def test_text_of_an_html_page_is_known_as_it_stands_on_the_screen(material, desk, agent, kind):
    text = '<html> <title> Shop </title>\n<a id="1"> Salt &amp; Pepper </a>\n</html>'
    page = Observation(text, text.replace(' id="1"', ""), "http://shop.x/")
    first = material.trajectories[0]
    turn = replace(first.turns[0], observation=page, action=Action(Op.CLICK, "1", target="link 'Salt & Pepper'"))
    material.trajectories = [replace(first, turns=(turn, replace(turn, index=1)))]
    material.pairs = [pair_of(material.trajectories[0], material.plans[first.task_id].plan, "seed")]
    reasoner = ScriptedLLM(lambda m: render_reasoning("I see 'Salt & Pepper'.", m[1]["content"].rpartition(LABEL)[2]))
    html = replace(agent, observation="html")
    assert len(await write_reasoning(material, {kind}, reasoner, desk, html)) == (1 if kind == "plan_cot" else 2)


async def test_mistakes_of_the_scripted_reasoner_are_all_repaired(material, desk, agent):
    right = await write_reasoning(material, COT_KINDS, ScriptedTeacher("short", "webrl", error_rate=1.0), desk, agent)
    assert len(right) == sum(COUNTS.values())
    assert {kind: desk.tally(kind).repairs for kind in COT_KINDS} == COUNTS  # one each


def test_rows_with_reasoning_lie_beside_the_plain_ones(recipe, tmp_path):
    plain = recipe(tasks=2, planner=("plan",), executor=("act",))
    folder = build(plain, tmp_path)
    assert build(replace(plain, agent=replace(plain.agent, cot=True)), tmp_path) == folder
    manifest = read_manifest(folder)
    sizes = {kind: entry["rows"] for kind, entry in manifest["rows"].items()}
    assert sizes["plan_cot"] == sizes["plan"] == 2 and sizes["act_cot"] == sizes["act"] > 2
    assert {kind: manifest["questions"][kind]["accepted"] for kind in ("plan", "plan_cot", "act_cot")} == {
        "plan": 2,
        "plan_cot": 2,
        "act_cot": sizes["act"],
    }
    assert all(f"config_name: {kind}\n" in (folder / "README.md").read_text() for kind in sizes)
