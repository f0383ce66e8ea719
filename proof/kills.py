"""Kill with SIGKILL: managers, trainings, their shims, writers. What was acknowledged is there, once.

    python -m proof.kills [--managers 1000] [--trainings 200] [--writers 1000] [--seed 1]

* managers: the command `jobcore run` is killed at a random moment, again and again, while real
  trainings run under real shims. Each attempt runs once, to its end; each exit code is kept.
* trainings: under one manager after another, the script or the shim of a running training is
  killed. Its attempt is over, what was left of its tree is dead before the next begins, and the
  job comes to its end with its own exit code.
* writers: processes that write to one SQLite file at once are killed. No acknowledged write is
  lost, no batch is half there, and each job's version is the number of its writes.

At the end of each, every end has been told under the one id of its event. Kill -9 tests processes, not
the disk: what the kernel was given is there. For power cuts see `proof.powercut`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jobcore
from jobcore import Status
from jobcore_local import LocalTrainer, write_pools
from jobcore_sqlite import SqliteStore

SLOTS = 4
QUEUE = 12  # jobs that wait, at least, when a manager begins
CODE = 3  # of every fifth job
LEFT_SECONDS_MAX = 1800  # for an unharmed manager to do what is left, on an overloaded machine too

# O_APPEND writes of one short line are whole, so the file is a faithful witness. The lock is held by
# every process of the attempt: if one of them outlived it, the next attempt would say so.
SCRIPT = """#!/bin/sh
if [ -n "$LOCKS" ]; then
  exec 9>"$LOCKS/$JOBCORE_JOB_ID"
  flock -n 9 || echo "$JOBCORE_JOB_ID twice at once" >> "$WITNESS"
fi
echo "$JOBCORE_JOB_ID $JOBCORE_ATTEMPT" >> "$WITNESS"
sleep "$SECONDS_LONG"
echo "$JOBCORE_JOB_ID end" >> "$WITNESS"
exit "$SM_HP_CODE"
"""


# --- a home with jobs -------------------------------------------------------------------


@dataclass
class Home:
    """A home of jobcore whose jobs write down when they begin and end."""

    place: Path
    seconds: float  # that a job takes
    locks: bool = False
    codes: dict[str, int] = field(default_factory=dict)  # by job id: the exit code it will have

    def __post_init__(self) -> None:
        self.home, self.source = self.place / "home", self.place / "source"
        self.witness, self.lock_folder = self.place / "witness", self.place / "locks"
        self.home.mkdir(mode=0o700)
        self.source.mkdir()
        self.lock_folder.mkdir()
        (self.source / "train.sh").write_text(SCRIPT)
        write_pools(self.home, {"cpu": SLOTS})

    def store(self) -> SqliteStore:
        return SqliteStore(self.home / "jobcore.db")

    def submit(self, count: int) -> None:
        """Submit jobs: acknowledged when this returns."""
        specs, ids = [], []
        for index in range(len(self.codes), len(self.codes) + count):
            code = CODE if index % 5 == 0 else 0
            document = {
                "name": f"job-{index}",
                "script": "train.sh",
                "source_dir": str(self.source),
                "hyperparameters": {"code": code},
                "environment": {
                    "WITNESS": str(self.witness),
                    "SECONDS_LONG": str(self.seconds),
                    "LOCKS": str(self.lock_folder) if self.locks else "",
                },
            }
            soon = jobcore.RetryPolicy(backoff=timedelta(0), backoff_max=timedelta(0))
            specs.append(replace(jobcore.parse_job(document, owner="test"), retry=soon))
            ids.append(jobcore.job_id_from_token("test", str(index)))
        with self.store() as store:
            jobcore.submit(specs, ids, store=store, now=datetime.now(UTC))
        for spec, job_id in zip(specs, ids, strict=True):
            self.codes[job_id] = int(spec.args["hyperparameters"]["code"])

    def top_up(self) -> None:
        """Submit a few jobs where few wait, so that a manager always finds work."""
        with self.store() as store:
            waiting = store.counts().get(Status.NEW, 0)
        if waiting < QUEUE:
            self.submit(QUEUE)

    def over(self) -> int:
        with self.store() as store:
            return sum(n for status, n in store.counts().items() if status.is_terminal)

    def running(self) -> list[str]:
        """Name the trainings that run, as far as the store knows."""
        with self.store() as store:
            query = jobcore.ports.JobQuery(statuses=frozenset({Status.IN_PROGRESS}), limit=SLOTS)
            return [str(job.training_name) for job in store.find(query).jobs]

    def finish(self) -> None:
        """Let an unharmed manager do what is left."""
        manager = start_process(self.home, "--until-done")
        try:
            code = manager.wait(timeout=LEFT_SECONDS_MAX)
        finally:
            manager.kill()
            manager.wait()
        assert code in (0, 1), f"the last manager ended with {code}"

    # --- what must be true --------------------------------------------------------------

    def jobs(self) -> dict[str, jobcore.Job]:
        with self.store() as store:
            assert store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return dict(store.get(list(self.codes)))

    def lines(self) -> tuple[Counter[str], Counter[str]]:
        """Give what was written by beginnings and by ends."""
        lines = self.witness.read_text().split("\n")[:-1]
        ends = Counter(line for line in lines if line.endswith(" end"))
        return Counter(line for line in lines if not line.endswith(" end")), ends

    def check_ends(self) -> int:
        """Hold statuses, exit codes and messages against the truth; give the messages repeated."""
        jobs = self.jobs()
        assert set(jobs) == set(self.codes), "an acknowledged job is lost"
        wrong = {
            job_id: str(jobs[job_id].status)
            for job_id, code in self.codes.items()
            if jobs[job_id].status is not (Status.FAILED if code else Status.COMPLETED)
        }
        assert not wrong, wrong
        for job_id, code in self.codes.items():
            if code:
                last = jobs[job_id].attempts[-1].failure
                assert last is not None
                assert f"exit code: {code}" in last.text, last
        assert not any(job.outbox for job in jobs.values())
        assert not [v for job in jobs.values() for v in jobcore.lifecycle.violations(job)]
        lines = (self.home / "messages.jsonl").read_text().splitlines()
        told = Counter(json.loads(line)["event_id"] for line in lines)
        ends = {f"{i}/{job.attempt_number}/{job.status}" for i, job in jobs.items()}
        assert set(told) == ends, "each end is told, under its one id, and nothing else"
        return told.total() - len(told)


class Manager:
    """A `jobcore run` that can be killed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def start_process(home: Path, *extra: str) -> subprocess.Popen[bytes]:
    """Start the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobcore_cli", "--home", str(home), "run", *extra],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def warm_up(place: Path) -> None:
    """Load what a manager loads, so that its forks have it."""
    import jobcore_cli

    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        code = jobcore_cli.main(["--home", str(place / "empty"), "run", "--until-done", "--quiet"])
    assert code == 0


def fork_manager(home: Path) -> Manager:
    """Start the same in a fork of this process: it works at once, so more kills meet work."""
    import jobcore_cli

    pid = os.fork()
    if pid:
        return Manager(pid)
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(nothing, fd)
        code = jobcore_cli.main(["--home", str(home), "run"])
    finally:
        os._exit(code)


# --- managers ---------------------------------------------------------------------------


def kill_managers(
    place: Path,
    rounds: int,
    seed: int,
    *,
    first: int = QUEUE,
    fresh_every: int = 10,
    lives: tuple[float, float] = (0.02, 0.4),
) -> str:
    """
    Kill managers; what they began goes on under its shims, and the next takes over.

    Args:
        first: jobs that are there at the beginning; where few wait, more are submitted.
        fresh_every: 1 for a new process each time; else the others are forks of this one, which work
            at once.
        lives: how long such a fork lives at least and at most, in seconds.

    Raises:
        AssertionError: something was lost, ran twice or was told wrongly.
    """
    home, draw = Home(place, seconds=0.03), random.Random(seed)
    if fresh_every > 1:
        warm_up(place)
    home.submit(first)
    begun = time.monotonic()
    for number in range(rounds):
        home.top_up()
        if number % fresh_every == 0:
            process = start_process(home.home)
            time.sleep(draw.uniform(0.3, 0.7))
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:
            manager = fork_manager(home.home)
            time.sleep(draw.uniform(*lives))
            manager.kill()
    over = home.over()
    home.finish()
    repeated = home.check_ends()
    starts, ends = home.lines()
    assert starts == Counter({f"{job_id} 1": 1 for job_id in home.codes})
    assert ends == Counter({f"{job_id} end": 1 for job_id in home.codes})
    return (
        f"{rounds:,} managers killed in {time.monotonic() - begun:.0f} s (seed {seed}): "
        f"{len(home.codes):,} jobs, {over:,} over before the last manager; 0 lost, 0 run twice, "
        f"all exit codes kept, each end told under one id ({repeated} messages repeated)"
    )


# --- trainings and shims ----------------------------------------------------------------


def kill_trainings(place: Path, kills: int, seed: int) -> str:
    """
    Kill scripts and shims of running trainings, and now and then the manager.

    Raises:
        AssertionError: an attempt ran twice, two ran at once, or a job came to a wrong end.
    """
    home, draw = Home(place, seconds=1.0, locks=True), random.Random(seed)
    trainer = LocalTrainer(home.home)
    warm_up(place)
    begun = time.monotonic()
    done = {"script": 0, "shim": 0}
    managers = 0
    manager: Manager | None = None
    while sum(done.values()) < kills:
        home.top_up()
        if manager is None:
            manager, managers = fork_manager(home.home), managers + 1
        time.sleep(draw.uniform(0.02, 0.15))
        running = home.running()
        if running:
            what = min(done, key=done.__getitem__)
            done[what] += _kill_training(trainer, draw.choice(running), what)
        if draw.random() < 0.05:
            manager.kill()
            manager = None
    if manager is not None:
        manager.kill()
    home.finish()
    repeated = home.check_ends()
    starts, ends = home.lines()
    jobs = home.jobs()
    assert not [line for line in starts if line.endswith("at once")], "two attempts at once"
    assert set(starts.values()) == {1}, "an attempt ran twice"
    # An attempt may be killed before its first line, but none was begun that the job knows not of.
    for line in starts:
        job_id, _, attempt = line.partition(" ")
        assert int(attempt) <= jobs[job_id].attempt_number
    assert all(ends[f"{job_id} end"] >= 1 for job_id in home.codes)
    attempts = sum(job.attempt_number for job in jobs.values())
    return (
        f"{done['script']} scripts and {done['shim']} shims killed in {time.monotonic() - begun:.0f} s "
        f"(seed {seed}), under {managers} managers: {len(jobs):,} jobs in {attempts:,} attempts, each "
        f"run once, never two of a job at once; all came to their own exit code, each end told under "
        f"one id ({repeated} messages repeated)"
    )


def _kill_training(trainer: LocalTrainer, name: str, what: str) -> bool:
    """Kill the shim or the script of a training; tell whether it was there."""
    try:
        shim = json.loads((trainer.directory(name) / "started.json").read_text())["pid"]
        mark = f"JOBCORE_TRAINING={name}".encode()
        if what == "shim":
            pids = [shim]
        else:
            children = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
            pids = [
                int(pid)
                for pid in children
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            ]
        for pid in pids[:1]:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)
    except (OSError, ValueError):  # it has ended
        return False


# --- writers ----------------------------------------------------------------------------

BATCH = 5
WRITERS = 3
SHARED = jobcore.job_id_from_token("shared", "")


def kill_writers(place: Path, kills: int, seed: int) -> str:
    """
    Kill processes that write to one file at once.

    Raises:
        AssertionError: an acknowledged write is lost, or a batch is half there.
    """
    draw, begun = random.Random(seed), time.monotonic()
    path = place / "jobcore.db"
    with SqliteStore(path) as store:
        store.add([new_job(SHARED)])
    running: dict[int, tuple[int, int]] = {}  # by writer: its pid, and where it acknowledges
    counted = batches = 0
    for number in range(kills + WRITERS - 1):
        if number < kills:
            running[number] = start_writer(path, number)
        if len(running) < WRITERS and number < kills:
            continue
        time.sleep(draw.uniform(0, 0.05))
        victim = draw.choice(sorted(running))
        acknowledged = kill_writer(*running.pop(victim))
        counted += acknowledged.count(b"=")
        last = acknowledged.count(b"+")
        batches += last
        with SqliteStore(path) as store:
            for batch in range(last + 1):
                there = len(store.get(batch_ids(victim, batch)))
                assert there == BATCH or (batch == last and there == 0), "half a batch, or none"
            if number % 50 == 0:
                assert store.check() == []
    with SqliteStore(path) as store:
        assert store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert store.check() == []
        shared = store.get([SHARED])[SHARED]
    count = shared.extra.get("count", 0)
    assert shared.version == count, "a version without its write"
    assert counted <= count <= counted + kills, "an acknowledged count is lost"
    return (
        f"{kills:,} writers killed in {time.monotonic() - begun:.0f} s (seed {seed}), {WRITERS} at once: "
        f"{counted + batches:,} acknowledged commits, 0 lost, none half there; {count:,} writes of "
        f"one job made {shared.version:,} versions"
    )


def new_job(job_id: str) -> jobcore.Job:
    spec = jobcore.Spec(name="n", owner="o", placements=(jobcore.Placement("cpu"),))
    return jobcore.new_job(job_id, spec, now=datetime(2026, 1, 1, tzinfo=UTC))


def start_writer(path: Path, number: int) -> tuple[int, int]:
    """Fork a writer; give its pid, and the end of a pipe that reads what it acknowledges."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_for_ever(path, number, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    return pid, ours


def kill_writer(pid: int, ours: int) -> bytes:
    """Kill a writer; give its acknowledgements."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(ours, "rb") as pipe:
        return pipe.read()


def write_for_ever(path: Path, number: int, acknowledged: int) -> None:
    """Add batches (each acknowledged by "+"), and count on the shared job (by "=")."""
    with SqliteStore(path, busy_seconds=60) as store:
        for batch in range(1_000_000):
            store.add([new_job(job_id) for job_id in batch_ids(number, batch)])
            os.write(acknowledged, b"+")
            saved = None
            while saved is None:
                job = store.get([SHARED])[SHARED]
                count = job.extra.get("count", 0) + 1
                (saved,) = store.save([replace(job, extra={"count": count})])
            os.write(acknowledged, b"=")


def batch_ids(writer: int, batch: int) -> list[str]:
    return [jobcore.job_id_from_token(f"{writer}/{batch}", str(n)) for n in range(BATCH)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--managers", type=int, default=1000)
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--writers", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.trainings and not (sys.platform == "linux" and shutil.which("flock")):
        print("trainings: needs Linux and the command flock; not done")
        given.trainings = 0
    runs: list[tuple[int, Callable[[Path], str]]] = [
        (given.writers, lambda place: kill_writers(place, given.writers, given.seed)),
        (given.trainings, lambda place: kill_trainings(place, given.trainings, given.seed)),
        (given.managers, lambda place: kill_managers(place, given.managers, given.seed)),
    ]
    for count, run in runs:
        if count:
            with tempfile.TemporaryDirectory() as place:
                print(run(Path(place).resolve()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
