"""What the tests of training, evaluation and the scripts share: a tiny random base model, recipes that use it, and their rows.

Nothing here is trained: the base answers noise, which is all that most tests need. Everything is made once per session.
"""

import os
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

REPO = Path(__file__).parents[1]

# Read when the libraries are imported, also by the processes that tests start: no network, and no threads that spin.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


NO_CHROMIUM = "no Chromium"


def pytest_collection_modifyitems(items):
    """Without a Chromium, the tests that need one are skipped; with PLANACT_NEED_CHROMIUM=1 nothing is run at all."""
    from planact_envs.chromium.launch import has_chromium

    wanting = [item for item in items if item.get_closest_marker("browser")]
    if not wanting or has_chromium():
        return
    if os.environ.get("PLANACT_NEED_CHROMIUM") == "1":
        raise pytest.UsageError(f"{NO_CHROMIUM}, and PLANACT_NEED_CHROMIUM=1 asks for one: `make browser`, or CHROMIUM=/path/to/one")
    for item in wanting:
        item.add_marker(pytest.mark.skip(reason=NO_CHROMIUM))


def pytest_terminal_summary(terminalreporter):
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if NO_CHROMIUM in str(report.longrepr)]
    if skipped:
        advice = "`make browser` gets one, CHROMIUM=/path/to/one names one"
        terminalreporter.section(f"{len(skipped)} BROWSER TESTS WERE SKIPPED: {NO_CHROMIUM}; {advice}", yellow=True)


@pytest.fixture(scope="session")
def pages():
    """Every page that links reach in miniweb."""
    import asyncio

    from planact_train.pretraining import crawl

    return asyncio.run(crawl())


@pytest.fixture(scope="session")
def conversations(pages):
    """Pretraining rows, 320 of them in blocks of one kind."""
    from planact_train.pretraining import conversations

    return list(conversations(pages, 320, seed=5))


@pytest.fixture(scope="session")
def base(tmp_path_factory, conversations):
    """The folder of a random LFM2 of two layers, 32 wide, with a vocabulary of 600."""
    from planact_train.tiny import new_model, train_tokenizer

    folder = tmp_path_factory.mktemp("base") / "random"
    tokenizer = train_tokenizer([m["content"] for row in conversations for m in (*row["prompt"], *row["completion"])], 600)
    new_model(tokenizer, 32, 2, seed=3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama(base, tmp_path_factory):
    """The folder of a random Llama of two layers, 64 wide, with the tokenizer of `base`: the large recipes' architecture."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("llama") / "random", AutoTokenizer.from_pretrained(base)
    torch.manual_seed(3)
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **sizes, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def changes(base):
    """`--set` values that make a recipe of recipes/tiny small: 12 training tasks, 6 steps, 6 test tasks, answers of a few tokens."""
    return [
        f"base_model={base}",
        "data.tasks=12",
        "data.executor=[react, act, act_dynamic]",
        "agent.planner_max_tokens=12",
        "agent.executor_max_tokens=8",
        "sft.bf16=false",
        "sft.max_length=2048",
        "sft.per_device_train_batch_size=4",
        "sft.max_steps=6",
        "sft.save_steps=3",
        "sft.logging_steps=1",
        "eval.limit=6",
        "eval.episodes_in_flight=4",
    ]


@pytest.fixture(scope="session")
def small(changes):
    """A function that loads a recipe of recipes/tiny, made small."""
    from planact.recipe import load_recipe

    return lambda name, *more: load_recipe(REPO / f"recipes/tiny/{name}.yaml", [*changes, *more])


@pytest.fixture(scope="session")
def built(tmp_path_factory, small):
    """A runs folder with the rows of the small recipes. Not to be written to."""
    from planact_data.build import build

    folder = tmp_path_factory.mktemp("built")
    build(small("dynamic-replanning"), folder)
    return folder


@pytest.fixture
def runs(built, tmp_path):
    """A runs folder of the test's own, with the rows built."""
    return shutil.copytree(built, tmp_path / "runs")


class Memorised(NamedTuple):
    folder: Path
    answers: dict[str, str]  # question -> answer
    log: list[dict]


@pytest.fixture(scope="session")
def memorised(tmp_path_factory, base):
    """A model that answers four questions by heart."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from planact_train.settings import sft_config
    from planact_train.trainer import AnswerTrainer

    folder = tmp_path_factory.mktemp("memorised") / "model"
    answers = {"red": "Yes.", "green": "No, thank you very much.", "blue": "Open the cart and then pay.", "white": "10 of 25"}
    rows = [{"prompt": [{"role": "user", "content": q}], "completion": [{"role": "assistant", "content": a}]} for q, a in answers.items()]
    settings = {"use_cpu": True, "bf16": False, "max_steps": 60, "learning_rate": 1e-2, "gradient_checkpointing": False}
    settings |= {"save_strategy": "no", "logging_steps": 10, "warmup_steps": 5, "per_device_train_batch_size": 4}
    trainer = AnswerTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        args=sft_config(settings, folder, seed=0),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    trainer.train()
    trainer.save_model(str(folder))
    return Memorised(folder, answers, trainer.state.log_history)
