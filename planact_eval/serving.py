"""Local serving for machines without a GPU: a transformers model behind `planact.llm.LLM` that batches concurrent episodes.

Requests that arrive while a batch is generated form the next batch, so with N episodes in flight the model answers up to
N at once. All local models share one worker thread: on a CPU, two generations at a time only slow each other down.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from planact.llm import Completion, Message, ModelError
from planact.types import Usage

MAX_BATCH = 32  # requests generated together
TIMEOUT = 600.0  # seconds for one answer, the wait for other batches included; ours, as for a vLLM of our own
QUIET = 0.005  # seconds without a new request after which a batch starts; a step of miniweb takes one millisecond

_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")


@dataclass(frozen=True)
class Request:
    ids: list[int]  # prompt tokens
    max_tokens: int
    temperature: float
    seed: int
    reply: asyncio.Future


class LocalLLM:
    """A model folder (full or adapter) or Hub id, served in this process. `complete` is safe to call concurrently."""

    def __init__(self, path: str | Path):
        self.name = str(path)
        self.tokenizer = AutoTokenizer.from_pretrained(self.name, padding_side="left")
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        self.model = _load(self.name)
        ends = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        self.context = self.model.config.max_position_embeddings
        self.waiting: list[Request] = []
        self.server: asyncio.Task | None = None

    async def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, top_logprobs: int = 0
    ) -> Completion:
        """The model's reply. Raises ModelError for a prompt that is too long, for an answer that takes longer than TIMEOUT, and for
        log-probabilities, which it does not tell.
        """
        if top_logprobs:
            raise ModelError(f"{self.name} in this process tells no log-probabilities; serve it with vLLM and name it in endpoints")
        ids = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True)["input_ids"]
        room = self.context - len(ids)
        if room <= 0:
            raise ModelError(
                f"the prompt has {len(ids)} tokens, the context of {self.name} {self.context}; lower agent.max_turns or shorten pages"
            )
        request = Request(ids, min(max_tokens, room), temperature, seed, asyncio.get_running_loop().create_future())
        self.waiting.append(request)
        if self.server is None or self.server.done():
            self.server = asyncio.create_task(self._serve())
        try:
            async with asyncio.timeout(TIMEOUT):
                return await request.reply
        except TimeoutError:
            advice = "lower eval.episodes_in_flight, or serve the model with vLLM"
            raise ModelError(f"{self.name} has not answered within {TIMEOUT:g} s; {advice}") from None

    async def _serve(self) -> None:
        """Generate batch after batch until nobody waits."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gather()
            wanted = [request for request in self.waiting if not request.reply.done()]  # nobody waits for a cancelled one
            batch, self.waiting = _alike(wanted[:MAX_BATCH], wanted)
            if not batch:
                return
            try:
                replies = await loop.run_in_executor(_worker, self._generate, batch)
            except Exception as error:
                replies = [ModelError(f"{self.name}: {type(error).__name__}: {error}")] * len(batch)
            for request, reply in zip(batch, replies, strict=True):
                if not request.reply.done():
                    request.reply.set_exception(reply) if isinstance(reply, Exception) else request.reply.set_result(reply)

    async def _gather(self) -> None:
        """Let the episodes that are between two requests put theirs in: a batch of one takes nearly as long as a full one."""
        before = -1
        while before < len(self.waiting) < MAX_BATCH:
            before = len(self.waiting)
            await asyncio.sleep(QUIET)

    @torch.inference_mode()
    def _generate(self, batch: list[Request]) -> list[Completion]:
        started = time.monotonic()
        inputs = self.tokenizer.pad({"input_ids": [r.ids for r in batch]}, return_tensors="pt")
        heat = batch[0].temperature
        sampling = {"do_sample": True, "temperature": heat, "top_p": 1.0, "top_k": 0} if heat else {"do_sample": False}
        torch.manual_seed(batch[0].seed)
        limit = max(r.max_tokens for r in batch)
        output = self.model.generate(**inputs, max_new_tokens=limit, max_time=TIMEOUT, pad_token_id=self.tokenizer.pad_token_id, **sampling)
        seconds = time.monotonic() - started
        width = inputs["input_ids"].shape[1]
        return [self._completion(r, tokens.tolist(), seconds) for r, tokens in zip(batch, output[:, width:], strict=True)]

    def _completion(self, request: Request, tokens: list[int], seconds: float) -> Completion:
        tokens = tokens[: request.max_tokens]
        end = next((i for i, token in enumerate(tokens) if token in self.ends), None)
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        usage = Usage(len(request.ids), len(tokens[:end]), calls=1, seconds=seconds)
        return Completion(text, usage, "length" if end is None else "stop")


def _alike(batch: list[Request], waiting: list[Request]) -> tuple[list[Request], list[Request]]:
    """The requests of `batch` that can be sampled like its first one, and everybody else. Greedy requests ignore the seed."""

    def how(request: Request) -> tuple:
        return (request.temperature, request.seed if request.temperature else 0)

    chosen = [r for r in batch if how(r) == how(batch[0])]
    return chosen, [r for r in waiting if r not in chosen]


def _load(name: str):
    if (Path(name) / "adapter_config.json").exists():
        from peft import AutoPeftModelForCausalLM

        return AutoPeftModelForCausalLM.from_pretrained(name).eval()
    return AutoModelForCausalLM.from_pretrained(name).eval()
