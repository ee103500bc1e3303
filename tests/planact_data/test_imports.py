"""Files of other people's data: what is read, what is put together, and what is named and left out."""

import asyncio
import contextlib
import json
import time
from dataclasses import replace

import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.actions import parse_action
from planact.layout import read_manifest
from planact.loop import run_episode
from planact.plans import parse_plan
from planact.prompts import PAST_PAGE
from planact.recipe import Agent, RecipeError
from planact.types import Op, Plan, PlanStep, StopReason, Task
from planact_data import records
from planact_data.build import build
from planact_data.foreign import Unreadable, read_record
from planact_data.imports import QUARANTINED, import_pairs, import_trajectories, write_rejected
from planact_data.leaks import Gate
from planact_data.rows import make_rows, pair_row
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import load_suite

USER, ASSISTANT = (f"<|eot_id|><|start_header_id|>{role}<|end_header_id|>\n" for role in ("user", "assistant"))
GATE = Gate([Task("t", "s", "test", (), "Delete every review written by Grace Nguyen", "http://x/", "t")], 0.9)
INTENT = "What is the status of order 299?"
PAGES = [
    f'<html data-bbox="0,0,1280,720"> <body> <a id="0"> Magento Admin Panel </a> <a id="{n}"> Page {n} </a> </body> </html>'
    for n in range(9)
]
ANSWERS = [
    '# Element: the \'Sales\' menu item\ndo(action="Click", element="2")',
    'do(action="Search", argument="299", element="7")',
    '# Note: 299 is canceled\nexit(message="Canceled")',
]


def webrl(intent=INTENT, answers=ANSWERS, turn=0, page=None):
    """The record of one step, as web_policy_sft.json has it."""
    value = f"Task Instruction: {intent}\n\n"
    for n, answer in enumerate(answers[:turn]):
        value += f"Round {n}\n\n{USER}{intent if n == 0 else PAST_PAGE}\n\n{ASSISTANT}{answer}\n\n"
    value += f"Round {turn}\n\n{USER}{page or PAGES[turn]}\n\n{ASSISTANT}"
    return {"conversations": [{"from": "human", "value": value}, {"from": "gpt", "value": answers[turn]}]}


def run(**settings):
    return [webrl(turn=turn, **settings) for turn in range(len(settings.get("answers", ANSWERS)))]


@pytest.fixture
def file(tmp_path):
    def write(items, name="web.json", **options):
        path = tmp_path / name
        if name.endswith(".jsonl"):
            path.write_text("".join(item if isinstance(item, str) else json.dumps(item) + "\n" for item in items), encoding="utf-8")
        else:
            path.write_text(json.dumps(items, **options), encoding="utf-8")
        return str(path)

    return write


def test_the_records_of_an_episode_become_its_trajectory_whatever_their_order(file):
    (trajectory,), counts = import_trajectories("webrl", file(run()[::-1]), GATE)
    assert [turn.observation.text for turn in trajectory.turns] == PAGES[:3]
    assert [turn.response for turn in trajectory.turns] == ANSWERS
    assert [turn.action for turn in trajectory.turns] == [parse_action(answer, "webrl") for answer in ANSWERS]
    assert (trajectory.intent, trajectory.answer, trajectory.stop_reason) == (INTENT, "Canceled", StopReason.ANSWERED)
    assert trajectory.outcome.success and trajectory.turns[0].observation.url == "webarena://shopping_admin/"
    assert counts == {
        "records": 3,
        "records used": 3,
        "records of the other kind": 0,
        "rejected": {},
        QUARANTINED: [],
        "requests": 1,
        "trajectories": 1,
        "requests without one": {},
        "trajectories without a final action": 0,
    }


def test_the_planner_sees_the_page_without_ids(file):
    (trajectory,), _ = import_trajectories("webrl", file(run()), GATE)
    page = trajectory.turns[1].observation
    assert page.outline == '<html data-bbox="0,0,1280,720"> <body> <a> Magento Admin Panel </a> <a> Page 1 </a> </body> </html>'


def test_runs_of_the_same_request_collapse_into_the_first_whole_one(file):
    other = ['do(action="Scroll Down")', 'exit(message="Pending")']
    broken = [webrl(answers=['do(action="Click", element="9")', 'exit(message="?")'], turn=1)]  # its round 0 is not in the file
    (trajectory,), counts = import_trajectories("webrl", file([*broken, *run(), *run(answers=other)]), GATE)
    assert [turn.response for turn in trajectory.turns] == ANSWERS
    assert (counts["records"], counts["records used"]) == (6, 3)
    assert counts["rejected"] == {"another run of the same request": 3}


def test_an_episode_that_never_ends_is_kept_and_counted_and_one_without_a_beginning_is_not(file):
    endless = run(intent="Scroll", answers=['do(action="Scroll Down")'])
    torso = run(intent="Headless")[1:]
    (trajectory,), counts = import_trajectories("webrl", file([*endless, *torso]), GATE)
    assert trajectory.stop_reason == StopReason.MAX_TURNS and counts["trajectories without a final action"] == 1
    assert counts["rejected"] == {"the episode lacks rounds": 2} == {"the episode lacks rounds": counts["records"] - counts["records used"]}
    assert counts["requests without one"] == {"the episode lacks rounds": 1}


def test_held_out_requests_are_refused_with_all_their_records(file):
    leak = run(intent="delete every review by Grace Nguyen.")
    found, counts = import_trajectories("webrl", file([*leak, *run()]), GATE)
    assert [t.intent for t in found] == [INTENT]
    ((reason, number),) = counts["rejected"].items()
    assert reason.startswith("leak: ") and number == 3


BAD = [  # a record, and the reason that it is rejected for
    ({"text": "hello"}, "no conversation"),
    ({"conversations": ["a", "b"]}, "no conversation"),
    ({"conversations": [{"from": "human", "value": 3}, {"from": "gpt", "value": "x"}]}, "not one question and one answer"),
    ({"conversations": webrl()["conversations"][:1]}, "not one question and one answer"),
    (webrl(page=PAST_PAGE), "the page is left out"),
    (webrl(page="nothing"), "no page"),
    (webrl(intent=" "), "no request"),
    (webrl(answers=['do(action="Right Click", element="3")']), "an action that we do not have: Right Click"),
    (webrl(answers=["I give up"]), "the action cannot be read"),
    (webrl(answers=["```"]), "the action cannot be read"),
]


@pytest.mark.parametrize("record, reason", BAD, ids=[reason for _, reason in BAD[:-1]] + ["no call"])
def test_a_record_that_cannot_be_read_is_counted_by_its_reason_and_the_rest_is_kept(file, record, reason):
    found, counts = import_trajectories("webrl", file([record, *run()]), GATE)
    assert len(found) == 1 and counts["rejected"] == {reason: 1}
    assert counts[QUARANTINED][0] == {"record": 1, "line": 1, "reason": reason}


def test_a_prompt_whose_rounds_were_cut_out_is_rejected(file):
    record = webrl(turn=2)
    record["conversations"][0]["value"] = record["conversations"][0]["value"].replace("Round 1\n\n", "")
    record["conversations"][0]["value"] = record["conversations"][0]["value"].replace(
        f"{USER}{PAST_PAGE}\n\n{ASSISTANT}{ANSWERS[1]}\n\n", ""
    )
    _, counts = import_trajectories("webrl", file([record]), GATE)
    assert counts["rejected"] == {"rounds are missing from the prompt": 1}


def test_rows_made_from_an_import_can_be_read_back(file):
    (trajectory,), _ = import_trajectories("webrl", file(run()), GATE)
    agent = Agent(observation="html")
    plan = Plan((PlanStep("the page shows a menu", "Find order 299"), PlanStep("it has a status", "Report it")))
    rows = {kind: list(make_rows(kind, trajectory, [plan], agent, source="webrl")) for kind in ("plan", "act", "react")}
    assert parse_plan(rows["plan"][0]["completion"][0]["content"]) == plan
    assert "Page 0" in rows["plan"][0]["prompt"][1]["content"] and " id=" not in rows["plan"][0]["prompt"][1]["content"]
    for kind in ("act", "react"):
        assert [row["completion"][0]["content"] for row in rows[kind]] == ANSWERS
        assert rows[kind][2]["prompt"][-1]["content"] == PAGES[2] and rows[kind][2]["prompt"][1]["content"] == PAST_PAGE


@pytest.mark.parametrize(
    "text", ["Task:" + " " * 50_000, "Task\n" * 20_000, "<a" + ' id="x' * 20_000, "\nRound 1" * 20_000, "1. " * 20_000, "<" * 50_000]
)
def test_hostile_records_take_no_longer_than_their_length(text):
    for record in (
        webrl(page=f"<html>{text}", intent=text),
        planner(text, f"</think>[Start of Plan]{text}"),
        {"prompt": text, "completion": text},
    ):
        start = time.process_time()
        with contextlib.suppress(Unreadable):
            read_record("webrl" if "conversations" in record else "released", record)
        assert time.process_time() - start < 1


async def episode(template):
    """An episode of the scripted actor on a training task, and its records in WebRL's form."""
    suite, env = load_suite("miniweb-short"), MiniwebEnv("html")
    task = next(task for task in suite.tasks("train") if task.template == template)
    ours = await run_episode(task, env, Agent(planner="none", observation="html"), suite.teacher("html", "webrl", 0.0, 0))
    await env.close()
    answers = [turn.response for turn in ours.turns]
    return ours, [webrl(ours.intent, answers, turn.index, turn.observation.text) for turn in ours.turns]


async def test_an_episode_of_ours_written_as_webrl_writes_comes_back_with_the_same_rows(file):
    ours, written = await episode("shop.spare")
    answers = [turn.response for turn in ours.turns]
    (back,), _ = import_trajectories("webrl", file(written), GATE)
    assert len(answers) > 4 and (back.intent, back.answer, back.stop_reason) == (ours.intent, ours.answer, ours.stop_reason)
    for agent in (Agent(observation="html"), Agent(observation="html", max_page_tokens=250)):
        for kind in ("plan", "replan", "act", "act_dynamic", "react"):
            plans = [Plan((PlanStep("it is asked", f"Do what is left after {n}."),)) for n in range(len(answers))]
            again, first = (list(make_rows(kind, trajectory, plans, agent)) for trajectory in (back, ours))
            assert [(row["prompt"], row["completion"]) for row in again] == [(row["prompt"], row["completion"]) for row in first] != []


def test_a_build_without_the_file_stops_before_anything_is_paid_for(recipe, tmp_path):
    made = recipe(imports={"webrl": str(tmp_path / "gone.json")})
    with pytest.raises(RecipeError, match=r"data.imports.webrl names .*gone.json, which is no file; .*--set data.imports.webrl=<path>"):
        build(replace(made, agent=Agent(observation="html")), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_build_plans_imported_episodes_and_sets_torn_records_aside(file, recipe, tmp_path):
    ours, written = asyncio.run(episode("shop.spare"))
    _, other = asyncio.run(episode("code.comment"))
    path = file([*written, *other[1:], {"conversations": "torn"}])
    made = recipe(tasks=1, imports={"webrl": path}, executor=("act",))
    folder = build(replace(made, agent=Agent(observation="html")), tmp_path / "runs")
    rows = load_dataset("parquet", data_files=str(folder / "act.parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    imported = [row for row in rows if row["source"] == "webrl"]
    assert len(imported) == len(ours.turns) and all(ours.intent in row["prompt"][0]["content"] for row in imported)
    counts = read_manifest(folder)["counts"]["import webrl, actions"]
    assert (counts["records"], counts["records used"], counts["trajectories"]) == (len(written) + len(other), len(written), 1)
    set_aside = [json.loads(line) for line in (folder / "web.json.rejected.jsonl").read_text().splitlines()]
    assert len(set_aside) == sum(counts["rejected"].values()) == len(other)
    assert "web.json" in (folder / "README.md").read_text()


# JSON lines and damaged files


def test_torn_lines_and_bytes_that_are_not_utf8_are_quarantined_by_line(tmp_path):
    lines = [json.dumps(record).encode() for record in run()]
    path = tmp_path / "web.jsonl"
    path.write_bytes(
        b"\n".join([lines[0], lines[1][:200], b'{"a": "\xff"}', b"[1]", b"", b'{"a": "\\ud800"}', b"[" * 100_000, lines[1], lines[2]])
    )
    before = path.read_bytes()
    found, counts = import_trajectories("webrl", str(path), GATE)
    assert len(found) == 1 and counts["records"] == 8 and counts["records used"] == 3
    assert counts["rejected"] == {"not JSON": 2, "not UTF-8": 1, "not an object": 1, "half a character": 1}
    assert [(r["line"], r["reason"]) for r in counts[QUARANTINED]] == [
        (2, "not JSON"), (3, "not UTF-8"), (4, "not an object"), (6, "half a character"), (7, "not JSON"),
    ]  # fmt: skip
    target = write_rejected(str(path), tmp_path / "data", counts)
    written = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert target.name == "web.jsonl.rejected.jsonl" and [record["line"] for record in written] == [2, 3, 4, 6, 7]
    assert written[0]["text"] == lines[1][:200].decode() and all(len(record["text"]) <= records.SHOWN for record in written)
    assert QUARANTINED not in counts and path.read_bytes() == before
    assert write_rejected(str(path), tmp_path / "data", {}) is None


def test_a_file_that_is_not_there_and_an_unknown_format_are_the_recipes_mistake(tmp_path):
    with pytest.raises(RecipeError, match=r"data.imports.webrl: .*none.json cannot be read \(No such file"):
        import_trajectories("webrl", str(tmp_path / "none.json"), GATE)
    with pytest.raises(RecipeError, match="formats are webrl, released"):
        import_trajectories("csv", "x", GATE)


# The files of the paper's authors

PLAN = """Let me see.
</think>
[Start of Plan]
## Step 1
Open **Sales** and its orders
## Step 2
Search for 299.
1 result is expected
[End of Plan]"""
ACT = "The menu is there.</think>[Start of Action]\n{}\n[End of Action]"


def planner(intent=INTENT, output=PLAN, template="<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n", key="input"):
    return {
        key: template.format(f"You plan. Task: see below.\n\n## User Query\n{intent}\n\n## Initial HTML State\n{PAGES[0]}\n\nTask: ignore"),
        "output": output,
    }


def actor(turn, template=("<|im_start|>{}\n", "<|im_end|>\n")):
    head, tail = template
    said = [("user", f"User Query: {INTENT}\n\n# HTML\n{PAGES[0]}")]
    for n, answer in enumerate(ANSWERS[:turn]):
        said += [("assistant", "<think>" + ACT.format(answer)), ("user", f"# HTML\n{PAGES[n + 1]}")]
    return {
        "instruction": "".join(head.format(role) + text + tail for role, text in said) + head.format("assistant"),
        "input": "",
        "output": ACT.format(ANSWERS[turn]),
    }


CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n"
LLAMA = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
DEEPSEEK = "<｜begin▁of▁sentence｜><｜User｜>{}<｜Assistant｜><think>\n"


@pytest.mark.parametrize("key, template", [("input", CHATML), ("instruction", LLAMA), ("prompt", DEEPSEEK), ("input", "{}")])
def test_a_released_plan_becomes_a_pair(file, key, template):
    path = file([planner(key=key, template=template)], "planner_training_data.jsonl")
    (pair,), counts = import_pairs("released", path, GATE)
    assert pair.plan.steps == (PlanStep("", "Open Sales and its orders"), PlanStep("", "Search for 299. 1 result is expected"))
    assert (pair.intent, pair.site, pair.source) == (INTENT, "shopping_admin", "released") and "id=" not in pair.page.outline
    assert (counts["records"], counts["records used"], counts["pairs"]) == (1, 1, 1)
    row = pair_row("plan", pair, Agent(observation="html"))
    assert parse_plan(row["completion"][0]["content"]) == pair.plan and row["source"] == "released"


def test_plans_of_the_papers_form_keep_their_reasoning(file):
    output = "## Step 1\nReasoning: the menu shows Sales\nStep: Open the orders"
    (pair,), _ = import_pairs("released", file([planner(output=output)], "planner.jsonl"), GATE)
    assert pair.plan == Plan((PlanStep("the menu shows Sales", "Open the orders"),))


def test_requests_of_the_released_expansion_lose_their_example_index(file):
    (pair,), _ = import_pairs("released", file([planner(f"{INTENT} Initial HTML State from Example Index: 3")], "planner.jsonl"), GATE)
    assert pair.intent == INTENT


def test_plans_that_cannot_be_used_are_counted(file):
    revised = planner()
    revised["input"] = revised["input"].replace("## Initial", "## Previous Actions\nclick\n\n## Initial")
    leak = planner("Delete every review by Grace Nguyen")
    listed = actor(0)
    listed["instruction"] = listed["instruction"].replace("# HTML", "## Previous Actions\n1. click\n\n# HTML")
    shapeless = planner("Something else entirely", output="</think>[Start of Plan]\nDo it.\n[End of Plan]")
    found, counts = import_pairs(
        "released", file([planner(), planner(), revised, leak, shapeless, listed, actor(0)], "planner.jsonl"), GATE
    )
    leaks = {reason: n for reason, n in counts["rejected"].items() if reason.startswith("leak: ")}
    assert len(found) == 1 and list(leaks.values()) == [1]
    assert counts["rejected"] == leaks | {
        "a plan that revises an earlier one": 1,
        "a request that an earlier record has": 1,
        "earlier actions that are not told apart": 1,
        "the plan has no steps that can be told apart": 1,
    }
    assert counts["records of the other kind"] == 1
    assert counts["records"] == 7 == counts["records used"] + sum(counts["rejected"].values()) + 1


def test_released_actions_become_a_trajectory(file):
    (trajectory,), counts = import_trajectories("released", file([*map(actor, range(3)), planner()], "actor_training_data.jsonl"), GATE)
    assert [turn.action.op for turn in trajectory.turns] == [Op.CLICK, Op.SEARCH, Op.STOP]
    assert [turn.observation.text for turn in trajectory.turns] == PAGES[:3] and [turn.response for turn in trajectory.turns] == ANSWERS
    assert counts["records of the other kind"] == 1


MARKS = (USER, ASSISTANT, "<|im_start|>user", "<|im_start|>assistant", "[Start of Plan]", "[End of Plan]", "[Start of Action]", "</think>")
WORDS = ("Task Instruction: go", "\n\nRound 0\n\n", "Round 1", "## User Query\nq\n", "## Step 1\n", "1. a\n", "Reasoning: r\nStep: s")
BITS = ("<html>", "</html>", ' id="3"', 'do(action="Click", element="1")', "exit(", "\x00", "é", " ", "\n")
texts = st.lists(st.sampled_from(MARKS + WORDS + BITS) | st.text(max_size=5), max_size=12).map("".join)
values = (
    texts
    | st.none()
    | st.integers()
    | st.lists(st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "system"]), "value": texts}), max_size=3)
)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["webrl", "released"]),
    st.dictionaries(st.sampled_from(["conversations", "input", "instruction", "prompt", "output", "completion"]), values),
)
def test_any_record_is_read_or_refused(format_, record):
    try:
        item, reason = read_record(format_, record), ""
    except Unreadable as error:
        item, reason = None, str(error)
    assert 0 < len(reason) < 100 if item is None else item.intent and item.page.text
