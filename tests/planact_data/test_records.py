"""Reading the records of foreign files: whole ones come back, damaged ones are named, and what follows them is not lost."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact_data import records
from planact_data.records import read_records

ITEMS = [
    {"conversations": [{"from": "human", "value": f'Round {n}\n<a id="{n}"> é ]}}, {{ </a>' * 9}, {"from": "gpt", "value": "go"}]}
    for n in range(8)
]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("chunk", [7, 300, 2**20])
def test_an_array_is_read_in_pieces_past_damaged_records(tmp_path, monkeypatch, indent, chunk):
    monkeypatch.setattr(records, "CHUNK", chunk)
    monkeypatch.setattr(records, "MAX_RECORD", 5000)
    path, text = tmp_path / "web.json", json.dumps(ITEMS, indent=indent)
    path.write_text(text, encoding="utf-8")
    assert [record.value for record in read_records(path)] == ITEMS
    quote = text.index("Round 1")
    path.write_text(text[:quote] + '"' + text[quote : -len(text) // 16], encoding="utf-8")  # a stray quote in the second record, and no end
    read = list(read_records(path))
    assert [record.problem for record in read] == ["", "not JSON", "", "", "", "", "", "not JSON"]
    assert [record.number for record in read] == list(range(1, 9))
    if indent is not None:
        lines = text.split("\n")
        assert all("{" in lines[record.line - 1] for record in read)


def test_lines_may_be_empty_and_a_byte_order_mark_is_no_record(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\r\n')
    assert [(record.number, record.line, record.value) for record in read_records(path)] == [(1, 1, {"a": 1}), (2, 3, {"a": 2})]


@pytest.mark.parametrize("text", ["", "  \n", "[]", " [ ] ", "["])
def test_a_file_without_records_gives_none(tmp_path, text):
    (tmp_path / "empty.json").write_text(text)
    assert list(read_records(tmp_path / "empty.json")) == []


@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=200) | st.text(alphabet='[]{}",:a1\\ \n', max_size=200).map(str.encode), lines=st.booleans())
def test_any_bytes_are_read_to_the_end(tmp_path_factory, content, lines):
    path: Path = tmp_path_factory.mktemp("any") / "file"
    last = b'{"last": 1}'
    path.write_bytes((b'{"x": ' if lines else b"[") + content + (b"\n" if lines else b",") + last)
    found = list(read_records(path))
    assert [record.number for record in found] == list(range(1, len(found) + 1))
    assert all((record.value is None) == bool(record.problem) for record in found)
    if lines and b"\r" not in content:
        assert found[-1].value == {"last": 1}
