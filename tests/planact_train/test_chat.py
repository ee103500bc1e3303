"""Chat templates: which token of a row is trained, that prompts are served as they were trained, and what is refused."""

from importlib.resources import files

import pytest
from datasets import Dataset
from transformers import AutoTokenizer

from planact.actions import parse_action
from planact.llm import Completion
from planact.prompts import executor_answer, executor_messages, planner_answer, planner_messages, replanner_messages
from planact.recipe import Agent, RecipeError
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn, Usage
from planact_eval.serving import LocalLLM
from planact_train.chat import check_template, family, load_tokenizer, template_in_place
from planact_train.settings import sft_config
from planact_train.trainer import AnswerTrainer

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Go"},
    {"role": "assistant", "content": "back()"},
    {"role": "user", "content": "On"},
]
ANSWER = {"role": "assistant", "content": "do(it)"}
WRITTEN = {  # by hand from the published formats
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nGo<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nback()<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nOn<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nGo<|im_end|>\n"
    "<|im_start|>assistant\nback()<|im_end|>\n<|im_start|>user\nOn<|im_end|>\n<|im_start|>assistant\n",
}
END = {"llama3": "<|eot_id|>", "qwen": "<|im_end|>"}

PAGE = Observation("link 'Tee' [7]", "link 'Tee'", "http://x/")
PLAN = Plan((PlanStep("It is there.", "Open 'Tee'."),))
CLICK = Action(Op.CLICK, "7", target="link 'Tee'")
PAST = [Turn(0, PLAN, PAGE, "", Action(Op.BACK), replanned=True)]
THOUGHT = "The page lists 'Tee'.\nSo I click it."


def rows_of(cot=False):
    """A row of every role, from the one renderer."""
    agent, thought = Agent(cot=cot), THOUGHT if cot else ""
    prompts = [
        (planner_messages(agent, "Buy 'Tee'", PAGE), planner_answer(PLAN, thought)),
        (replanner_messages(agent, "Buy 'Tee'", PAST, PAGE), planner_answer(PLAN, thought)),
        (executor_messages(agent, "Buy 'Tee'", PLAN, PAST, PAGE), executor_answer(CLICK, "webrl", thought)),
        (executor_messages(agent, "Buy 'Tee'", None, PAST, PAGE), executor_answer(CLICK, "webrl", thought)),
    ]
    return [{"prompt": prompt, "completion": [answer]} for prompt, answer in prompts]


ROWS = [*rows_of(), *rows_of(cot=True)]


def prepared(base, rows, tmp_path, **settings):
    """What TRL makes of rows: (text, trained) of every token of every row."""
    tokenizer = load_tokenizer(str(base), settings)
    settings = {"use_cpu": True, "bf16": False, "max_length": 4096, "report_to": "none"} | settings
    config = sft_config(settings, tmp_path, 0, **template_in_place(tokenizer))
    trainer = AnswerTrainer(model=str(base), args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    pairs = [list(zip(row["input_ids"], row["labels"])) for row in trainer.train_dataset]
    assert all(label in (-100, token) for row in pairs for token, label in row)
    return [[(tokenizer.decode([token]), label != -100) for token, label in row] for row in pairs], trainer


def trained_text(row):
    return "".join(text for text, trained in row if trained)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_the_templates_of_the_two_families_write(published, name):
    tokenizer = load_tokenizer(str(published(name)), {})
    assert tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True) == WRITTEN[name]
    assert tokenizer.apply_chat_template([*CHAT, ANSWER], tokenize=False) == WRITTEN[name] + "do(it)" + END[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_of_a_prompt_with_answer_every_token_of_the_answer_and_its_end_is_trained(published, name, tmp_path):
    (row,), _ = prepared(published(name), [{"prompt": CHAT, "completion": [ANSWER]}], tmp_path)
    split = next(i for i, (_, trained) in enumerate(row) if trained)
    assert not any(trained for _, trained in row[:split]) and all(trained for _, trained in row[split:])
    assert "".join(text for text, _ in row[:split]) == WRITTEN[name]  # the prompt that is served, to the byte
    assert trained_text(row) == "do(it)" + END[name] and row[-1] == (END[name], True)


@pytest.mark.parametrize("name", WRITTEN)
def test_of_a_conversation_every_answer_and_its_end_is_trained_and_nothing_else(published, name, tmp_path):
    (row,), trainer = prepared(published(name), [{"messages": [*CHAT, ANSWER]}], tmp_path, assistant_only_loss=True)
    assert trainer.chat_template is None  # TRL put none of its own in place of ours
    assert "".join(text for text, _ in row) == WRITTEN[name] + "do(it)" + END[name]
    assert trained_text(row) == f"back(){END[name]}do(it){END[name]}"
    assert [trained for text, trained in row if text == END[name]] == [False, False, True, False, True]  # system, user, it, user, it


@pytest.mark.parametrize("name", WRITTEN)
async def test_every_role_is_served_the_prompt_that_it_was_trained_on(published, name, tmp_path, monkeypatch):
    rows, trainer = prepared(published(name), ROWS, tmp_path)
    trainer.save_model(str(tmp_path / "model"))
    assert (tmp_path / "model/chat_template.jinja").read_text() == trainer.processing_class.chat_template  # what vLLM reads
    llm, asked = LocalLLM(tmp_path / "model"), []
    monkeypatch.setattr(llm, "_generate", lambda batch: asked.extend(batch) or [Completion("", Usage(), "stop")] * len(batch))
    for row in ROWS:
        await llm.complete(row["prompt"], max_tokens=1)
    for row, made, request in zip(ROWS, rows, asked, strict=True):
        trained, answer = trainer.processing_class, row["completion"][0]["content"]
        assert trained.decode(request.ids) == "".join(text for text, carried in made if not carried)
        assert trained_text(made) == answer + END[name]
        assert answer == answer.strip()  # contents are written as they are, so the renderer leaves no space around them


@pytest.mark.parametrize("name", WRITTEN)
def test_the_token_that_is_trained_to_end_an_answer_ends_generation(published, name, tmp_path):
    _, trainer = prepared(published(name), ROWS[:1], tmp_path)  # the Llama base of the tests ends texts with <|end_of_text|>
    trainer.save_model(str(tmp_path / "model"))
    llm = LocalLLM(tmp_path / "model")
    end = llm.tokenizer.convert_tokens_to_ids(END[name])
    assert llm.tokenizer.eos_token == END[name] and end in llm.ends
    ends = llm.model.generation_config.eos_token_id
    assert end in (ends if isinstance(ends, list) else [ends])
    assert llm.model.config.eos_token_id == end
    token = llm.tokenizer.encode("do", add_special_tokens=False)[0]
    request = type("Request", (), {"max_tokens": 9, "ids": [1]})
    reply = llm._completion(request, [token, end, token], 0.0)
    assert (reply.text, reply.finish_reason) == (llm.tokenizer.decode([token]), "stop")


def test_a_published_template_with_the_days_date_does_not_stay(published):
    stock = AutoTokenizer.from_pretrained(published("llama3"))
    assert "Cutting Knowledge Date" in stock.apply_chat_template(CHAT, tokenize=False)
    assert "Date" not in load_tokenizer(str(published("llama3")), {}).apply_chat_template(CHAT, tokenize=False)


FORCED = (  # QwQ's way: the prompt begins the reasoning
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


def test_reasoning_is_begun_by_the_answer_and_once(published, tmp_path):
    rows, _ = prepared(published("qwen"), rows_of(cot=True), tmp_path)
    for row in rows:
        assert trained_text(row).startswith(f"<think>\n{THOUGHT}\n</think>\n\n") and trained_text(row).count("<think>") == 1
        assert row[[trained for _, trained in row].index(True)] == ("<think>", True)  # one token of the vocabulary
        context = "".join(text for text, trained in row if not trained)
        assert context.endswith("<|im_start|>assistant\n")
    assert parse_action(trained_text(rows[2]).removesuffix(END["qwen"]), "webrl") == CLICK


def test_a_template_that_begins_the_reasoning_itself_is_for_rows_with_reasoning(published, tmp_path):
    (tmp_path / "qwq.jinja").write_text(FORCED)
    settings = {"chat_template_path": str(tmp_path / "qwq.jinja")}
    check_template(load_tokenizer(str(published("qwen")), settings), rows_of(cot=True), settings)
    rows, _ = prepared(published("qwen"), rows_of(cot=True), tmp_path, **settings)
    assert all(trained_text(row).startswith(THOUGHT) for row in rows)
    tokenizer = load_tokenizer(str(published("qwen")), settings)
    with pytest.raises(RecipeError, match="otherwise in training"):
        check_template(tokenizer, rows_of(cot=False), settings)


def chatml(content="{{ m.content }}", before="", asked="", after=""):
    """A template with <|im_start|> turns that does one thing wrong."""
    turn = f"<|im_start|>{{{{ m.role }}}}\n{before}{content}<|im_end|>"
    asking = f"{{% if add_generation_prompt %}}<|im_start|>assistant\n{asked}{{% else %}}{after}{{% endif %}}"
    return f"{{% for m in messages %}}{turn}{{% endfor %}}{asking}"


REFUSED = {
    "it loses the answer": chatml(content="{{ m.content if m.role != 'assistant' }}"),
    "drops the <think> reasoning": chatml(content="{{ m.content.split('</think>')[-1] }}"),
    "and otherwise in training": chatml(asked="Well, "),
    "begins the answer with <think>, and so does": chatml(before="{{ '<think>\n' if m.role == 'assistant' }}", asked="<think>\n"),
    "melt into one token": chatml(before="{{ '\n' if m.role == 'assistant' }}"),
    "does not end with the end-of-turn token": chatml(after=" Good bye."),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_template_that_does_not_train_what_is_asked_for_is_refused(published, reason, tmp_path):
    (tmp_path / "other.jinja").write_text(REFUSED[reason])
    settings = {"chat_template_path": str(tmp_path / "other.jinja")}
    tokenizer = load_tokenizer(str(published("qwen")), settings)
    for row in rows_of(cot=True):  # also where an earlier round holds the same plan
        with pytest.raises(RecipeError, match=reason) as caught:
            check_template(tokenizer, [row], settings)
        assert "sft.chat_template_path" in str(caught.value)


def test_a_template_that_ends_turns_with_no_token_of_its_own_is_refused(published, tmp_path):
    for end in ("", "\nThe end."):
        text = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + end + "{% endfor %}"
        (tmp_path / "endless.jinja").write_text(text)
        with pytest.raises(RecipeError, match="no token of its own"):
            load_tokenizer(str(published("qwen")), {"chat_template_path": str(tmp_path / "endless.jinja")})
    with pytest.raises(RecipeError, match=r"sft.eos_token=<\|endoftext\|>, but the chat template ends turns with <\|im_end\|>"):
        load_tokenizer(str(published("qwen")), {"eos_token": "<|endoftext|>"})


@pytest.mark.parametrize("text", ["{% for m in messages %}", "{{ nothing.at_all }}", "{{ raise_exception('no system prompt') }}"])
def test_a_template_that_is_broken_is_refused(published, tmp_path, text):
    (tmp_path / "broken.jinja").write_text(text)
    with pytest.raises(RecipeError, match="is broken: .*sft.chat_template_path"):
        load_tokenizer(str(published("qwen")), {"chat_template_path": str(tmp_path / "broken.jinja")})


def test_assistant_only_loss_needs_marks_in_the_template(published, tmp_path):
    (tmp_path / "plain.jinja").write_text(chatml())
    settings = {"chat_template_path": str(tmp_path / "plain.jinja")}
    tokenizer = load_tokenizer(str(published("qwen")), settings)
    check_template(tokenizer, ROWS, settings)
    with pytest.raises(RecipeError, match="assistant_only_loss needs a chat template with {% generation %}"):
        check_template(tokenizer, ROWS, settings | {"assistant_only_loss": True})


def test_the_recipe_names_a_template_of_its_own(published, base, tmp_path):
    stock = AutoTokenizer.from_pretrained(published("llama3"))
    tokenizer = load_tokenizer(str(published("llama3")), {"chat_template_path": str(published("llama3"))})
    assert tokenizer.chat_template == stock.chat_template and tokenizer.eos_token == "<|eot_id|>"
    with pytest.raises(RecipeError, match=r"writes .*<\|im_start\|>.*, for which .* has no embedding"):
        load_tokenizer(str(published("llama3")), {"chat_template_path": str(published("qwen"))})
    with pytest.raises(RecipeError, match="none.jinja cannot be read: No such file"):
        load_tokenizer(str(published("llama3")), {"chat_template_path": "none.jinja"})
    bare = AutoTokenizer.from_pretrained(base)
    bare.chat_template = None
    bare.save_pretrained(tmp_path)
    for settings in ({}, {"chat_template_path": str(tmp_path)}):
        with pytest.raises(RecipeError, match="chat template"):
            load_tokenizer(str(tmp_path), settings)


def test_a_family_is_known_by_its_tokens_and_its_template(published, base):
    for name in WRITTEN:
        tokenizer = AutoTokenizer.from_pretrained(published(name))
        assert family(tokenizer) == name
        tokenizer.chat_template = None  # a base model that was never tuned
        assert family(tokenizer) == name
        tokenizer.chat_template = (files("trl") / "chat_templates/deepseek_r1_distill.jinja").read_text()
        assert family(tokenizer) is None  # distilled from R1: a family's vocabulary, and other turns
    assert family(AutoTokenizer.from_pretrained(base)) is None
    lfm2 = AutoTokenizer.from_pretrained(published("qwen"))
    lfm2.bos_token = "<|endoftext|>"  # <|im_start|> turns after a token that begins the text
    assert family(lfm2) is None


def test_other_families_keep_their_own_template(base):
    tokenizer, stock = load_tokenizer(str(base), {}), AutoTokenizer.from_pretrained(base)
    assert tokenizer.chat_template == stock.chat_template and tokenizer.eos_token == stock.eos_token == "<|end|>"
    check_template(tokenizer, ROWS, {})
