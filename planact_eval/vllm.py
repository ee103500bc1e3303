"""vLLM started for an evaluation: one server for each base model, adapters loaded into it, stopped cleanly at the end.

    async with serve("meta-llama/Llama-3.3-70B-Instruct", recipe.serving, log=folder / "vllm.log") as server:
        await server.load("planner", "runs/models/planner-1234")

It listens on 127.0.0.1 alone: vLLM has no users and no rights. `VLLM` names the program when it is not on PATH.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from planact.llm import ModelError
from planact.recipe import RecipeError, Serving

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_SECONDS = 30.0  # after which a server that was asked to stop is killed
POLL_SECONDS = 0.5
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that `--max-lora-rank` takes
LOG_LINES = 15  # of a server that did not start, in the error
OURS = {"host", "port", "uds", "api-key", "model", "served-model-name", "chat-template", "enable-lora", "max-lora-rank", "max-loras"}
NEVER = {"trust-remote-code"}  # a model is data


@dataclass(frozen=True)
class Served:
    """A running server."""

    base_url: str  # ends in /v1
    name: str  # of the base model on it

    async def load(self, name: str, adapter: str) -> None:
        """Make the adapter in a folder answer to `name`. Raises ModelError."""
        await self._post("load_lora_adapter", {"lora_name": name, "lora_path": _whole(adapter)})

    async def unload(self, name: str) -> None:
        await self._post("unload_lora_adapter", {"lora_name": name})

    async def _post(self, verb: str, body: dict[str, str]) -> None:
        import openai

        async with openai.AsyncOpenAI(base_url=self.base_url, api_key="none", max_retries=0, timeout=300.0) as client:
            try:
                await client.post(f"/{verb}", body=body, cast_to=str)
            except openai.OpenAIError as error:
                raise ModelError(f"vLLM at {self.base_url} refused {verb} {body['lora_name']}: {error}") from error


@asynccontextmanager
async def serve(
    base: str, settings: Serving, log: Path, adapters: tuple[str, ...] = (), share: float = 1.0, port: int = 0
) -> AsyncIterator[Served]:
    """A server of `base` that can take `adapters` (folders, to be loaded); `share` is its part of the GPU memory that is allowed.

    Raises RecipeError when vLLM is not there or cannot serve these, ModelError with the end of the log when it does not start.
    """
    port = port or free_port()
    command = serve_command(base, settings, port, adapters, share)
    environment = os.environ | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    with _opened(log) as output:
        streams = {"stdin": asyncio.subprocess.DEVNULL, "stdout": output, "stderr": output}
        process = await asyncio.create_subprocess_exec(
            *command, **streams, env=environment, start_new_session=True, preexec_fn=_end_with_parent
        )
    try:
        await _until_healthy(process, port, settings.start_seconds, log)
        yield Served(f"http://{HOST}:{port}/v1", base)
    finally:
        await _stop(process)


def _end_with_parent() -> None:
    """In the server's process: Linux ends it when ours is killed, which could not stop it any more. It would keep its GPU for itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def serve_command(base: str, settings: Serving, port: int, adapters: tuple[str, ...] = (), share: float = 1.0) -> list[str]:
    """The command line. Raises RecipeError when there is no vLLM, or the settings are not to be served."""
    options: dict[str, Any] = {
        "host": HOST,
        "port": port,
        "served-model-name": base,
        "tensor-parallel-size": settings.tensor_parallel_size,
        "data-parallel-size": settings.data_parallel_size,
        "dtype": settings.dtype,
        "max-model-len": settings.max_model_len,
        "max-num-seqs": settings.max_num_seqs,
        "gpu-memory-utilization": round(settings.gpu_memory_utilization * share, 4),
        "enable-prefix-caching": settings.enable_prefix_caching,
    }
    if adapters:
        rank = max(adapter_config(folder)["r"] for folder in adapters)
        options |= {"enable-lora": True, "max-loras": len(adapters), "max-lora-rank": next(r for r in RANKS if r >= rank)}
        options["chat-template"] = chat_template(adapters)
    return [program(), "serve", base, *_flags(options), *_flags(_checked(settings.options))]


def program() -> str:
    """Where vLLM is. Raises RecipeError with what to install."""
    found = shutil.which(os.environ.get("VLLM") or "vllm")
    if found is None:
        raise RecipeError(
            "eval.serving is vllm and there is no program `vllm`; install it (pip install vllm), name it (VLLM=/path/to/vllm), or serve "
            "the models elsewhere and set eval.serving: endpoint"
        )
    return found


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        plain = name.replace("_", "-")
        if plain in NEVER:
            raise RecipeError(f"serving.options.{name}: code that comes with a model is never run")
        if plain in OURS or plain in {field.replace("_", "-") for field in Serving.__dataclass_fields__}:
            raise RecipeError(f"serving.options.{name} is set by the recipe's own keys; leave it out")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", plain) or not isinstance(value, str | int | float | bool):
            raise RecipeError(f"serving.options.{name}: expected the name of an option of `vllm serve` with a plain value")
    return {name.replace("_", "-"): value for name, value in options.items()}


def _flags(options: Mapping[str, Any]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            flags.append(f"--{name}={value}")
    return flags


def adapter_config(folder: str | Path) -> dict[str, Any]:
    """What PEFT wrote of an adapter: its rank `r`, its `base_model_name_or_path`, ..."""
    return json.loads((Path(folder) / "adapter_config.json").read_text())


def chat_template(adapters: tuple[str, ...]) -> str:
    """The template that the adapters were trained with; vLLM would take the base model's. Raises RecipeError when they differ."""
    files = [Path(folder).absolute() / "chat_template.jinja" for folder in adapters]
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise RecipeError(f"{missing[0]} is missing; an adapter is served with the chat template that it was trained with")
    if len({file.read_text() for file in files}) > 1:
        raise RecipeError(f"{files[0].parent} and another adapter of the same base have different chat templates; serve them apart")
    return str(files[0])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def _whole(folder: str) -> str:
    """The server has a folder of its own to start from."""
    return str(Path(folder).absolute())


def _opened(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    return open(log, "ab")


async def _until_healthy(process: asyncio.subprocess.Process, port: int, seconds: float, log: Path) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await _healthy(port):
                if process.returncode is not None:
                    raise ModelError(f"vLLM ended with exit code {process.returncode} before it served. The end of {log}:\n{tail(log)}")
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        advice = "raise serving.start_seconds, or see what it waits for"
        raise ModelError(f"vLLM did not serve within {seconds:g} s; {advice}. The end of {log}:\n{tail(log)}") from None


async def _healthy(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(f"GET /health HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        return (await asyncio.wait_for(reader.readline(), 10)).split()[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


async def _stop(process: asyncio.subprocess.Process) -> None:
    """The server and the processes that it started: they are a session of their own."""
    for sign, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), patience)
        except TimeoutError:
            continue
    await process.wait()


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join("".join(c for c in line if c.isprintable())[:300] for line in lines) or "(empty)"
