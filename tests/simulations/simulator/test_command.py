"""`jobcore simulate`, as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest


def jobcore(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "jobcore_cli", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_a_scenario_is_simulated_and_reported(tmp_path):
    made = jobcore("simulate", "few-jobs", "--report", "out.html", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (run,) = json.loads(made.stdout)["runs"]
    assert (run["policy"], run["jobs"], run["completed"]) == ("jobcore", 60, True)
    assert "<svg" in (tmp_path / "out.html").read_text()


def test_charts_are_written_as_pngs_and_stdout_stays_json(tmp_path):
    pytest.importorskip("matplotlib")
    words = ["--compare", "few-jobs", "--policy", "jobcore", "--policy", "by-hand"]
    made = jobcore("simulate", *words, "--png", "charts", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    ours, person = json.loads(made.stdout)["runs"]
    assert (ours["interventions"], ours["polls"]) == (0, 0)
    assert person["interventions"] > 60
    assert person["polls"] > 5
    names = {path.name for path in (tmp_path / "charts").iterdir()}
    assert {"policies-waits.png", "few-jobs-waits.png", "few-jobs-jobcore-launches.png"} <= names
    assert made.stderr == "wrote 10 charts into charts\n"  # no progress bar where nobody looks


def test_on_a_terminal_progress_is_shown_on_stderr_alone(tmp_path):
    ours, theirs = pty.openpty()
    words = ["simulate", "few-jobs", "trickle", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "jobcore_cli", *words],
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    ) as process:
        os.close(theirs)
        stdout = process.stdout.read()
    shown = os.read(ours, 65536)
    os.close(ours)
    assert process.returncode == 0
    assert b"2 runs" in shown
    assert len(json.loads(stdout)["runs"]) == 2


def test_traces_and_workloads_of_the_user_are_run(tmp_path):
    for zone in ("a", "b"):
        sky = {"metadata": {"gap_seconds": 600}, "data": [0, 4, 4, 4, 0, 2]}
        (tmp_path / f"zone-{zone}.json").write_text(json.dumps(sky))
    rows = "".join(f"{n * 60},1200,{n % 3},\n" for n in range(20))
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus,user\n" + rows)
    words = ["--capacity", "zone-a.json", "--capacity", "zone-b.json", "--workload", "jobs.csv"]
    made = jobcore("simulate", *words, "--json", cwd=tmp_path)
    assert made.stderr == "capacity: 2 pools: zone-a, zone-b\n"
    (run,) = json.loads(made.stdout)["runs"]
    assert (run["jobs"], run["completed"], run["gave_up"]) == (20, True, 0)
    one = jobcore("simulate", *words, "--pools", "1", cwd=tmp_path)
    assert "1 pool: zone-a" in one.stderr


def test_the_scenarios_and_policies_are_listed(tmp_path):
    listed = jobcore("simulate", "--list", cwd=tmp_path).stdout
    assert "flapping" in listed
    assert "SkyPilot" in listed
    assert "by-hand" in listed


def test_what_is_wrong_is_named(tmp_path):
    for words, named in (
        (["nowhere"], "nowhere"),
        ([], "--list"),
        (["few-jobs", "--policy", "luck"], "luck"),
        (["--workload", __file__], "--capacity"),
        (["--capacity", __file__], "line 1"),
        (["--capacity", "nowhere.csv"], "nowhere.csv"),
    ):
        refused = jobcore("simulate", *words, cwd=tmp_path)
        assert refused.returncode != 0
        assert named in refused.stderr
        assert "Traceback" not in refused.stderr
