"""The command as people use it: real processes on a home of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patience import SECONDS, until

SCRIPT = """#!/bin/sh
echo "attempt $JOBCORE_ATTEMPT x=$SM_HP_X"
while [ -n "$SM_HP_GATE" ] && [ ! -e "$SM_HP_GATE" ]; do sleep 0.02; done
sleep "${SM_HP_SECS:-0}"
exit "${SM_HP_CODE:-0}"
"""
JOB = (
    'name = "{name}"\nscript = "train.sh"\n[hyperparameters]\nx = 1\nsecs = {secs}\ncode = {code}\n'
)

Run = Callable[..., subprocess.CompletedProcess[str]]


def _environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JOBCORE_")}
    return kept | {
        "JOBCORE_HOME": str(home),
        "JOBCORE_OWNER": "ada",
        "XDG_CONFIG_HOME": str(home / "no-config"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COLUMNS": "80",
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    def call(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jobcore_cli", *words],
            cwd=tmp_path,
            env=_environment(home),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return call


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., str]:
    (tmp_path / "train.sh").write_text(SCRIPT)

    def write(name: str = "first", *, secs: float = 0, code: int = 0) -> str:
        (tmp_path / f"{name}.toml").write_text(JOB.format(name=name, secs=secs, code=code))
        return f"{name}.toml"

    return write


@pytest.fixture
def manager(home: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobcore_cli", "run", "--quiet"],
        cwd=tmp_path,
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (home / "wake.sock").exists() or process.poll() is not None)
    yield process
    process.terminate()
    process.wait(timeout=SECONDS)


def _show(run: Run, name: str) -> dict[str, Any]:
    answer = run("show", "--json", name)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def _no_traceback(answer: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1, answer.stderr


def test_submit_run_look(run: Run, job_file: Callable[..., str]) -> None:
    assert run("submit", job_file("good")).returncode == 0
    assert run("submit", job_file("bad", code=3)).returncode == 0
    assert run("run", "--until-done").returncode == 1  # one of them fails
    good, bad = _show(run, "good"), _show(run, "bad")
    assert (good["status"], bad["status"]) == ("Completed", "Failed")
    assert good["owner"] == "ada"
    assert run("logs", "good").stdout == "attempt 1 x=1\n"
    assert "attempt 1" in run("show", bad["id"][:8]).stdout
    assert run("why", "bad").returncode == 0
    assert run("wait", "good").returncode == 0
    assert run("wait", "good", "bad").returncode == 1


def test_a_key_submits_once_and_refuses_other_content(
    run: Run, job_file: Callable[..., str]
) -> None:
    file = job_file()
    first = json.loads(run("submit", "--json", "--key", "k", file).stdout)
    again = json.loads(run("submit", "--json", "--key", "k", file).stdout)
    assert first["ids"] == again["ids"]
    assert (first["created"], again["created"]) == (1, 0)
    other = run("submit", "--key", "k", "-p", "x=2", file)
    assert other.returncode == 4
    _no_traceback(other)
    assert len(json.loads(run("list", "--json").stdout)["jobs"]) == 1


def test_sweep_is_one_group(run: Run, job_file: Callable[..., str]) -> None:
    answer = run("sweep", job_file(), "-p", "x=1:3", "-p", "code=0,1", "--group", "g", "--json")
    assert json.loads(answer.stdout)["created"] == 6
    listed = json.loads(run("list", "--group", "g", "--json").stdout)["jobs"]
    points = {
        (j["args"]["hyperparameters"]["x"], j["args"]["hyperparameters"]["code"]) for j in listed
    }
    assert points == {(x, code) for x in (1, 2, 3) for code in (0, 1)}


def test_hold_release_stop_retry(run: Run, job_file: Callable[..., str]) -> None:
    (job_id,) = json.loads(run("submit", "--json", job_file()).stdout)["ids"]
    assert run("hold", job_id).returncode == 0
    assert _show(run, job_id)["status"] == "Held"
    assert run("release", job_id).returncode == 0
    assert _show(run, job_id)["status"] == "New"
    assert run("stop", job_id).returncode == 0
    assert _show(run, job_id)["status"] == "Stopped"
    assert run("release", job_id).returncode == 4
    assert run("wait", job_id).returncode == 1
    assert run("retry", job_id).returncode == 0
    (new,) = [
        j for j in json.loads(run("list", "-a", "--json").stdout)["jobs"] if j["id"] != job_id
    ]
    assert (new["status"], new["tags"]) == ("New", {"retry_of": job_id})


@pytest.mark.usefixtures("manager")
def test_stop_ends_a_running_training(run: Run, job_file: Callable[..., str]) -> None:
    run("submit", job_file("long", secs=600))
    until(lambda: _show(run, "long")["status"] == "InProgress")
    assert run("stop", "long").returncode == 0
    assert run("wait", "long", "--timeout", "10m").returncode == 1
    assert _show(run, "long")["status"] == "Stopped"


@pytest.mark.usefixtures("manager")
def test_logs_follow_until_the_end(run: Run, job_file: Callable[..., str]) -> None:
    run("submit", job_file("followed", secs=0.5))
    answer = run("logs", "-f", "followed")
    assert (answer.returncode, answer.stdout) == (0, "attempt 1 x=1\n")


def test_a_second_manager_is_refused(run: Run, manager: subprocess.Popen[bytes]) -> None:
    answer = run("run")
    assert answer.returncode == 4
    assert str(manager.pid) in answer.stderr
    _no_traceback(answer)


def test_a_terminated_manager_leaves_trainings_running(
    run: Run, manager: subprocess.Popen[bytes], job_file: Callable[..., str], tmp_path: Path
) -> None:
    run("submit", job_file("long"), "-p", f"gate={tmp_path / 'gate'}")
    until(lambda: _show(run, "long")["status"] == "InProgress")
    manager.terminate()
    assert manager.wait(timeout=SECONDS) == 0
    (tmp_path / "gate").touch()  # it was running all the time
    assert run("run", "--until-done").returncode == 0
    assert len(_show(run, "long")["attempts"]) == 1


def test_wait_gives_up(run: Run, job_file: Callable[..., str]) -> None:
    run("submit", job_file())
    answer = run("wait", "first", "--timeout", "0.1s")
    assert answer.returncode == 6
    warning, error = answer.stderr.strip().splitlines()
    assert warning.startswith("jobcore: no manager runs here, so no job starts")
    assert error.startswith("jobcore: 1 job is not over after 0.1 s; to wait on: jobcore wait ")


def test_a_reader_that_goes_away_is_no_error(
    home: Path, run: Run, job_file: Callable[..., str]
) -> None:
    run("submit", job_file())
    reader, writer = os.pipe()
    os.close(reader)
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "jobcore_cli", "list"],
            env=_environment(home),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(writer)
    assert answer.stderr == ""


# --- one call, one answer -----------------------------------------------------------------


def test_a_job_submitted_on_hold_waits_for_its_release(
    run: Run, job_file: Callable[..., str]
) -> None:
    job_id = run("submit", job_file(), "--hold").stdout.split()[0]
    run("tick")
    assert _show(run, job_id)["status"] == "Held"
    assert run("release", job_id).returncode == 0
    run("run", "--until-done")
    assert _show(run, job_id)["status"] == "Completed"


@pytest.mark.usefixtures("manager")
def test_submit_and_wait_answers_with_one_document(run: Run, job_file: Callable[..., str]) -> None:
    done = run("submit", job_file(), "--wait", "--json")
    assert json.loads(done.stdout)["jobs"][0]["status"] == "Completed"


def test_retry_of_finished_and_held_jobs_answers_with_one_document(
    run: Run, job_file: Callable[..., str]
) -> None:
    over = run("submit", job_file("bad", code=3)).stdout.split()[0]
    run("run", "--until-done")
    held = run("submit", job_file("good"), "--hold").stdout.split()[0]
    answer = json.loads(run("retry", over, held, "--json").stdout)
    assert [new["retry_of"] for new in answer["submitted"]] == [over]
    assert [(job["id"], job["changed"]) for job in answer["jobs"]] == [(held, True)]


def test_a_group_is_not_stopped_unasked(run: Run, job_file: Callable[..., str]) -> None:
    run("submit", job_file(), "--group", "g")
    refused = run("stop", "--group", "g")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert run("stop", "--group", "g", "--yes").returncode == 0


def test_ids_are_completed(run: Run, home: Path, job_file: Callable[..., str]) -> None:
    job_id = run("submit", job_file()).stdout.split()[0]
    asked = {
        "_JOBCORE_COMPLETE": "bash_complete",
        "COMP_WORDS": f"jobcore show {job_id[:3]}",
        "COMP_CWORD": "2",
    }
    program = "import sys; from jobcore_cli import main; sys.argv = ['jobcore']; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=_environment(home) | asked,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stdout.split(",")[-1].strip() == job_id


def test_a_manager_that_is_interrupted_says_so(
    run: Run, home: Path, job_file: Callable[..., str], tmp_path: Path
) -> None:
    run("submit", job_file(), "-p", f"gate={tmp_path / 'gate'}")
    manager = subprocess.Popen(
        [sys.executable, "-m", "jobcore_cli", "run", "--until-done", "--quiet"],
        env=_environment(home),
    )
    until((home / "wake.sock").exists)
    manager.send_signal(signal.SIGINT)
    assert manager.wait(timeout=SECONDS) == 130
    (tmp_path / "gate").touch()
