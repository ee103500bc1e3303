"""Local serving: what a request gets does not depend on who else is waiting, and no request is lost."""

import asyncio
import json
import shutil

import pytest

from planact.llm import ModelError
from planact_eval import serving
from planact_eval.serving import MAX_BATCH, LocalLLM


@pytest.fixture(scope="module")
def llm(memorised):
    """Answers four questions by heart, and anything else with something."""
    return LocalLLM(memorised.folder)


@pytest.fixture(scope="module")
def answers(memorised):
    return memorised.answers


def ask(llm, text, max_tokens=20, **settings):
    return llm.complete([{"role": "user", "content": text}], max_tokens=max_tokens, **settings)


def counted(reply):
    return reply.text, reply.finish_reason, reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.calls


async def test_a_batch_of_different_lengths_gets_what_each_would_get_alone(llm, answers):
    texts = [*answers, "a much longer question than those, about red", "x", "Open 'Cart'. " * 20]
    alone = [counted(await ask(llm, text)) for text in texts]
    together = [counted(reply) for reply in await asyncio.gather(*(ask(llm, text) for text in texts))]
    assert together == alone
    assert [text for text, *_ in together[:4]] == list(answers.values())
    assert len({prompt for _, _, prompt, *_ in together}) > 3  # so rows were padded


async def test_log_probabilities_are_asked_of_another_server(llm):
    with pytest.raises(ModelError, match="tells no log-probabilities; serve it with vLLM"):
        await ask(llm, "red", top_logprobs=5)


async def test_the_same_holds_for_a_model_of_noise(base):
    # Its answers never end by themselves, so every token of 30 counts; the shortest prompt is padded by hundreds of tokens.
    noise = LocalLLM(base)
    texts = ["x", "Open 'Cart'. " * 60, "Report 'Price'."]
    alone = [await ask(noise, text, 30) for text in texts]
    together = await asyncio.gather(*(ask(noise, text, 30) for text in texts))
    assert [reply.text for reply in together] == [reply.text for reply in alone]


async def test_more_requests_than_a_batch_holds(llm, answers):
    texts = [list(answers)[i % 4] for i in range(2 * MAX_BATCH + 5)]
    replies = await asyncio.gather(*(ask(llm, text) for text in texts))
    assert [reply.text for reply in replies] == [answers[text] for text in texts]
    assert llm.waiting == []


async def test_each_request_of_a_batch_keeps_its_own_limit(llm, answers):
    # One limit is the whole answer without its end token; the batch is generated up to the longest limit.
    n = len(llm.tokenizer(answers["green"], add_special_tokens=False)["input_ids"])
    replies = await asyncio.gather(*(ask(llm, "green", limit) for limit in (1, 5, n, n + 1, 40)))
    assert 5 < n < 40 and [reply.usage.completion_tokens for reply in replies] == [1, 5, n, n, n]
    assert [reply.finish_reason for reply in replies] == ["length", "length", "length", "stop", "stop"]
    whole = answers["green"]
    assert [reply.text for reply in replies[2:]] == [whole] * 3
    assert all(whole.startswith(reply.text) and reply.text != whole for reply in replies[:2])


async def test_usage_counts_the_rendered_prompt_and_the_answer_without_its_end(llm):
    chat = [{"role": "system", "content": "act"}, {"role": "user", "content": "red"}]
    reply = await llm.complete(chat, max_tokens=20)
    assert reply.usage.prompt_tokens == len(llm.tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"])
    assert reply.usage.completion_tokens == len(llm.tokenizer(reply.text, add_special_tokens=False)["input_ids"])
    assert (reply.usage.calls, reply.usage.usd, reply.cached) == (1, 0.0, False) and 0 < reply.usage.seconds < 60
    assert llm.name.endswith("model")


async def test_a_prompt_longer_than_the_context_is_refused_and_one_that_just_fits_is_cut(base):
    llm = LocalLLM(base)
    one = len(llm.tokenizer.apply_chat_template([{"role": "user", "content": ""}], add_generation_prompt=True)["input_ids"])
    fits = "\n" * (llm.context - one - 3)  # each line end is a token; 3 tokens of room
    reply = await ask(llm, fits, 20)
    assert reply.usage.prompt_tokens == llm.context - 3
    assert (reply.usage.completion_tokens, reply.finish_reason) == (3, "length")
    with pytest.raises(ModelError, match=f"the prompt has {llm.context} tokens, the context .* {llm.context}; lower agent.max_turns"):
        await ask(llm, fits + "\n" * 3, 20)


async def test_a_failed_generation_reaches_each_request_of_its_batch_and_no_other(llm, answers):
    # A negative temperature is refused by `generate` itself; the greedy requests beside it are another batch.
    requests = [ask(llm, "red", temperature=-1.0), ask(llm, "red", temperature=-1.0), ask(llm, "blue")]
    first, second, third = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 60)
    for error in (first, second):
        assert isinstance(error, ModelError) and "ValueError" in str(error) and llm.name in str(error)
    assert third.text == answers["blue"]
    assert (await ask(llm, "red")).text == answers["red"]


async def test_an_answer_that_takes_too_long_fails_and_the_next_one_does_not(llm, answers, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(serving, "TIMEOUT", 0.001)  # a batch waits five times as long for others
        with pytest.raises(ModelError, match="has not answered within 0.001 s; lower eval.episodes_in_flight"):
            await ask(llm, "red")
    assert (await ask(llm, "green")).text == answers["green"]


async def test_cancelled_requests_do_not_hold_up_the_others(llm, answers):
    waiting = [asyncio.create_task(ask(llm, text)) for text in [*answers, *answers]]
    await asyncio.sleep(0)  # all have asked
    for task in waiting[:3]:
        task.cancel()
    replies = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[:3])
    assert [reply.text for reply in replies[3:]] == [*list(answers.values())[3:], *answers.values()]
    assert (await ask(llm, "red")).text == answers["red"]


async def test_requests_that_are_cancelled_while_they_are_answered(base):
    noise = LocalLLM(base)
    running = [asyncio.create_task(ask(noise, "x", 300)) for _ in range(3)]
    while not noise.waiting:
        await asyncio.sleep(0)
    while noise.waiting:  # until the batch is being generated, which takes about a second
        await asyncio.sleep(0)
    late = asyncio.create_task(ask(noise, "Open 'Cart'.", 5))
    assert [task.cancel() for task in running] == [True] * 3
    reply = await asyncio.wait_for(late, 60)
    assert reply.text == (await ask(noise, "Open 'Cart'.", 5)).text


async def test_sampling_repeats_with_its_seed_and_differs_from_greedy(base):
    llm = LocalLLM(base)
    greedy = (await ask(llm, "x", 12)).text
    one, same, other = [(await ask(llm, "x", 12, temperature=1.0, seed=seed)).text for seed in (1, 1, 2)]
    assert one == same and len({greedy, one, other}) == 3


async def test_requests_with_other_seeds_are_sampled_apart(base):
    # Greedy, seed 1 and seed 2 wait together; each gets what it would get alone.
    llm = LocalLLM(base)
    how = [{}, {"temperature": 1.0, "seed": 1}, {"temperature": 1.0, "seed": 2}]
    alone = [(await ask(llm, "x", 12, **settings)).text for settings in how]
    together = await asyncio.gather(*(ask(llm, "x", 12, **settings) for settings in how))
    assert [reply.text for reply in together] == alone


def test_one_model_serves_several_event_loops(llm, answers):
    # An evaluation runs in `asyncio.run`, and an ablation has several of them.
    for text, answer in answers.items():
        assert asyncio.run(ask(llm, text)).text == answer


async def test_two_models_share_the_machine(llm, base, answers):
    noise = LocalLLM(base)
    replies = await asyncio.gather(*(ask(model, text) for model in (llm, noise) for text in answers))
    assert [reply.text for reply in replies[:4]] == list(answers.values())
    assert all(reply.finish_reason for reply in replies[4:])


def edited(folder, to, file, **changes):
    """A copy of a model folder with a few values of a JSON file changed."""
    shutil.copytree(folder, to)
    (to / file).write_text(json.dumps(json.loads((to / file).read_text()) | changes))
    return LocalLLM(to)


async def test_a_model_without_a_padding_token_answers_alike(memorised, answers, tmp_path):
    # As Llama's: padding is never looked at, so the end token stands in.
    llm = edited(memorised.folder, tmp_path / "model", "tokenizer_config.json", pad_token=None)
    assert llm.tokenizer.pad_token == "<|end|>"
    replies = await asyncio.gather(*(ask(llm, text) for text in answers))
    assert [reply.text for reply in replies] == list(answers.values())


async def test_a_model_with_several_end_tokens_stops_at_each(memorised, tmp_path, llm):
    # As Llama-3's: besides "<|end|>", "," ends an answer here: "No" of "No, thank you very much."
    [comma] = {i for i in llm.tokenizer(", thank", add_special_tokens=False)["input_ids"] if llm.tokenizer.decode([i]).startswith(",")}
    several = edited(memorised.folder, tmp_path / "model", "generation_config.json", eos_token_id=[llm.tokenizer.eos_token_id, comma])
    cut, whole = await ask(several, "green"), await ask(several, "red")
    assert (cut.text, cut.finish_reason) == ("No", "stop")
    assert (whole.text, whole.finish_reason) == ("Yes.", "stop")
