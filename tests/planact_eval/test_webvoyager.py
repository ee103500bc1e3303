"""WebVoyager from end to end on local pages: Chromium, the loop, screenshots, a judge behind an endpoint, and the run store.

The pages, the questions about them and a reference answer are in tests/planact_envs/webvoyager. An agent that follows a script and
a judge stand behind one local OpenAI-compatible server.
"""

import base64
import json
import re
import struct
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from planact.llm import EndpointUnusable, message_text
from planact.recipe import RecipeError, load_recipe
from planact.types import StopReason
from planact_eval.runner import evaluate

REPO = Path(__file__).parents[2]
SITE = REPO / "tests/planact_envs/webvoyager"
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.browser


class Pages(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Models:
    """The agent and the judge. `refuse` makes the judge's key invalid after so many answers."""

    def __init__(self):
        self.asked = {"agent": [], "judge": []}  # messages of each call
        self.refuse: int | None = None

    def answer(self, request: dict) -> tuple[int, str]:
        role, messages = request["model"], request["messages"]
        if role == "judge" and self.refuse is not None and len(self.asked["judge"]) >= self.refuse:
            return 401, "bad key"
        self.asked[role].append(messages)
        return 200, getattr(self, role)("\n".join(map(message_text, messages)), message_text(messages[-1]))

    def agent(self, prompt: str, page: str) -> str:
        """Goes to the page that the question is about, and answers from it; the phone number is looked for in vain."""
        if "phone number" in prompt:
            return 'do(action="Scroll Down")'
        if link := re.search(r"\[(\d+)\] link '" + ("New books" if "new books has" in prompt else "Opening hours"), page):
            return f'do(action="Click", element="{link[1]}")'
        if "new books has" in prompt:
            return f'exit(message="The Night Ferry: {re.search("Night Ferry, ([0-9]+) pages", page)[1]} pages")'
        return 'exit(message="10:30")' if "open on Saturday?" in prompt else 'exit(message="19:00 or so")'

    def judge(self, prompt: str, asked: str) -> str:
        if "or so" in asked:
            return "I cannot tell."
        return "It is on the page.\nSUCCESS" if "10:30" in asked else "The title is wrong.\nNOT SUCCESS"


def served(handler):
    """A server on 127.0.0.1 in a thread of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def chat_handler(models):
    class Chat(BaseHTTPRequestHandler):
        log_message = Pages.log_message

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, text = models.answer(request)
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            answer = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
            body = answer if status == 200 else {"error": {"message": text}}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    return Chat


@pytest.fixture
def models():
    return Models()


@pytest.fixture
def recipe(tmp_path, monkeypatch, models):
    """The repository's recipe, with the local pages, agent and judge."""
    pages, chat = served(partial(Pages, directory=SITE)), served(chat_handler(models))
    for name in ("questions.jsonl", "reference_answer.json"):
        text = (SITE / name).read_text().replace("127.0.0.1:8000", f"127.0.0.1:{pages.server_port}")
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("WEBVOYAGER_TASKS", str(tmp_path / "questions.jsonl"))
    for name in ("WEBVOYAGER_SITES", "WEBVOYAGER_DATE"):
        monkeypatch.delenv(name, raising=False)
    url = f"http://127.0.0.1:{chat.server_port}/v1"
    changes = ["endpoints.executor.model=agent", "endpoints.judge.model=judge", "endpoints.judge.api_key_env=''"]
    changes += [f"endpoints.{role}.base_url={url}" for role in ("executor", "judge")]
    yield load_recipe(REPO / "recipes/webvoyager/react-endpoint.yaml", [*changes, "agent.max_turns=3", "eval.episodes_in_flight=1"])
    for server in (pages, chat):
        server.shutdown()
        server.server_close()


def test_episodes_are_run_photographed_judged_and_not_repeated(recipe, models, tmp_path):
    folder, summary, episodes = evaluate(recipe, tmp_path)
    hours, books, phone, monday = episodes
    assert [(e.outcome.success, e.stop_reason) for e in episodes] == [
        (True, StopReason.ANSWERED),
        (False, StopReason.ANSWERED),
        (False, StopReason.MAX_TURNS),
        (None, StopReason.ANSWERED),
    ]
    assert (summary.planned, summary.success, summary.failure, summary.unscored) == (4, 1, 2, 1)
    assert hours.outcome.reason == "the judge says: SUCCESS; golden reference answer: half past ten"
    assert (phone.outcome.reason, phone.outcome.judgements) == ("no answer", ())
    assert monday.outcome.judgements[0].response == "I cannot tell."
    assert "341 pages" in books.answer  # written by the page's script

    # one picture of every page that the agent saw, of WebVoyager's size, and the judge saw these
    for episode, count in zip(episodes, (2, 2, 4, 2)):
        pictures = sorted((folder / "screenshots" / episode.task_id).glob("*/*"))
        assert [Path(t.observation.screenshot).name for t in episode.turns] == [p.name for p in pictures][: len(episode.turns)]
        assert len(pictures) == count
        assert all(struct.unpack(">8x8xII", p.read_bytes()[:24]) == (1024, 768) for p in pictures)
    parts = [part for part in models.asked["judge"][0][1]["content"] if part["type"] == "image_url"]
    shown = [base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,")) for part in parts]
    assert shown == [p.read_bytes() for p in sorted((folder / "screenshots/Library--0").glob("*/*"))]
    assert shown[0] != shown[1] and shown[0].startswith(PNG)
    assert "half past ten" not in json.dumps(models.asked)  # the reference answer is for people

    calls = {role: len(asked) for role, asked in models.asked.items()}
    assert evaluate(recipe, tmp_path)[1:] == (summary, episodes)
    assert calls == {role: len(asked) for role, asked in models.asked.items()} == {"agent": 2 + 2 + 3 + 2, "judge": 3}


def test_a_run_that_lost_its_judge_goes_on_where_it_stopped(recipe, models, tmp_path):
    recipe = replace(recipe, eval=replace(recipe.eval, limit=2))
    models.refuse = 1
    with pytest.raises(EndpointUnusable, match="bad key"):
        evaluate(recipe, tmp_path)
    models.refuse = None
    _, summary, episodes = evaluate(recipe, tmp_path)
    assert [e.outcome.success for e in episodes] == [True, False] and summary.planned == 2
    asked = [message_text(messages[1]) for messages in models.asked["judge"]]
    assert ["Saturday" in text for text in asked] == [True, False]  # what was judged before the key was refused is not judged again
    assert len(models.asked["agent"]) == 2 + 2 + 2  # the second episode was run twice


def test_a_judge_without_screenshots_is_refused_before_anything_runs(recipe, models, tmp_path):
    blind = replace(recipe, eval=replace(recipe.eval, screenshots=False))
    with pytest.raises(RecipeError, match="set eval.screenshots to true"):
        evaluate(blind, tmp_path)
    assert not models.asked["agent"]
