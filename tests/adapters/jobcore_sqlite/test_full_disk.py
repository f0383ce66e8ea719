"""The disk is full: what can be recorded is, above all a stop, which may be what ends the trouble."""

from __future__ import annotations

import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from proof.sqlite_vfs import Op, WatchedDisk, is_available

import jobcore
from jobcore import Status
from jobcore_sqlite import SqliteStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PART = 128 * 1024  # of the reserve, given back at a time
RESERVE = 2 * PART
pytestmark = pytest.mark.skipif(
    not is_available(), reason="this Python's SQLite library cannot be reached from outside"
)


class FullDisk:
    """A disk that, once *full*, has room for nothing but what is given back of the reserve."""

    def __init__(self, path: Path) -> None:
        self.path, self.full = path, False
        self.reserve = path.with_name(f"{path.name}-reserve")
        self.used = 0  # of what was given back
        self.stolen = 0  # bytes of it that somebody else takes first

    def __call__(self, op: Op) -> int:
        if not self.full:
            return 0
        left = self.reserve.stat().st_size if self.reserve.exists() else 0
        free = RESERVE - left - self.stolen - self.used
        if op.kind == "shm":
            return sqlite3.SQLITE_IOERR_SHMSIZE if free <= 0 else 0
        if op.kind != "write":
            return 0
        growth = op.at + len(op.data) - self.path.with_name(op.name).stat().st_size
        if growth > max(0, free):
            return sqlite3.SQLITE_FULL
        self.used += max(0, growth)
        return 0


@pytest.fixture
def disk(tmp_path: Path):
    full = FullDisk(tmp_path / "jobcore.db")
    with WatchedDisk(tmp_path, full).active():
        yield full


def submitted(store: SqliteStore, count: int, **args: str) -> list[str]:
    first = sum(store.counts().values())
    ids = [jobcore.job_id_from_token("t", str(first + n)) for n in range(count)]
    place = (jobcore.Placement("cpu"),)
    spec = jobcore.Spec(name="a", owner="t", placements=place, args=args)
    jobcore.submit([spec] * count, ids, store=store, now=NOW)
    return ids


def stop(store: SqliteStore, job_id: str) -> None:
    jobcore.ticks.apply_request(job_id, jobcore.StopRequested(by="t"), store=store, now=NOW)


def hold(store: SqliteStore, job_id: str) -> None:
    jobcore.ticks.apply_request(
        job_id, jobcore.HoldRequested(by="t", reason=""), store=store, now=NOW
    )


def test_a_full_log_is_used_again_before_anything_else(disk) -> None:
    """It has its space already, so this needs none, and no other writer can be faster."""
    with SqliteStore(disk.path, reserve_bytes=RESERVE) as store:
        one, other = submitted(store, 2)
        release = jobcore.ReleaseRequested(by="t")
        for number in range(250):
            disk.full = number >= 150  # until then, its record and the log grow
            hold(store, one)
            jobcore.ticks.apply_request(one, release, store=store, now=NOW)
        stop(store, other)
        assert store.get([other])[other].status is Status.STOPPED
        assert store.get([one])[one].version == 500
        assert disk.reserve.exists()
        assert store.check() == []


@pytest.mark.parametrize("stolen", [0, PART])
def test_a_stop_may_use_the_reserve_and_nothing_else_may(disk, stolen) -> None:
    with SqliteStore(disk.path, reserve_bytes=RESERVE) as store:
        store._db.execute("PRAGMA wal_autocheckpoint = 0")
        first, second = submitted(store, 20, pad="x" * 3000)[:2]  # in the log only
        disk.full, disk.stolen = True, stolen
        with pytest.raises(jobcore.Unavailable, match="space"):
            submitted(store, 1)
        with pytest.raises(jobcore.Unavailable, match="space"):
            hold(store, first)
        assert disk.reserve.stat().st_size == RESERVE
        stop(store, first)
        assert disk.reserve.exists() == (stolen == 0)  # a part was enough, or it took both
        assert store.get([first])[first].status is Status.STOPPED
        assert store.get([second])[second].status is Status.NEW
    with SqliteStore(disk.path) as store:
        assert store.counts() == {Status.NEW: 19, Status.STOPPED: 1}
        assert store.check() == []


def test_without_a_reserve_a_stop_on_a_full_disk_says_so(disk) -> None:
    with SqliteStore(disk.path) as store:
        store._db.execute("PRAGMA wal_autocheckpoint = 0")
        (job_id, *_) = submitted(store, 20, pad="x" * 3000)
        disk.full, disk.stolen = True, RESERVE
        with pytest.raises(jobcore.Unavailable, match="space"):
            stop(store, job_id)
        disk.full = False
        stop(store, job_id)


def test_a_store_is_opened_on_a_full_disk_with_the_room_of_the_reserve(disk) -> None:
    """Who only reads needs room as well: for the memory that all users of the file share."""
    with SqliteStore(disk.path, reserve_bytes=RESERVE) as store:
        (job_id,) = submitted(store, 1)
    disk.full = True
    with SqliteStore(disk.path) as store:
        assert disk.reserve.stat().st_size == PART
        stop(store, job_id)


def test_the_reserve_is_laid_aside_again_when_there_is_room(tmp_path) -> None:
    path, reserve = tmp_path / "jobcore.db", tmp_path / "jobcore.db-reserve"
    free = shutil.disk_usage(tmp_path).free
    SqliteStore(path, reserve_bytes=free // 3).close()  # it would leave too little
    assert not reserve.exists()
    SqliteStore(path, reserve_bytes=RESERVE).close()
    assert reserve.stat().st_size == reserve.stat().st_blocks * 512 == RESERVE
    assert reserve.stat().st_mode & 0o777 == 0o600
    before = reserve.stat().st_mtime_ns
    SqliteStore(path, reserve_bytes=RESERVE).close()
    assert reserve.stat().st_mtime_ns == before
    os.truncate(reserve, 10)  # whoever made it was killed midway
    SqliteStore(path, reserve_bytes=RESERVE).close()
    assert reserve.stat().st_size == RESERVE
