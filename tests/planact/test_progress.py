"""A bar on a terminal, plain lines elsewhere."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from planact.progress import Progress


def lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_plain_lines_when_stderr_is_no_terminal(capsys):
    with Progress("tasks", 3, unit="tasks") as progress:
        for n in range(3):
            progress.update(f"{n} solved")
    # the first at once, the next one only after ten seconds, the last one always
    assert lines(capsys) == ["tasks: 1/3 tasks 0 solved", "tasks: 3/3 tasks 2 solved"]


def test_no_bar_character_in_a_log(capsys):
    with Progress("tasks", 200) as progress:
        for _ in range(200):
            progress.update()
    err = capsys.readouterr().err
    assert err == "tasks: 1/200 it\ntasks: 200/200 it\n"


def test_a_resumed_stage_counts_on(capsys):
    with Progress("tasks", 10, done=7) as progress:
        progress.update("loss 0.5", steps=2)
        assert progress.done == 9
        progress.update(steps=1)
    assert lines(capsys) == ["tasks: 9/10 it loss 0.5", "tasks: 10/10 it"]


def test_nothing_to_do_prints_nothing(capsys):
    with Progress("tasks", 4, done=4):
        pass
    assert lines(capsys) == []


def test_an_exception_passes(capsys):
    with pytest.raises(ValueError, match="inside"), Progress("tasks", 4):
        raise ValueError("inside")


def test_a_bar_on_a_terminal():
    code = (
        "from planact.progress import Progress\n"
        "with Progress('tasks', 4, done=1, unit='tasks') as progress:\n"
        "    for _ in range(3):\n"
        "        progress.update('3 solved')"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.stdout == b"" and "\r" in shown and "4/4" in shown and "3 solved" in shown and "tasks: 4/4 tasks" not in shown
