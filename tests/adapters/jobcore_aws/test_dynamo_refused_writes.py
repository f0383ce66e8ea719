"""A job whose write DynamoDB refuses concerns that job; a damaged item of shards says what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

import jobcore
from aws_fixtures import connect
from core_strategies import make_job
from jobcore import Status, Unavailable
from jobcore.ports import Added, JobQuery
from jobcore_aws import DynamoStore, create_table, failure_rules
from jobcore_cli._app import main
from jobcore_cli._errors import UNAVAILABLE
from jobcore_cli._session import Session
from jobcore_lambda import _wiring, launch, monitor
from jobcore_memory import ManualClock, MemoryTrainer
from lambda_fixtures import FakeContext

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHARDS = {"pk": {"S": "#table"}, "sk": {"S": "shards"}}


class Refusing:
    """A client that refuses writes of some jobs, as DynamoDB refuses an item of more than 400 KB."""

    def __init__(self, client):
        self.client = client
        self.refused = set()
        self.refusals = 0

    def __getattr__(self, name):
        return getattr(self.client, name)

    def put_item(self, **arguments):
        return self._write("PutItem", arguments["Item"], arguments)

    def update_item(self, **arguments):
        return self._write("UpdateItem", arguments["Key"], arguments)

    def _write(self, operation, key, arguments):
        if key["sk"]["S"].removeprefix("job#") in self.refused:
            self.refusals += 1
            error = {"Code": "ValidationException", "Message": "Item size has exceeded the maximum"}
            raise ClientError(
                {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "1"}},
                operation,
            )
        method = self.client.put_item if operation == "PutItem" else self.client.update_item
        return method(**arguments)


@pytest.fixture
def client(moto):
    made = connect("dynamodb", "")
    create_table(made, "jobcore")
    return Refusing(made)


@pytest.fixture
def reported():
    return []


@pytest.fixture
def store(client, reported):
    return DynamoStore("jobcore", client=client, threads=1, shards=2, on_corrupt=reported.append)


def held(job):
    return jobcore.step(job, jobcore.HoldRequested(by="ada"), now=NOW).job


# What makes a change impossible to store: the client's refusal, or what the store sees itself.
def refuse(client, job):
    client.refused.add(job.job_id)
    return held(job)


def too_large(client, job):
    return replace(held(job), extra={"note": "x" * 500_000})


def named_as_ours(client, job):
    return replace(held(job), extra={"_shard": 1})


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (refuse, "DynamoDB refuses it: "),
        (too_large, "timeline: the record of job "),
        (named_as_ours, "extra: the names of attributes"),
    ],
)
@pytest.mark.parametrize("threads", [1, 4])
def test_a_change_that_cannot_be_stored_stops_no_other(client, reported, spoil, why, threads):
    store = DynamoStore(
        "jobcore", client=client, threads=threads, shards=2, on_corrupt=reported.append
    )
    jobs = [make_job(str(number)) for number in range(3)]
    store.add(jobs)
    bad = jobs[1]
    changes = [spoil(client, job) if job is bad else held(job) for job in jobs]
    results = store.save(changes)
    assert [result is None for result in results] == [False, True, False]
    assert results[0].version == jobs[0].version + 1
    (said,) = reported
    assert (said.job_id, said.kind) == (bad.job_id, "job")
    assert str(said).startswith(f"job {bad.job_id}: its change cannot be stored: {why}")
    stored = store.get([job.job_id for job in jobs])
    assert stored[bad.job_id] == bad
    assert {stored[jobs[n].job_id].status for n in (0, 2)} == {Status.HELD}


def test_it_is_reported_once_for_each_version(client, store, reported):
    job = make_job("1")
    store.add([job])
    client.refused.add(job.job_id)
    for _ in range(3):
        assert store.save([held(job)]) == [None]
    assert len(reported) == 1
    client.refused.clear()
    (saved,) = store.save([held(job)])
    client.refused.add(job.job_id)
    release = jobcore.ReleaseRequested(by="ada")
    assert store.save([jobcore.step(saved, release, now=NOW).job]) == [None]
    assert len(reported) == 2


def test_the_launch_tick_goes_on_beside_it(client, store, reported):
    jobs = [make_job(str(number)) for number in range(4)]
    store.add(jobs)
    bad = jobs[0].job_id
    client.refused.add(bad)
    clock, troubles = ManualClock(NOW), []
    trainer = MemoryTrainer(clock=clock, slots={jobs[0].spec.placements[0].pool: 10})
    settings = jobcore.Settings(
        launches_together=4, on_trouble=lambda job_id, what: troubles.append(job_id)
    )
    report = jobcore.launch_tick(store, trainer, clock, settings)
    assert report.launched == 3
    assert troubles == [bad]
    assert [error.job_id for error in reported] == [bad]
    statuses = {job_id: job.status for job_id, job in store.get([j.job_id for j in jobs]).items()}
    assert statuses.pop(bad) is Status.NEW
    assert set(statuses.values()) == {Status.LAUNCHED}


def test_an_unanswered_write_is_still_unavailable(client, store, monkeypatch):
    """Only a refusal is an answer: after a lost reply nothing may be concluded."""
    from jobcore_aws._dynamodb import _calls

    monkeypatch.setattr(_calls.time, "sleep", lambda seconds: None)
    job = make_job("1")
    store.add([job])

    def lost(**arguments):
        raise ConnectionResetError

    def busy(**arguments):
        answer = {"ResponseMetadata": {"HTTPStatusCode": 503}, "Error": {"Code": "Busy"}}
        raise ClientError(answer, "UpdateItem")

    for fault, error in ((lost, ConnectionResetError), (busy, Unavailable)):
        monkeypatch.setattr(client, "update_item", fault, raising=False)
        with pytest.raises(error):
            store.save([held(job)])


def test_a_job_that_cannot_be_added_is_named_and_the_others_are_there(client, store):
    jobs = [make_job(str(number)) for number in range(3)]
    client.refused.add(jobs[1].job_id)
    with pytest.raises(ValueError, match=f"job {jobs[1].job_id}: DynamoDB refuses its record"):
        store.add(jobs)
    assert set(store.get([job.job_id for job in jobs])) == {jobs[0].job_id, jobs[2].job_id}
    client.refused.clear()
    assert list(store.add(jobs)) == [Added.DUPLICATE, Added.CREATED, Added.DUPLICATE]


def test_a_job_too_large_to_be_added_is_named_before_anything_is_written(store):
    jobs = [make_job("1"), replace(make_job("2"), extra={"note": "x" * 500_000})]
    with pytest.raises(ValueError, match=f"the record of job {jobs[1].job_id} takes"):
        store.add(jobs)
    assert dict(store.get([job.job_id for job in jobs])) == {}


# --- the item of shards -----------------------------------------------------------------

DAMAGE = {
    "no attribute": None,
    "a text": {"S": "8"},
    "none": {"NULL": True},
    "a list": {"L": [{"N": "8"}]},
    "zero": {"N": "0"},
    "negative": {"N": "-1"},
    "a fraction": {"N": "2.5"},
    "too many": {"N": "257"},
}


def damage(client, value):
    item = SHARDS | ({} if value is None else {"shards": value})
    client.put_item(TableName="jobcore", Item=item)


@pytest.mark.parametrize("value", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_item_of_shards_says_what_to_do(client, store, value):
    job = make_job("1")
    store.add([job])
    damage(client, value)
    fresh = DynamoStore("jobcore", client=client, threads=1, shards=2)
    calls = [
        lambda: fresh.due(jobcore.lifecycle.Tick.LAUNCH, before=NOW, limit=1),
        lambda: fresh.waiting(now=NOW, depth=1),
        fresh.usage,
        fresh.counts,
        lambda: fresh.find(JobQuery()),
        lambda: fresh.add([make_job("2")]),
        lambda: fresh.save([held(job)]),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="table jobcore: the item pk=#table, sk=shards") as it:
            call()
        assert "expected shards to be a number (N) from 1 to 256" in str(it.value)
        assert "Set it to the number" in str(it.value)
    assert dict(fresh.get([job.job_id])) == {job.job_id: job}, "jobs by id need no shards"
    damage(client, {"N": "2"})
    assert fresh.find(JobQuery()).jobs == (job,)


def test_functions_and_commands_report_a_damaged_item_of_shards(client, monkeypatch, capsys):
    damage(client, {"S": "8"})
    fresh = DynamoStore("jobcore", client=client, threads=1)
    clock = ManualClock(NOW)
    wired = _wiring.Wiring({"JOBCORE_TABLE": "jobcore"})
    wired.store, wired.clock, wired.limits = fresh, clock, jobcore.Limits()
    wired.trainer, wired.rules, wired.launches_together = (
        MemoryTrainer(clock=clock),
        failure_rules(),
        1,
    )
    monkeypatch.setattr(_wiring, "_current", wired)
    for handler in (launch.handler, monitor.handler):
        with pytest.raises(Unavailable, match="sk=shards"):
            handler({}, FakeContext())
        assert "item pk=#table, sk=shards is damaged" in capsys.readouterr().out
    monkeypatch.setattr(Session, "store", fresh)
    assert main(["list", "--backend", "aws"]) == UNAVAILABLE
    assert "sk=shards is damaged" in capsys.readouterr().err
