"""A bar on a terminal, plain lines elsewhere."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from planact import progress as module
from planact.progress import Progress, clock, shortened


def lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.fixture
def now(monkeypatch):
    """The clock of the progress, which stands still but for `now[0] += seconds`."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_when_stderr_is_no_terminal(capsys, now):
    with Progress("tasks", 6, unit="tasks") as progress:
        for n, seconds in enumerate((4, 5, 5, 2, 5, 9)):
            now[0] += seconds
            progress.update(f"{n} solved")
    assert lines(capsys) == [
        "tasks: 1/6 tasks 0 solved [0:04, 0:20 left]",  # the first at once; 4 s for one, so 5 * 4 s for the others
        "tasks: 3/6 tasks 2 solved [0:14, 0:14 left]",  # ten seconds later; 14 s for three, so 14 s for the others
        "tasks: 6/6 tasks 5 solved [0:30]",  # the last one always
    ]


def test_items_from_the_store_do_not_change_the_time_that_is_left(capsys, now):
    with Progress("plans", 100) as progress:
        for _ in range(89):
            progress.update(stored=True)
        now[0] += 30
        progress.update()
    # one of the eleven others took 30 s: the ten that are left take 300 s, and not the 3 s that 90 in 30 s would promise
    assert lines(capsys) == ["plans: 1/100 it [0:00]", "plans: 90/100 it [0:30, 5:00 left]"]


def test_the_time_left_waits_until_as_many_have_ended_as_run_at_a_time(capsys, now):
    with Progress("episodes", 9, at_a_time=3) as progress:
        for seconds in (20, 10, 12):
            now[0] += seconds
            progress.update()
    # the first of three that started together took 20 s, which says nothing of a third of 9; three took 42 s, so six take 84 s
    assert lines(capsys) == ["episodes: 1/9 it [0:20]", "episodes: 2/9 it [0:30]", "episodes: 3/9 it [0:42, 1:24 left]"]


def test_clock():
    assert [clock(seconds) for seconds in (0, 9.6, 65, 3600 * 2 + 9)] == ["0:00", "0:09", "1:05", "2:00:09"]


def test_a_note_is_shortened_to_its_width():
    assert shortened("12 accepted", 11) == "12 accepted" and shortened("12 accepted", 6) == "12 ac…" and shortened("x" * 9, 0) == "…"


def test_no_bar_character_in_a_log(capsys):
    with Progress("tasks", 200) as progress:
        for _ in range(200):
            progress.update()
    err = capsys.readouterr().err
    assert "\r" not in err and err.splitlines()[-1].startswith("tasks: 200/200 it [0:0")


def test_what_is_done_at_once_takes_one_line(capsys, now):
    with Progress("tasks", 3, patience=2.0) as progress:
        for _ in range(3):
            now[0] += 0.5
            progress.update()
    assert lines(capsys) == ["tasks: 3/3 it [0:01]"]


def test_a_resumed_stage_counts_on(capsys, now):
    with Progress("tasks", 10, done=7) as progress:
        now[0] += 3
        progress.update("loss 0.5", steps=2)
        assert progress.done == 9
        progress.update(steps=1)
    assert [line.split(" [")[0] for line in lines(capsys)] == ["tasks: 9/10 it loss 0.5", "tasks: 10/10 it"]


def test_nothing_to_do_prints_nothing(capsys):
    with Progress("tasks", 4, done=4):
        pass
    assert lines(capsys) == []


def test_an_exception_passes(capsys):
    with pytest.raises(ValueError, match="inside"), Progress("tasks", 4):
        raise ValueError("inside")


def on_a_terminal(code, columns):
    """What a process shows on a terminal so wide, as the list of its redrawn lines."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    code = f"from planact.progress import Progress\n{code}"
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.stdout == b""
    return shown.split("\r")


def test_a_bar_on_a_terminal():
    code = "with Progress('tasks', 4, done=1, unit='tasks') as progress:\n    for _ in range(3):\n        progress.update('3 solved')"
    last = [line for line in on_a_terminal(code, 100) if line.strip()][-1]
    assert "4/4" in last and "3 solved" in last and "tasks: 4/4 tasks" not in last


def test_a_long_note_leaves_room_for_the_count_on_a_terminal():
    code = "with Progress('plans', 4) as progress:\n    for _ in range(4):\n        progress.update('begin ' + 'x' * 300)"
    shown = on_a_terminal(code, 70)
    last = [line for line in shown if line.strip()][-1].strip()
    assert "4/4" in last and "begin x" in last and "…" in last and all(len(line.strip()) <= 70 for line in shown)
