"""A file that the previous release made: it is migrated when it is opened, as a whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from proof.sqlite_vfs import Op, WatchedDisk, is_available

import jobcore
from jobcore import Status
from jobcore.lifecycle import GroupKey, GroupTally, HoldCode, PoolState, ShareUsage
from jobcore.ports import JobQuery
from jobcore_memory import ManualClock, MemoryTrainer, RecordingNotifier
from jobcore_sqlite import SqliteStore, StoreUnusable, _files, _migration
from patience import SECONDS

# Written by jobcore at commit 805f172; the clock stood at NOW.
OLD = Path(__file__).parents[2] / "data" / "store-805f172.sql"
NOW = datetime(2026, 1, 1, 0, 12, tzinfo=UTC)
PATHS = os.pathsep.join(p for p in sys.path if p)

SHARES = {
    name: ShareUsage(share=name, version=1, hours=hours, at=NOW - timedelta(minutes=1))
    for name, hours in (("vision", 2.046), ("ada", 8.984), ("bob", 6.116))
}
_REASON = "AlgorithmError: ExecuteUserScriptError: exit code 1: {}Error: 'lr' at step 3"
PAUSING = GroupTally(
    group="sweep",
    owner="ada",
    version=1,
    at=NOW,
    failed=3,
    cause="19ab5bdea797",
    reason=_REASON.format("Key"),
    pausing=True,
)
TALLIES = (
    PAUSING,
    GroupTally(group="sweep", owner="bob", version=1, at=NOW - timedelta(minutes=9), sound=True),
    GroupTally(
        group="tune",
        owner="ada",
        version=1,
        at=NOW - timedelta(minutes=5),
        failed=2,
        cause="42575a844285",
        reason=_REASON.format("Value"),
    ),
)
KEYS = [tally.key for tally in TALLIES]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of format 1."""
    file = tmp_path / "jobcore.db"
    db = sqlite3.connect(file)
    db.executescript(OLD.read_text())
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    return file


def edit(path: Path, sql: str, *values: object) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(sql, values)
    db.close()


def dump(path: Path) -> list[str]:
    """Give all that is in a file."""
    db = sqlite3.connect(path)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    lines = [f"format {version}", *db.iterdump()]
    db.close()
    return lines


def schema(path: Path) -> set[tuple[str, ...]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    db.close()
    return set(found)


def is_whole(store: SqliteStore) -> bool:
    return (
        dict(store.shares(list(SHARES))) == SHARES
        and tuple(store.tallies(KEYS).values()) == TALLIES
        and list(store.pools()) == ["gpu"]
        and sum(store.counts().values()) == 25
        and store.check() == []
    )


def test_shares_and_groups_get_records_of_their_own(path: Path, tmp_path: Path) -> None:
    with SqliteStore(path) as store:
        assert is_whole(store)
        assert list(store.tallies_to_pause()) == [PAUSING]
        assert store.pools()["gpu"] == PoolState(
            name="gpu", version=4, level=3, level_at=NOW - timedelta(minutes=4), growth=16,
            bet_at=NOW - timedelta(minutes=5), rounds=2, peak=3, peak_at=NOW - timedelta(minutes=5),
            limit=3, limit_at=NOW - timedelta(minutes=5),
        )  # fmt: skip
        assert set(store.counts()) == set(Status)
    SqliteStore(tmp_path / "new.db").close()
    assert schema(path) == schema(tmp_path / "new.db")
    assert dump(path)[0] == dump(tmp_path / "new.db")[0] == "format 2"
    before = dump(path)
    SqliteStore(path).close()
    assert dump(path) == before


def test_every_job_is_as_it_was(path: Path) -> None:
    db = sqlite3.connect(path)
    rows = dict(db.execute("SELECT job_id, version FROM job").fetchall())
    db.close()
    with SqliteStore(path) as store:
        jobs = store.get(list(rows))
        assert {job_id: job.version for job_id, job in jobs.items()} == rows
        assert len(store.find(JobQuery(limit=1000)).jobs) == 25
        (backing_off,) = store.find(JobQuery(name="backing-off")).jobs
        wake = store.next_wake(jobcore.lifecycle.Tick.LAUNCH, after=NOW)
        assert wake == backing_off.state.not_before > NOW


def test_the_ticks_go_on_where_the_previous_release_stopped(path: Path) -> None:
    clock, notifier = ManualClock(NOW), RecordingNotifier()
    with SqliteStore(path) as store:
        ids = [job.job_id for job in store.find(JobQuery(limit=1000)).jobs]
        before = {job.spec.name: job for job in store.get(ids).values()}
        trainer = MemoryTrainer(clock=clock, slots={"cpu": 40, "gpu": 8})
        ports = (clock, jobcore.Settings(limits=jobcore.Limits(group_breaker=3)))
        for number in range(40):
            jobcore.launch_tick(store, trainer, *ports)
            if number == 0:
                _check_first_tick(store)
            clock.advance(timedelta(minutes=5))
            jobcore.monitor_tick(store, trainer, *ports)
            jobcore.notify_tick(store, notifier, *ports)
        after = {job.spec.name: job.status for job in store.get(ids).values()}
        assert store.check() == []
    held = {f"sweep-{number}" for number in (3, 4, 5)} | {"held"}
    assert {name for name, status in after.items() if status is Status.HELD} == held
    over = {name for name, job in before.items() if job.status.is_terminal}
    assert all(after[name] is before[name].status for name in over)
    # The trainer of this test knows none of the trainings that ran, so those fail or run again.
    assert all(status.is_terminal for name, status in after.items() if name not in held)
    assert after["new"] is after["launching"] is after["backing-off"] is Status.COMPLETED


def _check_first_tick(store: SqliteStore) -> None:
    (notified,) = [job for job in _held(store) if job.outbox]
    assert "first 3 jobs of group 'sweep'" in notified.state.reason
    assert {job.spec.name for job in _held(store)} == {"sweep-3", "sweep-4", "sweep-5"}
    assert store.tallies_to_pause() == []
    assert store.tallies(KEYS)[PAUSING.key].version == 2
    used = store.shares(list(SHARES))
    assert used["ada"].hours > SHARES["ada"].hours + 0.9, (
        "a launch is charged on top of what it had"
    )


def _held(store: SqliteStore) -> list[jobcore.Job]:
    page = store.find(JobQuery(statuses=frozenset({Status.HELD}), limit=1000))
    return [job for job in page.jobs if job.state.code is HoldCode.GROUP]


# --- not at the best of times -------------------------------------------------------------

OPEN = """
import sys
from jobcore_sqlite import SqliteStore
with SqliteStore(sys.argv[1], busy_seconds=600) as store:
    print(sorted(store.shares(["ada", "bob", "vision"])), len(store.tallies_to_pause()))
"""


def test_many_processes_open_it_at_once(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(path)],
            env={**os.environ, "PYTHONPATH": PATHS},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=SECONDS)[0] for process in processes]
    assert said == ["['ada', 'bob', 'vision'] 1\n"] * 4
    with SqliteStore(path) as store:
        assert is_whole(store)


DIE = """
import os, signal, sys
from jobcore_sqlite import SqliteStore, _migration
step = int(sys.argv[2])
class Dying:
    def __init__(self, db):
        self.db, self.left = db, step
    def execute(self, *arguments):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return self.db.execute(*arguments)
truly = _migration.migrate
_migration.migrate = lambda db, version: truly(Dying(db), version)
SqliteStore(sys.argv[1])
"""


@pytest.mark.parametrize("step", [0, 1, 3, 6, 9, 13])
def test_a_kill_in_the_middle_leaves_the_file_as_it_was(path: Path, step: int) -> None:
    before = dump(path)
    command = [sys.executable, "-c", DIE, str(path), str(step)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": PATHS}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert dump(path) == before
    with SqliteStore(path) as store:
        assert is_whole(store)


@pytest.mark.skipif(not is_available(), reason="this Python's SQLite cannot be watched")
def test_a_full_disk_at_any_moment_leaves_the_file_as_it_was(path: Path, tmp_path: Path) -> None:
    before = dump(path)
    disk = WatchedDisk(tmp_path)
    said: list[str] = []
    for room in range(100):
        left = room

        def refuse(op: Op) -> int:
            nonlocal left
            left -= op.kind == "write"
            return sqlite3.SQLITE_FULL if op.kind == "write" and left < 0 else 0

        disk.refuse = refuse
        with disk.active():
            try:
                SqliteStore(path).close()
                break
            except jobcore.Unavailable as error:
                said.append(str(error))
        assert dump(path) == before
    assert len(said) > 3, "else the disk was never full"
    assert all("free some space" in text for text in said)
    with SqliteStore(path) as store:
        assert is_whole(store)


def test_the_reserve_makes_room_for_it(path: Path, tmp_path: Path) -> None:
    reserve = path.with_name(f"{path.name}-reserve")
    reserve.write_bytes(os.urandom(300_000))
    size = reserve.stat().st_size

    def refuse(op: Op) -> int:
        is_full = op.kind == "write" and reserve.stat().st_size == size
        return sqlite3.SQLITE_FULL if is_full else 0

    with WatchedDisk(tmp_path, refuse).active(), SqliteStore(path) as store:
        assert is_whole(store)
    assert reserve.stat().st_size < size


def test_a_file_that_cannot_be_written_is_refused_with_a_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(path)
    connect = sqlite3.connect
    monkeypatch.setattr(
        _files.sqlite3,
        "connect",
        lambda file, **options: connect(f"file:{file}?mode=ro", uri=True, **options),
    )
    with pytest.raises(jobcore.Unavailable, match="cannot be opened for writing"):
        SqliteStore(path)
    monkeypatch.undo()
    assert dump(path) == before


def test_a_busy_file_is_refused_and_migrated_later(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(jobcore.Unavailable, match="busy"):
        SqliteStore(path, busy_seconds=0.05)
    other.execute("ROLLBACK")
    other.close()
    with SqliteStore(path) as store:
        assert is_whole(store)


def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    edit(path, "PRAGMA user_version = 3")
    before = dump(path)
    with pytest.raises(StoreUnusable, match="format 3; this release of jobcore reads up to 2"):
        SqliteStore(path)
    assert dump(path) == before


# --- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '{"served": 3}', '{"groups": [1]}', b"\xff\xfe\x00"]
)
def test_a_damaged_shared_record_is_reported_and_stops_nobody(path: Path, body: object) -> None:
    edit(path, "UPDATE pool SET body = ? WHERE name = '*'", body)
    told: list[jobcore.CorruptRecord] = []
    with SqliteStore(path, on_corrupt=told.append) as store:
        assert [(error.kind, error.key) for error in told] == [("pool", "*")]
        assert store.check() == []
        assert (dict(store.shares(list(SHARES))), dict(store.tallies(KEYS))) == ({}, {})
        assert list(store.pools()) == ["gpu"]
        assert sum(store.counts().values()) == 25
    SqliteStore(path, on_corrupt=told.append).close()
    assert len(told) == 1


def test_a_damaged_entry_is_reported_and_the_others_are_kept(path: Path) -> None:
    for place, value in (("$.served.bob", "much"), ('$.groups."tune\\nada".at', "once")):
        edit(path, "UPDATE pool SET body = json_set(body, ?, ?) WHERE name = '*'", place, value)
    told: list[jobcore.CorruptRecord] = []
    with SqliteStore(path, on_corrupt=told.append) as store:
        assert [(error.kind, error.key) for error in told] == [
            ("share", "bob"),
            ("group", "tune/ada"),
        ]
        assert store.shares(list(SHARES)).keys() == {"ada", "vision"}
        assert set(store.tallies(KEYS)) == {PAUSING.key, GroupKey("sweep", "bob")}


def test_notes_of_no_owner_and_an_empty_record_are_left_behind(path: Path) -> None:
    body = '{"groups": {"sweep": {"failed": 1, "cause": "c", "why": "w", "at": 1767226320}}}'
    edit(path, "UPDATE pool SET body = ? WHERE name = '*'", body)
    told: list[jobcore.CorruptRecord] = []
    with SqliteStore(path, on_corrupt=told.append) as store:
        assert (dict(store.shares(list(SHARES))), list(store.tallies_to_pause())) == ({}, [])
    assert told == []


def test_a_store_that_was_never_used_is_migrated(path: Path) -> None:
    edit(path, "DELETE FROM pool")
    edit(path, "DELETE FROM job")
    with SqliteStore(path) as store:
        assert (dict(store.pools()), dict(store.counts()), store.check()) == ({}, {}, [])


def test_a_process_of_the_previous_release_may_run_on(path: Path) -> None:
    """It has the file open while it is migrated, and writes the shared record as before."""
    old = sqlite3.connect(path, isolation_level=None)
    assert old.execute("SELECT version FROM pool WHERE name = '*'").fetchall() == [(9,)]
    with SqliteStore(path) as store:
        sql = "UPDATE pool SET version = 10 WHERE name = '*' AND version = 9"
        assert old.execute(sql).rowcount == 0
        old.execute("INSERT INTO pool (name, version, body) VALUES ('*', 1, '{}')")
        old.execute("UPDATE job SET version = version + 1 WHERE name = 'new'")
        assert is_whole(store)
    old.close()
    SqliteStore(path).close()


def test_what_migrates_is_what_was_tested() -> None:
    """The fixture is of the only format that came before."""
    assert (_migration.VERSION, dump_version()) == (2, 1)


def dump_version() -> int:
    db = sqlite3.connect(":memory:")
    db.executescript(OLD.read_text())
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return version
