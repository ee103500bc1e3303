"""What chat templates make of rows with reasoning: the answer that is trained must hold it, and read as it will be generated."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from planact.actions import parse_action
from planact.plans import parse_plan
from planact.prompts import executor_answer, executor_messages
from planact.recipe import Agent
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn
from planact_data.build import build
from planact_train.sft import make_trainer, train

THOUGHT = "The results list 'Tee'.\nSo I click it."
CLICK = Action(Op.CLICK, "7", target="link 'Tee'")
PAGE = Observation("link 'Tee' [7]", "link 'Tee'", "http://x/")
PLAN = Plan((PlanStep("why", "Open 'Tee'."),))
PAST = [Turn(0, PLAN, PAGE, "", Action(Op.BACK))]
AGENT = Agent(prompts="compact", observation="short", cot=True)
TEMPLATES = files("trl") / "chat_templates"  # published models' own and TRL's for training, which a recipe may name


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(Path(__file__).parents[2] / "models/planact-tiny")


def rendered(tokenizer, template=None):
    """The text before the answer as at inference, and prompt and answer together as in training."""
    template = (TEMPLATES / f"{template}.jinja").read_text() if template else None
    prompt, answer = executor_messages(AGENT, "Buy 'Tee'", PLAN, PAST, PAGE), executor_answer(CLICK, "webrl", THOUGHT)
    before = tokenizer.apply_chat_template(prompt, chat_template=template, tokenize=False, add_generation_prompt=True)
    return before, tokenizer.apply_chat_template([*prompt, answer], chat_template=template, tokenize=False)


BLOCK = f"""<think>\n{THOUGHT}\n</think>\n\n# Element: link 'Tee'\ndo(action="Click", element="7")"""


def test_the_tiny_models_template_trains_the_reasoning(tokenizer):
    before, whole = rendered(tokenizer)
    assert before.endswith("<|assistant|>") and "<think>" not in before  # no reasoning in earlier rounds either
    assert whole == before + BLOCK + "<|end|>"
    ids, start = tokenizer(whole, add_special_tokens=False)["input_ids"], tokenizer(before, add_special_tokens=False)["input_ids"]
    assert ids[: len(start)] == start  # what is trained begins where generation begins
    assert parse_action(tokenizer.decode(ids[len(start) :], skip_special_tokens=True), "webrl") == CLICK


def test_a_planner_with_reasoning_is_trained_to_begin_with_it(small, tmp_path):
    few = [
        "data.tasks=2",
        "data.teacher_error_rate=0",
        "data.synthetic=0",
        "data.expansion=0",
        "data.targeted=0",
        "data.planner=[plan]",
        "data.executor=[act]",
    ]
    recipe = small("cot", *few, "sft.max_steps=2", "sft.save_steps=2")
    rows_folder = build(recipe, tmp_path)
    trainer = make_trainer(recipe, "planner", rows_folder, tmp_path / "model")
    assert len(trainer.train_dataset) == 2  # a plan for each task
    for row in trainer.train_dataset:
        prompt, answer = row["prompt"], row["completion"][0]["content"]
        assert prompt[0]["content"] == "plan, think first"
        trained = trainer.processing_class.decode([label for label in row["labels"] if label != -100])
        assert trained == answer + "<|end|>"
        thought, tag, plan = trained.removesuffix("<|end|>").partition("</think>")
        assert thought.startswith("<think>\n") and thought.removeprefix("<think>").strip() and tag
        assert parse_plan(plan).steps and parse_plan(answer) == parse_plan(plan)
    folder = train(recipe, "planner", tmp_path)
    assert json.loads((folder / "finished.json").read_text())["settings"]["rows"].keys() == {"plan_cot"}


@pytest.mark.parametrize("template", ["qwen3", "qwen2_5_training", "llama3_training", "deepseek_r1_distill_training", "lfm2_training"])
def test_templates_of_published_models_keep_the_reasoning_where_it_is_trained(tokenizer, template):
    before, whole = rendered(tokenizer, template)
    assert BLOCK in whole and whole.count("<think>") == 1
    forced = before.endswith("<think>\n")  # R1's template begins the answer itself
    assert whole.startswith(before) and whole[len(before) :].startswith(BLOCK.removeprefix("<think>\n") if forced else BLOCK)


def test_templates_that_must_not_be_used(tokenizer):
    """R1's own trains answers without reasoning, TRL's training template for Qwen3 adds empty reasoning to earlier rounds."""
    _, whole = rendered(tokenizer, "deepseek_r1_distill")
    assert "do(action=" in whole and THOUGHT not in whole
    _, whole = rendered(tokenizer, "qwen3_training")
    assert whole.count("<think>") == 2


@pytest.mark.parametrize("text", [BLOCK, BLOCK.removeprefix("<think>\n"), "\n" + BLOCK])
def test_an_answer_is_read_whether_or_not_the_prompt_began_it(text):
    assert parse_action(text, "webrl") == CLICK
