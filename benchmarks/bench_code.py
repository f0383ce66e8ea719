"""Freezing code at submit: snapshots, folders of attempts, a large sweep, launches of a one-file job.

Times are the best of several runs, beside a copy of the same folder by the standard library in the
same run. Launches from a snapshot and from the source folder itself take turns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jobcore
from jobcore_code import CodeStore, lay_out
from jobcore_local import code_path, poke, write_pools
from jobcore_sqlite import SqliteStore

from .bench_manager import manager

FILES, FILE_BYTES = 1000, 4000
ROUNDS = 5
SWEEP = 10_000
LAUNCHES, TURNS = 200, 3
SETTLED_SECONDS = 2.1  # files that are younger are read again


def _make(source: Path) -> None:
    for number in range(FILES):
        folder = source / f"package{number % 40}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.py").write_bytes(os.urandom(FILE_BYTES // 2).hex().encode())
    (source / ".gitignore").write_text("*.o\n__pycache__/\n/build\ndata/**/*.csv\n")


def _best(action: Callable[[int], object]) -> float:
    """Return the shortest time of an action, in milliseconds; it is given the number of the round."""
    times = []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        action(number)
        times.append((time.perf_counter() - begun) * 1e3)
    return min(times)


def snapshots(scratch: Path) -> None:
    """Measure the first snapshot of a folder, the next one, and the folder of an attempt."""
    source = scratch / "source"
    _make(source)
    time.sleep(SETTLED_SECONDS)
    first = _best(lambda n: CodeStore(scratch / f"store{n}").take(source))
    store = CodeStore(scratch / "store0")
    again = _best(lambda _: store.take(source))
    snapshot = store.take(source).id
    laid = _best(lambda n: lay_out(store.path, snapshot, str(scratch / f"attempt{n}")))
    copied = _best(lambda n: shutil.copytree(source, scratch / f"copy{n}"))
    print(f"{FILES:,} files of {FILE_BYTES / 1000:.0f} kB; a plain copy takes {copied:.0f} ms")
    print(f"  snapshot {first:.0f} ms (goal <= 300), again {again:.1f} ms (goal <= 20)")
    print(
        f"  folder of an attempt {laid:.0f} ms (goal <= 60); {laid / copied:.2f} of the plain copy"
    )


def sweep(scratch: Path) -> None:
    """Measure `jobcore sweep` of 10,000 jobs, with the start of the command."""
    file = scratch / "source" / "job.toml"
    (scratch / "source" / "train.py").write_text("")
    file.write_text('script = "train.py"\n')
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "jobcore_cli", "--home", str(scratch / "home"), "sweep", str(file),
         "-p", f"x=1:{SWEEP}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    count = len(os.listdir(code_path(scratch / "home") / "trees"))
    print(f"sweep of {SWEEP:,} jobs: {seconds:.1f} s (goal <= 3), {count} snapshot")


def launches(scratch: Path) -> None:
    """Compare launches of a one-file job from a snapshot with launches from the source folder."""
    home, source = scratch / "launches", scratch / "one"
    home.mkdir(mode=0o700)
    source.mkdir()
    (source / "noop.sh").write_text("#!/bin/sh\n")
    (source / "noop.sh").chmod(0o755)
    write_pools(home, {"cpu": 2})
    snapshot = CodeStore(code_path(home)).take(source).id
    plain = {"script": "noop.sh", "source_dir": str(source)}
    frozen = {**plain, "code": {"snapshot": snapshot}}
    rates: dict[str, list[float]] = {"source folder": [], "snapshot": []}
    with SqliteStore(home / "jobcore.db") as store, manager(home):
        for _ in range(TURNS):
            for name, args in (("source folder", plain), ("snapshot", frozen)):
                rates[name].append(_rate(home, store, args))
    best = {name: max(values) for name, values in rates.items()}
    ratio = best["snapshot"] / best["source folder"]
    print(", ".join(f"{rate:.0f} jobs/s from a {name}" for name, rate in best.items()), end="; ")
    print(f"ratio {ratio:.2f} (goal >= 0.9)")


def _rate(home: Path, store: SqliteStore, args: dict[str, object]) -> float:
    spec = jobcore.Spec(
        name="noop", owner="bench", placements=(jobcore.Placement("cpu"),), args=args
    )
    ids = [jobcore.job_id_from_bytes(os.urandom(16)) for _ in range(LAUNCHES)]
    before = store.counts().get(jobcore.Status.COMPLETED, 0)
    begun = time.perf_counter()
    jobcore.submit([spec] * LAUNCHES, ids, store=store, now=datetime.now(UTC))
    poke(home / "wake.sock")
    while store.counts().get(jobcore.Status.COMPLETED, 0) - before < LAUNCHES:
        time.sleep(0.005)
    return LAUNCHES / (time.perf_counter() - begun)


def run() -> None:
    """Measure and print."""
    scratch = Path(tempfile.mkdtemp(prefix="jobcore-bench-", dir=Path.cwd()))
    try:
        snapshots(scratch)
        sweep(scratch)
        launches(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    run()
