"""The user's WebArena sites: addresses and accounts from the environment, whether they answer, and the reset before a run."""

import json
import shlex
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from planact.env import EnvError
from planact.recipe import RecipeError
from planact.types import Task
from planact_envs.suites import load_suite
from planact_envs.webarena.reset import by_command, by_server, reset_sites
from planact_envs.webarena.sites import Sites, locate, probe, sites_from_environment

ENVIRON = {"SHOPPING": "http://shop:7770/", "WA_REDDIT": "http://forum:9999", "GITLAB": "todo"}


@pytest.fixture
def serve():
    """A server whose answers are a function of the path: (status, text)."""
    servers = []

    def serve_(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, text = answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve_
    for server in servers:
        server.shutdown()
        server.server_close()


def test_addresses_have_webarenas_names_or_browsergyms():
    sites = sites_from_environment(["shopping", "reddit", "gitlab"], ENVIRON)
    assert sites.urls == {"shopping": "http://shop:7770", "reddit": "http://forum:9999"}
    assert sites.accounts["gitlab"].username == "byteblaze"


def test_a_missing_address_is_refused_with_what_to_type():
    with pytest.raises(RecipeError) as refused:
        sites_from_environment(["shopping", "shopping_admin", "map"], ENVIRON)
    said = str(refused.value)
    assert "export SHOPPING_ADMIN=http://<host>:<port>\n  export MAP=" in said and "export SHOPPING=" not in said


@pytest.mark.parametrize(
    "address, kept",
    [
        ("http://Forum.Example:80/", "http://forum.example"),
        ("HTTPS://Forum.Example:443/Admin/", "https://forum.example/Admin"),
        ("http://forum.example:443", "http://forum.example:443"),
        ("http://forum.example:/", "http://forum.example"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080"),
    ],
)
def test_an_address_is_kept_as_a_browser_writes_it(address, kept):
    assert sites_from_environment(["reddit"], {"REDDIT": address}).url("reddit") == kept


@pytest.mark.parametrize("address", ["shop:7770", "ftp://shop", "http://", "http://shop:port", "http://:80"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(RecipeError, match="SHOPPING is no address"):
        sites_from_environment(["shopping"], {"SHOPPING": address})


def test_secrets_are_in_no_message_and_no_representation(tmp_path):
    with pytest.raises(RecipeError) as refused:
        sites_from_environment(["shopping"], {"SHOPPING": "http://me:hunter2@shop"})
    headers = tmp_path / "headers.json"
    headers.write_text('{"X-Token": "hunter2"}')
    environ = {"SHOPPING": "http://shop", "SHOPPING_PASSWORD": "hunter2", "PW_EXTRA_HEADERS": str(headers)}
    sites = sites_from_environment(["shopping"], environ)
    assert sites.accounts["shopping"].password == "hunter2" and sites.headers == {"X-Token": "hunter2"}
    assert "hunter2" not in f"{refused.value} {sites!r}"


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_headers_that_are_no_object_of_texts_are_refused(tmp_path, text):
    file = tmp_path / "headers.json"
    file.write_text(text)
    with pytest.raises(RecipeError, match="PW_EXTRA_HEADERS names"):
        sites_from_environment([], {"PW_EXTRA_HEADERS": str(file)})


def test_placeholders_become_addresses_at_any_depth():
    sites = sites_from_environment(["shopping"], {"SHOPPING": "http://shop", "SHOPPING_ADMIN": "http://shop/admin"})
    checks = [{"url": "__SHOPPING__/x", "n": 1}, "__SHOPPING_ADMIN__ |OR| __last_url__"]
    task = sites.resolve_task(
        Task("t.1", "webarena", "test", (), "__SHOPPING__", "__SHOPPING__/a |AND| __SHOPPING__", "t", eval={"c": checks})
    )
    assert task.start_url == "http://shop/a |AND| http://shop" and task.intent == "__SHOPPING__"
    assert task.eval == {"c": [{"url": "http://shop/x", "n": 1}, "http://shop/admin |OR| __last_url__"]}


def test_the_first_page_of_an_imported_episode_is_the_start_page_of_its_site():
    sites = Sites({"shopping": "http://h:1", "shopping_admin": "http://h:2/admin"}, {})
    assert sites.resolve("webarena://shopping/") == "http://h:1/" and sites.resolve("webarena://shopping_admin/") == "http://h:2/admin/"
    assert sites.resolve("see webarena://shopping/") == "see webarena://shopping/"  # in a text it is no address


def test_an_imported_page_is_located_where_its_site_is_hosted(monkeypatch):
    monkeypatch.setenv("SHOPPING", "http://h:1")
    monkeypatch.delenv("GITLAB", raising=False)
    monkeypatch.delenv("WA_GITLAB", raising=False)
    assert [locate(f"webarena://{site}/") for site in ("shopping", "gitlab")] == ["http://h:1/", "webarena://gitlab/"]
    assert load_suite("webarena-lite").locate("webarena://shopping/") == "http://h:1/"
    assert load_suite("miniweb").locate("http://shop.miniweb/") == "http://shop.miniweb/"


def test_a_task_on_a_site_that_is_not_hosted_cannot_be_resolved():
    sites = sites_from_environment(["gitlab"], ENVIRON)
    with pytest.raises(EnvError, match="gitlab is not hosted"):
        sites.resolve("__GITLAB__/x")


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (502, False)])
async def test_a_site_answers_unless_it_says_that_it_cannot(serve, status, answers):
    found = await probe(sites_from_environment(["map"], {"MAP": serve(lambda _: (status, ""))}), "map")
    assert (found.status, found.answers) == (status, answers) and found.milliseconds > 0


async def test_a_site_that_is_not_there_does_not_answer():
    found = await probe(sites_from_environment(["map"], {"MAP": "http://127.0.0.1:9"}), "map")
    assert not found.answers and "ConnectError" in found.error


async def test_extra_headers_go_with_a_probe(serve, tmp_path):
    file = tmp_path / "headers.json"
    file.write_text(json.dumps({"X-Token": "t"}))
    url = serve(lambda request: (200 if request.headers["X-Token"] == "t" else 503, ""))
    assert (await probe(sites_from_environment(["map"], {"MAP": url, "PW_EXTRA_HEADERS": str(file)}), "map")).answers


async def test_a_reset_server_is_asked_until_it_is_ready(serve):
    asked = []

    def answer(request):
        asked.append(request.path)
        return 200, "Ready for duty!" if len(asked) > 3 else "busy"

    await by_server(serve(answer), poll=0.01)
    assert asked == ["/reset", "/status", "/status", "/status"]


async def test_a_reset_that_does_not_end_is_refused_with_what_the_server_said(serve):
    with pytest.raises(RecipeError, match="it says 'busy'"):
        await by_server(serve(lambda _: (200, "busy")), patience=1.0, poll=0.01)


async def test_a_reset_server_that_fails_is_refused(serve):
    with pytest.raises(RecipeError, match="WA_FULL_RESET failed"):
        await reset_sites({"WA_FULL_RESET": serve(lambda _: (500, ""))})


async def test_a_reset_command_is_run_without_a_shell(tmp_path):
    mark = tmp_path / "it's done; $(no)"
    script = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    assert await reset_sites({"PLANACT_WEBARENA_RESET": shlex.join([sys.executable, "-c", script, str(mark)])})
    assert mark.exists()


@pytest.mark.parametrize(("command", "said"), [("no-such-program-here", "cannot be run"), ("'unclosed", "cannot be run")])
async def test_a_reset_command_that_cannot_run_is_refused(command, said):
    with pytest.raises(RecipeError, match=said):
        await by_command(command)


async def test_a_reset_command_that_fails_or_hangs_is_refused():
    with pytest.raises(RecipeError, match="code 3"):
        await by_command(shlex.join([sys.executable, "-c", "raise SystemExit(3)"]))
    with pytest.raises(RecipeError, match="was not done after 0 s"):
        await by_command(shlex.join([sys.executable, "-c", "import time; time.sleep(60)"]), patience=0.1)


async def test_nothing_is_reset_when_nothing_says_how():
    assert not await reset_sites({})
