"""The tokenizer of a training run, with the chat template that its rows are trained and served with.

Templates of our own stand in for those of the Llama 3 and Qwen families (docs/DECISIONS.md says why); every other tokenizer
keeps its own. The template is saved with the model, so LocalLLM and vLLM render the prompts that were trained.
"""

from __future__ import annotations

import itertools
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Iterable, Mapping

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from planact.prompts import Message
from planact.recipe import RecipeError

# Family -> tokens that its turns are written with. Names of models say less: a merge or a local folder is called anything.
FAMILIES = {
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "qwen": ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
}
SAMPLE = 50  # rows that a template is tried on; one of 8,000 tokens takes some 20 ms
NEXT = "name another template in sft.chat_template_path (a .jinja file, or the folder of a tokenizer)"


def load_tokenizer(base_model: str, settings: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """The tokenizer of the base model with the template to train with, its end-of-turn token as end-of-sequence token.

    The template is that of `sft.chat_template_path`, or ours for the base's family, or the base's own.
    Raises RecipeError when there is none, or when it ends turns with no token of the vocabulary.
    """
    tokenizer = AutoTokenizer.from_pretrained(base_model, revision=settings.get("model_revision"))
    path = settings.get("chat_template_path")
    tokenizer.chat_template = _read_template(path, tokenizer) if path else template_of(tokenizer)
    end = _end_of_turn(tokenizer)
    if settings.get("eos_token", end) != end:
        raise RecipeError(
            f"sft.eos_token={settings['eos_token']}, but the chat template ends turns with {end}; drop sft.eos_token, or {NEXT}"
        )
    tokenizer.eos_token = end
    return tokenizer


def template_in_place(tokenizer: PreTrainedTokenizerBase) -> dict[str, str | None]:
    """What TRL is told of it: to leave the template alone, and to end generation of the trained model with the tokenizer's token."""
    return {"chat_template_path": None, "eos_token": tokenizer.eos_token}


def template_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """Our template for the tokenizer's family, or the tokenizer's own. Raises RecipeError when it has neither."""
    own = _own_template(tokenizer)
    if name := family(tokenizer):
        return files("planact_train").joinpath(f"templates/{name}.jinja").read_text(encoding="utf-8")
    if own is None:
        known = " and ".join(FAMILIES)
        raise RecipeError(f"{tokenizer.name_or_path} has no chat template and is of no family with one of ours ({known}); {NEXT}")
    return own


def family(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The key of FAMILIES whose tokens the vocabulary holds and, where the tokenizer has a template, the template writes.

    DeepSeek's distilled models have the tokens of their Llama or Qwen base and other turns; other users of <|im_start|> begin
    every text with a token of their own, which Qwen does not.
    """
    own, vocabulary = _own_template(tokenizer), tokenizer.get_vocab()
    for name, marks in FAMILIES.items():
        begins = tokenizer.bos_token is not None
        if begins == (name == "llama3") and all(mark in vocabulary for mark in marks) and (own is None or marks[0] in own):
            return name
    return None


def check_template(tokenizer: PreTrainedTokenizerBase, rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
    """Raises RecipeError when one of the first rows would not be trained as it will be asked for and answered.

    TRL tokenizes the prompt alone and the prompt with its answer, and only warns when the two differ.
    """
    if settings.get("assistant_only_loss") and not re.search(r"\{%-?\s*generation\s*-?%\}", tokenizer.chat_template):
        raise RecipeError(
            "sft.assistant_only_loss needs a chat template with {% generation %} around the answer; "
            f"drop it, since the prompts of these rows are not trained in any case, or {NEXT}"
        )
    for row in itertools.islice(rows, SAMPLE):
        if problem := _problem(tokenizer, row["prompt"], row["completion"]):
            raise RecipeError(f"the chat template of {tokenizer.name_or_path} cannot train these rows: {problem}; {NEXT}")


def _problem(tokenizer: PreTrainedTokenizerBase, prompt: list[Message], completion: list[Message]) -> str | None:
    """What the template does wrong with a row, None when nothing."""
    before, whole = _render(tokenizer, prompt, add_generation_prompt=True), _render(tokenizer, [*prompt, *completion])
    trained = whole[common_prefix_length(before, whole) :]  # TRL trains from where the two part
    thought, tag, answer = completion[-1]["content"].rpartition("</think>")
    if answer.strip() not in trained:
        return "it loses the answer"
    if tag and thought.removeprefix("<think>").strip() not in trained:
        return "it drops the <think> reasoning of the answer"
    if not whole.startswith(before):
        return f"the prompt ends in {before[-40:]!r} when an answer is asked for, and otherwise in training"
    if before.rstrip().endswith("<think>") and trained.lstrip().startswith("<think>"):
        return "it begins the answer with <think>, and so does the answer"
    if not trained.rstrip().endswith(tokenizer.eos_token):
        return f"what is trained does not end with the end-of-turn token {tokenizer.eos_token}"
    asked, given = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, whole))
    if given[: len(asked)] != asked:
        return f"the end of the prompt ({before[-20:]!r}) and the start of the answer ({trained[:20]!r}) melt into one token"
    return None


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[Message], **options: bool) -> str:
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)
    except TemplateError as error:
        raise RecipeError(f"the chat template of {tokenizer.name_or_path} is broken: {error}; {NEXT}") from error


def _read_template(path: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The template in a .jinja file, or that of another tokenizer, whose tokens the base must have."""
    if Path(path).suffix in (".jinja", ".j2"):
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise RecipeError(f"sft.chat_template_path={path} cannot be read: {error.strerror}") from error
    other = AutoTokenizer.from_pretrained(path)
    template = _own_template(other)
    if template is None:
        raise RecipeError(f"sft.chat_template_path={path} is a tokenizer without a chat template; name one that has one")
    missing = [token for token in other.get_added_vocab() if token in template and token not in tokenizer.get_vocab()]
    if missing:
        raise RecipeError(
            f"the template of {path} writes {', '.join(missing)}, for which {tokenizer.name_or_path} has no embedding; {NEXT}"
        )
    return template


def _own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    template = tokenizer.chat_template
    return template.get("default") if isinstance(template, dict) else template


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that the template writes after an answer. Raises RecipeError when it is none of the vocabulary's own."""
    question, answer = {"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}
    text = _render(tokenizer, [question, answer])
    after = tokenizer(text.rpartition("answer")[2].lstrip(), add_special_tokens=False)["input_ids"]
    token = tokenizer.convert_ids_to_tokens(after[0]) if after else None
    if token not in tokenizer.get_added_vocab():
        raise RecipeError(
            f"the chat template of {tokenizer.name_or_path} ends an answer with no token of its own, in {text[-40:]!r}; {NEXT}"
        )
    return token
