"""The terminal of the pages' commands: what one command leaves to the next, and what counts as shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from docs_blocks import commands_of
from docs_terminal import HOME, Shown, Terminal
from patience import until


@pytest.fixture
def terminal():
    with Terminal() as terminal:
        yield terminal


def test_a_command_sees_what_the_ones_before_have_set(terminal: Terminal) -> None:
    assert terminal.run("mkdir a && cd a && export X='1 2'") == (0, "")
    assert terminal.run('pwd; echo "$X"') == (0, f"{HOME}/a\n1 2\n")
    assert terminal.run("exit 3")[0] == 3


def test_it_is_a_terminal_of_80_columns(terminal: Terminal) -> None:
    assert terminal.run("stty size; test -t 1 && test -t 0")[1].split() == ["40", "80"]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_no_process_is_left() -> None:
    with Terminal() as terminal:
        terminal.keep_running("echo ready; sleep 1000")
        code, written = terminal.run("setsid sleep 1000 > /dev/null 2>&1 < /dev/null & echo $!")
        assert code == 0
        left = Path("/proc", written.strip())
        assert left.exists()
    until(lambda: not left.exists() or (left / "cmdline").read_text() == "")


JOB, OTHER = "7ap6c5d2q1v0m8k3xw9t4h6yzr", "5yvb28wkwpt4zvekgcp28c9yqc"


@pytest.mark.parametrize(
    ("shown", "written"),
    [
        ("a  b\n", "a b\n"),
        ("a\n...\nd\n", "a\nb\nc\nd\n"),
        ("a\n...\nd\n", "a\nd\n"),
        ("it is ... here\n", "it is now here\n"),
        ("ran 4s, 1h30m ago, 78 GB\n", "ran 12m, 3s ago, 1,204.5 MB\n"),
        (f"{JOB}  a\n{JOB[:8]}\n", f"{OTHER}  a\n{OTHER[:8]}\n"),
        ("(commit 1f0c9a72bd)\n", "(commit 8f4985fd5b)\n"),
        ("2026-11-28 23:54:06  New\n", "2027-01-02 03:04:05  New\n"),
    ],
)
def test_what_differs_from_run_to_run_is_alike(shown: str, written: str) -> None:
    assert Shown().problem(shown, written) == ""


@pytest.mark.parametrize(
    ("shown", "written"),
    [
        ("a b\n", "a c\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("3 files\n", "4 files\n"),
        ("it is... here\n", "it is\nnow here\n"),
        ("78 GB\n", "78 jobs\n"),
        ("Completed\n", "Failed\n"),
        (f"{JOB} {JOB}\n", f"{JOB} {OTHER}\n"),
        ("", "anything\n"),
    ],
)
def test_everything_else_is_not(shown: str, written: str) -> None:
    assert "the command writes" in Shown().problem(shown, written)


def test_an_id_of_the_page_stands_for_a_real_one_from_then_on() -> None:
    shown = Shown()
    assert shown.problem(f"{JOB}  train\n", f"{OTHER}  train\n") == ""
    assert shown.translate(f"jobcore show {JOB[:8]}") == f"jobcore show {OTHER[:8]}"
    assert shown.translate(f"cat jc-{JOB}-1/log") == f"cat jc-{OTHER}-1/log"
    assert shown.problem(f"{JOB[:8]}\n", f"{OTHER[:8]}\n") == ""
    assert shown.problem(f"{JOB[:8]}\n", f"{JOB[:8]}\n")


def test_commands_are_split_with_what_is_shown_below_them() -> None:
    source = "$ a\n1\n2\n$ b \\\n    | c\n3\n$ d\n"
    assert commands_of(source) == [("a", "1\n2\n"), ("b      | c", "3\n"), ("d", "")]
