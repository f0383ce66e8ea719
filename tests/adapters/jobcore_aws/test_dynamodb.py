"""The DynamoDB store when the network, the service, or another writer gets in the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from aws_fixtures import connect, free_port, table_name
from core_strategies import T0, after, decided, make_job
from faulty_endpoint import FaultyEndpoint
from jobcore import (
    CorruptRecord,
    HoldRequested,
    Job,
    Placement,
    Status,
    StopRequested,
    Unavailable,
    notify_tick,
    step,
)
from jobcore import Settings as TickSettings
from jobcore.lifecycle import GroupTally, PoolState, ShareUsage, Tick
from jobcore.ports import Added, JobQuery
from jobcore_aws import DynamoStore, create_table, table_definition
from jobcore_aws._dynamodb import _calls
from jobcore_memory import ManualClock, RecordingNotifier
from late_replies import impatient


@pytest.fixture
def endpoint(ministack):
    if not ministack.startswith("http://"):
        pytest.skip("faults are injected over plain HTTP, in front of a local server")
    proxy = FaultyEndpoint(ministack)
    yield proxy
    proxy.close()


@pytest.fixture
def table(ministack):
    client = connect("dynamodb", ministack)
    name = table_name()
    create_table(client, name)
    yield name
    client.delete_table(TableName=name)


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    monkeypatch.setattr(_calls, "_BACKOFF_SECONDS", 0.001)


@pytest.fixture
def direct(ministack, table):
    """A client that no fault touches."""
    return connect("dynamodb", ministack)


@pytest.fixture
def store(direct, table):
    return DynamoStore(table, client=direct)


@pytest.fixture
def faulty(endpoint, table):
    """A store behind the faulty endpoint; it has asked for the shards."""
    store = DynamoStore(table, client=impatient(connect("dynamodb", endpoint.url)))
    store.counts()
    endpoint.seen.clear()
    return store


def item_of(client, table: str, job: Job, kind: str = "job") -> dict:
    key = {"pk": {"S": job.job_id[:2]}, "sk": {"S": f"{kind}#{job.job_id}"}}
    return client.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]


def put(client, table: str, item: dict) -> None:
    client.put_item(TableName=table, Item=item)


# --- a reply that is lost, late or an error, after the write was applied -------------------

AFTER = ("late", "reset", "500")
BEFORE = (
    "reset before",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "InternalServerError",
    "TransactionConflictException",
)


@pytest.mark.parametrize("fault", AFTER + BEFORE)
@pytest.mark.parametrize("which", ["spec#", "job#"])
def test_a_job_is_added_once_whatever_becomes_of_the_reply(faulty, store, endpoint, fault, which):
    job = make_job("1")
    endpoint.fail("PutItem", fault, when=which)
    assert list(faulty.add([job])) == [Added.CREATED]
    assert endpoint.fired == [fault]
    assert store.get([job.job_id]) == {job.job_id: job}
    assert list(faulty.add([job])) == [Added.DUPLICATE]


@pytest.mark.parametrize("fault", AFTER + BEFORE)
def test_a_save_is_known_again_as_ones_own(faulty, store, endpoint, fault):
    job = make_job("1")
    store.add([job])
    endpoint.fail("UpdateItem", fault)
    (saved,) = faulty.save([step(job, decided(), now=T0).job])
    assert endpoint.fired == [fault]
    assert saved is not None
    assert saved.version == job.version + 1
    assert store.get([job.job_id]) == {job.job_id: saved}


@pytest.mark.parametrize("fault", ["late", "reset", "500"])
def test_a_save_that_somebody_has_built_upon_is_told_as_a_conflict(faulty, store, endpoint, fault):
    """It was applied, and is part of what the other one saved; reading again shows so."""
    job = make_job("1")
    store.add([job])

    def other_writer():
        (read,) = store.get([job.job_id]).values()
        assert store.save([step(read, StopRequested(by="b"), now=T0).job]) != [None]

    endpoint.fail("UpdateItem", fault, meanwhile=other_writer)
    assert list(faulty.save([step(job, decided(), now=T0).job])) == [None]
    (there,) = store.get([job.job_id]).values()
    assert there.version == job.version + 2
    assert there.status is Status.STOPPING


@pytest.mark.parametrize("fault", AFTER + BEFORE)
def test_a_pool_is_saved_once(faulty, store, endpoint, fault):
    endpoint.fail("PutItem", fault)
    assert faulty.save_pool(PoolState(name="cpu", refusals=1)) is True
    endpoint.fail("UpdateItem", fault)
    assert faulty.save_pool(PoolState(name="cpu", version=1, refusals=2)) is True
    assert endpoint.fired == [fault, fault]
    assert dict(store.pools()) == {"cpu": PoolState(name="cpu", version=2, refusals=2)}
    assert faulty.save_pool(PoolState(name="cpu", version=1, refusals=3)) is False


@pytest.mark.parametrize("fault", AFTER + BEFORE)
def test_shares_and_tallies_are_saved_once(faulty, store, endpoint, fault):
    usages = [ShareUsage(share=name, hours=1.0, at=T0) for name in ("ada", "bob")]
    tally = GroupTally(group="g", owner="ada", at=T0, failed=1, pausing=True)
    for version in (0, 1):
        endpoint.fail("PutItem" if version == 0 else "UpdateItem", fault, times=2)
        assert faulty.save_shares([replace(u, version=version) for u in usages]) == [True, True]
        endpoint.fail("PutItem" if version == 0 else "UpdateItem", fault)
        assert faulty.save_tally(replace(tally, version=version)) is True
    assert endpoint.fired == [fault] * 6
    read = dict(store.shares(["ada", "bob"]))
    assert read == {usage.share: replace(usage, version=2) for usage in usages}
    assert list(store.tallies_to_pause()) == [replace(tally, version=2)]
    assert faulty.save_shares([replace(usages[0], version=1), usages[1]]) == [False, False]
    assert faulty.save_tally(replace(tally, version=1)) is False


@pytest.mark.parametrize("fault", AFTER + BEFORE)
def test_a_damaged_record_is_replaced_once(faulty, store, endpoint, direct, table, fault):
    usage = ShareUsage(share="ada", hours=1.0, at=T0)
    store.save_shares([usage])
    damage(direct, table, ("#shares", "ada"), {"state": {"S": "?"}})
    endpoint.fail("PutItem", fault, times=2)
    assert faulty.save_shares([replace(usage, hours=3.0)]) == [True]
    assert dict(store.shares(["ada"])) == {"ada": replace(usage, hours=3.0, version=1)}
    assert faulty.save_shares([usage]) == [False]


@pytest.mark.parametrize("fault", ["reset", "500", "ThrottlingException"])
def test_trouble_that_does_not_pass_is_unavailable_after_a_bounded_number_of_tries(
    faulty, store, endpoint, fault
):
    job = make_job("1")
    store.add([job])
    for operation in ("UpdateItem", "PutItem", "BatchGetItem", "Query"):
        endpoint.fail(operation, fault, times=1000)
    calls = {
        "save": lambda: faulty.save([step(job, decided(), now=T0).job]),
        "add": lambda: faulty.add([make_job("2")]),
        "get": lambda: faulty.get([job.job_id]),
        "pools": faulty.pools,
    }
    for name, call in calls.items():
        endpoint.seen.clear()
        with pytest.raises(Unavailable, match="try again"):
            call()
        assert len(endpoint.seen) == _calls.TRIES, name


def test_a_submit_that_broke_off_is_completed_by_repeating_it(faulty, store, endpoint):
    """Some of the jobs exist after the error; none is doubled, none is missing in the end."""
    jobs = [make_job(str(n), args={"n": n}) for n in range(20)]
    endpoint.fail("PutItem", "ThrottlingException", times=1000, when=f"job#{jobs[7].job_id}")
    with pytest.raises(Unavailable):
        faulty.add(jobs)
    some = set(store.get([job.job_id for job in jobs]))
    assert jobs[7].job_id not in some
    endpoint.rules.clear()
    again = [replace(job, submitted_at=T0 + timedelta(days=1)) for job in jobs]
    added = faulty.add(again)
    assert {job.job_id for job, a in zip(jobs, added, strict=True) if a is Added.DUPLICATE} == some
    assert len(store.get([job.job_id for job in jobs])) == 20
    assert store.counts() == {Status.NEW: 20}


# --- partial answers ------------------------------------------------------------------------


def test_keys_left_unprocessed_are_asked_for_again(faulty, endpoint):
    jobs = [make_job(str(n)) for n in range(70)]
    faulty.add(jobs)
    endpoint.fail("BatchGetItem", "half", times=3)
    endpoint.fail("BatchGetItem", "none", times=2)
    found = faulty.get([job.job_id for job in jobs])
    assert sorted(endpoint.fired) == ["half"] * 3 + ["none"] * 2
    assert dict(found) == {job.job_id: job for job in jobs}


def test_keys_that_stay_unprocessed_are_no_absent_jobs(faulty, endpoint):
    job = make_job("1")
    faulty.add([job])
    endpoint.fail("BatchGetItem", "none", times=1000)
    with pytest.raises(Unavailable, match="left unread"):
        faulty.get([job.job_id])


def test_answers_of_many_pages_are_read_to_their_end(store):
    """A megabyte is a page, for DynamoDB."""
    jobs = [make_job(str(n), args={"text": "x" * 200_000}) for n in range(12)]
    store.add(jobs)
    assert len(store.get([job.job_id for job in jobs])) == 12
    assert len(store.find(JobQuery(limit=50)).jobs) == 12


# --- what waiting does not help ----------------------------------------------------------------


def test_a_missing_table_is_said_at_once(endpoint):
    store = DynamoStore("jobcore-none", client=connect("dynamodb", endpoint.url))
    with pytest.raises(Unavailable, match="no such table"):
        store.get([make_job("1").job_id])
    assert len(endpoint.seen) == 1


def test_refused_credentials_are_said_at_once(faulty, endpoint):
    endpoint.fail("BatchGetItem", "AccessDeniedException")
    with pytest.raises(Unavailable, match="credentials do not allow it"):
        faulty.get([make_job("1").job_id])
    assert len(endpoint.seen) == 1


def test_a_reader_that_may_not_write_can_read(endpoint, table):
    endpoint.fail("UpdateItem", "AccessDeniedException", times=1000)
    store = DynamoStore(table, client=connect("dynamodb", endpoint.url))
    assert dict(store.counts()) == {}
    with pytest.raises(Unavailable):
        store.add([make_job("1")])


def test_an_endpoint_that_is_not_there_is_tried_again(monkeypatch, direct, table):
    tries = []
    monkeypatch.setattr(_calls, "_back_off", tries.append)
    nowhere = connect("dynamodb", f"http://127.0.0.1:{free_port()}")
    store = DynamoStore(table, client=nowhere)
    with pytest.raises(Unavailable, match="no answer"):
        store.get([make_job("1").job_id])
    assert len(tries) == _calls.TRIES - 1


def test_what_is_no_answer_is_asked_again(faulty, endpoint):
    """A proxy's page is neither an absent job nor a saved one, though the SDK makes nothing of it."""
    job = make_job("1")
    for operation in ("PutItem", "BatchGetItem", "UpdateItem", "Query"):
        endpoint.fail(operation, "garbage")
    assert list(faulty.add([job])) == [Added.CREATED]
    assert faulty.get([job.job_id]) == {job.job_id: job}
    assert faulty.save([step(job, decided(), now=T0).job]) != [None]
    assert faulty.find(JobQuery()).jobs[0].version == 1
    assert endpoint.fired == ["garbage"] * 4


@pytest.mark.parametrize("missing", ["region", "credentials"])
def test_missing_settings_are_said(monkeypatch, tmp_path, missing):
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    if missing == "credentials":
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(Unavailable, match=missing):
        DynamoStore("jobcore").get([make_job("1").job_id])


# --- stale indexes ---------------------------------------------------------------------------


def test_a_row_of_a_job_that_has_moved_on_does_no_harm(faulty, endpoint):
    job = after(make_job("1"), StopRequested(by="b"))
    faulty.add([job])
    notifier, clock = RecordingNotifier(), ManualClock(T0)
    due = faulty.due(Tick.NOTIFY, before=T0, limit=10)
    waiting = faulty.waiting(now=T0, depth=10)
    endpoint.frozen = True
    for _ in range(3):
        notify_tick(faulty, notifier, clock, TickSettings())
        assert faulty.due(Tick.NOTIFY, before=T0, limit=10) == due != []
        assert faulty.waiting(now=T0, depth=10) == waiting
    assert len(notifier.messages) == 1
    endpoint.frozen = False
    assert faulty.due(Tick.NOTIFY, before=T0, limit=10) == []


def test_a_list_shows_jobs_as_they_are_and_not_as_the_index_has_them(faulty, endpoint):
    job = make_job("1")
    faulty.add([job])
    queries = [JobQuery(statuses=frozenset({s})) for s in (Status.NEW, Status.HELD)]
    assert [len(faulty.find(q).jobs) for q in queries] == [1, 0]
    endpoint.frozen = True
    (held,) = faulty.save([step(job, HoldRequested(by="b"), now=T0).job])
    assert [len(faulty.find(q).jobs) for q in queries] == [0, 0]
    assert faulty.find(JobQuery()).jobs == (held,)


# --- records -----------------------------------------------------------------------------------

DAMAGE = {
    "state": {"S": "?"},
    "timeline": {"L": [{"L": []}]},
    "JobStatus": {"S": "Nowhere"},
    "schema": {"N": "2"},
    "JobId": {"S": make_job("2").job_id},
    "_version": {"S": "x"},
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_a_damaged_record_is_named_and_spoils_no_other(store, direct, table, name):
    bad, good = make_job("1"), make_job("3")
    store.add([bad, good])
    put(direct, table, item_of(direct, table, bad) | {name: DAMAGE[name]})
    with pytest.raises(CorruptRecord, match=bad.job_id) as caught:
        store.get([good.job_id, bad.job_id])
    assert caught.value.job_id == bad.job_id
    assert store.get([good.job_id]) == {good.job_id: good}
    with pytest.warns(RuntimeWarning, match=bad.job_id):
        assert store.find(JobQuery()).jobs == (good,)


@pytest.mark.parametrize("name", ["_due", "_slots", "JobStatus"])
def test_a_damaged_row_of_an_index_does_not_stop_the_ticks(store, direct, table, name):
    bad, good = make_job("1"), make_job("3")
    store.add([bad, good])
    store.save([step(job, decided(), now=T0).job for job in (bad, good)])
    item = item_of(direct, table, bad)
    put(direct, table, item | {name: {"S": "?"}})
    told = []
    store = DynamoStore(table, client=direct, on_corrupt=told.append)
    assert good.job_id in {d.job_id for d in store.due(Tick.LAUNCH, before=T0, limit=10)}
    assert sum(u.slots for u in store.usage()) >= 1
    assert store.counts()[Status.LAUNCHING] >= 1
    assert {error.job_id for error in told} == {bad.job_id}


def test_a_damaged_lane_does_not_stop_the_others(store, direct, table):
    bad, good = make_job("1"), make_job("3")
    store.add([bad, good])
    put(direct, table, item_of(direct, table, bad) | {"_lane": {"S": "?"}})
    with pytest.warns(RuntimeWarning, match=bad.job_id):
        waiting = store.waiting(now=T0, depth=5)
    assert [w.job_id for w in waiting] == [good.job_id]


SIDE_RECORDS = {
    "pool": ("#pools", "cpu"),
    "share": ("#shares", "ada"),
    "group": ("#group/g", "tally#ada"),
}


def damage(client, table: str, key: tuple[str, str], change: dict) -> None:
    pk, sk = key
    item = client.get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": sk}})["Item"]
    put(client, table, {k: v for k, v in (item | change).items() if v is not None})


@pytest.mark.parametrize("kind", SIDE_RECORDS)
@pytest.mark.parametrize(
    "change",
    [
        {"state": {"S": "?"}},
        {"state": None},
        {"state": {"L": []}},
        {"state": {"M": {"refusals": {"M": {}}, "at": {"S": "now"}}}},
        {"_version": {"S": "x"}},
        {"_version": None, "_write": None},
    ],
    ids=str,
)
def test_a_damaged_side_record_is_named_and_written_over(direct, table, kind, change):
    told = []
    store = DynamoStore(table, client=direct, on_corrupt=told.append)
    usage = ShareUsage(share="ada", hours=1.0, at=T0)
    tally = GroupTally(group="g", owner="ada", at=T0, failed=3, pausing=True)

    def write(version: int) -> list[bool]:
        return [
            store.save_pool(PoolState(name="cpu", version=version, refusals=3)),
            *store.save_shares([replace(usage, version=version)]),
            store.save_tally(replace(tally, version=version)),
        ]

    def read() -> dict:
        found = (store.pools(), store.shares(["ada"]), store.tallies([tally.key]))
        return dict(zip(SIDE_RECORDS, found, strict=True))

    assert write(0) == [True] * 3
    damage(direct, table, SIDE_RECORDS[kind], change)
    assert [name for name, found in read().items() if not found] == [kind]
    key = "g/ada" if kind == "group" else SIDE_RECORDS[kind][1]
    assert [(error.kind, error.key) for error in told] == [(kind, key)]
    assert write(0).count(True) == 1, "only the damaged one counts as absent"
    assert all(read().values())
    assert len(told) == 1
    assert write(1) == [True] * 3


def test_of_two_who_replace_a_damaged_record_one_wins(store, direct, table):
    usage = ShareUsage(share="ada", hours=1.0, at=T0)
    store.save_shares([usage])
    damage(direct, table, SIDE_RECORDS["share"], {"state": {"S": "?"}})
    start = threading.Barrier(4)

    def replaced(number: int) -> bool:
        own = DynamoStore(table, client=direct)
        start.wait()
        (won,) = own.save_shares([replace(usage, hours=float(number))])
        return won

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(replaced, range(4)))
    assert won.count(True) == 1
    assert store.shares(["ada"])["ada"] == replace(usage, hours=float(won.index(True)), version=1)


def test_a_newer_schema_is_named(store, direct, table):
    job = make_job("1")
    store.add([job])
    put(direct, table, item_of(direct, table, job) | {"schema": {"N": "2"}})
    with pytest.raises(CorruptRecord, match="schema 2 is not one that this release reads"):
        store.get([job.job_id])


@pytest.mark.parametrize(
    "change", [{"spec": {"S": "{"}}, {"JobArgs": {"S": "?"}}, {"schema": {"N": "9"}}]
)
def test_a_damaged_spec_is_named(store, direct, table, change):
    job = make_job("1")
    store.add([job])
    put(direct, table, item_of(direct, table, job, "spec") | change)
    with pytest.raises(CorruptRecord, match="its spec"):
        store.get([job.job_id])
    assert list(store.add([job])) == [Added.CLASH]


def test_a_missing_spec_is_named(store, direct, table):
    job = make_job("1")
    store.add([job])
    item = item_of(direct, table, job, "spec")
    direct.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
    with pytest.raises(CorruptRecord, match="its spec is missing"):
        store.get([job.job_id])


def test_what_a_newer_writer_added_is_kept(store, direct, table):
    job = make_job("1")
    store.add([job])
    new = {
        "mood": {"M": {"of": {"L": [{"N": "1"}, {"N": "0.5"}, {"NULL": True}, {"BOOL": True}]}}},
        "blob": {"B": b"\0\1"},
        "_index_of_theirs": {"S": "x"},
    }
    put(direct, table, item_of(direct, table, job) | new)
    (read,) = store.get([job.job_id]).values()
    assert read.extra == {"mood": {"of": [1, 0.5, None, True]}}
    store.save([step(read, decided(), now=T0).job])
    kept = item_of(direct, table, job)
    assert {name: kept[name] for name in new} == new
    assert kept["JobStatus"] == {"S": "Launching"}


def test_the_names_that_people_know_are_visible(store, direct, table):
    job = make_job("1", args={"lr": 1.0, "n": 1})
    store.add([job])
    assert item_of(direct, table, job)["JobStatus"] == {"S": "New"}
    assert item_of(direct, table, job)["JobId"] == {"S": job.job_id}
    assert item_of(direct, table, job, "spec")["JobArgs"] == {"S": '{"lr":1.0,"n":1}'}


# --- sizes -----------------------------------------------------------------------------------


def test_a_spec_too_large_for_the_table_is_refused_by_name(store):
    big = make_job("1", args={"x": "y" * 400_000})
    with pytest.raises(ValueError, match="args: the job takes 400,"):
        store.add([make_job("2"), big])
    assert dict(store.counts()) == {}


@pytest.mark.parametrize("field", ["owner", "group", "share", "name"])
@pytest.mark.parametrize("text", ["x" * 1001, "\ud800"], ids=["long", "surrogate"])
def test_a_text_that_cannot_be_a_key_is_refused_by_name(store, field, text):
    with pytest.raises(ValueError, match=f"^{field}: "):
        store.add([make_job("1", **{field: text})])


def test_texts_that_are_no_unicode_do_not_stop_a_transition(store):
    """A reason comes from a training's output: anything may be in it."""
    job = make_job("1")
    store.add([job])
    held = step(job, HoldRequested(by="b", reason="caf\ud800"), now=T0).job
    assert store.save([held]) != [None]
    assert store.get([job.job_id])[job.job_id].state.reason == "caf?"


@pytest.fixture
def bucket(ministack):
    s3 = connect("s3", ministack)
    name = table_name()
    s3.create_bucket(Bucket=name)
    yield name
    for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


def test_a_large_spec_goes_to_s3(direct, table, bucket, ministack):
    s3 = connect("s3", ministack)
    store = DynamoStore(table, client=direct, s3=s3, bucket=bucket)
    job = make_job("1", args={"x": "y" * 400_000})
    assert list(store.add([job, job])) == [Added.CREATED, Added.DUPLICATE]
    assert store.get([job.job_id]) == {job.job_id: job}
    other = replace(job, spec=replace(job.spec, args={"x": "z" * 400_000}))
    assert list(store.add([other])) == [Added.CLASH]
    assert store.get([job.job_id]) == {job.job_id: job}
    with pytest.raises(Unavailable, match="no bucket is configured"):
        DynamoStore(table, client=direct).get([job.job_id])
    key = item_of(direct, table, job, "spec")["JobArgsAt"]["S"]
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=text.replace(b"yyy", b"zzz"))
    with pytest.raises(CorruptRecord, match="not what was submitted"):
        store.get([job.job_id])
    s3.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(CorruptRecord, match="missing from S3"):
        store.get([job.job_id])


@pytest.mark.parametrize("fault", AFTER)
def test_an_upload_whose_reply_is_lost_is_made_again(
    direct, table, bucket, ministack, endpoint, fault
):
    s3 = impatient(connect("s3", endpoint.url))
    store = DynamoStore(table, client=direct, s3=s3, bucket=bucket)
    job = make_job("1", args={"x": "y" * 400_000})
    endpoint.fail("PUT s3", fault)
    endpoint.fail("GET s3", fault)
    assert list(store.add([job])) == [Added.CREATED]
    assert store.get([job.job_id]) == {job.job_id: job}
    assert endpoint.fired == [fault, fault]


# --- many writers ------------------------------------------------------------------------------


def test_no_update_is_lost(store):
    job = make_job("1")
    store.add([job])

    def work(times: int) -> int:
        lost = 0
        while times:
            (read,) = store.get([job.job_id]).values()
            count = int(str(read.extra.get("count", 0)))
            (saved,) = store.save([replace(read, extra={"count": count + 1})])
            times -= saved is not None
            lost += saved is None
        return lost

    with ThreadPoolExecutor(6) as pool:
        lost = sum(pool.map(work, [10] * 6))
    (end,) = store.get([job.job_id]).values()
    assert end.extra == {"count": 60}
    assert end.version == 60
    assert lost > 0  # they did get in each other's way


def test_of_two_submits_at_once_one_creates_each_job(direct, table):
    jobs = [make_job(str(n)) for n in range(30)]
    start = threading.Barrier(3)

    def submit(_: int) -> list[Added]:
        store = DynamoStore(table, client=direct)
        start.wait()
        return list(store.add(jobs))

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(submit, range(3)))
    for each in zip(*answers, strict=True):
        assert sorted(each) == [Added.CREATED, Added.DUPLICATE, Added.DUPLICATE]


def test_a_store_with_another_number_of_shards_sees_the_same_jobs(direct, table):
    jobs = [make_job(str(n)) for n in range(12)]
    DynamoStore(table, client=direct, shards=3).add(jobs)
    for shards in (1, 16):
        store = DynamoStore(table, client=direct, shards=shards)
        store.save([step(jobs[shards % 12], decided(), now=T0).job])
        assert len(store.find(JobQuery()).jobs) == 12
        assert sum(store.counts().values()) == 12
    assert store.counts() == {Status.NEW: 10, Status.LAUNCHING: 2}


def test_all_shards_are_used(store, direct, table):
    store.add([make_job(str(n)) for n in range(100)])
    found = direct.scan(
        TableName=table, ProjectionExpression="#s", ExpressionAttributeNames={"#s": "_shard"}
    )
    assert {row["_shard"]["N"] for row in found["Items"] if row} == {str(n) for n in range(8)}


# --- what is loaded, and what is made ------------------------------------------------------------


def test_importing_costs_nothing():
    code = "import sys, jobcore_aws; print([m for m in ('boto3', 'botocore') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_definition_is_what_is_made(direct, table):
    made = direct.describe_table(TableName=table)["Table"]
    asked = table_definition(table)
    assert made["KeySchema"] == asked["KeySchema"]
    indexes = {i["IndexName"]: i for i in made["GlobalSecondaryIndexes"]}
    assert indexes.keys() == {i["IndexName"] for i in asked["GlobalSecondaryIndexes"]}
    for index in asked["GlobalSecondaryIndexes"]:
        there = indexes[index["IndexName"]]
        assert there["KeySchema"] == index["KeySchema"]
        names = [set(i["Projection"]["NonKeyAttributes"]) for i in (there, index)]
        assert names[0] == names[1]


def test_a_deadline_is_due_while_the_job_waits(store):
    from jobcore import Clocks

    job = make_job("1", clocks=Clocks(wait_at_most=timedelta(hours=1)))
    store.add([job])
    at = T0 + timedelta(hours=1)
    assert list(store.due(Tick.MONITOR, before=at - timedelta(seconds=1), limit=5)) == []
    assert [d.at for d in store.due(Tick.MONITOR, before=at, limit=5)] == [at]
    store.save([step(job, decided(), now=T0).job])
    assert list(store.due(Tick.MONITOR, before=at, limit=5)) == []


def test_usage_is_by_pool_and_share(store):
    jobs = [
        make_job(str(n), share=share, placements=(Placement("a", 2),))
        for n, share in enumerate("xxy")
    ]
    store.add(jobs)
    launching = [
        step(job, replace(decided(), placement=Placement("a", 2)), now=T0).job for job in jobs
    ]
    store.save(launching)
    assert [(u.pool, u.share, u.slots) for u in store.usage()] == [("a", "x", 4), ("a", "y", 2)]
