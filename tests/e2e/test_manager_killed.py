"""Kill processes with SIGKILL at random moments: every attempt runs exactly once, exit codes kept.

`JOBCORE_KILL_ROUNDS` sets the number of kills of the manager, `JOBCORE_KILL_SEED` the seed. Run this
file with ``-s`` to see the figures; `python -m proof.kills` does more of the same.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from proof import kills

ROUNDS = int(os.environ.get("JOBCORE_KILL_ROUNDS", "200"))
SEED = int(os.environ.get("JOBCORE_KILL_SEED", "1"))
JOBS = 3 * ROUNDS  # a kill every few launches; what is left is finished by an unharmed manager


@pytest.mark.long
def test_every_attempt_runs_exactly_once_however_often_the_manager_is_killed(
    tmp_path: Path,
) -> None:
    print("\n" + kills.kill_managers(tmp_path, ROUNDS, SEED, first=JOBS, fresh_every=4))


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("flock") is None, reason="needs Linux and flock"
)
def test_killed_trainings_and_shims_are_tried_again_one_at_a_time(tmp_path: Path) -> None:
    print("\n" + kills.kill_trainings(tmp_path, 12, SEED))


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    print("\n" + kills.kill_writers(tmp_path, 60, SEED))
