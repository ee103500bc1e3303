"""Held-out rows answered while a model is trained: what is counted, that nothing else changes, and where the figures go."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from planact.plans import render_plan
from planact.recipe import Training
from planact.types import Plan, PlanStep
from planact_train.answers import AnswerCheck, Question, answers, judged, questions, shared
from planact_train.settings import sft_config
from planact_train.sft import train
from planact_train.trainer import AnswerTrainer, ProgressLine

REPO = Path(__file__).parents[2]
PLAN = render_plan(Plan((PlanStep("The cart is empty.", "Open the mug's page."), PlanStep("", "Press Add to cart."))))
ROWS = [
    ("plan", "Buy a mug.", PLAN),
    ("replan", "What is left?", render_plan(Plan((PlanStep("", "Press Pay."),)))),
    ("act", "Next, on a page that is longer?", 'do(action="Click", element="7")'),
    ("react", "And?", '# Note: 25\nexit(message="25")'),
]
CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "max_length": 512, "logging_steps": 1}


def row(kind, question, answer):
    chat = {"prompt": [{"role": "user", "content": question}], "completion": [{"role": "assistant", "content": answer}]}
    return chat | {"kind": kind, "task_id": question}


@pytest.fixture(scope="module")
def rows():
    return Dataset.from_list([row(*each) for each in ROWS])


def trainer_of(model, tokenizer, rows, folder, **settings):
    return AnswerTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=sft_config(CPU | {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 3} | settings, folder, seed=0),
        train_dataset=rows.select_columns(["prompt", "completion"]),
        processing_class=AutoTokenizer.from_pretrained(tokenizer),
    )


@pytest.fixture(scope="module")
def learned(base, rows, tmp_path_factory):
    """A trainer that has learnt the four rows by heart, answered every 8 steps."""
    trainer = trainer_of(base, base, rows, tmp_path_factory.mktemp("learned"), max_steps=90, learning_rate=1e-2, warmup_steps=5)
    trainer.add_callback(AnswerCheck(trainer, rows, every=8, limit=200, grammar="webrl"))
    trainer.train()
    return trainer


def asked(kind, answer, tokenizer=None, grammar="webrl"):
    tokenizer = tokenizer or SimpleNamespace(apply_chat_template=lambda *_, **__: {"input_ids": [1]})
    [question] = questions([row(kind, "?", answer)], tokenizer, grammar)
    return question


@pytest.mark.parametrize(
    "kind, gold, answer, verdict",
    [
        ("plan", PLAN, PLAN, (True, True)),
        ("plan", PLAN, PLAN.replace("The cart is empty.", "Why not?"), (True, True)),  # the steps count, not the reasons
        ("replan_cot", PLAN, f"<think>Hm.</think>{PLAN}", (True, True)),
        ("plan", PLAN, PLAN.replace("Press", "Do not press"), (True, False)),
        ("plan", PLAN, PLAN.replace("Step: Press", "Press"), (False, False)),
        ("plan", PLAN, None, (False, False)),
        ("act", ROWS[2][2], "do(action='click', element='7')", (True, True)),  # another spelling of the same action
        ("act", ROWS[2][2], ROWS[2][2].replace("7", "8"), (True, False)),
        ("react", ROWS[3][2], 'exit(message="25")', (True, False)),  # the note is lost
        ("act_dynamic", ROWS[2][2], "do(action=", (False, False)),
        ("act", ROWS[2][2], "", (False, False)),
    ],
)
def test_valid_is_what_can_be_read_and_exact_what_says_the_same(kind, gold, answer, verdict):
    assert judged(asked(kind, gold), answer) == verdict


def test_actions_are_read_in_the_agents_spelling():
    assert judged(asked("act", "click('7')", grammar="browsergym"), 'click("7")') == (True, True)
    assert judged(asked("act", "click('7')", grammar="browsergym"), 'do(action="Click", element="7")') == (False, False)


def test_the_shares_rise_from_none_to_all_as_the_rows_are_learnt(learned):
    entries = [entry for entry in learned.state.log_history if "plan_valid" in entry]
    assert [entry["step"] for entry in entries] == [*range(8, 89, 8), 90]  # the last step too
    shares = ("plan_valid", "plan_exact", "action_valid", "action_exact")
    assert any(entries[0][key] < 1 for key in shares)
    assert {key: entries[-1][key] for key in shares} == dict.fromkeys(shares, 1.0)
    assert entries[-1].keys() == {*shares, "step", "epoch"}  # TRL's running means of the training are not in it


def test_every_step_still_logs_its_loss(learned):
    assert [entry["step"] for entry in learned.state.log_history if "loss" in entry] == list(range(1, 91))


def test_prompts_of_different_lengths_are_answered_together_as_alone(learned, rows):
    tokenizer = learned.processing_class
    ids = [question.ids for question in questions(rows, tokenizer, "webrl")]
    assert len({len(each) for each in ids}) == 4
    together = answers(learned.model.eval(), tokenizer, ids, 200, learned.accelerator)
    assert together == [answers(learned.model, tokenizer, [each], 200, learned.accelerator)[0] for each in ids]
    assert together == [answer for _, _, answer in ROWS]


def test_an_answer_that_does_not_end_in_time_is_none(learned, rows):
    [first, *_] = questions(rows, learned.processing_class, "webrl")
    assert answers(learned.model.eval(), learned.processing_class, [first.ids], 3, learned.accelerator) == [None]


def test_nothing_is_generated_much_beyond_the_longest_right_answer(learned, rows):
    tokenizer = learned.processing_class
    longest = len(tokenizer(PLAN, add_special_tokens=False)["input_ids"])
    assert AnswerCheck(learned, rows, 1, 10_000, "webrl").limit == 2 * longest
    assert AnswerCheck(learned, rows, 1, 5, "webrl").limit == 5


@pytest.mark.parametrize("number, processes, size", [(7, 3, 2), (1, 4, 8), (16, 2, 4), (5, 1, 2), (6, 4, 1)])
def test_processes_share_the_rows_in_equally_many_batches(number, processes, size):
    asked = [Question([n], str(n), "plan", str) for n in range(number)]
    batches = [list(shared(asked, SimpleNamespace(num_processes=processes, process_index=rank), size)) for rank in range(processes)]
    assert len({len(each) for each in batches}) == 1 and all(batch for each in batches for batch, _ in each)
    counted = [question.gold for each in batches for batch, mine in each if mine for question in batch]
    assert sorted(counted) == sorted(map(str, range(number)))


def test_answering_does_not_change_the_training(small, runs, capfd):
    # The dropout of the adapter draws random numbers, and is off in a model that was left in evaluation mode.
    lora = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_dropout=0.3", "sft.lora_target_modules=all-linear"]
    watched = ["training.held_out=3", "sft.gradient_checkpointing=true", "training.answer_rows=5", "sft.logging_steps=2"]

    def curve(*more):
        folder = train(small("dynamic-replanning", *lora, *watched, *more), "planner", runs)
        return folder, json.loads((folder / "curve.json").read_text())

    folder, answered = curve("training.answer_every=3")
    line = [line for line in capfd.readouterr().err.splitlines() if line.startswith("train planner")][-1]
    assert "6/6 steps loss" in line and ", held-out 0." in line and ", valid plans 0%, exact plans 0%" in line
    assert [entry["step"] for entry in answered if "plan_valid" in entry] == [3, 6]
    finished = json.loads((folder / "finished.json").read_text())
    assert finished["train_loss"] == [entry["loss"] for entry in answered if "loss" in entry][-1]
    (folder / "finished.json").rename(folder / "finished.txt")  # another recipe with the same folder: what is watched changes no model
    for path in folder.glob("checkpoint-*"):
        path.rename(runs / f"old-{path.name}")
    same, plain = curve()
    assert same == folder
    assert timeless(plain) == timeless(entry for entry in answered if "plan_valid" not in entry)
    assert [entry["step"] for entry in plain if "eval_loss" in entry] == [1, 2, 3, 4, 5, 6]  # ten times in a training, or at each step
    assert all({"eval_mean_token_accuracy", "eval_exact"} <= entry.keys() for entry in plain if "eval_loss" in entry)


def timeless(entries):
    speeds = ("runtime", "per_second")
    return [{key: value for key, value in entry.items() if not key.endswith(speeds)} for entry in entries]


def test_the_progress_line_says_the_latest_of_everything():
    line = ProgressLine("train")
    line.on_log(None, None, None, logs={"loss": "0.1234", "mean_token_accuracy": 0.98, "learning_rate": 1e-4})
    assert line.note == "loss 0.123, token accuracy 0.980"
    line.on_log(None, None, None, logs={"action_valid": 0.9375, "action_exact": 0.88})
    line.on_log(None, None, None, logs={"eval_loss": 0.2, "eval_mean_token_accuracy": 0.9641})
    assert line.note == "loss 0.123, token accuracy 0.980, held-out 0.964, valid actions 94%, exact actions 88%"


def test_training_defaults_measure_nothing():
    assert (Training().held_out, Training().answer_every) == (0, None)


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["ddp", "fsdp2"])
def test_two_processes_answer_together(launch, small, llama, runs):
    # Five rows of answers that end at different tokens, two at a time: one process has three of them, the other two.
    changes = [f"base_model={llama}", f"training.launch={launch}", "training.processes=2", "training.held_out=5", "training.answer_rows=5"]
    changes += [
        "training.answer_every=2",
        "sft.max_steps=3",
        "sft.per_device_train_batch_size=2",
        "sft.report_to=none",
        "sft.optim=adamw_torch",
    ]
    recipe = small("finetuning", *changes)
    (runs / "recipe.yaml").write_text(recipe.to_yaml())
    script = ["scripts/sft.py", "--config", str(runs / "recipe.yaml"), "--role", "planner", "--runs", str(runs)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    accelerate = [str(Path(sys.executable).with_name("accelerate")), "launch", "--config_file", f"accelerate_configs/{launch}.yaml"]
    accelerate += ["--num_processes", "2", "--main_process_port", "0", "tests/planact_train/fsdp_on_cpu.py"]
    command = [*(torchrun if launch == "ddp" else accelerate), *script]
    done = subprocess.run(
        command, cwd=REPO, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    [written] = (runs / "models").glob("planner-*/curve.json")
    curve = json.loads(written.read_text())
    assert [(entry["step"], entry["plan_valid"]) for entry in curve if "plan_valid" in entry] == [(2, 0.0), (3, 0.0)]
    assert [entry["step"] for entry in curve if "eval_loss" in entry] == [1, 2, 3]
