"""The scorer of webarena-verified: answers in plain words or JSON, and network events, through the package itself."""

import json
from types import SimpleNamespace

import pytest

from planact.types import Task
from planact_envs.scoring import verified
from planact_envs.scoring.ending import Ending
from planact_envs.webarena.sites import Sites

MISSING = "webarena-verified is not installed: `make webarena` installs it"
GITLAB = "http://code.test"
SITES = Sites({"gitlab": GITLAB, "shopping_admin": "http://shop.test/admin", "map": "http://map.test"}, {})
HEADERS = {"accept": "text/html", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate", "sec-fetch-user": "?1"}


@pytest.fixture
def package():
    pytest.importorskip(
        "webarena_verified.api", reason="webarena-verified is not installed: `make webarena` installs it", exc_type=ImportError
    )


def visit(path, status=200):
    headers = [{"name": name, "value": value} for name, value in HEADERS.items()]
    response = {"status": status, "headers": [], "redirectURL": "", "cookies": []}
    return {"request": {"method": "GET", "url": GITLAB + path, "headers": headers}, "response": response}


async def score(number, answer, *events):
    task = Task(f"webarena.{number}", "webarena", "test", (), "", "", "t")
    return await verified.score(task, Ending(answer, SimpleNamespace(url=GITLAB), SITES, events=events or (visit("/"),)))


def test_plain_words_become_a_response():
    assert verified.agent_response("Quest", "retrieve")["retrieved_data"] == ["Quest"]
    assert verified.agent_response('["a", "b"]', "RETRIEVE")["retrieved_data"] == ["a", "b"]
    assert verified.agent_response("done", "mutate") == {"task_type": "mutate", "status": "SUCCESS", "retrieved_data": None}
    assert verified.agent_response("N/A", "retrieve")["status"] == "NOT_FOUND_ERROR"
    own = {"task_type": "navigate", "status": "SUCCESS"}
    assert verified.agent_response(json.dumps(own), "retrieve") == own


@pytest.mark.parametrize(
    ("answer", "success"),
    [
        ("Quest Lumaflex™ Band", True),  # task 0 asks for the best-selling product of 2022
        ("quest lumaflex™ band", True),
        ("Impulse Duffle", False),
        ("The product is Quest Lumaflex™ Band", False),  # no substrings
        ("N/A", False),
        (json.dumps({"task_type": "retrieve", "status": "SUCCESS", "retrieved_data": ["Quest Lumaflex™ Band"]}), True),
        (json.dumps({"task_type": "navigate", "status": "SUCCESS", "retrieved_data": None}), False),
    ],
)
async def test_an_answer_is_compared_by_its_type(package, answer, success):
    outcome = await score(0, answer)
    assert outcome.success is success and outcome.scorer == "webarena-verified"
    assert success or outcome.reason


@pytest.mark.parametrize(
    ("path", "success"), [("/dashboard/todos", True), ("/dashboard/todos?state=pending", True), ("/dashboard/issues", False)]
)
async def test_a_page_counts_when_it_was_asked_for_over_the_network(package, path, success):
    assert (await score(44, "done", visit("/"), visit(path))).success is success  # task 44: open my todos


async def test_what_the_package_cannot_score_is_unscored(package):
    outcome = await score(44, "done", {"request": {}, "response": {}})
    assert outcome.success is None and "could not score" in outcome.reason
