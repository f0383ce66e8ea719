"""Every change to the disk fails once, in a life of a job: nothing is lost, and the work is done.

`python -m proof.diskfaults` lets each fail in every way; here each fails in one.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from proof.sqlite_vfs import WatchedDisk, is_available

import jobcore
from jobcore_sqlite import SqliteStore
from proof import diskfaults

NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.skipif(
    not is_available(), reason="this Python's SQLite library cannot be reached from outside"
)


@pytest.mark.parametrize(("fault", "step"), [("any", 4), ("full", 12), ("sync", 1)])
def test_a_fault_at_any_place_loses_nothing_and_doubles_nothing(fault, step) -> None:
    found = list(diskfaults.all_series(1, (fault,), step=step))
    assert {series.way for series in found} == set(diskfaults.WAYS)
    for series in found:
        assert series.runs > 15
        if series.way != "once":  # a write that failed once is tried again, and works
            assert series.raised > series.runs / 2  # else the faults were not felt
        assert set(series.hit) <= set(diskfaults.FAULTS[fault])
    if fault == "sync":  # a commit whose sync failed may come back after a crash, as a whole
        assert sum(series.applied for series in found if series.way == "killed") > 0


def test_an_error_that_leaves_it_open_whether_a_job_is_there_says_so(tmp_path) -> None:
    """A commit whose sync failed is whole in the log: the next to open the file finds it."""
    path, job_id = tmp_path / "jobcore.db", jobcore.job_id_from_token("t", "1")
    spec = jobcore.Spec(name="a", owner="t", placements=(jobcore.Placement("cpu"),))
    disk = WatchedDisk(tmp_path)
    with disk.active(), SqliteStore(path) as store:
        disk.refuse = lambda op: sqlite3.SQLITE_IOERR_FSYNC if op.kind == "sync" else 0
        with pytest.raises(jobcore.Unavailable, match="may be there or not") as raised:
            jobcore.submit([spec], [job_id], store=store, now=NOW)
        assert "nothing was written" not in str(raised.value)
        assert store.get([job_id]) == {}
        after_a_crash = tmp_path / "copy"
        shutil.copytree(tmp_path, after_a_crash)
        disk.refuse = None
    with SqliteStore(after_a_crash / "jobcore.db") as store:
        assert set(store.get([job_id])) == {job_id}


@pytest.mark.parametrize(
    ("fault", "way"), [("sync", "once"), ("any", "lasting"), ("any", "killed"), ("any", "cut")]
)
def test_the_check_notices_a_store_that_swallows_an_error(monkeypatch, fault, way) -> None:
    real = SqliteStore.save

    def save(store, jobs):
        try:
            return real(store, jobs)
        except jobcore.Unavailable:
            return [replace(job, version=job.version + 1) for job in jobs]

    monkeypatch.setattr(SqliteStore, "save", save)
    with pytest.raises(AssertionError):
        list(diskfaults.all_series(1, (fault,), (way,), step=3))
