"""An ablation table: rows times columns, each cell a recipe with a few values changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planact.recipe import Recipe, resolve
from planact.recipe_check import build, check_keys, rule
from planact.recipe_yaml import Node, RecipeError, did_you_mean, nest, read_override, read_tree


@dataclass(frozen=True)
class Cell:
    row: str
    column: str  # empty when the grid has no columns
    recipe: Recipe
    paper: float | None  # the paper's success rate in percent; None: not reported


@dataclass(frozen=True)
class Grid:
    name: str
    title: str
    rows: tuple[str, ...]  # labels
    columns: tuple[str, ...]  # labels; one empty label when the file names none
    cells: tuple[Cell, ...]  # row by row; a row may lack some columns


@dataclass(frozen=True)
class _Row:
    label: str
    recipe: str  # a path relative to the grid file
    set: Node | None = None  # dotted key -> value
    columns: tuple[str, ...] = ()  # labels of the columns that the row has; empty: all
    paper: Node | None = None  # a number, or a mapping from column label to number


@dataclass(frozen=True)
class _Column:
    label: str
    set: Node | None = None


@dataclass(frozen=True)
class _File:
    name: str = rule(pattern=r"[\w+-][\w.+-]*", wants="a name usable in a file name")
    title: str = ""
    rows: tuple[_Row, ...] = ()
    columns: tuple[_Column, ...] = (_Column(""),)


def load_grid(path: str | Path, overrides: Sequence[str] = ()) -> Grid:
    """The grid in `path` with every cell's recipe resolved; `section.key=value` overrides apply to all cells.

    Raises RecipeError, whose message names the place and the key.
    """
    path = Path(path)
    tree = read_tree(path)
    file = build(_File, tree)
    for kind in ("rows", "columns"):
        _check_labels(path, tree, kind, [entry.label for entry in getattr(file, kind)])
    everywhere = [read_override(text) for text in overrides]
    columns = tuple(column.label for column in file.columns)
    cells = []
    for i, row in enumerate(file.rows):
        base = read_tree(path.parent / row.recipe, f"{tree.value['rows'].value[i].value['recipe'].where}: rows[{i}].recipe")
        labels = _columns_of(tree.value["rows"].value[i], row, columns, f"rows[{i}].columns")
        paper = _paper(row.paper, labels, f"rows[{i}].paper")
        for column in (column for column in file.columns if column.label in labels):
            layers = [*_layers(row.set, f"rows[{i}].set"), *_layers(column.set, "columns.set"), *everywhere]
            cells.append(Cell(row.label, column.label, resolve(base, layers), paper.get(column.label)))
    return Grid(file.name, file.title, tuple(row.label for row in file.rows), columns, tuple(cells))


def _check_labels(path: Path, tree: Node, kind: str, labels: list[str]) -> None:
    if not labels:
        where = tree.value[kind].where if kind in tree.value else path
        raise RecipeError(f"{where}: {kind}: expected at least one, e.g. `{kind}: [{{label: base, ...}}]`")
    for i, label in enumerate(labels):
        if label in labels[:i]:
            where = tree.value[kind].value[i].value["label"].where
            raise RecipeError(f"{where}: {kind}[{i}].label: '{label}' is used twice; give each of the {kind} its own label")


def _columns_of(node: Node, row: _Row, columns: tuple[str, ...], dotted: str) -> tuple[str, ...]:
    """The columns that a row has. Raises RecipeError on one that the grid does not have."""
    for j, label in enumerate(row.columns):
        if label not in columns:
            where, known = node.value["columns"].value[j].where, ", ".join(filter(None, columns)) or "none"
            raise RecipeError(f"{where}: {dotted}[{j}]: no column '{label}'; the grid's columns are {known}{did_you_mean(label, columns)}")
    return row.columns or columns


def _layers(changes: Node | None, dotted: str) -> list[Node]:
    """`set` as override trees. Raises RecipeError when it is not a mapping."""
    if changes is None or changes.value is None:
        return []
    if not isinstance(changes.value, dict):
        raise RecipeError(f"{changes.where}: {dotted}: expected a mapping, e.g. `set: {{agent.replan: never}}`")
    return [nest(key, node) for key, node in changes.value.items()]


def _paper(node: Node | None, columns: tuple[str, ...], dotted: str) -> Mapping[str, float | None]:
    """The paper's number of each column. Raises RecipeError on anything but numbers and known columns."""
    if node is None or node.value is None:
        return {}
    if isinstance(node.value, dict):
        check_keys(node, columns, dotted)
        return {label: _number(child, f"{dotted}.{label}") for label, child in node.value.items()}
    return dict.fromkeys(columns, _number(node, dotted))


def _number(node: Node, dotted: str) -> float | None:
    if node.value is None:
        return None
    if type(node.value) not in (int, float):
        raise RecipeError(f"{node.where}: {dotted}: expected a number in percent or null, found {node.text or 'a list or mapping'!r}")
    return float(node.value)
