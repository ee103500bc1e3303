"""The tiny base model: a tokenizer that keeps names whole and loses nothing, a chat template that marks answers, a stock model."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from planact_envs.observation import read_elements
from planact_train.tiny import CONTEXT, new_model, train_tokenizer

CHAT = [
    {"role": "system", "content": "act"},
    {"role": "user", "content": "Open 'Cart'."},
    {"role": "assistant", "content": 'do(action="Click", element="5")'},
    {"role": "user", "content": "Report 'Price'."},
    {"role": "assistant", "content": 'exit(message="$12.50")'},
]


@pytest.fixture(scope="module")
def tokenizer(conversations):
    """With the vocabulary of the committed base."""
    return train_tokenizer([m["content"] for row in conversations for m in (*row["prompt"], *row["completion"])], 1536)


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def tokens_inside(tokenizer, text, start, end):
    """Tokens of text[start:end]; fails when a token reaches over either end."""
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    inside = [(i, a, b) for i, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"]) if a < end and b > start]
    assert (inside[0][1], inside[-1][2]) == (start, end), f"a token reaches over {text[start:end]!r} in {text!r}"
    return [i for i, _, _ in inside]


def test_a_name_is_the_same_tokens_wherever_it_stands(tokenizer, pages):
    # Every element name of every page that starts and ends as the rule promises for: a capital or a digit, a letter or a digit.
    names = {element.name for page in pages for element in read_elements(page.text, "short")}
    names = sorted(name for name in names if re.fullmatch(r"[A-Z0-9].*[A-Za-z0-9]", name))
    assert len(names) > 300
    places = [("link '", "' [12]"), ("Open '", "'."), ("Step: open ", ""), ("# Task\n", "\n"), ("Price: ", " | link 'A' [1]")]
    for name in names:
        alone = ids(tokenizer, name)
        for before, after in places:
            text = before + name + after
            assert tokens_inside(tokenizer, text, len(before), len(before) + len(name)) == alone, text


def test_a_number_is_the_same_tokens_wherever_it_stands(tokenizer):
    # "1299" is "12" "99" after "$", after a space and in brackets; every two-digit piece is one token.
    alone = ids(tokenizer, "1299")
    assert [tokenizer.decode([i]) for i in alone] == ["12", "99"]
    for before, after in (("$", "."), (" ", ""), ("[", "]"), ("\n", "\n")):
        text = before + "1299" + after
        assert tokens_inside(tokenizer, text, len(before), len(before) + 4) == alone
    assert all(len(ids(tokenizer, f"{n:02d}")) == 1 for n in range(100))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=200, deadline=None)
def test_decoding_gives_back_every_text(tokenizer, text):
    assert tokenizer.decode(ids(tokenizer, text), clean_up_tokenization_spaces=False) == text


def test_decoding_gives_back_every_page(tokenizer, pages):
    for page in pages[::20]:
        assert tokenizer.decode(ids(tokenizer, page.text)) == page.text


def test_the_answer_mask_covers_each_answer_and_its_end_and_nothing_else(tokenizer):
    encoded = tokenizer.apply_chat_template(CHAT, return_assistant_tokens_mask=True, return_dict=True)
    end = tokenizer.eos_token_id
    wanted = [*ids(tokenizer, CHAT[2]["content"]), end, *ids(tokenizer, CHAT[4]["content"]), end]
    masks = encoded["assistant_masks"]
    assert [i for i, mask in zip(encoded["input_ids"], masks) if mask] == wanted
    # Two runs of ones, and the token before each is "<|assistant|>", which is not learned.
    before = [n - 1 for n in range(1, len(masks)) if masks[n - 1 : n + 1] == [0, 1]]
    assert [tokenizer.decode(encoded["input_ids"][n]) for n in before] == ["<|assistant|>", "<|assistant|>"]


def test_the_generation_prompt_is_the_beginning_of_the_whole_chat(tokenizer):
    whole = tokenizer.apply_chat_template(CHAT)["input_ids"]
    for n in (2, 4):  # before each answer
        prompt = tokenizer.apply_chat_template(CHAT[:n], add_generation_prompt=True)["input_ids"]
        assert whole[: len(prompt)] == prompt
    assert whole[len(prompt) :] == [*ids(tokenizer, CHAT[4]["content"]), tokenizer.eos_token_id]


def test_a_saved_tokenizer_and_model_are_the_same_when_loaded(tmp_path, conversations):
    texts = [m["content"] for row in conversations[:20] for m in row["prompt"]]
    tokenizer = train_tokenizer(texts, 400)
    model = new_model(tokenizer, 32, 2, seed=1).eval()
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    again, loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.apply_chat_template(CHAT)["input_ids"] == tokenizer.apply_chat_template(CHAT)["input_ids"]
    assert (loaded.padding_side, loaded.eos_token, loaded.pad_token) == ("left", "<|end|>", "<|pad|>")
    assert loaded.model_max_length == again.config.max_position_embeddings == CONTEXT
    inputs = torch.tensor([tokenizer.apply_chat_template(CHAT)["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(inputs).logits, again(inputs).logits)


def test_the_seed_decides_the_weights(tokenizer):
    one, same, other = (new_model(tokenizer, 32, 2, seed).state_dict()["model.embed_tokens.weight"] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_the_committed_size_stays_under_ten_megabytes(tokenizer):
    assert len(tokenizer) == 1536
    parameters = new_model(tokenizer, 128, 4, seed=0).num_parameters()
    assert 1_000_000 < parameters < 1_100_000
    assert parameters * 4 < 10 * 2**20  # bytes in float32
