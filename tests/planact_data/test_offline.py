"""vLLM in this process, with a small module of the same interface in its place: nothing here says that the real one runs."""

import asyncio
import importlib
import sys

import pytest

from planact.cache import ResponseCache
from planact.llm import Budget, EndpointUnusable, ModelError, RequestRefused
from planact_data import offline
from planact_data.offline import VLLMOffline

# The signatures of vllm.LLM, LLM.chat, SamplingParams, RequestOutput, CompletionOutput and Logprob as far as they are used.
STAND_IN = """
import threading
from dataclasses import dataclass
from types import SimpleNamespace

made, lists, threads = [], [], set()

@dataclass(kw_only=True)
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int | None = 16
    seed: int | None = None
    logprobs: int | None = None

class LLM:
    def __init__(self, model, **engine):
        if model == "too-big":
            raise RuntimeError("CUDA out of memory")
        made.append((model, engine))
        threads.add(threading.get_ident())

    def chat(self, messages, sampling_params=None, use_tqdm=True):
        threads.add(threading.get_ident())
        texts = [conversation[-1]["content"] for conversation in messages]
        if any("long" in text for text in texts):
            raise ValueError("The decoder prompt is longer than the maximum model length")
        if any("crash" in text for text in texts):
            raise RuntimeError("EngineDeadError")
        lists.append(texts)
        return [self.answer(text, p) for text, p in zip(texts, sampling_params, strict=True)]

    def answer(self, text, p):
        logprobs = [{7: SimpleNamespace(logprob=-0.5, decoded_token="YES"), 8: SimpleNamespace(logprob=-1.0, decoded_token="NO")}]
        reply = f"{text} {p.temperature} {p.max_tokens} {p.seed}"
        output = SimpleNamespace(text=reply, token_ids=(1, 2), finish_reason="stop", logprobs=logprobs if p.logprobs else None)
        return SimpleNamespace(outputs=[output], prompt_token_ids=[1, 2, 3])
"""


@pytest.fixture
def vllm(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "vllm.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    yield importlib.import_module("vllm")
    sys.modules.pop("vllm", None)


@pytest.fixture
def cache(tmp_path):
    with ResponseCache(tmp_path / "replies.sqlite") as cache:
        yield cache


async def ask(llm, text="hello", **settings):
    return await llm.complete([{"role": "user", "content": text}], **{"max_tokens": 20} | settings)


async def test_calls_that_come_together_are_one_list_in_one_thread(vllm, cache):
    async with VLLMOffline("m", cache=cache, tensor_parallel_size=2) as llm:
        assert vllm.made == []  # nothing is loaded before it is needed
        replies = await asyncio.gather(*(ask(llm, f"{9 - i}") for i in range(10)))
        await ask(llm, "more")
    assert vllm.made == [("m", {"tensor_parallel_size": 2})] and len(vllm.threads) == 1
    assert vllm.lists == [[str(i) for i in range(10)], ["more"]]  # sorted, so that neighbours share what they begin with
    assert [reply.text[0] for reply in replies] == [str(9 - i) for i in range(10)]
    usage = replies[0].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.calls, usage.usd) == (3, 2, 1, 0.0) and usage.seconds > 0


async def test_each_call_has_its_own_parameters(vllm, cache):
    async with VLLMOffline("m", cache=cache) as llm:
        cold, warm = await asyncio.gather(ask(llm, "a", seed=3), ask(llm, "a", temperature=0.7, seed=4, max_tokens=9))
    assert (cold.text, warm.text) == ("a 0.0 20 3", "a 0.7 9 4") and len(vllm.lists) == 1


async def test_identical_calls_are_answered_once_and_the_next_run_asks_nothing(vllm, cache):
    async with VLLMOffline("m", cache=cache) as llm:
        replies = await asyncio.gather(*(ask(llm) for _ in range(4)))
    assert [reply.cached for reply in replies].count(False) == 1 and vllm.lists == [["hello"]]
    async with VLLMOffline("m", cache=cache) as llm:
        assert (await ask(llm)).cached
    assert len(vllm.made) == 1


async def test_log_probabilities_are_those_of_the_first_token(vllm, cache):
    async with VLLMOffline("m", cache=cache) as llm:
        assert (await ask(llm, top_logprobs=2)).top_logprobs == {"YES": -0.5, "NO": -1.0}
        assert (await ask(llm)).top_logprobs is None


async def test_a_prompt_that_is_too_long_is_refused_alone(vllm, cache):
    async with VLLMOffline("m", cache=cache) as llm:
        texts = ["1", "2", "long 3", "4", "5", "6", "long 7"]
        results = await asyncio.gather(*(ask(llm, text) for text in texts), return_exceptions=True)
    refused = [text for text, result in zip(texts, results) if isinstance(result, RequestRefused)]
    assert refused == ["long 3", "long 7"] and sorted(text for texts in vllm.lists for text in texts) == ["1", "2", "4", "5", "6"]
    assert "longer than the maximum model length" in str(results[2])


async def test_long_lists_are_cut_so_that_a_kill_loses_little(vllm, cache, monkeypatch):
    monkeypatch.setattr(offline, "MOST", 4)
    async with VLLMOffline("m", cache=cache) as llm:
        await asyncio.gather(*(ask(llm, str(i)) for i in range(10)))
    assert [len(texts) for texts in vllm.lists] == [4, 4, 2]


async def test_an_engine_that_breaks_fails_its_calls_and_leaves_none_waiting(vllm, cache):
    async with VLLMOffline("m", cache=cache) as llm:
        results = await asyncio.gather(ask(llm, "crash"), ask(llm, "other"), return_exceptions=True)
        assert [type(result) for result in results] == [ModelError] * 2 and "EngineDeadError" in str(results[0])
        assert (await ask(llm, "other")).text.startswith("other")


async def test_a_model_that_cannot_be_loaded_stops_the_run(vllm, cache):
    async with VLLMOffline("too-big", cache=cache) as llm:
        with pytest.raises(EndpointUnusable, match="cannot load too-big: CUDA out of memory"):
            await ask(llm)


async def test_the_budget_counts_its_tokens(vllm, cache):
    budget = Budget(max_tokens=100)
    async with VLLMOffline("m", cache=cache, budget=budget) as llm:
        await ask(llm)
    assert (budget.spent.prompt_tokens, budget.spent.completion_tokens) == (3, 2)


def test_without_vllm_the_command_that_gets_it_is_named(cache, monkeypatch):
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EndpointUnusable, match="type: pip install vllm"):
        VLLMOffline("m", cache=cache)
