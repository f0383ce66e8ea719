"""The Python client on one machine: a sweep of 10,000 jobs, its queries, and changes of all of them."""

from __future__ import annotations

import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jobcore_client import Client, grid

JOBS = 10_000


def timed(what: str, goal: float, do: Callable[[], object]) -> object:
    """Do something, and print how long it took."""
    begun = time.perf_counter()
    result = do()
    print(f"{what}: {time.perf_counter() - begun:.3f} s (goal <= {goal})")
    return result


def run() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="jobcore-bench-", dir=Path.cwd()))
    try:
        (folder / "train.py").write_text("print(1)\n")
        with Client(home=folder / "home", owner="bench") as client:
            job = {"script": "train.py", "source_dir": str(folder)}
            points = grid(lr=range(100), seed=range(JOBS // 100))
            jobs = client.map(job, points[:1], group="warm")  # imports
            timed(f"map of {JOBS:,}", 10, lambda: client.map(job, points, group="g"))
            jobs = client.jobs(group="g")
            timed("counts of the group", 0.1, jobs.counts)
            timed("the jobs of the group", 2, lambda: len(jobs))
            timed("hold of the group", 5, lambda: client.hold(client.jobs(group="g")))
            timed("stop of the group", 5, lambda: client.stop(client.jobs(group="g")))
            timed("wait for the group, which is over", 0.1, jobs.wait_counts)
            timed("rows of the group", 2, jobs.to_dicts)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"memory: {peak:.0f} MB with {JOBS:,} jobs read")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run()
