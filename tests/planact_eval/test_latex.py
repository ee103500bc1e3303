"""LaTeX: balanced, one cell for each column, and no text that LaTeX would obey."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_eval.latex import escape, latex
from planact_eval.table import Row
from tests.planact_eval.test_table import LADDER, MISSING, row

HOSTILE = r"\input{/etc/passwd} $x_1^2$ 50% & {a} #1 ~ ^ <b> | ``quoted'' " + '"a' + "\n\n\x1b*[1ex]"
COMMANDS = r"\\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar|textasciigrave)\{\}|\\[{}$&#_%]"


def body(text):
    """The lines between the rules, each as its cells."""
    lines = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    return [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in lines if line.endswith(r"\\")]


def test_a_table_has_ours_the_papers_and_the_difference():
    text = latex([row("A", "base", paper=9.85), row("A", "tuned", paper=60), row("B", "base")], "miniweb (n=112)")
    assert r"\begin{tabular}{llrrrrr}" in text and r"\caption{miniweb (n=112). 95\% Wilson: the score interval," in text
    # 100 · 69 / 112 = 61.61
    assert [[cell.strip() for cell in line] for line in body(text)] == [
        ["{}", "", "success", r"95\% Wilson", r"95\% bootstrap", "paper", "difference"],
        ["{A}", "base", r"61.6\%", "[52.4, 70.1]", "[50.0, 75.0]", r"9.85\%", "+51.8"],
        ["{}", "tuned", r"61.6\%", "[52.4, 70.1]", "[50.0, 75.0]", r"60.00\%", "+1.6"],
        ["{B}", "base", r"61.6\%", "[52.4, 70.1]", "[50.0, 75.0]", "-", "-"],
    ]
    assert text.count(r"\addlinespace") == 1


def test_a_missing_row_is_in_the_table():
    text = latex([*LADDER, MISSING], "x")
    assert body(text)[3][:2] == ["{Later} ", " missing "] and "Later: not evaluated: the planner is not trained." in text


def test_hostile_text_is_printed():
    text = latex([Row(HOSTILE, HOSTILE, None, LADDER[0].summary), Row("[1ex]", "*", None, None, HOSTILE)], HOSTILE)
    assert r"\input{" not in text and "\x1b" not in text
    assert {len(line) for line in body(text)} == {5}
    known = r"\\(?:begin|end|centering|small|caption|toprule|midrule|bottomrule|addlinespace|usepackage|\\(?=\n))|" + COMMANDS
    assert not re.findall(r"\\", re.sub(known, "", text))
    assert "\n{[1ex]} & " in text  # a bracket after the end of a row would be its argument


@given(st.text())
def test_escaped_text_is_one_line_of_printed_characters(text):
    escaped = escape(text)
    bare = re.sub(COMMANDS, "", escaped)
    assert not set(bare) & set('\\{}$&#_%^~<>|"`') and "\n" not in escaped


@pytest.mark.skipif(not (shutil.which("pdflatex") or shutil.which("tectonic")), reason="no LaTeX is installed: pdflatex or tectonic")
def test_it_compiles(tmp_path):
    table = latex([Row(HOSTILE, "c", 9.85, LADDER[0].summary), Row("[1ex]", "*", None, None, HOSTILE)], HOSTILE)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + table + "\\end{document}\n", encoding="utf-8"
    )
    program = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode"] if shutil.which("pdflatex") else ["tectonic"]
    done = subprocess.run([*program, "paper.tex"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").exists()
