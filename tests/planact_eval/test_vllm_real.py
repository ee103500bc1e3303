"""vLLM itself, on the CPU (`make test-vllm`): a trained adapter is loaded into a running server and evaluated."""

import json
from dataclasses import replace

import pytest

from planact.llm import Budget
from planact_eval.checkpoints import evaluate_checkpoints
from planact_eval.players import open_models
from planact_eval.runner import evaluate
from planact_eval.serving import LocalLLM

pytestmark = pytest.mark.vllm

HELLO = [{"role": "system", "content": "You plan."}, {"role": "user", "content": "Buy 'Tee'.\nlink 'Tee' [7]"}]


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB


@pytest.fixture(scope="module")
def llama(base, tmp_path_factory):
    """A random Llama of two layers with the tiny tokenizer: vLLM adapts that architecture on the CPU."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("llama") / "base", AutoTokenizer.from_pretrained(base)
    torch.manual_seed(1)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, **shape, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(built, small, llama, tmp_path_factory):
    """The recipe and a runs folder with its executor: an adapter of three checkpoints."""
    import shutil

    from planact_train.sft import train

    lora = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=all-linear", "sft.optim=adamw_torch", "sft.learning_rate=0.02"]
    served = ["eval.serving=vllm", "eval.limit=3", "serving.dtype=float32", "serving.max_model_len=4096", "serving.max_num_seqs=8"]
    recipe = small("react", f"base_model={llama}", "sft.save_steps=2", "sft.save_total_limit=5", *lora, *served)
    runs = shutil.copytree(built, tmp_path_factory.mktemp("vllm") / "runs")
    return recipe, runs, train(recipe, "executor", runs)


def test_each_checkpoint_of_an_adapter_is_evaluated_on_one_server(trained):
    recipe, runs, folder = trained
    said = evaluate_checkpoints(recipe, sorted(folder.glob("checkpoint-*")), runs)
    assert all(f"executor step {step}" in said for step in (2, 4, 6))
    logs = list((runs / "checkpoints").glob("*vllm.log"))
    assert len(logs) == 1 and logs[0].read_text().count("Application startup complete") == 1
    results = [json.loads(path.read_text())["summary"] for path in (runs / "eval").glob("*/results.json")]
    assert len(results) == 3 and all(result["planned"] == 3 and result["error"] == 0 for result in results)


def test_the_adapter_answers_otherwise_than_its_base_and_as_in_this_process(trained, llama, tmp_path):
    import asyncio

    recipe, _, folder = trained

    async def ask():
        async with open_models(recipe, {"executor": str(folder), "planner": str(llama)}, Budget(), tmp_path) as models:
            return {role: await llm.complete(HELLO, max_tokens=12) for role, llm in models.items()}

    said = asyncio.run(ask())
    here = {role: asyncio.run(LocalLLM(path).complete(HELLO, max_tokens=12)) for role, path in (("executor", folder), ("planner", llama))}
    assert said["executor"].text != said["planner"].text
    for role, reply in said.items():  # the same prompt to the token; greedy answers of float32 on both sides
        assert reply.usage.prompt_tokens == here[role].usage.prompt_tokens and reply.text == here[role].text


def test_with_structured_outputs_even_noise_begins_like_an_action(trained):
    """A model that was never trained opens a quotation and does not close it, so that its answers are cut at the token limit."""
    recipe, runs, _ = trained
    held = replace(recipe, serving=replace(recipe.serving, structured_outputs=True), eval=replace(recipe.eval, limit=2))
    _, summary, trajectories = evaluate(held, runs)
    assert summary.planned == 2 and summary.error == 0
    starts = ('do(action="', 'exit(message="', "go_backward()", "go_forward()", "# Element: ", "# Note: ")
    answers = [turn.response for trajectory in trajectories for turn in trajectory.turns]
    assert answers and all(any(answer.startswith(start[: len(answer)]) for start in starts) for answer in answers)
