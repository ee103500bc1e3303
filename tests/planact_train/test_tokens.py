"""What is counted of the rows that TRL cuts, drops and packs, and when a training refuses to start."""

import json
import re

import pytest
from datasets import Dataset

from planact.layout import data_folder, model_settings
from planact.recipe import RecipeError
from planact_envs.suites import load_suite
from planact_train.chat import load_tokenizer
from planact_train.rows import load_rows
from planact_train.settings import sft_config
from planact_train.sft import train
from planact_train.tokens import check_tokens, describe, measure
from planact_train.trainer import AnswerTrainer

ROWS = [(10, 3), (20, 4), (30, 5), (26, 10)]  # tokens of a row, and of its answer: 86 and 22 together


@pytest.fixture
def trainer_of(base, tmp_path):
    """A function that lets TRL prepare rows of the given lengths."""

    def prepare(rows, **settings):
        ids = [{"input_ids": list(range(5, 5 + size)), "labels": [-100] * (size - answer) + [7] * answer} for size, answer in rows]
        settings = {"use_cpu": True, "bf16": False, "report_to": "none"} | settings
        return AnswerTrainer(model=str(base), args=sft_config(settings, tmp_path, 0), train_dataset=Dataset.from_list(ids))

    return prepare


def kept_of(trainer, min_kept=0.0):
    return check_tokens(trainer, trainer.whole["train"], min_kept)


def test_nothing_is_cut_where_everything_fits(trainer_of, capsys):
    for limit in (30, None):
        kept = kept_of(trainer_of(ROWS, max_length=limit), min_kept=1.0)
        assert (kept.rows, kept.longest, kept.cut, kept.dropped, kept.sequences, kept.efficiency) == (4, 30, 0, 0, 4, None)
        assert (kept.tokens, kept.tokens_kept, kept.answer_tokens, kept.answers_kept) == (86, 1.0, 22, 1.0)
        assert capsys.readouterr().out == "tokens: 4 rows of 86 tokens, the longest 30; all kept\n"


def test_rows_that_are_cut_and_answers_that_are_lost_are_counted(trainer_of):
    # At 20 tokens the third row keeps none of its answer and is dropped; the last keeps the first 4 of its answer's 10 tokens.
    kept = kept_of(trainer_of(ROWS, max_length=20))
    assert (kept.rows, kept.cut, kept.dropped, kept.sequences) == (4, 2, 1, 3)
    assert kept.tokens_kept == (10 + 20 + 20) / 86 and kept.answers_kept == (3 + 4 + 4) / 22


def test_rows_that_are_cut_for_packing_are_counted(trainer_of):
    # Packed, the third row stays without an answer: sequences of 20, 20, 20 and 10.
    trainer = trainer_of(ROWS, max_length=20, packing=True)
    kept = kept_of(trainer)
    assert (kept.rows, kept.cut, kept.dropped, kept.sequences) == (4, 2, 1, 4)
    assert kept.tokens_kept == 70 / 86 and kept.answers_kept == 11 / 22 and kept.efficiency == 70 / 80
    assert "2 of 4 rows are longer than sft.max_length=20" in describe(kept, trainer.args)
    assert "4 packed sequences, 0.875 full" in describe(kept, trainer.args)


def test_rows_that_are_split_lose_nothing_but_their_prompt(trainer_of):
    # 30 is 20 + 10 and 26 is 20 + 6, so five sequences: 20, 20, 20, 10 + 10 and 6.
    trainer = trainer_of(ROWS, max_length=20, packing=True, packing_strategy="bfd_split")
    kept = kept_of(trainer, min_kept=1.0)
    assert (kept.cut, kept.dropped, kept.sequences, kept.tokens_kept, kept.answers_kept) == (2, 0, 5, 1.0, 1.0)
    assert kept.efficiency == 86 / 100
    assert "2 rows longer than sft.max_length=20 are split, the answer from its prompt" in describe(kept, trainer.args)


@pytest.mark.parametrize("packing", [False, True])
def test_too_much_lost_refuses_to_start_and_names_the_length_that_would_do(trainer_of, packing):
    trainer = trainer_of([*ROWS, *[(20, 1)] * 100], max_length=26, packing=packing)  # 4 of 2086 tokens and 4 of 122 trained ones
    with pytest.raises(RecipeError) as caught:
        kept_of(trainer, min_kept=0.999)
    said = str(caught.value)
    assert "1 of 104 rows are longer than sft.max_length=26 tokens (the longest has 30)" in said and "0 of them lose" in said
    assert "0.9981 of all tokens and 0.9672 of the answers' are kept, less than training.min_kept=0.999" in said
    assert "sft.max_length=30 keeps all" in said
    with pytest.raises(RecipeError):
        kept_of(trainer, min_kept=0.99)  # 0.998 of the tokens, but only 0.967 of those that are trained
    assert kept_of(trainer, min_kept=0.96).cut == 1


def test_a_row_is_measured_as_it_lies_in_the_file_or_in_a_packed_sequence():
    labels = [[-100, 1, 1, -100, 2], [-100, -100, 3]]
    assert [part.tolist() for part in measure(Dataset.from_dict({"labels": labels}))] == [[5, 3], [2 + 1, 1]]
    packed = Dataset.from_dict({"labels": labels, "seq_lengths": [[3, 2], [3]]})
    assert [part.tolist() for part in measure(packed)] == [[3, 2, 3], [2, 1, 1]]
    assert [part.tolist() for part in measure(packed.select([1]))] == [[3], [1]]  # a view of the file, not all of it


def folder_of_rows(recipe, runs):
    return data_folder(recipe, load_suite(recipe.data.suite).version, runs)


def test_what_was_kept_is_printed_and_stays_with_the_model(small, base, runs, capsys):
    more = ["sft.max_length=300", "sft.max_steps=1"]
    with pytest.raises(RecipeError, match=r"(\d+) of (\d+) rows are longer than sft.max_length=300"):
        train(small("finetuning", *more), "executor", runs)
    folder = train(small("finetuning", *more, "training.min_kept=0"), "executor", runs)
    said = re.search(r"tokens: (\d+) rows of ([\d,]+) tokens, the longest (\d+); (\d+) of", capsys.readouterr().out)
    finished = json.loads((folder / "finished.json").read_text())
    kept = finished["tokens"]
    assert [kept["rows"], kept["longest"], kept["cut"]] == [int(said[1]), int(said[3]), int(said[4])] and f"{kept['tokens']:,}" == said[2]
    tokenizer = load_tokenizer(str(base), {})
    rows = load_rows(folder_of_rows(small("finetuning"), runs), ("react", "act", "act_dynamic"), 0)
    lengths = [len(tokenizer.apply_chat_template(row["prompt"] + row["completion"])["input_ids"]) for row in rows]
    assert (kept["rows"], kept["cut"], kept["longest"]) == (len(rows), sum(length > 300 for length in lengths), max(lengths))
    assert kept["tokens"] == sum(lengths) and kept["tokens_kept"] < sum(min(length, 300) for length in lengths) / sum(
        lengths
    )  # some dropped
    assert 0 < kept["cut"] <= finished["rows"] == kept["rows"] and kept["dropped"] > 0 and 0 < kept["answers_kept"] < 1


def test_a_base_that_cannot_keep_packed_rows_apart_is_named_before_it_is_loaded(small, runs):
    with pytest.raises(RecipeError, match="has conv layers, which carry the end of one packed row into the next"):
        train(small("finetuning", "sft.packing=true"), "planner", runs)


@pytest.mark.parametrize("name", ["llama3", "qwen"])
def test_a_base_with_attention_alone_is_trained_on_packed_rows(small, published, runs, capsys, name):
    more = [
        f"base_model={published(name)}",
        "sft.packing=true",
        "sft.max_length=4096",
        "sft.per_device_train_batch_size=1",
        "sft.max_steps=1",
    ]
    folder = train(small("finetuning", *more), "planner", runs)
    kept = json.loads((folder / "finished.json").read_text())["tokens"]
    assert kept["tokens_kept"] == kept["answers_kept"] == 1 and kept["sequences"] < kept["rows"]
    assert kept["efficiency"] == kept["tokens"] / (kept["sequences"] * 4096)
    assert f"all kept; {kept['sequences']:,} packed sequences, {kept['efficiency']:.3f} full" in capsys.readouterr().out
    assert "{%- generation -%}" in (folder / "chat_template.jinja").read_text()


def test_another_template_makes_another_model(small, runs, tmp_path):
    rows, settings = folder_of_rows(small("finetuning"), runs), []
    for name, text in {"a": "one", "b": "two", "copy of a": "one"}.items():
        (tmp_path / f"{name}.jinja").write_text(text)
        recipe = small("finetuning", f"sft.chat_template_path={tmp_path / name}.jinja")
        settings.append(model_settings(recipe, "planner", rows))
    assert settings[0] == settings[2] != settings[1]


def test_how_rows_are_tokenized_and_waited_for_makes_no_other_model(small, runs):
    def settings(*changes):
        recipe = small("finetuning", *changes)
        return model_settings(recipe, "planner", folder_of_rows(recipe, runs))

    assert settings("sft.dataset_num_proc=8", "sft.ddp_timeout=7200") == settings() != settings("sft.max_length=2049")
