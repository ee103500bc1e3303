"""Which attention kernel is used on which machine, told by facts about machines; and on this one, by a training."""

import json
from dataclasses import replace

import pytest

from planact_train.attention import FALLBACKS, HUB_FLASH, KERNELS, Hardware, attention, choose, dense_mask, load_kernel
from planact_train.sft import train

CPU = Hardware("cpu", capability=None, packages=frozenset(), kernels=True)
H100 = Hardware("NVIDIA H100 80GB HBM3", capability=(9, 0), packages=frozenset(), kernels=True)
A100 = replace(H100, device="NVIDIA A100-SXM4-80GB", capability=(8, 0))
T4 = replace(H100, device="Tesla T4", capability=(7, 5))
WITH_PACKAGE = replace(H100, packages=frozenset({"flash_attention_2"}), kernels=False)
BARE = replace(H100, kernels=False)
FA3, FA4 = "kernels-community/vllm-flash-attn3", "kernels-community/flash-attn4"


def loads(name):
    return None


def offline(name):
    return "it did not load (not in the cache, and offline)"


@pytest.mark.parametrize(
    "wanted, here, load, used",
    [
        (HUB_FLASH, H100, loads, HUB_FLASH),
        (FA3, H100, loads, FA3),
        (FA4, A100, loads, HUB_FLASH),  # 4 needs Hopper; 2 does on Ampere
        ("flash_attention_3", A100, loads, HUB_FLASH),
        ("flash_attention_2", WITH_PACKAGE, loads, "flash_attention_2"),
        ("flash_attention_2", H100, loads, HUB_FLASH),  # the same kernel, from the Hub
        (HUB_FLASH, WITH_PACKAGE, loads, "flash_attention_2"),  # the same kernel, as a package
        (HUB_FLASH, replace(WITH_PACKAGE, kernels=True), offline, "flash_attention_2"),
        (HUB_FLASH, H100, offline, "sdpa"),
        (HUB_FLASH, BARE, loads, "sdpa"),
        (HUB_FLASH, T4, loads, "sdpa"),
        (HUB_FLASH, CPU, loads, "sdpa"),
        ("flash_attention_2", CPU, loads, "sdpa"),
        ("someone/kernel@v1:attention", H100, loads, "someone/kernel@v1:attention"),
        ("sdpa", H100, offline, "sdpa"),
        ("eager", CPU, offline, "eager"),
        ("flex_attention", BARE, offline, "flex_attention"),
    ],
)
def test_the_first_that_can_be_used_is_used(wanted, here, load, used):
    name, refused = choose(wanted, here, True, load)
    assert name == used
    tried = list(dict.fromkeys((wanted, *FALLBACKS)))
    assert list(refused) == tried[: tried.index(used)] and all(refused.values())


def test_flash_attention_is_not_used_in_float32():
    name, refused = choose(HUB_FLASH, H100, False, loads)
    assert name == "sdpa" and set(refused.values()) == {"flash attention computes in bf16 or fp16 and the recipe has neither"}
    settings = {"attn_implementation": HUB_FLASH, "bf16": False}
    assert attention(settings, WITH_PACKAGE) == "sdpa"
    assert attention(settings | {"dtype": "bfloat16"}, WITH_PACKAGE) == attention(settings | {"fp16": True}, WITH_PACKAGE) != "sdpa"


@pytest.mark.parametrize(
    "here, line",
    [
        (CPU, f"attention is sdpa, not {FA4}: no CUDA device trains here ({FA4}, {HUB_FLASH}, flash_attention_2)"),
        (
            BARE,
            f'attention is sdpa, not {FA4}: pip install "{KERNELS}" ({FA4}, {HUB_FLASH}); pip install flash-attn --no-build-isolation',
        ),
        (replace(WITH_PACKAGE, capability=(8, 0)), f"attention is flash_attention_2, not {FA4}: it needs compute capability 9.0 and"),
    ],
)
def test_another_one_than_the_recipes_is_one_line_that_says_why_and_what_to_install(here, line, capsys):
    attention({"attn_implementation": FA4}, here)
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"warning: {line}")


def test_nothing_is_said_where_the_recipe_is_followed(capsys):
    assert attention({"attn_implementation": "flash_attention_2", "packing": True}, WITH_PACKAGE) == "flash_attention_2"
    assert attention({"attn_implementation": "sdpa"}, CPU) == "sdpa"
    assert attention({}, CPU) is None
    assert capsys.readouterr() == ("", "")


def test_a_mask_over_packed_rows_is_told_with_its_size():
    # 2 rows at once x 8192 tokens = 16384; squared and at one byte each 256 MiB
    packed = {"packing": True, "max_length": 8192, "per_device_train_batch_size": 2}
    said = dense_mask(packed, "sdpa")
    assert "up to 16384 tokens" in said and "256 MiB" in said
    assert dense_mask(packed, None) and dense_mask({"padding_free": True, "max_length": None}, "eager")
    for settings, name in (
        (packed, HUB_FLASH),
        (packed, "flash_attention_2"),
        (packed | {"packing": False}, "sdpa"),
        (packed | {"packing_strategy": "wrapped"}, "sdpa"),  # no positions are told apart there
    ):
        assert dense_mask(settings, name) is None


def test_a_kernel_that_cannot_be_loaded_is_a_reason_not_a_crash():
    # This machine has no network (HF_HUB_OFFLINE), and may lack the `kernels` package: both are told in one line.
    said = load_kernel(HUB_FLASH)
    assert said.startswith("it did not load (") and "\n" not in said and "HF_HOME" in said


def test_a_recipe_for_gpus_trains_here_and_records_what_was_used(runs, small, capsys):
    changes = [f"sft.attn_implementation={HUB_FLASH}", "sft.max_steps=1", "sft.bf16=true", "sft.model_init_kwargs={initializer_range: 0.5}"]
    folder = train(small("finetuning", *changes), "planner", runs)
    said = capsys.readouterr()
    assert f"warning: attention is sdpa, not {HUB_FLASH}: no CUDA device trains here" in said.err
    line = "single x 1 on cpu, float32 weights computed in bf16, attention sdpa, head on answer tokens, rows padded, muon, "
    assert f"{line}batch 4 = 4 x 1 steps x 1 processes\n" in said.out
    assert json.loads((folder / "config.json").read_text())["initializer_range"] == 0.5  # the recipe's own way to load a model is kept
    launch = json.loads((folder / "finished.json").read_text())["launch"]
    assert (launch["strategy"], launch["attention"], launch["batch"]) == ("single", "sdpa", [4, 1, 1])
