"""How vLLM is started, used and stopped, with a program of its command line and routes in its place; test_vllm_real.py has vLLM itself."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from planact.layout import base_model_identity
from planact.llm import Budget, ModelError
from planact.recipe import Agent, Eval, Recipe, RecipeError, Serving
from planact_envs.suites import load_suite
from planact_eval.planned import eval_settings
from planact_eval.players import base_of, open_models, served
from planact_eval.runner import evaluate
from planact_eval.vllm import free_port, serve, serve_command

DOUBLE = Path(__file__).with_name("vllm_double.py")
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def program(tmp_path, monkeypatch):
    """`vllm` is the double; returns the file with its arguments."""
    script = tmp_path / "bin/vllm"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{DOUBLE}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("VLLM", str(script))
    monkeypatch.setenv("DOUBLE_ARGUMENTS", str(tmp_path / "arguments.json"))
    return tmp_path / "arguments.json"


@pytest.fixture
def adapter(tmp_path):
    """A function that makes an adapter's folder."""

    def make(name, base="the/base", rank=12, template="{{ messages }}"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": rank}))
        if template is not None:
            (folder / "chat_template.jinja").write_text(template)
        return str(folder)

    return make


def recipe(**serving):
    return Recipe("r", 0, "the/base", agent=Agent(planner="trained"), eval=Eval(serving="vllm"), serving=Serving(**serving))


async def answers(made, roles, folder):
    async with open_models(made, roles, Budget(max_usd=1.0), folder) as models:
        return {role: json.loads((await llm.complete(HELLO, max_tokens=4)).text) for role, llm in models.items()}


def name_of(role, roles):
    """Under which an adapter is served: another one gets another name."""
    return f"{role}-{base_model_identity(roles[role])}"


async def test_adapters_of_one_base_share_a_server_each_under_its_role(adapter, program, tmp_path):
    roles = {"executor": adapter("act", rank=12), "planner": adapter("plan", rank=70)}
    said = await answers(recipe(tensor_parallel_size=8, options={"swap_space": 4, "async-scheduling": True}), roles, tmp_path)
    assert {role: answer["model"] for role, answer in said.items()} == {
        "executor": name_of("executor", roles),
        "planner": name_of("planner", roles),
    }
    arguments = json.loads(program.read_text())
    assert arguments[:2] == ["serve", "the/base"]
    wanted = {
        "--host=127.0.0.1",
        "--tensor-parallel-size=8",
        "--enable-lora",
        "--max-loras=2",
        "--max-lora-rank=128",
        "--enable-prefix-caching",
    }
    wanted |= {
        "--gpu-memory-utilization=0.9",
        f"--chat-template={roles['executor']}/chat_template.jinja",
        "--swap-space=4",
        "--async-scheduling",
    }
    assert wanted <= set(arguments) and not [a for a in arguments if a.startswith("--max-model-len")]
    assert "asked" in (tmp_path / "vllm.log").read_text()


async def test_two_bases_are_two_servers_that_share_the_memory(adapter, program, tmp_path):
    roles = {"executor": "a/full-model", "planner": adapter("plan")}
    said = await answers(recipe(), roles, tmp_path)
    assert {role: answer["model"] for role, answer in said.items()} == {"executor": "a/full-model", "planner": name_of("planner", roles)}
    assert "--gpu-memory-utilization=0.45" in json.loads(program.read_text()) and (tmp_path / "1-vllm.log").exists()


async def test_one_model_in_both_roles_is_served_once(program, tmp_path):
    said = await answers(recipe(), {"executor": "the/base", "planner": "the/base"}, tmp_path)
    assert {answer["model"] for answer in said.values()} == {"the/base"}
    assert not (tmp_path / "1-vllm.log").exists() and "--enable-lora" not in json.loads(program.read_text())


async def test_only_the_executor_is_held_to_its_grammar(tmp_path):
    said = await answers(recipe(structured_outputs=True), {"executor": "the/base", "planner": "the/base"}, tmp_path)
    assert "go_backward" in said["executor"]["structured_outputs"]["regex"] and said["planner"]["structured_outputs"] is None


async def test_an_adapter_can_be_taken_out_and_another_put_under_its_name(adapter, tmp_path):
    from planact.endpoint import EndpointLLM

    first, second = adapter("one"), adapter("two")
    async with serve("the/base", Serving(), tmp_path / "log", (first, second)) as server:
        await server.load("step", first)
        await server.unload("step")
        async with EndpointLLM(server.base_url, "step") as llm:
            with pytest.raises(ModelError, match="does not exist"):
                await llm.complete(HELLO, max_tokens=4)
        await server.load("step", second)
        with pytest.raises(ModelError, match="refused load_lora_adapter x: .*no adapter in"):
            await server.load("x", str(tmp_path / "none"))


async def test_the_server_is_gone_afterwards_also_after_an_error(tmp_path):
    ports = []

    async def work():
        async with serve("the/base", Serving(), tmp_path / "log") as server:
            ports.append(int(server.base_url.split(":")[2].split("/")[0]))
            assert listening(ports[0])
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await work()
    assert not listening(ports[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_killed_evaluation_takes_its_server_along(tmp_path):
    code = f"""
import asyncio
from pathlib import Path
from planact.recipe import Serving
from planact_eval.vllm import serve
async def forever():
    async with serve("the/base", Serving(), Path({str(tmp_path / "log")!r})) as server:
        print(server.base_url, flush=True)
        await asyncio.sleep(60)
asyncio.run(forever())"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        port = int(parent.stdout.readline().split(":")[2].split("/")[0])
        assert listening(port)
        parent.kill()
    until = time.monotonic() + 20
    while listening(port) and time.monotonic() < until:
        time.sleep(0.05)
    assert not listening(port)


async def test_servers_listen_from_the_port_that_is_asked_for(adapter, tmp_path):
    port = free_port()
    async with served(recipe(), {"executor": "the/base", "planner": adapter("plan")}, tmp_path, port) as servers:
        assert {server.base_url for server in servers.values()} == {f"http://127.0.0.1:{port}/v1"}


def test_what_changes_the_answers_of_vllm_is_a_setting_of_the_run():
    suite, roles = load_suite("miniweb-short"), {}
    one, other, memory = (
        eval_settings(recipe(**serving), suite, roles)
        for serving in ({}, {"options": {"quantization": "fp8"}}, {"gpu_memory_utilization": 0.5})
    )
    assert one != other and one == memory


def listening(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def test_a_server_that_does_not_start_shows_the_end_of_its_log_without_control_characters(monkeypatch, tmp_path):
    monkeypatch.setenv("DOUBLE_FAILS", "1")
    with pytest.raises(ModelError, match=r"exit code 3 before it served(.|\n)*OutOfMemoryError: no room") as caught:
        await answers(recipe(), {"executor": "the/base"}, tmp_path)
    assert "\x1b" not in str(caught.value)


async def test_a_server_that_loads_for_too_long_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setenv("DOUBLE_LOADS_FOR", "60")
    with pytest.raises(ModelError, match="did not serve within 1.5 s; raise serving.start_seconds"):
        await answers(recipe(start_seconds=1.5), {"executor": "the/base"}, tmp_path)


def test_without_vllm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("VLLM", "no-such-program")
    with pytest.raises(RecipeError, match="pip install vllm"):
        serve_command("the/base", Serving(), 1)


@pytest.mark.parametrize(
    "options, why",
    [
        ({"trust_remote_code": True}, "never run"),
        ({"host": "0.0.0.0"}, "recipe's own keys"),
        ({"max_model_len": 5}, "recipe's own keys"),
        ({"a b": 1}, "expected the name of an option"),
        ({"x": ["--host=0.0.0.0"]}, "expected the name of an option"),
    ],
)
def test_options_that_would_open_the_machine_or_contradict_the_recipe_are_refused(options, why):
    with pytest.raises(RecipeError, match=why):
        serve_command("the/base", Serving(options=options), 1)


def test_adapters_with_other_chat_templates_are_not_served_together(adapter):
    with pytest.raises(RecipeError, match="different chat templates"):
        serve_command("the/base", Serving(), 1, (adapter("a"), adapter("b", template="other")))
    with pytest.raises(RecipeError, match="chat_template.jinja is missing"):
        serve_command("the/base", Serving(), 1, (adapter("c", template=None),))


def test_a_full_model_is_its_own_base(adapter, tmp_path):
    assert base_of(adapter("a")) == "the/base" and base_of("owner/model") == "owner/model" and base_of(str(tmp_path)) == str(tmp_path)


def test_an_evaluation_starts_and_stops_its_server(small, tmp_path):
    made = small("dynamic-replanning", "eval.serving=vllm", "eval.limit=2", "agent.planner=base", "agent.executor=base")
    folder, summary, _ = evaluate(replace(made, base_model="the/base"), tmp_path)
    assert (summary.planned, summary.failure, summary.usd) == (2, 2, 0.0) and (folder / "vllm.log").exists()
    assert os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") is None
