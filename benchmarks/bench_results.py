"""`jobcore results` of a sweep of 10,000 jobs, beside the bare decoding of the same stored texts."""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import jobcore
from jobcore import Placement, Status
from jobcore.metrics import Metric
from jobcore_sqlite import SqliteStore

JOBS = 10_000
SAVES = 500
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ended(number: int, draw: random.Random) -> jobcore.Job:
    """Make a job of a sweep that has completed with two metrics."""
    document = {
        "script": "train.py", "name": f"job-{number}", "group": "sweep",
        "hyperparameters": {"lr": draw.random(), "hidden": number % 7, "epochs": 40},
        "metrics": {"loss": {"regex": "loss=(.)", "goal": "minimize"}},
    }  # fmt: skip
    spec = jobcore.parse_job(document, owner="bench")
    job = jobcore.new_job(jobcore.job_id_from_token("bench", str(number)), spec, now=NOW)
    loss = Metric(name="loss", final=draw.random(), step=40, count=40, lowest=0.0, lowest_step=3)
    metrics = (loss, Metric(name="accuracy", final=draw.random()))
    for event in (
        jobcore.LaunchDecided(attempt=1, placement=Placement("cpu")),
        jobcore.LaunchAccepted(attempt=1, placement=Placement("cpu")),
        jobcore.TrainingSeen(attempt=1, running=True),
        jobcore.TrainingEnded(attempt=1, outcome=Status.COMPLETED, metrics=metrics),
    ):
        job = jobcore.step(job, event, now=NOW).job
    return job


def fill(home: Path) -> None:
    """Store the sweep."""
    draw = random.Random(1)  # noqa: S311  (values to compare)
    jobs = [ended(number, draw) for number in range(JOBS)]
    with SqliteStore(home / "jobcore.db") as store:
        store.add([jobcore.new_job(job.job_id, job.spec, now=NOW) for job in jobs])
        for start in range(0, JOBS, SAVES):
            store.save(jobs[start : start + SAVES])


def command(home: Path) -> float:
    """Run the command; return its CPU seconds."""
    words = ["--home", str(home), "--owner", "bench", "results", "sweep"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "jobcore_cli", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bare(home: Path) -> float:
    """Read the same texts from SQLite, and decode them as JSON; return CPU seconds."""
    begun = time.process_time()
    db = sqlite3.connect(home / "jobcore.db")
    for record, spec in db.execute("SELECT job.record, spec.body FROM job JOIN spec USING (n)"):
        json.loads(record)
        json.loads(spec)
    db.close()
    return time.process_time() - begun


def run() -> None:
    """Run the benchmark and print its lines."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home)
        ours = statistics.median(command(home) for _ in range(5))
        reference = statistics.median(bare(home) for _ in range(5))
    print(f"jobcore results of {JOBS:,} jobs: {ours:.2f} s of CPU (goal <= 1)")
    print(f"  bare decoding of the same texts: {reference:.2f} s; ratio {ours / reference:.1f}")


if __name__ == "__main__":
    run()
