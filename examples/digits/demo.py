"""The demo: a sweep of real trainings on this machine, through a shortage, a crash and a bug.

It runs the `jobcore` command as a user would. A second thread removes slots for a while and kills one
training from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import jobcore
from jobcore_local import write_pools
from jobcore_sqlite import SqliteStore

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("JOBCORE_DEMO_HOME", HERE.parent.parent / ".demo"))
SLOTS, SLOTS_IN_SHORTAGE, SHORTAGE_SECONDS = 4, 1, 10.0


def command(*arguments: str) -> list[str]:
    """Make the argument list of a `jobcore` call on the demo's own home."""
    return [sys.executable, "-m", "jobcore_cli", "--home", str(HOME), *arguments]


def output_of(*arguments: str) -> str:
    """Call `jobcore`, and give what it prints, without the last newline."""
    done = subprocess.run(command(*arguments), check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return done.stdout.rstrip("\n")


def print_heading(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


class Saboteur(threading.Thread):
    """A thread that kills one training once it has checkpoints, then removes slots for a while."""

    def __init__(self) -> None:
        """Make a daemon thread, so that it does not keep the program alive."""
        super().__init__(daemon=True)
        self.killed = ""

    def run(self) -> None:
        """Kill a training, shrink the pool, and restore it."""
        deadline = time.monotonic() + 60
        while not self.killed and time.monotonic() < deadline:
            self.killed = kill_one_with_a_checkpoint()
            time.sleep(0.05)
        write_pools(HOME, {"cpu": SLOTS_IN_SHORTAGE})
        time.sleep(SHORTAGE_SECONDS)
        write_pools(HOME, {"cpu": SLOTS})


def kill_one_with_a_checkpoint() -> str:
    """Send SIGKILL, as the kernel's out-of-memory killer does, to a training that has a checkpoint."""
    for checkpoint in HOME.glob("checkpoints/*/last.joblib"):
        job_id = checkpoint.parent.name
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
                arguments = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"JOBCORE_JOB_ID={job_id}".encode() in environment and any(
                argument.endswith(b"train.py") for argument in arguments
            ):
                os.kill(int(process.name), signal.SIGKILL)
                return job_id
    return ""


def read_jobs() -> list[jobcore.Job]:
    """Read every job of the demo."""
    with SqliteStore(HOME / "jobcore.db") as store:
        return list(store.find(jobcore.ports.JobQuery(limit=1000)).jobs)


def report(jobs: list[jobcore.Job], killed: str) -> None:
    """Print the retries and their reasons, and the messages."""
    print_heading("Retries and their reasons")
    for job in jobs:
        for attempt in job.attempts:
            if attempt.failure is None:
                continue
            verdict = "not retried" if job.status is jobcore.Status.FAILED else "retried"
            mark = "  (killed by the saboteur)" if job.job_id == killed else ""
            kind = attempt.failure.failure_class
            print(f"  {job.spec.name:12} attempt {attempt.number}  {kind:17} {verdict}{mark}")
            print(f"    {attempt.failure.headline[-76:]}")

    print_heading("Messages sent")
    lines = (HOME / "messages.jsonl").read_text().splitlines()
    subjects = Counter(json.loads(line)["subject"] for line in lines)
    by_status = Counter(subject.split(": ")[0] for subject in subjects.elements())
    for subject, count in sorted(by_status.items()):
        print(f"  {count:3d} x {subject}")
    print(f"  one for each of {len(jobs)} jobs; all are in {HOME / 'messages.jsonl'}")


def main() -> int:
    """Run the demo; exit 0 only if it ended as expected."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True, mode=0o700)
    write_pools(HOME, {"cpu": SLOTS})
    begun = time.monotonic()

    print_heading(f"jobcore sweep {HERE.name}/digits.toml")
    # The scripts need scikit-learn, which is installed beside this program, and perhaps not in the
    # environment that is active.
    own = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "CONDA_PREFIX"}}
    subprocess.run(command("sweep", str(HERE / "digits.toml")), check=True, env=own)  # noqa: S603
    saboteur = Saboteur()
    saboteur.start()
    print_heading("jobcore run --until-done")
    print("  meanwhile the demo kills one training, and removes 3 of 4 slots for 10 s", flush=True)
    outcome = subprocess.run(command("run", "--until-done"), check=False)  # noqa: S603
    if outcome.returncode not in (0, 1):
        return outcome.returncode
    print_heading("jobcore list --all")
    subprocess.run(command("list", "--all", "--limit", "100"), check=True)  # noqa: S603

    jobs = sorted(read_jobs(), key=lambda job: (len(job.spec.name), job.spec.name))
    report(jobs, saboteur.killed)
    print_heading("jobcore results --top 5")
    subprocess.run(command("results", "--top", "5"), check=True)  # noqa: S603
    print_heading("jobcore path $(jobcore results --best)")
    best = output_of("results", "--best")
    print(output_of("path", best))
    counts = Counter(str(job.status) for job in jobs)
    ended = ", ".join(f"{count} {status}" for status, count in counts.items())
    print_heading(f"{ended} in {time.monotonic() - begun:.0f} s. Look around:")
    program = os.path.relpath(Path(sys.executable).with_name("jobcore"))
    print(f"  {program} --home {os.path.relpath(HOME)} list --all")
    as_expected = counts == {"Completed": len(jobs) - 1, "Failed": 1} and bool(saboteur.killed)
    return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
