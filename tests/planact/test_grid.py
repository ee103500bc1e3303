"""Ablation grids: rows times columns of recipes, and what a broken grid says."""

import pytest

from planact.grid import load_grid
from planact.recipe import RecipeError

GRID = """name: table1
title: Table 1
rows:
- label: ReAct
  recipe: ../react.yaml
  paper: {base: 9.85, tuned: 36.36}
- label: dynamic
  recipe: ../full.yaml
  set:
    agent.replan: every_turn
    sft: {learning_rate: 2e-5}
columns:
- label: base
  set: {agent.executor: base}
- label: tuned
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "react.yaml").write_text("name: react\nseed: 0\nbase_model: m\nagent: {planner: none}\n")
    (tmp_path / "full.yaml").write_text("extends: react.yaml\nname: full\nagent: {planner: trained}\n")

    def write_file(text):
        path = tmp_path / "tables" / "t.yaml"
        path.write_text(text)
        return path

    return write_file


def refused(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load_grid(path, overrides)
    return str(caught.value)


def test_every_cell_is_a_resolved_recipe(write):
    grid = load_grid(write(GRID))
    assert (grid.name, grid.title, grid.rows, grid.columns) == ("table1", "Table 1", ("ReAct", "dynamic"), ("base", "tuned"))
    seen = [(c.row, c.column, c.recipe.agent.planner, c.recipe.agent.executor, c.recipe.agent.replan, c.paper) for c in grid.cells]
    assert seen == [
        ("ReAct", "base", "none", "base", "never", 9.85),
        ("ReAct", "tuned", "none", "trained", "never", 36.36),
        ("dynamic", "base", "trained", "base", "every_turn", None),
        ("dynamic", "tuned", "trained", "trained", "every_turn", None),
    ]
    assert [c.recipe.sft for c in grid.cells] == [None, None, {"learning_rate": 2e-5}, {"learning_rate": 2e-5}]


def test_one_unnamed_column_by_default_and_overrides_for_all_cells(write):
    path = write(
        "name: t\nrows:\n- {label: a, recipe: ../react.yaml, paper: 57.58}\n- {label: b, recipe: ../full.yaml, paper: null, set: }\n"
    )
    grid = load_grid(path, ["seed=7"])
    assert grid.columns == ("",) and [(c.row, c.paper, c.recipe.seed) for c in grid.cells] == [("a", 57.58, 7), ("b", None, 7)]


def test_a_row_may_have_some_of_the_columns(write):
    grid = load_grid(write(GRID.replace("../full.yaml\n", "../full.yaml\n  columns: [tuned]\n  paper: 57.58\n")))
    assert [(c.row, c.column, c.paper) for c in grid.cells] == [
        ("ReAct", "base", 9.85),
        ("ReAct", "tuned", 36.36),
        ("dynamic", "tuned", 57.58),
    ]


def test_a_number_of_the_paper_for_a_column_that_the_row_lacks_is_refused(write):
    text = GRID.replace("{base: 9.85, tuned: 36.36}", "{base: 9.85, tuned: 36.36}\n  columns: [tuned]")
    assert "unknown key 'base' in section 'rows[0].paper'; valid keys: tuned" in refused(write(text))


@pytest.mark.parametrize(
    "old, new, line, words",
    [
        ("name: table1\n", "", 1, "the key 'name' is missing"),
        ("name: table1", "name: ../x", 1, "name: expected a name usable"),
        ("title: Table 1", "titel: x", 2, "unknown key 'titel' at the top level; did you mean 'title'?"),
        ("  recipe: ../full.yaml", "  recipes: ../full.yaml", 8, "unknown key 'recipes' in section 'rows[1]'; did you mean 'recipe'?"),
        ("  recipe: ../full.yaml\n", "", 7, "the key 'recipe' is missing in section 'rows[1]'"),
        ("../full.yaml", "../ful.yaml", 8, "rows[1].recipe: no file|did you mean full.yaml?"),
        ("agent.replan:", "agent.replann:", 10, "unknown key 'replann' in section 'agent'; did you mean 'replan'?"),
        ("agent.replan:", "agent..replan:", 10, "'agent..replan' is not a key"),
        ("every_turn", "always", 10, "agent.replan: expected one of"),
        ("learning_rate", "learning_rat", 11, "did you mean 'learning_rate'?"),
        ("set: {agent.executor: base}", "set: [a]", 14, "columns.set: expected a mapping"),
        ("label: dynamic", "label: ReAct", 7, "rows[1].label: 'ReAct' is used twice"),
        ("label: tuned", "label: base", 15, "columns[1].label: 'base' is used twice"),
        ("tuned: 36.36", "tunde: 1", 6, "unknown key 'tunde' in section 'rows[0].paper'; did you mean 'tuned'?"),
        ("36.36", "high", 6, "rows[0].paper.tuned: expected a number in percent or null, found 'high'"),
        ("{base: 9.85, tuned: 36.36}", "[1]", 6, "rows[0].paper: expected a number in percent or null"),
        ("label: dynamic", "label: 3", 7, "rows[1].label: expected text, found the number 3"),
        (
            "  recipe: ../full.yaml",
            "  recipe: ../full.yaml\n  columns: [tunde]",
            9,
            "rows[1].columns[0]: no column 'tunde'|base, tuned; did you",
        ),
        ("title: Table 1", "title: a\ntitle: b", 3, "the key 'title' is set twice"),
    ],
)
def test_errors_name_the_place(write, old, new, line, words):
    assert old in GRID
    path = write(GRID.replace(old, new, 1))
    message = refused(path)
    assert message.startswith(f"{path}:{line}: "), message
    assert all(part in message for part in words.split("|")), message


def test_empty_lists_and_files(write):
    assert "rows: expected at least one" in refused(write("name: t\n"))
    assert ":2: rows: expected at least one" in refused(write("name: t\nrows: []\n"))
    assert ":2: columns: expected at least one" in refused(write("name: t\ncolumns: []\nrows: [{label: a, recipe: ../react.yaml}]\n"))
    assert "the file is empty" in refused(write(""))
    assert "found a list" in refused(write("- a\n"))


def test_an_error_in_a_rows_recipe_names_that_file(write, tmp_path):
    (tmp_path / "react.yaml").write_text("name: react\nseed: x\nbase_model: m\n")
    assert f"{tmp_path}" in refused(write(GRID)) and "react.yaml:2: seed: expected a whole number" in refused(write(GRID))
    assert refused(write(GRID.replace("react.yaml", "full.yaml")), "seed=0", "agnt.x=1").startswith("--set agnt.x=1: unknown key 'agnt'")
