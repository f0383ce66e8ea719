"""No-op jobs per second and submit-to-start latency of a running manager, beside bare references.

The references are measured in the same run on the same machine: task-spooler (Debian's package
`task-spooler`, command `tsp`), and a bare loop of posix_spawn with one SQLite FULL commit before and
after each process. All have two slots.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import jobcore
from jobcore_local import poke, write_pools
from jobcore_sqlite import SqliteStore

JOBS = 400
LATENCY_JOBS = 40
STAMP = '#!/bin/sh\nexec date +%s%N >> "$1"\n'


@contextlib.contextmanager
def manager(home: Path) -> Iterator[None]:
    """Run `jobcore run` on *home* for the time of the block."""
    process = subprocess.Popen(  # noqa: S603  (our own command)
        [sys.executable, "-m", "jobcore_cli", "--home", str(home), "run"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(1.5)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def submit(home: Path, store: SqliteStore, documents: list[dict[str, object]]) -> None:
    """Register jobs and wake the manager, as `jobcore submit` does."""
    specs = [jobcore.parse_job(document, owner="bench") for document in documents]
    ids = [jobcore.job_id_from_bytes(os.urandom(16)) for _ in specs]
    jobcore.submit(specs, ids, store=store, now=datetime.now(UTC))
    poke(home / "wake.sock")


def jobcore_throughput(home: Path) -> float:
    """Submit JOBS no-op jobs in one call, wait until all are over, and return the jobs per second."""
    with SqliteStore(home / "jobcore.db") as store, manager(home):
        before = store.counts().get(jobcore.Status.COMPLETED, 0)
        begun = time.perf_counter()
        noop = {"name": "noop", "script": "true", "source_dir": "/bin"}
        submit(home, store, [noop] * JOBS)
        while store.counts().get(jobcore.Status.COMPLETED, 0) - before < JOBS:
            time.sleep(0.005)
        return JOBS / (time.perf_counter() - begun)


def jobcore_latency(home: Path) -> list[float]:
    """Submit single jobs to an idle manager; return the seconds until each script ran."""
    source = home / "source"
    source.mkdir()
    (source / "stamp.sh").write_text(STAMP)
    stamps = home / "stamps"
    stamps.touch()
    with SqliteStore(home / "jobcore.db") as store, manager(home):

        def start_one() -> None:
            document = {
                "script": "stamp.sh",
                "source_dir": str(source),
                "arguments": [str(stamps)],
            }
            submit(home, store, [document])

        return _latencies(stamps, start_one)


def _latencies(stamps: Path, start_one: object) -> list[float]:
    assert callable(start_one)
    times = []
    for number in range(1, LATENCY_JOBS + 1):
        begun = time.time_ns()
        start_one()
        deadline = time.monotonic() + 30
        while len(lines := stamps.read_text().splitlines()) < number:
            if time.monotonic() > deadline:
                message = "a job did not start within 30 s"
                raise TimeoutError(message)
            time.sleep(0.001)
        times.append((int(lines[number - 1]) - begun) / 1e9)
        time.sleep(0.05)
    return times


def _tsp(home: Path, *arguments: str) -> None:
    environment = os.environ | {"TS_SOCKET": str(home / "tsp.sock"), "TMPDIR": str(home)}
    environment |= {"TS_MAXFINISHED": "10"}
    subprocess.run(  # noqa: S603  (a fixed program, no shell)
        ["tsp", *arguments],  # noqa: S607
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def task_spooler(home: Path) -> tuple[float, list[float]]:
    """Measure task-spooler in the same way; return jobs per second and latencies in seconds."""
    _tsp(home, "-S", "2")
    try:
        begun = time.perf_counter()
        for _ in range(JOBS):
            _tsp(home, "-n", "true")
        _tsp(home, "-w")
        rate = JOBS / (time.perf_counter() - begun)
        stamp, stamps = home / "stamp.sh", home / "tsp-stamps"
        stamp.write_text(STAMP)
        stamps.touch()
        return rate, _latencies(stamps, lambda: _tsp(home, "-n", "sh", str(stamp), str(stamps)))
    finally:
        _tsp(home, "-K")


def bare_loop(home: Path) -> float:
    """Spawn `true` two at a time, with a durable commit before and after each; return jobs per second."""
    connection = sqlite3.connect(home / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, status TEXT)")
    begun = time.perf_counter()
    running: dict[int, int] = {}
    started = 0
    while started < JOBS or running:
        while started < JOBS and len(running) < 2:
            started += 1
            connection.execute("INSERT INTO job VALUES (?, 'started')", (started,))
            running[os.posix_spawn("/bin/true", ["true"], {})] = started
        pid, status = os.wait()
        connection.execute("UPDATE job SET status=? WHERE id=?", (str(status), running.pop(pid)))
    connection.close()
    return JOBS / (time.perf_counter() - begun)


def run() -> None:
    """Measure and print."""
    scratch = Path(tempfile.mkdtemp(prefix="jobcore-bench-", dir=Path.cwd()))
    try:
        for name in ("throughput", "latency", "references"):
            (scratch / name).mkdir(mode=0o700)
            write_pools(scratch / name, {"cpu": 2})
        rate = jobcore_throughput(scratch / "throughput")
        latencies = jobcore_latency(scratch / "latency")
        bare = bare_loop(scratch / "references")
        print(
            f"no-op jobs/s, 2 slots: jobcore {rate:.0f}, bare posix_spawn + SQLite FULL {bare:.0f}"
        )
        print(f"  ratio to the bare loop {rate / bare:.2f}")
        _print_latency("jobcore", latencies)
        if shutil.which("tsp") is None:
            print("  task-spooler: not measured (apt-get install task-spooler)")
            return
        spooled, spool_latencies = task_spooler(scratch / "references")
        print(f"  task-spooler {spooled:.0f} jobs/s; ratio {rate / spooled:.2f} (goal >= 0.5)")
        _print_latency("task-spooler", spool_latencies)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _print_latency(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95) - 1]
    p50 = statistics.median(ordered)
    print(f"submit to start, {name}: p50 {p50 * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms")


if __name__ == "__main__":
    run()
