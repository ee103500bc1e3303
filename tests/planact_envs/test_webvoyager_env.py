"""One WebVoyager episode: the hosts that it may reach, its pictures, and start pages that do not open."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from planact.env import EnvError
from planact.llm import ScriptedLLM
from planact.recipe import RecipeError
from planact.types import Action, Op
from planact_envs.suites import World, load_suite
from planact_envs.webvoyager.env import open_sites, site_hosts
from planact_envs.webvoyager.tasks import load_tasks

PAGE = b"<title>Harbour</title><h1>%s</h1><a href='/tides'>Tides</a><a href='http://elsewhere.example/'>Elsewhere</a>%s"
LATE_FONT = """<script>setTimeout(() => { const font = new FontFace("Late", "url(/never)"); document.fonts.add(font); font.load() }, 2500)
</script>"""
TICKER = "<p id=clock></p><script>setInterval(() => document.getElementById('clock').textContent = performance.now(), 50)</script>"


@pytest.mark.parametrize(
    "url, hosts",
    [
        ("https://www.allrecipes.com/", ("www.allrecipes.com", "allrecipes.com", "*.allrecipes.com")),
        ("https://dictionary.cambridge.org/", ("dictionary.cambridge.org", "cambridge.org", "*.cambridge.org")),
        ("https://huggingface.co/", ("huggingface.co", "huggingface.co", "*.huggingface.co")),
        ("https://www.bbc.co.uk/news", ("www.bbc.co.uk", "bbc.co.uk", "*.bbc.co.uk")),
        ("https://www.google.com/maps/", ("www.google.com", "google.com", "*.google.com")),
        ("http://shop.example.org:8080/x", ("shop.example.org:8080", "example.org", "*.example.org")),
        ("http://127.0.0.1:7770/", ("127.0.0.1:7770",)),
        ("http://localhost:7770/", ("localhost:7770",)),
    ],
)
def test_a_site_is_its_host_and_its_domain(url, hosts):
    assert site_hosts(url) == hosts


async def test_a_judge_needs_screenshots():
    with pytest.raises(RecipeError, match="set eval.screenshots to true"):
        async with open_sites(World(judge=ScriptedLLM([]))):
            raise AssertionError("opened")


@pytest.fixture
def task(tmp_path):
    (tmp_path / "q.jsonl").write_text(
        '{"web_name": "Harbour", "id": "Harbour--0", "ques": "When is high tide?", "web": "http://localhost/"}'
    )
    return load_tasks("test", {"WEBVOYAGER_TASKS": str(tmp_path / "q.jsonl")})[0]


@pytest.fixture
def suite_environment(tmp_path, task, monkeypatch):
    monkeypatch.setenv("WEBVOYAGER_TASKS", str(tmp_path / "q.jsonl"))
    for name in ("WEBVOYAGER_SITES", "WEBVOYAGER_DATE"):
        monkeypatch.delenv(name, raising=False)


def test_the_suite_by_name(suite_environment, task):
    suite = load_suite("webvoyager")
    assert (suite.name, suite.scorers, suite.tasks("test")) == ("webvoyager", ("webvoyager", "webvoyager-majority"), (task,))


class Site:
    """Serves PAGE with `more` on it at every path; /never does not answer. `asked` are the paths so far."""

    def __init__(self, more=""):
        self.more, self.asked, self.waiting = more, [], asyncio.Event()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info):
        self.waiting.set()
        self.server.close()

    async def serve(self, reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        self.asked.append(path.decode())
        if path == b"/never":
            await self.waiting.wait()
        body = PAGE % (path, self.more.encode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@pytest.mark.browser
@pytest.mark.parametrize("allowed", [False, True])
async def test_what_other_hosts_serve_is_loaded_when_the_recipe_allows_it(task, allowed):
    async with (
        Site() as other,
        Site(f"<img src='http://{other.host}/map.png'>") as site,
        open_sites(World(hosts=(other.host,) * allowed)) as make_env,
    ):
        env = make_env()
        page = await env.reset(replace(task, start_url=f"http://{site.host}/"))
        assert "link 'Tides'" in page.text and page.screenshot is None
        left = await env.step(Action(Op.GOTO, text=f"http://{other.host}/"))
        assert bool(left.error) is not allowed
        await env.close()
    assert bool(other.asked) is allowed


@pytest.mark.browser
async def test_episodes_of_one_task_keep_their_pictures_apart(tmp_path, task):
    folder, drawn = tmp_path / "screenshots", []
    async with Site() as site, open_sites(World(screenshots=folder)) as make_env:
        envs = [make_env(), make_env()]
        for env in envs:  # both are open at once
            first = await env.reset(replace(task, start_url=f"http://{site.host}/"))
            second = await env.step(Action(Op.CLICK, element="99"))  # no such element: the page is seen once more
            assert second.error and [Path(page.screenshot).name for page in (first, second)] == ["00.png", "01.png"]
            drawn += [first.screenshot, second.screenshot]
        assert len(set(drawn)) == 4 and sorted(drawn) == sorted(map(str, (folder / task.id).glob("*/*.png")))
        for env in envs:
            assert (await env.score("at noon")).success is None  # no judge
            await env.close()


@pytest.mark.browser
async def test_a_start_page_that_does_not_open_is_the_worlds_fault(task):
    async with open_sites(World()) as make_env:
        env = make_env()
        with pytest.raises(EnvError, match="task Harbour--0: the start page cannot be opened"):
            await env.reset(replace(task, start_url="http://127.0.0.1:9/"))
        await env.close()


@pytest.mark.browser
async def test_an_action_that_cannot_be_carried_out_is_an_error_also_on_a_page_that_changes_by_itself(task):
    async with Site(TICKER) as site, open_sites(World()) as make_env:
        env = make_env()
        first = await env.reset(replace(task, start_url=f"http://{site.host}/"))
        await asyncio.sleep(0.3)  # the page goes on by itself
        second = await env.step(Action(Op.CLICK, element="99"))
        assert first.text != second.text and "99" in second.error
        await env.close()


@pytest.mark.slow
@pytest.mark.browser
async def test_a_page_that_waits_for_a_font_is_photographed_all_the_same(tmp_path, task):
    async with Site(LATE_FONT) as site, open_sites(World(screenshots=tmp_path)) as make_env:
        env = make_env()
        await env.reset(replace(task, start_url=f"http://{site.host}/"))
        await asyncio.sleep(3)  # now the font is asked for
        page = await env.step(Action(Op.NOTE, text="drawing"))
        assert "/never" in site.asked and page.screenshot == str(tmp_path / task.id / "01.png")
        assert env.screenshots[1].read_bytes().startswith(b"\x89PNG")
        await env.close()


@pytest.mark.slow
@pytest.mark.browser
async def test_a_page_that_never_finishes_loading_is_used_all_the_same(task):
    async with Site("<img src=/never>") as site, open_sites(World()) as make_env:
        env = make_env()
        page = await env.reset(replace(task, start_url=f"http://{site.host}/"))
        assert "/never" in site.asked and "link 'Tides'" in page.text and not page.error
        tides = await env.step(Action(Op.CLICK, element="1"))
        assert "/tides" in tides.text and not tides.error
        same = await env.step(Action(Op.CLICK, element="2"))
        assert "elsewhere.example" in same.error and same.text == tides.text
        await env.close()
