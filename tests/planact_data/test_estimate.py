"""What a build would cost: arithmetic by hand, what is measured on the store, and what a real build then used."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from planact.layout import data_store, store_settings, wanted_kinds
from planact.recipe import Endpoint
from planact.store import RunStore
from planact.types import Usage, to_dict
from planact_data import attempts, build, expansion, grounding, outcome, pair_checks, replanning, synthesis, targeting, variants
from planact_data import estimate as module
from planact_data.describe import describe, table
from planact_data.estimate import ANSWERS, NOTHING, SHAPES, Range, StageEstimate, around, estimate, exactly, read_stored
from planact_envs.suites import load_suite

REPO = Path(__file__).parents[2]
SUITE = load_suite("miniweb-short")
PRICED = Endpoint("http://127.0.0.1:9/v1", "m", usd_per_m_prompt=2.0, usd_per_m_completion=10.0)


def stages(recipe, runs):
    return {one.stage: one for one in estimate(recipe, SUITE, runs, wanted_kinds(recipe))}


def store(recipe, runs):
    return RunStore.open(data_store(recipe, SUITE.version, runs), store_settings(recipe, SUITE.version))


def answer(prompt, completion, calls=1, usd=0.0):
    return {"text": "x", "rejected": "", "repairs": 0, "model": "m", "usage": to_dict(Usage(prompt, completion, calls, usd=usd))}


def test_ranges():
    assert Range(1, 2) + Range(10, 20) == Range(11, 22) and Range(1, 2) * Range(3, 4) == Range(3, 8) and Range(1, 2) * 5 == Range(5, 10)
    assert exactly(90) / Range(0.3, 0.9) == Range(100, 300)  # the more are accepted, the fewer it takes
    assert Range(5, 9).without(6) == Range(0, 3)
    assert (around(100).low, around(100).high) == pytest.approx((85, 115))


def test_a_benchmark_without_training_tasks_is_estimated_from_what_its_file_holds(recipe, tmp_path):
    suite = replace(SUITE, splits=("validation", "test"))
    made = recipe(tasks=100, synthetic=10, imports={"webrl": "web.json"})
    found = {one.stage: one for one in estimate(made, suite, tmp_path, wanted_kinds(made))}
    assert found["seed roll-outs"].wanted == exactly(0)
    assert found["grounded plans"].wanted == Range(1000 + 10, 1123 + 10)  # 1,113 requests in the paper


def test_an_empty_store_is_estimated_from_the_constants(recipe, tmp_path):
    found = stages(recipe(tasks=100), tmp_path)
    assert list(found) == ["seed roll-outs", "grounded plans", "replans"]
    rolls, plans = found["seed roll-outs"], found["grounded plans"]
    # 100 episodes of 5 to 10 turns; a call has 3 tokens (compact), a page of 90 to 200, and half of the episode's actions of 20 to 60
    assert (rolls.role, rolls.wanted, rolls.done, rolls.calls) == ("actor", exactly(100), 0, Range(500, 1000))
    assert rolls.prompt == Range(500 * (3 + 90 + 5 * 20 / 2), 1000 * (3 + 200 + 10 * 60 / 2))
    assert rolls.completion == Range(500 * 20, 1000 * 100)
    # 0.35 to 0.95 of them are solved, and asked about once to one and a half times
    assert plans.wanted == Range(35, 95) and plans.calls == Range(35, 142.5)


def test_every_stage_of_the_full_system_is_there_and_no_other(recipe, tmp_path):
    full = recipe(tasks=100, synthetic=50, expansion=200, targeted=100, outcome_filter="orm")
    names = ["seed roll-outs", "new requests", "feasible requests", "synthetic roll-outs", "outcomes", "grounded plans", "expansion"]
    names += ["validation attempts", "failure classes", "pairs by class", "variants", "verdicts on pairs", "replans"]
    assert list(stages(full, tmp_path)) == names
    cot = replace(full, agent=replace(full.agent, cot=True), data=replace(full.data, planner=("plan",), executor=("act",)))
    asked = stages(cot, tmp_path)
    assert [(name, asked[name].role) for name in asked if name.startswith("reasoning")] == [
        ("reasoning of act_cot", "reasoner"),
        ("reasoning of plan_cot", "reasoner"),
    ]
    assert "replans" not in asked and asked["outcomes"].role == "orm"
    measured = replace(full, data=replace(full.data, failures_of="runs/eval/x/run.sqlite"))
    assert "validation attempts" not in stages(measured, tmp_path)


def test_the_kinds_are_those_of_the_stages():
    kinds = {grounding.KIND, replanning.KIND, synthesis.QUERY, synthesis.FEASIBILITY, outcome.JUDGE, outcome.ORM, expansion.KIND}
    kinds |= {pair_checks.KIND, targeting.CLASSES, targeting.CLASSIFICATION, variants.KIND, attempts.KIND, attempts.EVALUATED}
    assert set(SHAPES) == kinds | {"reasoning"}
    assert f"{synthesis.TEMPLATE}." == module.SYNTHETIC


def test_what_is_stored_is_not_made_again_and_tells_what_the_rest_will_use(recipe, tmp_path):
    hundred = recipe(tasks=100)
    with store(hundred, tmp_path) as opened:
        for n in range(20):
            opened.put(str(n), answer(1000, 50, calls=2), kind="plan")
    plans = stages(hundred, tmp_path)["grounded plans"]
    assert plans.done == 20 and plans.wanted == Range(35, 95)
    # 15 to 75 are left, each of 1000 ± 15% prompt tokens, 50 ± 15% completion tokens, 2 ± 15% calls
    assert (plans.prompt.low, plans.prompt.high) == pytest.approx((15 * 850, 75 * 1150))
    assert (plans.completion.low, plans.calls.high) == pytest.approx((15 * 42.5, 75 * 2.3))


def test_few_items_are_no_measure(recipe, tmp_path):
    hundred = recipe(tasks=100)
    with store(hundred, tmp_path) as opened:
        for n in range(9):
            opened.put(str(n), answer(10**6, 50), kind="plan")
    plans = stages(hundred, tmp_path)["grounded plans"]
    assert plans.done == 9 and plans.calls == Range(26, 86) * ANSWERS and plans.prompt.high < 10**6


def test_episodes_in_the_store_measure_turns_and_the_share_that_is_solved(recipe, tmp_path, solved):
    hundred, pool = recipe(tasks=100), SUITE.tasks("train")
    with store(hundred, tmp_path) as opened:
        for n in range(12):  # of 3, 4 and 7 turns in turn; every fourth one failed
            episode = replace(solved[n % 3], task_id=pool[n].id, outcome=replace(solved[0].outcome, success=n % 4 > 0))
            opened.put(pool[n].id, to_dict(episode), kind="trajectory")
        opened.put("synthetic.abc", to_dict(solved[0]), kind="trajectory")
    stored = read_stored(data_store(hundred, SUITE.version, tmp_path))
    assert stored.turns == around((4 * (3 + 4 + 7) + 3) / 13) and stored.solved == Range(10 / 13 * 0.85, min(1.0, 10 / 13 * 1.15))
    found = stages(hundred, tmp_path)
    assert found["seed roll-outs"].done == 12 and found["grounded plans"].wanted == exactly(100) * stored.solved
    more = stages(replace(hundred, data=replace(hundred.data, synthetic=50)), tmp_path)
    assert more["synthetic roll-outs"].done == 1 and more["synthetic roll-outs"].wanted == exactly(50) / stored.solved


def test_dollars_are_tokens_times_prices():
    stage = StageEstimate("x", "teacher", exactly(5), 0, Range(5, 10), Range(1e6, 3e6), Range(1e5, 2e5))
    assert stage.usd(PRICED) == Range(2 + 1, 6 + 2)
    assert stage.usd(replace(PRICED, usd_per_m_completion=None)) is None
    assert stage.usd(None) == NOTHING and stage.usd(replace(PRICED, base_url="", usd_per_m_prompt=None)) == NOTHING
    assert replace(stage, calls=NOTHING).usd(replace(PRICED, usd_per_m_prompt=None)) == NOTHING  # nothing left to ask is free


def test_the_table_names_prices_that_are_missing_and_adds_up_those_that_are_not(recipe):
    priced = replace(recipe(tasks=5, teacher="endpoint"), endpoints={"teacher": PRICED, "actor": replace(PRICED, usd_per_m_prompt=None)})
    stage = StageEstimate("plans", "teacher", exactly(12_345), 7, Range(5, 1234), Range(1e6, 3e6), Range(1e5, 2e5))
    head, line, total = table(priced, [stage])
    assert " ".join(head.split()) == "stage asks items done calls prompt tokens completion tokens USD"
    assert " ".join(line.split()) == "plans teacher 12k 7 5 - 1,234 1.0M - 3.0M 100k - 200k 3.00 - 8.00"
    assert " ".join(total.split()) == "total 5 - 1,234 1.0M - 3.0M 100k - 200k 3.00 - 8.00"
    _, _, acting, teaching, also_acting, total = table(priced, [stage, replace(stage, role="actor")])
    assert acting.endswith("price unknown") and also_acting.endswith("price unknown") and total.endswith("  3.00 - 8.00 + unknown")
    assert " ".join(teaching.split()) == "all stages teacher 5 - 1,234 1.0M - 3.0M 100k - 200k 3.00 - 8.00"
    assert table(recipe(tasks=5), [stage])[-1].endswith("free")


def test_describe_says_what_a_build_would_do_and_does_nothing(recipe, tmp_path):
    lines = describe(recipe(tasks=12), tmp_path)
    assert lines[0].startswith(f"data      {tmp_path}/data/") and lines[2].endswith("act_dynamic (to build), react (to build)")
    assert f"12 of {len(SUITE.tasks('train'))} training tasks of miniweb-short {SUITE.version}, 0 rolled out; teacher scripted" in lines[1]
    assert any(line.startswith("total ") and line.endswith("free") for line in lines) and list(tmp_path.iterdir()) == []
    assert lines[-1] == "Hub       none is fetched to train and evaluate; nothing is pushed"
    assert describe(replace(recipe(tasks=1), data=None), tmp_path) == ["data      not part of this recipe"]


def test_describe_tells_what_is_spent_the_limit_and_who_is_asked(recipe, tmp_path):
    paid = replace(recipe(tasks=12, teacher="endpoint", max_usd=20.0), endpoints={"teacher": PRICED})
    with store(paid, tmp_path) as opened:
        opened.put("a", answer(1000, 50, usd=1.25), kind="plan")
    text = "\n".join(describe(paid, tmp_path))
    assert "spent so far: 1.25 USD\nlimit: 20.00 USD, what is spent included" in text and "asks      http://127.0.0.1:9/v1, m" in text


def test_a_build_that_is_done_costs_nothing(recipe, tmp_path):
    four = recipe(tasks=4, executor=("act",))
    build.build(four, tmp_path)
    lines = describe(four, tmp_path)
    assert "4 rolled out" in lines[1] and lines[2].endswith("rows: plan (built), replan (built), act (built)")
    assert not any(line.startswith(("stage", "total")) for line in lines)


def test_after_a_part_of_the_roll_outs_the_estimate_holds_what_the_rest_then_uses(recipe, tmp_path):
    """The scripted teacher counts words as tokens; what the store measured is in those words too."""
    part, whole = recipe(tasks=30, planner=("plan",)), recipe(tasks=90, planner=("plan",))
    build.build(part, tmp_path)
    before = stages(whole, tmp_path)
    assert before["seed roll-outs"].done >= 25  # the samples of two sizes need not contain each other
    build.build(whole, tmp_path)
    after = stages(whole, tmp_path)
    assert after["seed roll-outs"].calls == NOTHING
    with RunStore.open(data_store(whole, SUITE.version, tmp_path), store_settings(whole, SUITE.version)) as opened:
        plans = [module.usage_of(item) for _, item in opened.items("plan")]
    rest = sum(usage.prompt_tokens for usage in plans[before["grounded plans"].done :])
    assert before["grounded plans"].prompt.low <= rest <= before["grounded plans"].prompt.high


def test_the_script_needs_no_network_and_under_two_seconds_where_nothing_is_trained(tmp_path):
    """Processor time: other work on the machine is not the script's. What a training takes is told by torch, whose import takes longer."""
    code = (
        "import runpy, socket, sys, time\n"
        "def refuse(*_): raise SystemExit('the network was asked for')\n"
        "socket.socket.connect = refuse\n"
        f"sys.argv = ['plan.py', '--config', 'recipes/tiny/cot.yaml', '--set', 'sft=null', '--runs', {str(tmp_path / 'runs')!r}]\n"
        "runpy.run_path('scripts/plan.py', run_name='__main__')\n"
        "print('seconds', time.process_time())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "reasoning of plan_cot" in done.stdout and not (tmp_path / "runs").exists()
    assert float(done.stdout.split("seconds ")[1]) < 2.0
