"""The launch of 70B without its weights: the recipes and accelerate configs as they are, and a Llama of the real shape on the meta device.

A fake process group stands for the GPUs, and accelerate's own code shards the model over them, so what is counted here is what
one GPU would hold.
"""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed
from accelerate import FullyShardedDataParallelPlugin
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from accelerate.utils.launch import prepare_multi_gpu_env
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import get_peft_model
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from trl import get_peft_config, get_quantization_config

from planact.recipe import load_recipe
from planact_train.settings import accumulation, model_config, sft_config
from planact_train.shapes import build, read_config

REPO = Path(__file__).parents[2]
# Llama-3.3-70B by hand, in matrices of one layer: q and o 8192 x 8192, k and v 8192 x 1024, gate, up and down 8192 x 28672.
LINEAR = 80 * (2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28672)
BASE = LINEAR + 80 * 2 * 8192 + 2 * 128256 * 8192 + 8192  # two norms of each layer, embedding, head, last norm: 70,553,706,496
# Rank 64 adds 64 x (in + out) to each of the seven matrices.
ADAPTER = 80 * 64 * (2 * (8192 + 8192) + 2 * (8192 + 1024) + 3 * (8192 + 28672))  # 828,375,040
ADAPTED = re.compile(
    r"base_model\.model\.model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.lora_[AB]\.default\.weight"
)


def recipe_of(name, *changes):
    return load_recipe(REPO / f"recipes/llama-3.3-70b/{name}.yaml", changes)


def on_meta(recipe):
    """The model that the recipe trains. 4-bit weights are made from real ones, so here their containers are put in place empty."""
    settings = recipe.sft_for("planner")
    with torch.device("meta"):
        if not settings.get("load_in_4bit"):
            return build(read_config(recipe.base_model), settings, getattr(torch, settings["dtype"]))
        config = model_config(settings, recipe.base_model)
        base = build(read_config(recipe.base_model), {}, getattr(torch, settings["dtype"]))
        base = replace_with_bnb_linear(base, modules_to_not_convert=["lm_head"], quantization_config=get_quantization_config(config))
        for layer in (module for module in base.modules() if isinstance(module, Linear4bit)):
            packed = torch.empty((layer.in_features * layer.out_features // 4, 1), dtype=torch.bfloat16)  # four numbers in two bytes
            layer.weight = Params4bit(packed, requires_grad=False, quant_storage=torch.bfloat16, bnb_quantized=True)
        base.is_loaded_in_4bit = True
        return get_peft_model(base, get_peft_config(config))


@pytest.fixture
def gpus():
    """A function that starts a process group of so many processes, of which only this one exists."""
    yield lambda count: torch.distributed.init_process_group("fake", rank=0, world_size=count, store=FakeStore())
    torch.distributed.destroy_process_group()


def plugin(config, processes, monkeypatch):
    """accelerate's FSDP plugin as a process that its launcher starts with the config makes it."""
    arguments = ["--config_file", str(REPO / f"accelerate_configs/{config}.yaml"), "--num_processes", str(processes), "scripts/sft.py"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(arguments))
    for name, value in prepare_multi_gpu_env(arguments).items():
        monkeypatch.setenv(name, value)
    made = FullyShardedDataParallelPlugin()
    made.set_mixed_precision("bf16")
    made.cpu_ram_efficient_loading = False  # which reads the weights in the first process; there are none
    return made


# Bytes of weights over all GPUs: what is trained is in float32.
WEIGHTS = {
    "finetuning": 2 * BASE + 4 * ADAPTER,  # 18.1 GB on each of 8
    "finetuning-full": 4 * BASE,  # 8.8 GB on each of 32
    "finetuning-qlora": LINEAR // 2 + 2 * (BASE - LINEAR) + 4 * ADAPTER,  # 10.4 GB on each of 4, and the scales
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_sharded_by_the_config_of_its_recipe(name, gpus, monkeypatch):
    recipe = recipe_of(name)
    count, model = recipe.training.processes, on_meta(recipe)
    made = plugin(recipe.training.launch, count, monkeypatch)
    gpus(count)
    accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=made), mixed_precision="bf16", is_main_process=True)
    model = fsdp2_prepare_model(accelerator, model)

    units = Counter(type(module).__name__.removeprefix("FSDP") for module in model.modules() if isinstance(module, FSDPModule))
    root = type(model).__name__.removeprefix("FSDP")
    assert units.pop("LlamaDecoderLayer") == 80  # gathered one by one
    assert units - Counter({"LlamaRMSNorm": 1}) == {root: 1, "Embedding": 1, "Linear": 1}  # the head, in one unit with the last norm
    parameters = dict(model.named_parameters())
    assert all(isinstance(p, DTensor) and p.placements[0].is_shard() for p in parameters.values())
    assert {p.dtype for p in parameters.values() if p.requires_grad} == {torch.float32}
    held = sum(p.to_local().numel() * p.element_size() for p in parameters.values())
    assert held == pytest.approx(WEIGHTS[name] / count, rel=1e-4)


@pytest.mark.parametrize("name, changes", [("dynamic-replanning", []), ("finetuning", ["sft.lora_target_modules=all-linear"])])
def test_what_an_adapter_trains(name, changes):
    trained = {name: p.numel() for name, p in on_meta(recipe_of(name, *changes)).named_parameters() if p.requires_grad}
    assert sum(trained.values()) == ADAPTER and len(trained) == 80 * 7 * 2
    assert all(ADAPTED.fullmatch(name) for name in trained)  # neither the head nor the embedding


def test_a_full_recipe_trains_everything():
    trained = [p.numel() for p in on_meta(recipe_of("finetuning-full")).parameters() if p.requires_grad]
    assert sum(trained) == BASE and len(trained) == 80 * 9 + 3


@pytest.mark.parametrize("name", ["finetuning", "finetuning-full", "finetuning-qlora"])
def test_the_configurations_that_trl_is_given(name, tmp_path):
    recipe = recipe_of(name, "sft.use_cpu=true")  # TRL refuses bf16 on a machine without GPU otherwise
    settings = recipe.sft_for("planner")
    config = sft_config(settings, tmp_path, recipe.seed, **accumulation(recipe.training, settings))
    assert config.gradient_accumulation_steps * config.per_device_train_batch_size * recipe.training.processes == 32  # paper
    assert (config.learning_rate, config.lr_scheduler_type, config.num_train_epochs, config.bf16) == (2e-5, "cosine", 1, True)  # paper
    assert config.gradient_checkpointing and config.max_length == settings["max_length"]
    model = model_config(settings, recipe.base_model)
    assert model.model_name_or_path == "meta-llama/Llama-3.3-70B-Instruct"
    quantized, adapter = get_quantization_config(model), get_peft_config(model)
    assert (adapter is None) == (name == "finetuning-full") and (quantized is not None) == (name == "finetuning-qlora")
    if quantized:
        assert (
            quantized.bnb_4bit_quant_storage == torch.bfloat16 == quantized.bnb_4bit_compute_dtype and quantized.bnb_4bit_use_double_quant
        )
