"""A tiny base model with a stock architecture: LFM2, whose short convolutions let a model of a million parameters learn
to find an element by its name.

The tokenizer is byte-level BPE with one rule of its own: the space before a capital letter, a digit or a sign is a token
by itself, so that a name is the same tokens after a quote, after a space and at the start of a line, and can be copied.
"""

from __future__ import annotations

from typing import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Lfm2Config, Lfm2ForCausalLM, PreTrainedTokenizerFast

SPECIAL = {"pad": "<|pad|>", "bos": "<|bos|>", "eos": "<|end|>"}
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
# Lower-case words keep the space before them, numbers come two digits at a time, a run of signs and spaces is one piece.
PIECES = r" ?[a-z]+|[A-Z][a-z]*|[0-9]{1,2}|\n|[^A-Za-z0-9\n]+(?= [a-z])|[^A-Za-z0-9\n]+"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT = 2048  # tokens


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over `texts` with the chat template of this repository's tiny models."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL.values(), *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    numbers = [f"{n:02d} {n}" for n in range(100)] * 50  # every two-digit piece becomes one token
    tokenizer.train_from_iterator([*numbers, *texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL["pad"],
        bos_token=SPECIAL["bos"],
        eos_token=SPECIAL["eos"],
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, hidden_size: int, layers: int, seed: int) -> Lfm2ForCausalLM:
    """A randomly initialised LFM2: convolution and attention layers in turn, tied embeddings, float32."""
    import torch

    torch.manual_seed(seed)
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 3,
        block_auto_adjust_ff_dim=False,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        conv_L_cache=4,
        layer_types=["conv", "full_attention"] * (layers // 2),
        max_position_embeddings=CONTEXT,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Lfm2ForCausalLM(config)
