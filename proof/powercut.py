"""Cut the power under the store, thousands of times: is every acknowledged write there, and whole?

    python -m proof.powercut [--cuts 10000] [--synchronous FULL|NORMAL|OFF] [--seed 1]

The production ticks work on the production store, while the layer below SQLite writes down what is
asked of the disk (`proof.sqlite_vfs`). Afterwards the power is cut at random moments of that record: what
a disk with a volatile cache may hold then (`proof.disk_model`) is laid into a new folder, and the
store opens it as after a reboot. What it holds must be, to the last field, what was
acknowledged at that moment, or that with the one write that was under way, as a whole. The work then
goes on from the last cut of each life.

Without ``--synchronous`` it runs FULL, which the store uses, and must lose nothing; and a tenth as
many cuts at NORMAL and at OFF, as controls of the check: each must lose something.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jobcore
from jobcore.ports import TrainingState
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryTrainer, RecordingNotifier, Script
from jobcore_sqlite import SqliteStore

from .disk_model import Disk, Image
from .sqlite_vfs import Op, WatchedDisk, is_available, reseed_sqlite
from .witness import State, Witness, read_records

LIVES = 6  # of one store, each begun from what the power cut before has left
ACTIONS = 30
CUTS_PER_LIFE = 50
JOBS_MAX = 40
FILE = "jobcore.db"
CONTROLS = ("NORMAL", "OFF")


class _Cloud(MemoryTrainer):
    """A trainer that does not tell the size of its pools, so that it has to be learned and stored."""

    def capacity(self) -> dict[str, None]:
        return dict.fromkeys(super().capacity())


class World:
    """People and ticks at work on one store; the trainings are only pretended."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.trainer = _Cloud(clock=self.clock, slots={"cpu": 4, "gpu": 2})
        self.notifier = RecordingNotifier()
        self.settings = jobcore.Settings(launch_lease=timedelta(0), rules=failure_rules())
        self.submitted = 0

    def submit(self, store: jobcore.JobStore) -> None:
        draw, specs, ids = self.draw, [], []
        for _ in range(draw.choice((1, 1, 2, 3, 8))):
            self.submitted += 1
            job_id = jobcore.job_id_from_token("proof", str(self.submitted))
            placement = jobcore.Placement(draw.choice(("cpu", "gpu")))
            pad = {"pad": "x" * draw.choice((0, 10, 300, 3000))}
            specs.append(
                jobcore.Spec(
                    name=f"job-{self.submitted}",
                    owner="ada",
                    share=draw.choice(("vision", "text")),
                    group=draw.choice((None, "sweep")),
                    placements=(placement,),
                    args=pad,
                )
            )
            ids.append(job_id)
            for attempt in range(1, 4):
                outcome, text = draw.choice(_ENDS)
                self.trainer.scripts[jobcore.lifecycle.training_name(job_id, attempt)] = Script(
                    runs=timedelta(seconds=draw.randrange(200)), outcome=outcome, text=text
                )
        jobcore.submit(specs, ids, store=store, now=self.clock.now())

    def ask(self, store: Witness) -> None:
        job_id = self.draw.choice(list(store.last.jobs))
        event = self.draw.choice(
            (
                jobcore.StopRequested(by="ada"),
                jobcore.HoldRequested(by="ada", reason="look"),
                jobcore.ReleaseRequested(by="ada"),
            )
        )
        jobcore.ticks.apply_request(job_id, event, store=store, now=self.clock.now())

    def ticks(self, store: jobcore.JobStore) -> None:
        jobcore.monitor_tick(store, self.trainer, self.clock, self.settings)
        jobcore.launch_tick(store, self.trainer, self.clock, self.settings)
        jobcore.notify_tick(store, self.notifier, self.clock, self.settings)
        self.clock.advance(timedelta(seconds=self.draw.randrange(90)))

    def act(self, store: Witness) -> None:
        if not store.last.jobs or (len(store.last.jobs) < JOBS_MAX and self.draw.random() < 0.3):
            self.submit(store)
        elif self.draw.random() < 0.2:
            self.ask(store)
        else:
            self.ticks(store)


_ENDS = (
    (TrainingState.COMPLETED, ""),
    (TrainingState.COMPLETED, ""),
    (TrainingState.FAILED, "InternalServerError: please try again"),
    (TrainingState.FAILED, "AlgorithmError: boom, exit code: 1"),
)


def live(
    folder: Path, world: World, before: State, synchronous: str
) -> tuple[list[Op], list[State]]:
    """Work on the store of *folder*; give what the disk was asked for and what was acknowledged."""
    disk = WatchedDisk(folder)
    draw = world.draw
    pages = draw.choice((8, 40, 1000))  # of the log, until they are copied into the file

    def opened() -> SqliteStore:
        store = SqliteStore(folder / FILE)
        store._db.execute(f"PRAGMA synchronous = {synchronous}")
        store._db.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        return store

    with disk.active():
        # Two connections, as a manager and a command have; both may be closed and opened in between.
        stores = [opened(), opened()]
        witness = Witness(stores[0], lambda: len(disk.log), before)
        for _ in range(ACTIONS):
            witness.store = draw.choice(stores)
            if draw.random() < 0.03:
                for store in stores:
                    store.close()  # the last one that closes copies the log, and deletes it
                stores = [opened(), opened()]
                witness.store = stores[0]
            world.act(witness)
        log = list(disk.log)  # what closing would do is not part of this life
        for store in stores:
            store.close()
    return log, witness.states


def lay_out(folder: Path, image: Image) -> None:
    """Make *folder* hold just the files of *image*."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in image.items():
        (folder / name).write_bytes(content)


def judge(folder: Path, states: list[State], moment: int, ids: list[str]) -> str:
    """
    Open the store of *folder* as after a reboot; say what became of it.

    Returns:
        "whole"; "lost": something acknowledged by *moment* is not there, all else is as it once was;
        "mixed": it holds what it never held; "corrupt": SQLite or the codec says so.
    """
    ended = [state.ended for state in states]
    last = bisect_right(ended, moment) - 1
    under_way = [s for s in states[last + 1 : last + 2] if s.begun <= moment]
    try:
        with SqliteStore(folder / FILE) as store:
            if store._db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return "corrupt"
            jobs, records = store.get(ids), read_records(store, list(states[-1].records))
    except (jobcore.Unavailable, jobcore.CorruptRecord, sqlite3.Error, ValueError):
        return "corrupt"

    def holds(state: State) -> bool:
        return jobs == state.jobs and records == state.records

    if holds(states[last]) or any(map(holds, under_way)):
        return "whole"
    return "lost" if any(map(holds, states[:last])) else "mixed"


def chain(folder: Path, seed: str, synchronous: str, cuts: int) -> Iterator[tuple[str, str]]:
    """
    Live and have the power cut, again and again, on one store.

    Yields:
        For each cut: what became of the store, and where it was.
    """
    draw = random.Random(seed)
    reseed_sqlite(draw.getrandbits(64))
    world = World(draw)
    image: dict[str, bytes] = {}
    before = State(0, 0, {}, {})
    for number in range(LIVES):
        lay_out(folder, image)
        if not image:
            (folder / FILE).touch()  # as the store makes it, with a sync of its folder
            image = {FILE: b""}
        log, states = live(folder, world, before, synchronous)
        ids = list(states[-1].jobs)
        disk = Disk(image)
        chosen = sorted(draw.sample(range(len(log)), min(len(log), CUTS_PER_LIFE - 1)))
        done = 0
        for moment in [*chosen, len(log)]:
            for op in log[done:moment]:
                disk.apply(op)
            done = moment
            image = disk.cut(draw)
            if (
                draw.random() < 0.3
            ):  # the index of the log, which nobody syncs, may be there as well
                image[f"{FILE}-shm"] = draw.randbytes(32768)
            lay_out(folder, image)
            at = f"{seed}, life {number}, after {moment} of {len(log)} changes to the disk"
            yield judge(folder, states, moment, ids), at
            cuts -= 1
            if cuts == 0:
                return
        # Go on from what the last cut, at the end of this life, has left on the disk.
        lay_out(folder, image)
        try:
            with SqliteStore(folder / FILE) as store:
                keys = list(states[-1].records)
                state = next((s for s in reversed(states) if s.is_in(store, ids, keys)), None)
        except (jobcore.Unavailable, jobcore.CorruptRecord, sqlite3.Error, ValueError):
            state = None
        if state is None:
            return  # only a control comes here: there is nothing to go on from
        before = state
        image.pop(f"{FILE}-shm", None)


def run(synchronous: str, cuts: int, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """Cut the power *cuts* times; count what became of the store, and say where it was not whole."""
    found: Counter[str] = Counter()
    where: list[str] = []
    shared = Path("/dev/shm")  # the model is the disk: what is below it may be memory
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as place:
        number = 0
        while found.total() < cuts:
            number += 1
            folder = Path(place).resolve() / "store"
            name = f"{synchronous} seed {seed}.{number}"
            for verdict, at in chain(folder, name, synchronous, cuts - found.total()):
                found[verdict] += 1
                if verdict != "whole":
                    where.append(f"{verdict}: {at}")
    return found, where


def report(synchronous: str, cuts: int, seed: int) -> bool:
    """Run and print; tell whether it is as it must be."""
    begun = time.process_time()
    found, where = run(synchronous, cuts, seed)
    seconds = time.process_time() - begun
    print(
        f"synchronous={synchronous}: {found.total():,} power cuts in {seconds:.1f} s of CPU: "
        f"{found['lost']:,} lost acknowledged writes, {found['mixed']:,} held half of a write, "
        f"{found['corrupt']:,} corrupt, {found['whole']:,} whole"
    )
    if synchronous in CONTROLS:
        if found["whole"] == found.total():
            print(f"FAILED: {synchronous} must lose something, or the check checks nothing")
            return False
        return True
    for line in where[:10]:
        print(f"FAILED: {line}")
    return not where


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=10_000)
    parser.add_argument("--synchronous", choices=("FULL", *CONTROLS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if not is_available():
        print(
            "the SQLite library of this Python cannot be reached from outside; nothing was checked"
        )
        return 2
    print(f"SQLite {sqlite3.sqlite_version}, as the store uses it")
    if given.synchronous:
        return 0 if report(given.synchronous, given.cuts, given.seed) else 1
    fine = [report("FULL", given.cuts, given.seed)]
    fine += [report(level, max(300, given.cuts // 10), given.seed) for level in CONTROLS]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
