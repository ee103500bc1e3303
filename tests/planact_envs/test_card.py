"""The benchmark card says what the code gives."""

from pathlib import Path

import pytest

from planact_envs.miniweb.card import markdown, tables
from planact_envs.miniweb.world import MINIWEB_VERSION

CARD = (Path(__file__).parents[2] / "docs" / "MINIWEB.md").read_text(encoding="utf-8")
ADVICE = "put the output of `python -m planact_envs.miniweb.card` into docs/MINIWEB.md"


@pytest.mark.parametrize("name", ["groups", "kinds", "oracle", "templates"])
def test_the_tables_of_the_card_are_those_of_the_code(name):
    assert tables()[name] in CARD, ADVICE


def test_the_card_is_of_this_version():
    assert f"Version {MINIWEB_VERSION} " in CARD


def test_a_table_is_markdown():
    assert markdown(["a", "b"], [[1, "x"], [2, "y"]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |"
