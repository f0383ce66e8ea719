"""Changes of many jobs when some cannot be read or written, and the line of progress."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

import jobcore
from client_world import make_world
from jobcore import Status
from jobcore_client import NotFound, _watch, changes, grid
from jobcore_client._watch import Watch


@pytest.fixture
def world(request, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return make_world("memory", request, tmp_path)


@pytest.fixture
def jobs(world):
    return world.client().map(world.job(), grid(lr=range(5)), group="g", hold=True)


def test_a_batch_that_the_store_refuses_is_reported_and_completed_by_the_same_call(
    world, jobs, monkeypatch
) -> None:
    client = world.client()
    monkeypatch.setattr(changes, "_BATCH", 2)
    world.store.out = 1  # of the first of three batches
    done = client.stop(jobs)
    assert set(done.failed) == {jobs[0].id, jobs[1].id}
    assert set(done.failed.values()) == {"out of order"}
    assert set(done.done) == set(jobs[2:])
    done = client.stop(jobs)
    assert (set(done.done), len(done.ignored), done.failed) == (set(jobs[:2]), 3, {})


def test_a_record_that_cannot_be_read_does_not_keep_the_others_from_a_change(
    world, jobs, monkeypatch
) -> None:
    get = world.store._store.get
    broken = jobs[2].id

    def damaged(ids):
        if broken in ids:
            raise jobcore.CorruptRecord(broken, "damaged")
        return get(ids)

    monkeypatch.setattr(world.store._store, "get", damaged)
    done = world.client().release(jobs)
    assert list(done.failed) == [broken]
    assert "cannot be read: damaged" in done.failed[broken]
    assert len(done.done) == 4
    with pytest.raises(jobcore.CorruptRecord):
        jobs[2].release()


def test_a_job_of_its_own_raises_what_a_list_reports(world, jobs) -> None:
    job = jobs[0]
    world.store.out = 1
    with pytest.raises(jobcore.Unavailable, match="out of order"):
        job.stop()
    assert job.refresh().status is Status.HELD
    dry = world.client().submit(world.job(), dry_run=True)
    with pytest.raises(NotFound, match="there is no job"):
        dry.stop()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_one_line_on_a_terminal_and_few_lines_elsewhere(
    world, monkeypatch, is_terminal
) -> None:
    err = io.StringIO()
    err.isatty = lambda: is_terminal
    monkeypatch.setattr("sys.stderr", err)
    world.client().map(world.job(), grid(lr=range(20))).wait(progress=True)
    lines = err.getvalue()
    assert "20 New" in lines
    if is_terminal:
        assert lines.count("\r\x1b[K") >= 3
        assert lines.endswith("20 Completed\n")
        assert lines.count("\n") == 1
    else:
        assert "\r" not in lines


def test_the_jobs_are_read_after_a_minute_even_if_the_counts_are_behind(monkeypatch) -> None:
    """An index may lag behind, and a count that never grows must not make a wait endless."""
    now, reads = [0.0], []
    job = SimpleNamespace(id="a", group=None, owner="ada", status=Status.NEW)
    other = SimpleNamespace(id="b", group=None, owner="ada", status=Status.NEW)
    store = SimpleNamespace(counts=lambda **_: {Status.NEW: 2})
    session = SimpleNamespace(store=store, poke=lambda: True)
    monkeypatch.setattr(_watch, "take_all", lambda session, jobs: reads.append(len(jobs)))
    monkeypatch.setattr(_watch.time, "monotonic", lambda: now[0])
    watch = Watch(session, [job, other], None, None)
    for seconds in (0, 10, 50):
        now[0] += seconds
        assert not watch.is_over("ALL_COMPLETED")
    assert reads == [2, 2]
    job.status = other.status = Status.COMPLETED
    assert watch.is_over("ALL_COMPLETED")
