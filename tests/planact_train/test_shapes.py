"""Parameters are counted on the meta device, from a config alone."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from planact_train.shapes import BASES, UnknownShape, read_config, shape_of

LORA = {
    "use_peft": True,
    "lora_r": 16,
    "lora_target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


@pytest.mark.parametrize(
    "base_model, parameters",
    [
        # Embedding and head 2 x 128,256 x 8,192; 80 layers of q and o 2 x 8,192^2, k and v 2 x 8,192 x 1,024,
        # three 8,192 x 28,672, two norms of 8,192; one norm more: 2,101,346,304 + 80 x 855,654,400 + 8,192.
        ("meta-llama/Llama-3.3-70B-Instruct", 70_553_706_496),
        # 2 x 128,256 x 4,096 + 32 x (2 x 4,096^2 + 2 x 4,096 x 1,024 + 3 x 4,096 x 14,336 + 2 x 4,096) + 4,096
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        # 2 x 152,064 x 5,120 + 64 x (2 x 5,120^2 + 2 x 5,120 x 1,024 + 3 x 5,120 x 27,648 + biases 7,168 + 2 x 5,120) + 5,120
        ("Qwen/QwQ-32B", 32_763_876_352),
        # 2 x 151,936 x 4,096 + 36 x (2 x 4,096^2 + 2 x 4,096 x 1,024 + 3 x 4,096 x 12,288 + norms 2 x 4,096 + 2 x 128) + 4,096
        ("Qwen/Qwen3-8B", 8_190_735_360),
        # Head and embedding are one: 151,936 x 2,560 + 36 x (2 x 2,560 x 4,096 + 2 x 2,560 x 1,024 + 3 x 2,560 x 9,728 + 5,376) + 2,560
        ("Qwen/Qwen3-4B", 4_022_468_096),
        # 151,936 x 1,024 + 28 x (2 x 1,024 x 2,048 + 2 x 1,024 x 1,024 + 3 x 1,024 x 3,072 + 2,304) + 1,024
        ("Qwen/Qwen3-0.6B", 596_049_920),
    ],
)
def test_published_models_have_as_many_parameters_as_their_owners_say(base_model, parameters):
    shape = shape_of(read_config(base_model), {})
    assert (shape.base, shape.trainable, shape.frozen) == (parameters, parameters, 0)


def test_an_adapter_is_counted_matrix_by_matrix():
    shape = shape_of(read_config("meta-llama/Llama-3.3-70B-Instruct"), LORA)
    # Rank 16 of a matrix from a to b is 16 x (a + b): q and o 2 x 262,144, k and v 2 x 147,456, the MLP's three 589,824 each.
    assert shape.trainable == 80 * 2_588_672 and shape.base == shape.frozen == 70_553_706_496
    assert (shape.layer_trainable, shape.layer) == (2_588_672, 855_654_400 + 2_588_672)
    assert sum(shape.linear) == 80 * (855_654_400 - 2 * 8192) and len(shape.linear) == 80 * 7  # all but norms, embedding and head
    assert shape.attention == 80 * 8192 and not shape.tied


def test_a_base_in_a_folder_is_read_there(base):
    shape, model = shape_of(read_config(str(base)), {}), AutoModelForCausalLM.from_pretrained(base)
    assert shape.base == model.num_parameters() and shape.tied and shape.head == 600 * 32
    assert shape.attention == 32  # one of its two layers is a convolution


def test_a_config_in_the_hubs_cache_comes_before_ours(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--me--Qwen3-8B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    values = json.loads((BASES / "Qwen3-8B.json").read_text()) | {"num_hidden_layers": 2}
    (snapshot / "config.json").write_text(json.dumps(values))
    (tmp_path / "models--me--Qwen3-8B" / "refs").mkdir()
    (tmp_path / "models--me--Qwen3-8B" / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert read_config("me/Qwen3-8B").num_hidden_layers == 2 and read_config("Qwen/Qwen3-8B").num_hidden_layers == 36


@pytest.mark.parametrize("base_model", ["meta-llama/Llama-9", "models/not/made"])
def test_an_unknown_base_says_what_to_download(base_model):
    with pytest.raises(UnknownShape, match=f"describes {base_model}; download its config.json .*QwQ-32B"):
        read_config(base_model)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"model_type": "no such model"}', '{"hidden_size": 8}', '{"model_type": "llama", "hidden_size": "wide"}']
)
def test_a_config_that_is_none_is_named(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UnknownShape, match="config.json is no config that this transformers knows"):
        read_config(str(tmp_path))


def test_python_code_that_a_config_names_is_not_run(tmp_path):
    values = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "intermediate_size": 8,
        "vocab_size": 8,
    }
    (tmp_path / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.json").write_text(json.dumps(values | {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}}))
    assert shape_of(read_config(str(tmp_path)), {}).vocabulary == 8 and not (tmp_path / "ran").exists()


def test_nothing_is_allocated_for_70_billion_parameters():
    before = torch.get_default_device()
    shape_of(read_config("meta-llama/Llama-3.3-70B-Instruct"), {})
    assert torch.get_default_device() == before
