"""The API key goes to its server and nowhere else."""

import json
import logging
import traceback

import pytest

from planact.endpoint import EndpointLLM
from planact.llm import EndpointUnusable, ModelError
from tests.planact.answering import KEY, Server, ask, chat, client, error, http, reset


async def test_missing_key_is_named_before_any_request(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    async with Server(chat()) as server, client(server, api_key_env="SOME_KEY") as llm:
        with pytest.raises(EndpointUnusable, match="export SOME_KEY="):
            await ask(llm)
        monkeypatch.setenv("SOME_KEY", "sk-\u200bnot-a-key")
        with pytest.raises(EndpointUnusable, match="SOME_KEY"):
            await ask(llm)
        assert not server.seen
        monkeypatch.setenv("SOME_KEY", f" {KEY}\n")  # read at call time, stray white space removed
        await ask(llm)
        assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"


async def test_key_of_the_environment_is_not_sent_to_other_servers(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with Server(chat()) as server, client(server) as llm:
        await ask(llm)
    assert KEY not in str(server.seen)


async def test_key_stays_out_of_errors_logs_and_repr(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", KEY)
    echo = error(401, f"Incorrect API key provided: {KEY}\x1b[31m\nBearer {KEY}")
    echo_200 = http(200, json.dumps({"you sent": KEY}).encode())
    async with Server(echo, echo_200, reset) as server, client(server, api_key_env="SOME_KEY", timeout=1.0) as llm:
        shown = [repr(llm), str(llm)]
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                await ask(llm)
            shown.append("".join(traceback.format_exception(caught.value)))
            assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "Incorrect API key provided: ***[31m Bearer ***" in shown[2]
    assert KEY not in "".join(shown) and KEY not in caplog.text
    assert caplog.text  # the logs were on


@pytest.mark.parametrize("url", ["localhost:8000/v1", "", "ftp://h/v1", "http://", f"http://user:{KEY}@h/v1"])
def test_bad_address_is_refused(url):
    with pytest.raises(ValueError, match="base_url") as caught:
        EndpointLLM(url, "m")
    assert KEY not in str(caught.value)
