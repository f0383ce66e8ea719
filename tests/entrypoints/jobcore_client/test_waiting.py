"""What a wait asks of the store, what it rides through, and when it speaks."""

from __future__ import annotations

import subprocess
import sys
import time
import types
import warnings

import pytest

from client_world import make_world
from jobcore import Status
from jobcore_cli import main
from jobcore_client import Client, WaitTimeout, grid
from jobcore_client._polling import pauses
from jobcore_client.session import Session


@pytest.fixture
def world(request, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return make_world("memory", request, tmp_path)


def test_a_wait_for_a_group_counts_and_reads_once(world) -> None:
    jobs = world.client().map(world.job(), grid(seed=range(40)))
    world.store.calls.clear()
    jobs.wait()
    calls = world.store.calls
    assert calls["counts"] >= 5  # 8 run at a time
    assert (calls["get"], calls["get jobs"], calls["find"]) == (1, 40, 0)
    world.store.calls.clear()
    assert jobs.wait_counts() == {Status.COMPLETED: 40}
    assert world.store.calls == {"counts": 1}


def test_a_wait_for_some_jobs_reads_them_only_when_it_may_be_over(world) -> None:
    client = world.client()
    with client.batch() as batch:
        for seed in range(40):
            batch.submit(world.job(seed=seed))
    world.store.calls.clear()
    batch.jobs[:39].wait()
    calls = world.store.calls
    assert calls["counts"] >= 5
    assert calls["get"] <= 4  # the first look, one when 39 may be over, one for the answer
    assert batch.jobs[:39].counts() == {Status.COMPLETED: 39}


def test_a_query_is_read_page_by_page(world, monkeypatch) -> None:
    client = world.client()
    with client.batch(hold=True) as batch:
        for seed in range(1001):
            batch.submit(world.job(seed=seed))
    world.store.calls.clear()
    jobs = client.jobs()
    assert repr(jobs) == "<JobList, not read yet>"
    assert world.store.calls == {}
    assert jobs
    assert jobs[999].hyperparameters == {"seed": 1}
    assert repr(jobs) == "<JobList of 1000 jobs or more>"
    assert world.store.calls == {"find": 1}
    assert (len(jobs), world.store.calls["find"]) == (1001, 2)
    assert len(list(batch.jobs)) == 1001


def test_done_reads_once_a_second_at_most(world, monkeypatch) -> None:
    job = world.client().submit(world.job())
    now = time.monotonic()
    world.store.calls.clear()
    for _ in range(100):
        assert not job.done()
    assert world.store.calls["get"] == 0
    monkeypatch.setattr(time, "monotonic", lambda: now + 2)
    assert not job.done()
    assert not job.done()
    assert world.store.calls["get"] == 1


@pytest.mark.parametrize("is_list", [True, False])
def test_a_wait_rides_through_an_outage_and_warns_once(world, is_list) -> None:
    client = world.client()
    jobs = client.map(world.job(), grid(lr=[1, 2]))
    world.store.out = 6
    with pytest.warns(
        UserWarning, match="does not answer, and the wait goes on: out of order"
    ) as seen:
        (jobs if is_list else jobs[0]).wait()
    assert len(seen) == 1
    assert jobs[0].refresh().status is Status.COMPLETED


def test_a_timeout_during_an_outage_says_so(world) -> None:
    job = world.client().submit(world.job())
    world.store.out = 10**6
    with (
        pytest.warns(UserWarning, match="does not answer"),
        pytest.raises(
            WaitTimeout, match=r"is New after 0 s \(the store does not answer: out of order\)"
        ),
    ):
        job.wait(0)


@pytest.mark.parametrize(("is_aws", "first", "last"), [(True, 0.5, 30.0), (False, 0.02, 0.5)])
def test_pauses_grow(is_aws, first, last) -> None:
    session = Session()
    session.is_aws = is_aws
    looks = iter([False] * 20 + [True])
    found = list(
        pauses(session, lambda: next(looks), None, lambda said: WaitTimeout(said, None, ""))
    )
    assert (found[0], found[1], found[-1]) == (first, first * 1.5, last)


def test_a_wait_without_a_manager_warns_once(world) -> None:
    client = world.client()
    client._session.poke = lambda: False
    job = client.submit(world.job())
    assert "no manager runs here" in job.notes[0]
    with pytest.warns(UserWarning, match="no manager runs here, so no job starts") as seen:
        job.wait()
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job.wait()  # it is over


def test_the_command_waits_for_a_group_by_its_counts(world, monkeypatch, capsys) -> None:
    jobs = world.client("ada").map(world.job(), grid(seed=range(20)), group="g")
    monkeypatch.setattr("jobcore_cli._session.Session.store", world.store)
    monkeypatch.setattr("jobcore_cli._session.Session.poke", lambda self: True)
    words = ["wait", "--group", "g", "--home", str(world.home), "--backend", "local"]
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    world.store.calls.clear()
    assert main(words) == 0
    assert capsys.readouterr().out == "20 Completed\n"
    assert set(world.store.calls) == {"counts"}
    world.client("ada").hold(world.client("ada").submit(world.job(), group="g"), reason="lunch")
    assert main(words) == 4
    assert "1 job is held, and the others are over" in capsys.readouterr().err
    assert jobs[0].refresh().status is Status.COMPLETED


def test_the_command_rides_through_an_outage_until_its_timeout(world, monkeypatch, capsys) -> None:
    world.client("ada").map(world.job(), grid(seed=[1, 2]), group="g")
    monkeypatch.setattr("jobcore_cli._session.Session.store", world.store)
    monkeypatch.setattr("jobcore_cli._session.Session.poke", lambda self: False)
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    words = ["wait", "--group", "g", "--home", str(world.home), "--backend", "local"]
    slept = []

    def sleep(seconds: float) -> None:
        if not slept:
            world.store.out = 3
        slept.append(seconds)
        world.tick()

    monkeypatch.setattr(time, "sleep", sleep)
    assert main([*words, "--timeout", "1h"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "2 Completed"
    assert err.count("no manager runs here") == err.count("the store does not answer") == 1


# --- imports ------------------------------------------------------------------------------


def test_the_import_is_light() -> None:
    code = (
        "import sys, threading; import jobcore_client; "
        "print(sorted({'boto3', 'botocore', 'rich', 'pandas', 'click', 'attr', 'asyncio', 'sqlite3', "
        "'jobcore_aws', 'jobcore_local'} & set(sys.modules)), threading.active_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={
            "PYTHONPATH": ":".join(sys.path)
        }
    )  # fmt: skip
    assert done.stdout == "[] 1\n"


def test_a_data_frame_needs_pandas_only_when_it_is_made(world, monkeypatch) -> None:
    jobs = world.client().map(world.job(), grid(lr=[1, 2]), hold=True)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        jobs.to_pandas()
    pandas = types.ModuleType("pandas")
    pandas.DataFrame = list
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert [row["lr"] for row in jobs.to_pandas()] == [1, 2]


def test_settings_come_from_the_environment_as_for_the_command(
    world, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "there"))
    monkeypatch.setenv("JOBCORE_OWNER", "eve")
    with Client() as client:
        assert (client.owner, repr(client)) == ("eve", f"<Client of eve at {tmp_path / 'there'}>")
        assert list(client.jobs()) == []
    assert (tmp_path / "there" / "jobcore.db").exists()
    assert Client(owner="ada", home=tmp_path / "x").owner == "ada"
