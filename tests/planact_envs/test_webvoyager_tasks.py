"""WebVoyager's files: read, filtered, versioned, and refused with the line that is wrong."""

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.recipe import RecipeError
from planact_envs.webvoyager.tasks import load_tasks, read_rows, version

ROWS = [
    {"web_name": "Booking", "id": "Booking--0", "ques": "A room in Lima on December 5, 2023.", "web": "https://www.booking.com/"},
    {"web_name": "Booking", "id": "Booking--1", "ques": "Who owns the site?", "web": "https://www.booking.com/"},
    {"web_name": "ArXiv", "id": "ArXiv--0", "ques": "How many papers of March 5, 2024 are there?", "web": "https://arxiv.org/"},
]
REFERENCES = {"ArXiv": {"notice": "", "answers": [{"id": 0, "type": "golden", "ans": "412"}]}}


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(lines(*ROWS))
    return path


@pytest.fixture
def environ(path):
    return {"WEBVOYAGER_TASKS": str(path), "WEBVOYAGER_DATE": "2026-11-21"}


def test_rows_become_tasks_and_dates_move_where_something_is_booked(environ):
    room, owner, papers = load_tasks("test", environ)
    assert (room.id, room.sites, room.start_url) == ("Booking--0", ("Booking",), "https://www.booking.com/")
    assert room.intent == "A room in Lima on December 5, 2026."
    assert room.params == {"question": ROWS[0]["ques"], "run_day": "2026-11-21"}
    assert (owner.intent, owner.params) == (ROWS[1]["ques"], {})
    assert (papers.intent, papers.params, papers.eval) == (ROWS[2]["ques"], {}, {})


def test_the_sites_that_are_asked_for(environ):
    assert [task.id for task in load_tasks("test", environ | {"WEBVOYAGER_SITES": "ArXiv"})] == ["ArXiv--0"]
    assert len(load_tasks("test", environ | {"WEBVOYAGER_SITES": "ArXiv, Booking"})) == 3
    with pytest.raises(RecipeError, match="names Bookings; the file's sites are ArXiv, Booking"):
        load_tasks("test", environ | {"WEBVOYAGER_SITES": "Bookings"})


def test_the_version_follows_the_day_the_sites_and_the_questions(environ, path):
    first = version(environ)
    assert first == version(environ) and first.startswith("2026-11-21-")
    others = [version(environ | {"WEBVOYAGER_DATE": "2026-11-22"}), version(environ | {"WEBVOYAGER_SITES": "ArXiv"})]
    path.write_text(lines(*ROWS[:2]))
    assert len({first, *others, version(environ)}) == 4


def test_reference_answers_are_kept_for_the_report_and_not_for_the_agent(environ, path):
    (path.parent / "reference_answer.json").write_text(json.dumps(REFERENCES))
    room, _, papers = load_tasks("test", environ)
    assert papers.eval == {"reference": {"type": "golden", "answer": "412"}} and room.eval == {}
    assert "412" not in str(replace(papers, eval={}))
    (path.parent / "reference_answer.json").write_text('{"ArXiv": 3}')
    with pytest.raises(RecipeError, match="is not WebVoyager's file of reference answers"):
        load_tasks("test", environ)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"WEBVOYAGER_TASKS": ""}, "type: export WEBVOYAGER_TASKS="),
        ({"WEBVOYAGER_TASKS": "/nowhere/at-all.jsonl"}, "at-all.jsonl cannot be read"),
        ({"WEBVOYAGER_DATE": ""}, "Booking--0: .*type: export WEBVOYAGER_DATE="),
        ({"WEBVOYAGER_DATE": "21.11.2026"}, "expected a day such as 2026-11-21"),
    ],
)
def test_a_wrong_environment_says_what_to_type(environ, change, message):
    with pytest.raises(RecipeError, match=message):
        load_tasks("test", environ | change)


def test_the_day_is_not_needed_where_nothing_is_booked(environ):
    del environ["WEBVOYAGER_DATE"]
    assert len(load_tasks("test", environ | {"WEBVOYAGER_SITES": "ArXiv"})) == 1
    assert "-" not in version(environ | {"WEBVOYAGER_SITES": "ArXiv"})


def test_there_is_a_test_split_only(environ):
    with pytest.raises(RecipeError, match="no split 'train'"):
        load_tasks("train", environ)


GOOD = ROWS[2]


@pytest.mark.parametrize(
    "line, message",
    [
        ("not JSON", "expected a JSON object"),
        ("[" * 100_000, "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        (lines({"id": "a--1", "web_name": "a", "ques": "b"}), "expected a JSON object with .*'web'"),
        (lines(GOOD | {"ques": "  "}), "ques is '  ', expected a text"),
        (lines(GOOD | {"ques": None}), "ques is None"),
        (lines(GOOD | {"id": "../../etc--1"}), "is not written like"),
        (lines(GOOD | {"id": "ArXiv"}), "is not written like"),
        (lines(GOOD), "is used twice"),
        (lines(GOOD | {"id": "ArXiv--9", "web": "file:///etc/passwd"}), "expected an address"),
        (lines(GOOD | {"id": "ArXiv--9", "web": "https://user:secret@arxiv.org/"}), "expected an address"),
    ],
)
def test_a_bad_row_is_named_by_its_line(path, line, message):
    path.write_text(lines(GOOD) + "\n" + line)
    with pytest.raises(RecipeError, match=rf"questions.jsonl:3: .*{message}"):
        read_rows(path)


def test_a_file_without_questions_is_refused(path):
    path.write_text("\n\n")
    with pytest.raises(RecipeError, match="holds no questions"):
        read_rows(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_rows(path)


def test_line_separators_inside_a_question_do_not_cut_it(path):
    path.write_text(json.dumps(GOOD | {"ques": "one\u2028two\x85three"}, ensure_ascii=False) + "\n", "utf-8")
    assert read_rows(path)[0]["ques"] == "one\u2028two\x85three"


@given(st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3)))
def test_no_row_breaks_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps(data))
    with pytest.raises(RecipeError, match="any.jsonl:1: "):
        read_rows(path)


@pytest.mark.skipif("WEBVOYAGER_TASKS" not in os.environ, reason="WEBVOYAGER_TASKS names no file")
def test_the_real_file(monkeypatch):
    tasks = load_tasks("test", {"WEBVOYAGER_TASKS": os.environ["WEBVOYAGER_TASKS"], "WEBVOYAGER_DATE": "2026-11-21"})
    assert len(tasks) == len({task.id for task in tasks}) == 643
    assert len({task.template for task in tasks}) == 15
    assert sum(bool(task.params) for task in tasks) == 82  # dates moved
