"""The embedded store on a real disk: many writers, kill -9, damage, strange places, query plans."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import jobcore
from jobcore import Job, Placement, Status
from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage, Tick
from jobcore.ports import JobQuery
from jobcore_sqlite import SqliteStore, StoreUnusable
from jobcore_sqlite._files import check_place
from patience import SECONDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATHS = os.pathsep.join(p for p in sys.path if p)


def job(number: int, **changes: object) -> Job:
    values = {"name": f"job-{number}", "owner": "ada", "placements": (Placement("cpu"),)}
    spec = jobcore.Spec(**{**values, **changes})
    job_id = jobcore.job_id_from_token("ada", str(number))
    return jobcore.new_job(job_id, spec, now=NOW + timedelta(seconds=number))


def launching(waiting: Job) -> Job:
    event = jobcore.LaunchDecided(attempt=1, placement=waiting.spec.placements[0])
    return jobcore.step(waiting, event, now=NOW).job


def start(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobcore.db"


@pytest.fixture
def store(path: Path):
    with SqliteStore(path) as opened:
        yield opened


# --- many at once -----------------------------------------------------------------------

INCREMENT = """
import sys
from dataclasses import replace
from jobcore_sqlite import SqliteStore
path, job_id, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
with SqliteStore(path, busy_seconds=600) as store:
    done = 0
    while done < rounds:
        job = store.get([job_id])[job_id]
        count = job.extra.get("count", 0)
        (saved,) = store.save([replace(job, extra={"count": count + 1})])
        done += saved is not None
"""


def test_no_update_of_many_processes_is_lost(store: SqliteStore) -> None:
    one = job(1)
    store.add([one])
    writers = [start(INCREMENT, store.path, one.job_id, 40) for _ in range(4)]
    assert [w.wait(timeout=SECONDS) for w in writers] == [0] * 4
    for w in writers:
        w.stdout.close()
    read = store.get([one.job_id])[one.job_id]
    assert read.extra == {"count": 160}
    assert read.version == 160


def test_threads_share_one_store(store: SqliteStore) -> None:
    one = job(1)
    store.add([one])

    def work() -> None:
        done = 0
        while done < 25:
            read = store.get([one.job_id])[one.job_id]
            count = read.extra.get("count", 0)
            (saved,) = store.save([replace(read, extra={"count": count + 1})])
            done += saved is not None

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get([one.job_id])[one.job_id].extra == {"count": 100}


OPEN = """
import sys
from jobcore_sqlite import SqliteStore
with SqliteStore(sys.argv[1], busy_seconds=600) as store:
    print(dict(store.counts()))
"""


def test_many_processes_create_the_file_at_once(path: Path) -> None:
    processes = [start(OPEN, path) for _ in range(6)]
    outputs = [p.communicate(timeout=SECONDS)[0] for p in processes]
    assert [p.returncode for p in processes] == [0] * 6
    assert outputs == ["{}\n"] * 6


WRITE_FOR_EVER = """
import sys
from datetime import UTC, datetime
import jobcore
from jobcore_sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
spec = jobcore.Spec(name="n", owner="o", placements=(jobcore.Placement("cpu"),))
number = int(sys.argv[2])
while True:
    batch = [
        jobcore.new_job(jobcore.job_id_from_token(str(number), str(i)), spec,
                        now=datetime(2026, 1, 1, tzinfo=UTC))
        for i in range(5)
    ]
    store.add(batch)
    print(number, flush=True)  # only now is it acknowledged
    number += 1
"""


def test_acknowledged_batches_survive_kill_9_and_none_is_half_there(path: Path) -> None:
    for life in range(4):
        first = life * 1_000_000
        writer = start(WRITE_FOR_EVER, path, first)
        acknowledged = [int(writer.stdout.readline()) for _ in range(5 + 7 * life)]
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate(timeout=SECONDS)
        acknowledged += [int(line) for line in rest.splitlines()]
        with SqliteStore(path) as store:
            assert store.check() == []
            last = acknowledged[-1]
            for number in range(first, last + 3):
                ids = [jobcore.job_id_from_token(str(number), str(i)) for i in range(5)]
                there = len(store.get(ids))
                assert there == 5 if number <= last else there in (0, 5)


def test_a_busy_store_says_so_and_recovers(path: Path) -> None:
    with SqliteStore(path, busy_seconds=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(jobcore.Unavailable, match=re.escape(f"{path} is busy")):
            store.add([job(1)])
        assert dict(store.counts()) == {}  # readers are never kept waiting
        other.execute("ROLLBACK")
        other.close()
        assert list(store.add([job(1)])) == [jobcore.ports.Added.CREATED]


def test_another_process_s_commit_is_noticed(store: SqliteStore) -> None:
    before = store.data_version()
    store.add([job(1)])
    assert store.data_version() == before  # one's own writes are known
    with SqliteStore(store.path) as other:
        other.add([job(2)])
    assert store.data_version() != before


def test_a_forked_child_is_told_to_open_its_own(store: SqliteStore) -> None:
    store._pid += 1  # as a child would see it
    with pytest.raises(RuntimeError, match="fork"):
        store.counts()
    store._pid -= 1


def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path)
    store.close()
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.counts()


# --- damage -----------------------------------------------------------------------------


def damage(store: SqliteStore, job_id: str, value: object) -> None:
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE job SET record = ? WHERE job_id = ?", (value, job_id))
    db.close()


@pytest.mark.parametrize(
    "value",
    ["", "{", "[]", "null", '{"schema": 99}', '{"schema": 1}', b"\xff\xfe\x00", "[" * 100_000],
)
def test_a_damaged_record_is_named_and_hides_no_other(path: Path, value: object) -> None:
    told: list[jobcore.CorruptRecord] = []
    jobs = [job(n) for n in range(3)]
    with SqliteStore(path, on_corrupt=told.append) as store:
        store.add(jobs)
        damage(store, jobs[1].job_id, value)
        with pytest.raises(jobcore.CorruptRecord, match=jobs[1].job_id):
            store.get([j.job_id for j in jobs])
        assert set(store.get([jobs[0].job_id, jobs[2].job_id])) == {
            jobs[0].job_id,
            jobs[2].job_id,
        }
        assert store.find(JobQuery()).jobs == (jobs[2], jobs[0])
        assert [error.job_id for error in told] == [jobs[1].job_id]
        assert dict(store.counts()) == {Status.NEW: 3}
        assert len(store.waiting(now=NOW, depth=5)) == 3
        (trouble,) = store.check()
        assert jobs[1].job_id in trouble


SIDE_RECORDS = {
    ("pool", "cpu"): "UPDATE pool SET {} WHERE name = 'cpu'",
    ("share", "ada"): "UPDATE share SET {} WHERE name = 'ada'",
    ("group", "g/ada"): "UPDATE tally SET {} WHERE job_group = 'g'",
}


@pytest.mark.parametrize("record", SIDE_RECORDS)
@pytest.mark.parametrize(
    "change",
    ["body = ''", "body = '[1]'", "body = CAST(x'fffe' AS TEXT)", "version = 'x'",
     "body = '{\"at\": 1e999, \"level\": \"much\"}'"],
)  # fmt: skip
def test_a_damaged_side_record_is_named_and_written_over(path: Path, record, change) -> None:
    kind, key = record
    told: list[jobcore.CorruptRecord] = []
    usage = ShareUsage(share="ada", hours=1.0, at=NOW)
    tally = GroupTally(group="g", owner="ada", at=NOW, failed=3, pausing=True)
    with SqliteStore(path, on_corrupt=told.append) as store:

        def write(version: int) -> list[bool]:
            return [
                store.save_pool(PoolState(name="cpu", version=version, level=2)),
                *store.save_shares([replace(usage, version=version)]),
                store.save_tally(replace(tally, version=version)),
            ]

        assert write(0) == [True] * 3
        db = sqlite3.connect(path)
        db.execute(SIDE_RECORDS[record].format(change))
        db.commit()
        db.close()
        (said,) = store.check()
        assert said.startswith(f"{kind} {key}: stored record cannot be read")
        left = {
            "pool": store.pools(),
            "share": store.shares(["ada"]),
            "group": store.tallies([tally.key]),
        }
        assert [name for name, found in left.items() if not found] == [kind]
        assert [(error.kind, error.key) for error in told] == [record]
        assert write(0).count(True) == 1, "only the damaged one counts as absent"
        assert store.check() == []
        assert write(1) == [True] * 3


def test_a_pool_whose_name_is_damaged_stops_no_launch(path: Path) -> None:
    told: list[jobcore.CorruptRecord] = []
    with SqliteStore(path, on_corrupt=told.append) as store:
        store.save_pool(PoolState(name="cpu"))
        store.save_pool(PoolState(name="gpu"))
        db = sqlite3.connect(path)
        db.execute("UPDATE pool SET name = CAST(x'63ff75' AS TEXT) WHERE name = 'cpu'")
        db.commit()
        db.close()
        assert list(store.pools()) == ["gpu"]
        assert [(error.kind, error.key) for error in told] == [("pool", "c\\xffu")]


def test_a_damaged_record_is_warned_of_unless_somebody_listens(store: SqliteStore) -> None:
    store.add([job(1)])
    damage(store, job(1).job_id, "{")
    with pytest.warns(RuntimeWarning, match=job(1).job_id):
        assert store.find(JobQuery()).jobs == ()


def test_a_record_under_another_id_is_damage(store: SqliteStore) -> None:
    store.add([job(1), job(2)])
    with sqlite3.connect(store.path) as db:
        db.execute(
            "UPDATE job SET record = (SELECT record FROM job WHERE job_id = ?) WHERE job_id = ?",
            (job(1).job_id, job(2).job_id),
        )
    db.close()
    with pytest.raises(jobcore.CorruptRecord, match=job(1).job_id):
        store.get([job(2).job_id])


def test_a_torn_file_is_unusable_and_named(path: Path) -> None:
    with SqliteStore(path) as store:
        store.add([job(n, args={"pad": "x" * 500}) for n in range(200)])
    size = path.stat().st_size
    with path.open("r+b") as file:  # the pages after the first are gone to noise
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(StoreUnusable, match="damaged"), SqliteStore(path) as store:
        store.find(JobQuery())


def test_a_backup_is_a_whole_store(store: SqliteStore, tmp_path: Path) -> None:
    jobs = [job(n) for n in range(20)]
    store.add(jobs)
    copy = tmp_path / "copy.db"
    store.backup(copy)
    store.save([launching(jobs[0])])
    with SqliteStore(copy) as other:
        assert other.check() == []
        assert other.get([j.job_id for j in jobs]) == {j.job_id: j for j in jobs}
    with pytest.raises(StoreUnusable, match="there already"):
        store.backup(copy)


def test_commits_wait_for_the_disk(store: SqliteStore) -> None:
    asked = ("journal_mode", "synchronous", "fullfsync", "foreign_keys")
    found = [store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert found == ["wal", 2, 1, 1]  # 2 is FULL


# --- places -----------------------------------------------------------------------------


def test_the_files_are_their_owner_s_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with SqliteStore(tmp_path / "deep" / "er" / "jobcore.db") as store:
            store.add([job(1)])
            for file in store.path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    finally:
        os.umask(old)


def test_another_program_s_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_folder_and_a_file_for_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="not a regular file"):
        SqliteStore(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="path"):
        SqliteStore(tmp_path / "file" / "jobcore.db")


@pytest.mark.parametrize(
    ("kind", "refused"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)],
)
def test_network_file_systems_are_refused(tmp_path: Path, kind: str, refused: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:9 / /mnt/my\\040home rw,relatime shared:5 - {kind} server:/export rw\n"
        "3 2 8:2 / /mnt/my\\040home/scratch rw - ext4 /dev/sdb rw\n"
    )
    if refused:
        with pytest.raises(StoreUnusable, match=kind):
            check_place(Path("/mnt/my home/a/b.db"), mounts)
    else:
        check_place(Path("/mnt/my home/a/b.db"), mounts)
    check_place(Path("/mnt/my home/scratch/b.db"), mounts)
    check_place(Path("/mnt/my homely/b.db"), mounts)
    check_place(Path("/mnt/my home/a/b.db"), tmp_path / "none")


def test_text_that_is_no_unicode_is_refused_whole(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="owner"):
        store.add([job(1), job(2, owner="\udc80")])
    assert dict(store.counts()) == {}


# --- cost -------------------------------------------------------------------------------


def plans(store: SqliteStore, ask) -> list[str]:
    """Run *ask*, and give the query plan of each SELECT that it made."""
    seen: list[str] = []
    store._db.set_trace_callback(seen.append)
    ask()
    store._db.set_trace_callback(None)
    steps = []
    for sql in seen:
        if sql.lstrip().startswith("SELECT"):
            steps += [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert steps
    return steps


def test_ticks_and_listings_never_scan_or_sort_the_table(store: SqliteStore) -> None:
    jobs = [job(n, group="g") for n in range(30)]
    store.add(jobs)
    store.save([launching(j) for j in jobs[:5]])
    asked = {
        "waiting": lambda: store.waiting(now=NOW, depth=3),
        "usage": store.usage,
        "counts": lambda: store.counts(group="g"),
        "all counts": store.counts,
        "newest": lambda: store.find(JobQuery(limit=5)),
        "of a group": lambda: store.find(JobQuery(limit=5, group="g")),
        "of an owner": lambda: store.find(JobQuery(limit=5, owner="ada")),
        "by name": lambda: store.find(JobQuery(limit=5, name="job-1")),
        "usage of shares": lambda: store.shares(["ada", "bob"]),
        "tallies": lambda: store.tallies([GroupKey("g", "ada")]),
        "groups to pause": store.tallies_to_pause,
        "next back-off": lambda: store.next_wake(Tick.LAUNCH, after=NOW),
        "next deadline": lambda: store.next_wake(Tick.MONITOR, after=NOW),
        **{tick: lambda tick=tick: store.due(tick, before=NOW, limit=5) for tick in Tick},
    }
    for name, ask in asked.items():
        for line in plans(store, ask):
            assert "TEMP B-TREE" not in line, (name, line)
            assert not line.startswith("SCAN") or "COVERING INDEX" in line, (name, line)


def test_waiting_reads_heads_and_not_the_queue(store: SqliteStore) -> None:
    """SQLite's own count of steps: a hundred times the queue costs about the same."""

    def steps(count: int) -> int:
        ticks = 0

        def tick() -> int:
            nonlocal ticks
            ticks += 1
            return 0

        store._db.set_progress_handler(tick, 1)
        assert len(store.waiting(now=NOW, depth=5)) == 10
        store._db.set_progress_handler(None, 1)
        return ticks

    store.add([job(n, priority=n % 2) for n in range(50)])
    few = steps(50)
    store.add([job(n, priority=n % 2) for n in range(50, 5000)])
    assert steps(5000) <= few * 2


def test_a_dead_writer_s_lock_is_gone(path: Path) -> None:
    """A writer killed inside a transaction leaves no lock and no trace."""
    code = (
        "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN IMMEDIATE'); db.execute(\"UPDATE job SET status = 'Lost'\");"
        "print('in', flush=True); time.sleep(600)"
    )
    with SqliteStore(path, busy_seconds=SECONDS) as store:
        store.add([job(1)])
        writer = start(code, path)
        assert writer.stdout.readline() == "in\n"
        writer.kill()
        writer.communicate(timeout=SECONDS)
        (saved,) = store.save([launching(job(1))])
        assert saved is not None
        assert dict(store.counts()) == {Status.LAUNCHING: 1}
