"""Kill the manager with SIGKILL at random moments: every attempt runs exactly once, exit codes kept.

`JOBCORE_KILL_ROUNDS` sets the number of kills, `JOBCORE_KILL_SEED` the seed. Run this file
with ``-s`` to see the figures.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

import jobcore
from jobcore_local import write_pools
from jobcore_sqlite import SqliteStore

ROUNDS = int(os.environ.get("JOBCORE_KILL_ROUNDS", "200"))
SEED = int(os.environ.get("JOBCORE_KILL_SEED", "1"))
JOBS = 3 * ROUNDS  # a kill every few launches; what is left is finished by an unharmed manager

# O_APPEND writes of one short line are whole, so the file is a faithful witness.
SCRIPT = """#!/bin/sh
echo "$JOBCORE_JOB_ID $JOBCORE_ATTEMPT" >> "$WITNESS"
sleep 0.03
echo "$JOBCORE_JOB_ID end" >> "$WITNESS"
exit "$SM_HP_CODE"
"""


def _submit(home: Path, witness: Path, source: Path) -> dict[str, int]:
    """Register the jobs; return the exit code that each will have."""
    codes = {}
    specs = []
    for index in range(JOBS):
        code = 3 if index % 5 == 0 else 0
        document = {
            "name": f"job-{index}",
            "script": "train.sh",
            "source_dir": str(source),
            "hyperparameters": {"code": code},
            "environment": {"WITNESS": str(witness)},
        }
        specs.append(jobcore.parse_job(document, owner="test"))
        codes[jobcore.job_id_from_token("test", str(index))] = code
    with SqliteStore(home / "jobcore.db") as store:
        jobcore.submit(specs, list(codes), store=store, now=datetime.now(UTC))
    return codes


def _manager(home: Path, *extra: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  (our own command)
        [sys.executable, "-m", "jobcore_cli", "--home", str(home), "run", *extra],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.long
def test_every_attempt_runs_exactly_once_however_often_the_manager_is_killed(
    tmp_path: Path,
) -> None:
    home, source, witness = tmp_path / "home", tmp_path / "source", tmp_path / "witness"
    home.mkdir(mode=0o700)
    source.mkdir()
    (source / "train.sh").write_text(SCRIPT)
    write_pools(home, {"cpu": 4})
    codes = _submit(home, witness, source)
    draw = random.Random(SEED)  # noqa: S311  (not a secret)

    begun = time.monotonic()
    for _ in range(ROUNDS):
        manager = _manager(home)
        time.sleep(draw.uniform(0.3, 0.7))
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    with SqliteStore(home / "jobcore.db") as store:
        over_by_then = sum(n for s, n in store.counts().items() if s.is_terminal)
    assert _manager(home, "--until-done").wait(timeout=300) in (0, 1)

    lines = witness.read_text().split("\n")[:-1]
    starts = Counter(line for line in lines if not line.endswith(" end"))
    ends = Counter(line for line in lines if line.endswith(" end"))
    assert starts == Counter({f"{job_id} 1": 1 for job_id in codes})
    assert ends == Counter({f"{job_id} end": 1 for job_id in codes})

    with SqliteStore(home / "jobcore.db") as store:
        jobs = store.get(list(codes))
    wrong = {
        job_id: str(jobs[job_id].status)
        for job_id, code in codes.items()
        if jobs[job_id].status is not (jobcore.Status.FAILED if code else jobcore.Status.COMPLETED)
    }
    assert not wrong
    assert not any(job.outbox for job in jobs.values())

    messages = [json.loads(line) for line in (home / "messages.jsonl").read_text().splitlines()]
    told = Counter(message["event_id"] for message in messages)
    assert {event_id.split("/")[0] for event_id in told} == set(codes)
    assert len(told) == len(codes)
    print(
        f"\n{ROUNDS} kills in {time.monotonic() - begun:.0f} s (seed {SEED}): {JOBS} jobs, "
        f"{over_by_then} over before the last manager; 0 run twice, 0 lost, all exit codes kept; "
        f"{sum(told.values()) - len(told)} messages repeated (same event id)"
    )
