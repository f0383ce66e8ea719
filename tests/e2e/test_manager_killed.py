"""Kill processes with SIGKILL at random moments: every attempt runs exactly once, exit codes kept.

`JOBCORE_KILL_ROUNDS` sets the number of kills of the manager, `JOBCORE_KILL_SEED` the seed. Run this
file with ``-s`` to see the figures; `python -m proof.kills` does more of the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("JOBCORE_KILL_ROUNDS", "200"))
SEED = int(os.environ.get("JOBCORE_KILL_SEED", "1"))
JOBS = 3 * ROUNDS  # a kill every few launches; what is left is finished by an unharmed manager


def kill(function: str, place: Path, arguments: str) -> None:
    """
    Call a function of `proof.kills` in a process of its own, and show what it says.

    It forks managers and writers. A fork of the process of the tests would have the locks of its
    threads, perhaps held, and Python warns of it since 3.12.
    """
    code = (
        "import pathlib, sys; from proof import kills; "
        f"print(kills.{function}(pathlib.Path(sys.argv[1]), {arguments}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code, str(place)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout}")


@pytest.mark.long
def test_every_attempt_runs_exactly_once_however_often_the_manager_is_killed(
    tmp_path: Path,
) -> None:
    kill("kill_managers", tmp_path, f"{ROUNDS}, {SEED}, first={JOBS}, fresh_every=4")


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("flock") is None, reason="needs Linux and flock"
)
def test_killed_trainings_and_shims_are_tried_again_one_at_a_time(tmp_path: Path) -> None:
    kill("kill_trainings", tmp_path, f"12, {SEED}")


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    kill("kill_writers", tmp_path, f"60, {SEED}")
