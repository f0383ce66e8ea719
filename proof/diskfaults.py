"""Let every change that SQLite asks of the disk fail, one after the other, through whole lives of jobs.

    python -m proof.diskfaults [--jobs 2] [--fault full|write|sync|any]

Jobs are submitted, launched, run, fail, are retried, complete and are told, by the production ticks on
the production store. In run n of a series the n-th change fails (`proof.sqlite_vfs`), until a run
comes to its end untouched: SQLite's own way to test an error at every place. A series for each way
to fail and for each way to go on:

* full: a write, or a new file, for want of space; write: a write; sync: a sync; any: a change of any
  kind. The errors are those of SQLite's own layer for what the system calls then say.
* once: only that change fails. lasting: all from then on, until the disk is mended while the same
  process goes on. killed: the process is killed at the first error, and another opens the files as
  they are. cut: the power is cut at the first error, and what a failed sync left is not synced
  by the next one (`proof.disk_model`).

What must be true of each run: only `jobcore.Unavailable` is raised, and never that the store is damaged;
nothing acknowledged is lost; what raised took effect as a whole or not at all; no job ever has two live
trainings; once the disk is well, the work is done: the same statuses, the same number of
attempts, each end told under its one id.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jobcore
from jobcore import Status
from jobcore.ports import TrainingState
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryTrainer, RecordingNotifier, Script
from jobcore_sqlite import SqliteStore, StoreUnusable

from .disk_model import Disk
from .powercut import FILE, lay_out
from .sqlite_vfs import Op, WatchedDisk, is_available, reseed_sqlite
from .witness import Witness

ROUNDS_MAX = 60  # a life takes 10
CALLS_UNTIL_MENDED = 4  # the calls that a lasting fault refuses, before the disk is mended
RUNS_MAX = 5000

# What SQLite's own layer answers when the system call fails, by the kind of the change.
_IOERR = {
    "create": sqlite3.SQLITE_CANTOPEN,
    "write": sqlite3.SQLITE_IOERR_WRITE,
    "truncate": sqlite3.SQLITE_IOERR_TRUNCATE,
    "sync": sqlite3.SQLITE_IOERR_FSYNC,
    "delete": sqlite3.SQLITE_IOERR_DELETE,
    "shm": sqlite3.SQLITE_IOERR_SHMSIZE,
}
FAULTS = {
    "full": {
        "create": sqlite3.SQLITE_CANTOPEN,
        "write": sqlite3.SQLITE_FULL,
        "shm": sqlite3.SQLITE_IOERR_SHMSIZE,
    },
    "write": {"write": sqlite3.SQLITE_IOERR_WRITE},
    "sync": {"sync": sqlite3.SQLITE_IOERR_FSYNC},
    "any": _IOERR,
}
WAYS = ("once", "lasting", "killed", "cut")


@dataclass
class Fault:
    """The n-th change that *codes* speaks of fails; with *lasting* all after it as well."""

    codes: dict[str, int]
    at: int
    lasting: bool
    seen: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    mended: bool = False

    def __call__(self, op: Op) -> int:
        if self.mended or op.kind not in self.codes:
            return 0
        self.seen += 1
        if self.seen < self.at or (self.seen > self.at and not self.lasting):
            return 0
        self.hit[op.kind] += 1
        return self.codes[op.kind]


class Life:
    """The life of some jobs, on a disk with a fault."""

    def __init__(self, place: Path, jobs: int, fault: Fault, way: str) -> None:
        self.place, self.fault, self.way = place, fault, way
        self.folder = place / "store"
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.trainer = MemoryTrainer(clock=self.clock, slots={"cpu": 1})
        self.notifier = RecordingNotifier()
        self.settings = jobcore.Settings(launch_lease=timedelta(0), rules=failure_rules())
        self.ids = [jobcore.job_id_from_token("t", str(n)) for n in range(jobs)]
        retry = jobcore.RetryPolicy(backoff=timedelta(seconds=1), backoff_max=timedelta(seconds=1))
        self.specs = [
            jobcore.Spec(
                name=f"j{n}",
                owner="t",
                share=f"s{n}",
                placements=(jobcore.Placement("cpu"),),
                retry=retry,
            )
            for n in range(jobs)
        ]
        # The last job's first attempt fails, and is retried.
        name = jobcore.lifecycle.training_name(self.ids[-1], 1)
        text = "InternalServerError: please try again"
        self.trainer.scripts[name] = Script(outcome=TrainingState.FAILED, text=text)
        self.store: SqliteStore | None = None
        self.raised = self.applied = 0
        lay_out(self.folder, {FILE: b""})
        self.disk = WatchedDisk(self.folder, fault)
        self.model = Disk({FILE: b""})
        self.witness: Witness | None = None

    # --- the work -----------------------------------------------------------------------

    def run(self) -> None:
        """
        Live, with the trouble that comes, to the end.

        Raises:
            AssertionError: something that must be true is not; the notes say where.
        """
        with self.disk.active():
            try:
                self._live()
            finally:
                if self.store is not None:
                    self.store.close()

    def _live(self) -> None:
        submitted = done = False
        for _ in range(ROUNDS_MAX):
            if not self._survives(self._open):
                continue
            submitted = submitted or self._survives(self._submit)
            if submitted:
                for tick in (self._monitor, self._launch, self._notify):
                    self._survives(self._open) and self._survives(tick)
                done = self._survives(self._open) and self._survives(self._is_done)
                if done:
                    break
            self.clock.advance(timedelta(seconds=40))
        assert done, "the work was not done"
        self._survives(self._close)
        self.fault.mended = True
        self._check()

    def _survives(self, call) -> bool:
        """Call; tell whether it worked. After a fault, do what this way of going on is."""
        try:
            done = call() is not False
        except StoreUnusable as error:
            raise AssertionError(f"a fault that passes was told as damage: {error}") from error
        except jobcore.Unavailable:
            self.raised += 1
            done = False
            self._after_error()
        live = [training.job_id for training in self.trainer.running()]
        assert len(live) == len(set(live)), "two live trainings of one job"
        return done

    def _after_error(self) -> None:
        if self.way == "lasting" and self.raised < CALLS_UNTIL_MENDED:
            return
        self.fault.mended = True
        if self.way in ("killed", "cut"):
            self._reboot()
        elif self.store is not None:
            self.applied += self.witness.settle()

    def _reboot(self) -> None:
        """Go on with what is left of the files, after the process or the machine died."""
        if self.way == "killed":
            image = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        else:
            for op in self.disk.log:
                self.model.apply(op)
            image = self.model.cut(random.Random(self.fault.at))
        if self.store is not None:
            self.store.close()  # it changes the old folder only, which nobody looks at again
            self.store = None
        lay_out(self.folder, image)

    def _open(self) -> None:
        if self.store is not None:
            return
        opened = SqliteStore(self.folder / FILE)
        opened._db.execute(
            "PRAGMA wal_autocheckpoint = 12"
        )  # so that there are some, in a short life
        self.store = opened
        if self.witness is None:
            self.witness = Witness(opened)
        else:
            self.witness.store = opened
        if not self.witness.perhaps:
            assert self._is_whole(opened), "something acknowledged is lost"
        self.applied += self.witness.settle()

    def _is_whole(self, store: SqliteStore) -> bool:
        """Tell whether *store* holds what was acknowledged last."""
        return self.witness.last.is_in(store, list(self.witness.ids), list(self.witness.keys))

    def _submit(self) -> None:
        jobcore.submit(self.specs, self.ids, store=self.witness, now=self.clock.now())

    def _monitor(self) -> None:
        jobcore.monitor_tick(self.witness, self.trainer, self.clock, self.settings)

    def _launch(self) -> None:
        jobcore.launch_tick(self.witness, self.trainer, self.clock, self.settings)

    def _notify(self) -> None:
        jobcore.notify_tick(self.witness, self.notifier, self.clock, self.settings)

    def _is_done(self) -> bool:
        jobs = self.witness.get(self.ids)
        return len(jobs) == len(self.ids) and all(
            job.status.is_terminal and not job.outbox for job in jobs.values()
        )

    def _close(self) -> None:
        store, self.store = self.store, None
        store.close()

    # --- what must be true --------------------------------------------------------------

    def _check(self) -> None:
        with SqliteStore(self.folder / FILE) as store:
            assert store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert self._is_whole(store), "an ack was lost"
            jobs = store.get(self.ids)
        assert {job.status for job in jobs.values()} == {Status.COMPLETED}
        attempts = [jobs[job_id].attempt_number for job_id in self.ids]
        assert attempts == [1] * (len(self.ids) - 1) + [2], attempts
        assert len(self.trainer._entries) == len(self.ids) + 1, "a training too many or too few"
        told = {message.event_id for message in self.notifier.messages}
        assert told == {f"{i}/{jobs[i].attempt_number}/Completed" for i in self.ids}
        assert not [v for job in jobs.values() for v in jobcore.lifecycle.violations(job)]


@dataclass
class Series:
    """What a series of runs came to."""

    fault: str
    way: str
    runs: int = 0
    raised: int = 0
    applied: int = 0
    hit: Counter[str] = field(default_factory=Counter)


def series(place: Path, jobs: int, fault: str, way: str, first: int = 1, step: int = 1) -> Series:
    """
    Run with the fault at the *first* place, and every *step*-th after it, until it comes no more.

    Raises:
        AssertionError: what must be true is not; a note says of which run.
    """
    found = Series(fault, way)
    for at in range(first, RUNS_MAX, step):
        reseed_sqlite(at)
        trouble = Fault(FAULTS[fault], at, lasting=way != "once")
        life = Life(place, jobs, trouble, way)
        try:
            life.run()
        except BaseException as error:
            error.add_note(f"fault {fault}, way {way}, at change {at}")
            raise
        found.runs += 1
        found.raised += life.raised
        found.applied += life.applied
        found.hit += trouble.hit
        if not trouble.hit:
            return found
    raise AssertionError(f"no end after {RUNS_MAX} runs")


def all_series(jobs: int, faults=tuple(FAULTS), ways=WAYS, step: int = 1) -> Iterator[Series]:
    """Run every series."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as place:
        for fault in faults:
            for number, way in enumerate(ways):
                yield series(Path(place), jobs, fault, way, first=1 + number % step, step=step)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fault", choices=tuple(FAULTS), help="this series only")
    given = parser.parse_args(arguments)
    if not is_available():
        print(
            "the SQLite library of this Python cannot be reached from outside; nothing was checked"
        )
        return 2
    begun = time.process_time()
    runs = 0
    for found in all_series(given.jobs, (given.fault,) if given.fault else tuple(FAULTS)):
        runs += found.runs
        where = ", ".join(f"{count} {kind}" for kind, count in sorted(found.hit.items()))
        print(
            f"{found.fault:>5} {found.way:<7} {found.runs:4} runs, refused: {where}; "
            f"{found.raised} calls raised Unavailable, {found.applied} of them had taken effect",
            flush=True,
        )
    seconds = time.process_time() - begun
    print(f"{runs:,} lives in {seconds:.0f} s of CPU: nothing lost, nothing twice, all completed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
