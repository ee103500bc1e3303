"""Row files written in groups."""

import pytest
from datasets import Dataset, load_dataset

from planact_data import parquet
from planact_data.parquet import write_parquet
from planact_data.rows import features


def row(number):
    prompt = [{"role": "user", "content": f"page {number} é \u2028"}]
    return {
        "id": f"t/plan/{number}",
        "kind": "plan",
        "task_id": "t",
        "turn": number,
        "prompt": prompt,
        "completion": [{"role": "assistant", "content": str(number)}],
        "prompts_hash": "0",
        "source": "seed",
    }


@pytest.mark.parametrize("number", [1, 3, 4, 9])
def test_what_is_read_is_what_was_written(tmp_path, monkeypatch, number):
    monkeypatch.setattr(parquet, "GROUP", 4)
    assert write_parquet(map(row, range(number)), tmp_path / "deep" / "plan.parquet") == number
    read = load_dataset("parquet", data_files=str(tmp_path / "deep" / "plan.parquet"), cache_dir=str(tmp_path / "cache"))["train"]
    assert read.features == features() and list(read) == list(map(row, range(number)))
    assert read.to_dict() == Dataset.from_list(list(map(row, range(number))), features=features()).to_dict()


def test_equal_rows_are_equal_files(tmp_path):
    for name in ("a", "b"):
        write_parquet(map(row, range(1200)), tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_error_on_the_way_leaves_the_old_file(tmp_path):
    def breaking():
        yield row(0)
        raise KeyError("a bug")

    path = tmp_path / "plan.parquet"
    write_parquet([row(5)], path)
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write_parquet(breaking(), path)
    assert path.read_bytes() == before
