"""Small bases of the published families: their special tokens over bytes and a few merges, with a random Llama of two layers."""

from importlib.resources import files

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# Family -> special tokens, and the template that TRL ships for it: what a published tokenizer comes with.
PUBLISHED = {
    "llama3": (
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "llama3_1",
    ),
    "qwen": ({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, ("<|im_start|>", "<think>", "</think>"), "qwen3"),
}
# How both families cut text before merging: line ends stay together, apart from the word after them.
PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = "the plan is to open page and click on it do(action= Click element Step Reasoning think # ## \n\n"


def byte_tokenizer(named: dict[str, str], more: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    pieces = [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[*named.values(), *more], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([WORDS] * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named, clean_up_tokenization_spaces=False)


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A function from the key of a family to the folder of a base model with that family's tokenizer and published template."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            named, more, template = PUBLISHED[name]
            tokenizer = byte_tokenizer(named, more)
            tokenizer.chat_template = (files("trl") / f"chat_templates/{template}.jinja").read_text()
            tokenizer.save_pretrained(made[name])
            set_seed(0)
            config = LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=4096,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            LlamaForCausalLM(config).save_pretrained(made[name])
        return made[name]

    return folder
