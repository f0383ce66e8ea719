"""Durable submits, a launch tick over 100,000 waiting jobs, steps per second, import and list time."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import jobcore
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryTrainer
from jobcore_sqlite import SqliteStore

SUBMITS = 10_000
WAITING = 100_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def specs(count: int) -> list[jobcore.Spec]:
    """Make the specs of a sweep."""
    document = {"script": "train.py", "source_dir": "/code", "hyperparameters": {"lr": 0.1}}
    return [
        jobcore.parse_job({**document, "name": f"job-{n}"}, owner="bench", group="sweep")
        for n in range(count)
    ]


def ids(count: int) -> list[str]:
    """Draw job ids."""
    return [jobcore.job_id_from_bytes(os.urandom(16)) for _ in range(count)]


def submits(folder: Path) -> None:
    """Register jobs in one call, beside bare inserts of the same bytes at the same durability."""
    requests, names = specs(SUBMITS), ids(SUBMITS)
    with SqliteStore(folder / "submit.db") as store:
        begun = time.perf_counter()
        jobcore.submit(requests, names, store=store, now=NOW)
        ours = time.perf_counter() - begun
    dump = sqlite3.connect(folder / "submit.db")
    schema = [row[0] for row in dump.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")]
    tables = {
        name: dump.execute(f"SELECT * FROM {name}").fetchall()
        for (name,) in dump.execute(
            "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    }
    dump.close()
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    for statement in schema:
        bare.execute(statement)
    begun = time.perf_counter()
    bare.execute("BEGIN IMMEDIATE")
    for name, rows in tables.items():
        if rows:
            marks = ",".join("?" * len(rows[0]))
            bare.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    bare.execute("COMMIT")
    reference = time.perf_counter() - begun
    begun = time.perf_counter()
    bare.execute("CREATE TABLE one (id TEXT PRIMARY KEY, body TEXT)")
    for name in names[:500]:
        bare.execute("INSERT INTO one VALUES (?, 'New')", (name,))
    single = (time.perf_counter() - begun) / 500
    bare.close()
    print(f"bulk submit of {SUBMITS:,}: {SUBMITS / ours:,.0f}/s")
    print(f"  bare executemany of the same finished rows: {SUBMITS / reference:,.0f}/s;", end=" ")
    print(f"ratio {reference / ours:.2f} (goal >= 0.8)")
    print(
        f"  bare insert, one commit each: {1 / single:,.0f}/s; ratio {single * SUBMITS / ours:.1f}"
    )


def launch_tick(folder: Path) -> None:
    """Plan and launch with many jobs waiting."""
    clock = ManualClock(NOW)
    trainer = MemoryTrainer(clock=clock, slots={"cpu": 100})
    with SqliteStore(folder / "waiting.db") as store:
        jobcore.submit(specs(WAITING), ids(WAITING), store=store, now=NOW)
        clock.set(datetime(2026, 1, 2, tzinfo=UTC))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.perf_counter()
        report = jobcore.launch_tick(store, trainer, clock, jobcore.Settings(rules=failure_rules()))
        seconds = time.perf_counter() - begun
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"launch tick, {WAITING:,} waiting, {report.launched} launched: {seconds:.3f} s", end=" ")
    print(f"(goal <= 1 s), {grown / 1024:.0f} MB more at the peak")


def steps() -> None:
    """Count `step` calls per second, in lives without failures."""
    spec = specs(1)[0]
    place = spec.placements[0]
    events: list[jobcore.lifecycle.Event] = [
        jobcore.LaunchDecided(attempt=1, placement=place),
        jobcore.LaunchAccepted(attempt=1, placement=place),
        jobcore.TrainingSeen(attempt=1, running=True),
        jobcore.TrainingEnded(attempt=1, outcome=jobcore.Status.COMPLETED),
    ]
    job_id = ids(1)[0]
    lives = 5000
    begun = time.perf_counter()
    for _ in range(lives):
        job = jobcore.new_job(job_id, spec, now=NOW)
        for event in events:
            job = jobcore.step(job, event, now=NOW).job
    seconds = time.perf_counter() - begun
    print(f"steps: {lives * len(events) / seconds:,.0f}/s")


def processes(folder: Path) -> None:
    """Measure import time and the CPU time of `jobcore list`, in fresh processes."""
    for package, goal in (("jobcore", 50), ("jobcore_client", 150)):
        code = f"import time; t = time.process_time(); import {package}; print(time.process_time() - t)"
        command = [sys.executable, "-c", code]
        imports = [float(subprocess.check_output(command, text=True)) for _ in range(7)]
        middle = statistics.median(imports) * 1e3
        print(f"import {package}: {middle:.0f} ms of CPU (goal <= {goal})")
    command = [sys.executable, "-m", "jobcore_cli", "--home", str(folder / "home"), "list"]
    used = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"jobcore list: {statistics.median(used) * 1e3:.0f} ms of CPU (goal <= 150)")


def run() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="jobcore-bench-", dir=Path.cwd()))
    try:
        submits(folder)
        launch_tick(folder)
        steps()
        processes(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run()
