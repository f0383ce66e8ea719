"""`jobcore simulate`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys


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


def test_the_scenarios_and_policies_are_listed(tmp_path):
    listed = jobcore("simulate", "--list", cwd=tmp_path).stdout
    assert "flapping" in listed
    assert "SkyPilot" in listed


def test_what_is_wrong_is_named(tmp_path):
    for words, named in (
        (["nowhere"], "nowhere"),
        ([], "--list"),
        (["few-jobs", "--policy", "luck"], "luck"),
        (["--workload", __file__], "--capacity"),
        (["--capacity", __file__], "trace_id"),
    ):
        refused = jobcore("simulate", *words, cwd=tmp_path)
        assert refused.returncode != 0
        assert named in refused.stderr
        assert "Traceback" not in refused.stderr
