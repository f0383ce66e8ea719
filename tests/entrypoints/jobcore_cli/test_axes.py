"""Values of hyperparameters on the command line: lists, ranges, samples, and what only looks like one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobcore.errors import InvalidJob
from jobcore_cli import main
from jobcore_cli._axes import combinations, read_assignment
from jobcore_cli._errors import CliError


def sweep(*words: str, table: object = None, count: int | None = None, seed: int | None = None):
    return combinations(table or {}, words, None, count, seed)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("x=1,2", [1, 2]),
        ("x=a,0.5,true,null", ["a", 0.5, True, None]),
        ("x=1:3", [1, 2, 3]),
        ("x=-1:1", [-1, 0, 1]),
        ("x=3:3", [3]),
        ("x=lin:0.0:1:5", [0.0, 0.25, 0.5, 0.75, 1]),
        ("x=linear:10:100:4", [10, 40, 70, 100]),
        ("x=log:1e-4:1e-1:4", [0.0001, 0.001, 0.01, 0.1]),
        ("x=log:16:256:5", [16, 32, 64, 128, 256]),
        ('x="1:5","a"', ["1:5", "a"]),
        ("x=http://host:80/a", ["http://host:80/a"]),
        ("x=a:b", ["a:b"]),
        ("x=2026-01-01", ["2026-01-01"]),
    ],
)
def test_values_of_one_hyperparameter(word, expected):
    if word == "x=lin:0:1:5":  # whole ends have whole values: here they are not all different
        with pytest.raises(
            InvalidJob, match=r"^-p x: only 2 of 5 values are different; write 1\.0"
        ):
            sweep(word)
        return
    assert [job["x"] for job in sweep(word)] == expected


@pytest.mark.parametrize(
    ("word", "write"),
    [
        ("lr=1e-3:1e-1", "write lr=log:1e-3:1e-1:5 (lin or log)"),
        ("lr=0.1:0.5", "write lr=lin:0.1:0.5:5 (lin or log)"),
        ("lr=0.1,1e-3:1e-1", "write lr=log:1e-3:1e-1:5"),
        ("n=1:10:3", "write n=lin:1:10:5"),
        ("n=1..10", "write n=lin:1:10:5"),
        ("lr=log:1e-3", "write lr=log:FROM:TO:5"),
        ("lr=log:a:b:4", "write lr=log:FROM:TO:5"),
        ("lr=log:1e-3:1e-1:x", "write lr=log:1e-3:1e-1:5"),
        ("lr=loguniform(1e-3,1e-1)", "write lr=log:"),
        ("lr=uniform:0:1", "write lr=lin:0:1:5"),
    ],
)
def test_what_looks_like_a_range_and_is_none_is_told_what_to_write(word, write):
    with pytest.raises(CliError) as caught:
        sweep(word)
    text = str(caught.value)
    assert "looks like a range and is none" in text
    assert write in text
    literal = text.rsplit("for the text itself ", 1)[1].strip("'")
    if "(" not in word and "," not in word:  # what the message says to write is what was written
        assert [*sweep(literal)[0].values()] == [word.split("=")[1]]


def test_whole_ends_have_whole_values():
    with pytest.raises(InvalidJob, match=r"^-p x: only 2 of 5 values are different; write 1\.0"):
        sweep("x=lin:0:1:5")


def test_a_range_without_a_number_of_values_names_both_ways_out():
    with pytest.raises(InvalidJob) as caught:
        sweep("lr=log:1e-4:1e-1")
    assert str(caught.value) == (
        "-p lr: the number of values is missing; write lr=lin:FROM:TO:COUNT (or log), "
        "or draw the values with --random COUNT"
    )


def test_a_sample_is_drawn_from_the_ranges_of_the_command_line():
    jobs = sweep("lr=log:1e-4:1e-1", "n=1:8", count=20, seed=1)
    assert len(jobs) == 20
    assert jobs == sweep("lr=log:1e-4:1e-1", "n=1:8", count=20, seed=1)
    assert jobs != sweep("lr=log:1e-4:1e-1", "n=1:8", count=20, seed=2)
    assert all(1e-4 <= job["lr"] <= 1e-1 for job in jobs)


def test_options_go_over_the_table_of_the_file():
    table = {"grid": {"a": [1, 2, 3, 4]}, "list": [{"a": 9}], "random": {"count": 2, "seed": 5}}
    assert len(sweep(table=table)) == 3
    assert len(sweep(table=table, count=3)) == 4
    assert sweep(table=table, seed=5) == sweep(table=table)
    assert [job["x"] for job in sweep("x=1:2", table=table)] == [1, 2]
    with pytest.raises(CliError, match=r"--seed: there is nothing to draw"):
        sweep("x=1:2", seed=1)
    with pytest.raises(InvalidJob, match=r"^--random: expected 1 to 10,000, got 0"):
        sweep("x=1:2", count=0)


@pytest.mark.parametrize("text", ["1e-3:1e-1", "1:5", "log:1:2:3", "1..5"])
def test_a_range_for_one_job_is_refused(text):
    with pytest.raises(CliError, match=r"looks like a range, and submit sends one job") as caught:
        read_assignment(f"x={text}")
    literal = str(caught.value).rsplit("write ", 1)[1].strip("'")
    assert read_assignment(literal) == ("x", text)


@pytest.mark.parametrize(
    ("word", "value"), [("x=16", 16), ("x=a:b", "a:b"), ("x=[1,2]", [1, 2]), ("x=NaN", "NaN")]
)
def test_other_values_are_taken_as_they_are(word, value):
    assert read_assignment(word) == ("x", value)


@pytest.fixture
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    Path("train.sh").write_text("exit 0\n")
    Path("job.toml").write_text(
        'script = "train.sh"\n[sweep.grid]\n'
        'lr = { from = 1e-4, to = 1e-1, scale = "log" }\nn = { from = 1, to = 3 }\n'
        "[sweep.random]\ncount = 5\nseed = 1\n"
    )


@pytest.mark.usefixtures("_file")
def test_a_sweep_of_a_file_and_of_options(capsys):
    assert main(["sweep", "job.toml", "--dry-run", "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert len(jobs) == 5
    assert all(1 <= job["JobArgs"]["hyperparameters"]["n"] <= 3 for job in jobs)
    assert main(["sweep", "job.toml", "--dry-run", "--json", "--random", "7"]) == 0
    more = json.loads(capsys.readouterr().out)["jobs"]
    assert [job["JobArgs"] for job in more[:5]] == [job["JobArgs"] for job in jobs]
    words = ["-p", "lr=log:1e-4:1e-1:4", "-p", "n=1:2"]
    assert main(["sweep", "job.toml", "--dry-run", "--json", *words]) == 0
    assert len(json.loads(capsys.readouterr().out)["jobs"]) == 8
    assert main(["sweep", "job.toml", "--dry-run", "-p", "lr=1e-3:1e-1"]) == 2
    assert "write lr=log:1e-3:1e-1:5" in capsys.readouterr().err
