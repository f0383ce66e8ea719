"""Items of shares and groups: what the previous release left is read, the rest costs nothing extra."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import jobcore
from aws_fixtures import connect
from core_strategies import T0, make_job
from jobcore import Status
from jobcore.lifecycle import GroupKey, GroupTally, HoldCode, ShareUsage, Tick
from jobcore.ports import JobQuery
from jobcore_aws import DynamoStore, create_table
from jobcore_aws._dynamodb import _legacy
from jobcore_memory import ManualClock, MemoryTrainer, RecordingNotifier

# A table as jobcore at commit 805f172 left it; the clock stood at NOW.
OLD = Path(__file__).parents[2] / "data" / "items-805f172.jsonl"
NOW = datetime(2026, 1, 1, 0, 12, tzinfo=UTC)
SHARES = ["ada", "bob", "vision"]
PAUSING, SOUND, COUNTED = (
    GroupKey("sweep", "ada"),
    GroupKey("sweep", "bob"),
    GroupKey("tune", "ada"),
)
SHARED = {"pk": {"S": "#pools"}, "sk": {"S": "*"}}


@pytest.fixture
def client(moto):
    made = connect("dynamodb", "")
    create_table(made, "jobcore")
    return made


@pytest.fixture
def requests(client):
    """The requests that were made, by name."""
    seen: Counter[str] = Counter()
    client.meta.events.register(
        "provide-client-params.dynamodb", lambda model, **_: seen.update([model.name])
    )
    return seen


@pytest.fixture
def old(client, monkeypatch):
    """A table of the previous release."""
    monkeypatch.setattr(_legacy, "now", lambda: NOW)
    for line in OLD.read_text().splitlines():
        client.put_item(TableName="jobcore", Item=json.loads(line))
    return client


def opened(client, **options) -> DynamoStore:
    return DynamoStore("jobcore", client=client, threads=1, **options)


def edit(client, path: str, value: dict) -> None:
    names = path.split("/")
    client.update_item(
        TableName="jobcore",
        Key=SHARED,
        UpdateExpression=f"SET {'.'.join(f'#{n}' for n in range(len(names)))} = :v",
        ExpressionAttributeNames={f"#{n}": name for n, name in enumerate(names)},
        ExpressionAttributeValues={":v": value},
    )


# --- the shared item of the previous release --------------------------------------------------


def test_shares_and_tallies_without_an_item_are_those_of_the_shared_one(old) -> None:
    store = opened(old)
    at = NOW - timedelta(minutes=1)
    assert dict(store.shares([*SHARES, "new"])) == {
        "ada": ShareUsage(share="ada", hours=8.984, at=at),
        "bob": ShareUsage(share="bob", hours=6.116, at=at),
        "vision": ShareUsage(share="vision", hours=2.046, at=at),
    }
    tallies = store.tallies([PAUSING, SOUND, COUNTED, GroupKey("new", "ada")])
    assert set(tallies) == {PAUSING, SOUND, COUNTED}
    assert (tallies[PAUSING].failed, tallies[COUNTED].failed, tallies[SOUND].sound) == (3, 2, True)
    assert list(store.tallies_to_pause()) == [tallies[PAUSING]]
    assert {tally.version for tally in tallies.values()} == {0}
    assert "KeyError: 'lr'" in tallies[PAUSING].reason
    assert list(store.pools()) == ["gpu"]
    assert sum(store.counts().values()) == 25


def test_an_item_of_its_own_is_newer_than_the_shared_one(old) -> None:
    store = opened(old)
    (tally,) = store.tallies_to_pause()
    usage = store.shares(["ada"])["ada"]
    assert store.save_tally(jobcore.scheduling.groups.mark_paused(tally)) is True
    assert store.save_shares([usage]) == [True]
    for each in (store, opened(old)):
        assert list(each.tallies_to_pause()) == []
        assert each.tallies([PAUSING])[PAUSING].version == 1
        read = each.shares(SHARES)
        assert {name: one.version for name, one in read.items()} == {
            "ada": 1,
            "bob": 0,
            "vision": 0,
        }
    assert store.save_tally(tally) is False


def test_the_ticks_go_on_where_the_previous_release_stopped(old) -> None:
    clock, notifier, store = ManualClock(NOW), RecordingNotifier(), opened(old)
    ids = [job.job_id for job in store.find(JobQuery(limit=1000)).jobs]
    trainer = MemoryTrainer(clock=clock, slots={"cpu": 40, "gpu": 8})
    ports = (clock, jobcore.Settings(limits=jobcore.Limits(group_breaker=3)))
    jobcore.launch_tick(store, trainer, *ports)
    held = store.find(JobQuery(statuses=frozenset({Status.HELD}))).jobs
    paused = {job.spec.name for job in held if job.state.code is HoldCode.GROUP}
    assert paused == {"sweep-3", "sweep-4", "sweep-5"}
    assert list(store.tallies_to_pause()) == []
    assert store.shares(["ada"])["ada"].hours > 8.984 + 0.9, "charged on top of what it had"
    for _ in range(30):
        clock.advance(timedelta(minutes=5))
        jobcore.monitor_tick(store, trainer, *ports)
        jobcore.notify_tick(store, notifier, *ports)
        jobcore.launch_tick(store, trainer, *ports)
    after = {job.spec.name: job.status for job in store.get(ids).values()}
    assert {name for name, status in after.items() if not status.is_terminal} == paused | {"held"}
    assert after["new"] is after["launching"] is after["backing-off"] is Status.COMPLETED


def test_the_shared_item_is_never_written(old) -> None:
    def item() -> dict:
        return old.get_item(TableName="jobcore", Key=SHARED)["Item"]

    before = item()
    test_the_ticks_go_on_where_the_previous_release_stopped(old)
    assert item() == before


def test_a_table_without_it_is_asked_for_it_once(client, requests) -> None:
    store = opened(client)
    for first in (True, False, False):
        requests.clear()
        assert list(store.tallies_to_pause()) == []
        assert requests == ({"Query": 1, "BatchGetItem": 1} if first else {"Query": 1})
    store.save_shares([ShareUsage(share="ada", hours=1.0, at=T0)])
    for other in (store, opened(client)):
        requests.clear()
        other.shares(["ada", "bob"])
        other.tallies([PAUSING])
        assert requests == {"BatchGetItem": 2}
        assert other._records._shared.keys() == []


def test_a_shared_item_that_is_a_day_old_is_read_no_more(old, monkeypatch) -> None:
    store = opened(old)
    assert len(store.shares(SHARES)) == 3
    monkeypatch.setattr(_legacy, "now", lambda: NOW + timedelta(hours=23))
    assert len(store.shares(SHARES)) == 3
    monkeypatch.setattr(_legacy, "now", lambda: NOW + timedelta(hours=25))
    assert (dict(store.shares(SHARES)), list(store.tallies_to_pause())) == ({}, [])
    assert store._records._shared.keys() == []
    assert list(store.pools()) == ["gpu"]


@pytest.mark.parametrize(
    "state", [{"S": "?"}, {"L": []}, {"M": {"served": {"N": "3"}}}, {"B": b"\0"}], ids=str
)
def test_a_damaged_shared_item_is_reported_once_and_stops_nobody(old, state) -> None:
    edit(old, "state", state)
    told: list[jobcore.CorruptRecord] = []
    store = opened(old, on_corrupt=told.append)
    for _ in range(2):
        assert (dict(store.shares(SHARES)), dict(store.tallies([PAUSING]))) == ({}, {})
        assert (list(store.tallies_to_pause()), list(store.pools())) == ([], ["gpu"])
    assert [(error.kind, error.key) for error in told] == [("pool", "*")]


def test_a_damaged_entry_is_reported_once_and_the_others_are_read(old) -> None:
    edit(old, "state/served/bob", {"S": "much"})
    edit(old, "state/groups/tune\nada/at", {"NULL": True})
    told: list[jobcore.CorruptRecord] = []
    store = opened(old, on_corrupt=told.append)
    for _ in range(2):
        assert store.shares(SHARES).keys() == {"ada", "vision"}
        assert set(store.tallies([PAUSING, SOUND, COUNTED])) == {PAUSING, SOUND}
    assert [(error.kind, error.key) for error in told] == [("share", "bob"), ("group", "tune/ada")]


# --- groups to pause --------------------------------------------------------------------------


def test_no_reader_of_jobs_sees_the_groups_to_pause(client) -> None:
    store = opened(client, shards=2)
    jobs = [make_job(str(n)) for n in range(3)]
    store.add(jobs)

    def answers() -> list[object]:
        return [
            store.find(JobQuery()),
            store.counts(),
            store.counts(owner="ada"),
            list(store.waiting(now=T0, depth=9)),
            [list(store.due(tick, before=T0 + timedelta(days=9), limit=9)) for tick in Tick],
            store.usage(),
            store.pools(),
        ]

    before = answers()
    tallies = [
        GroupTally(group=f"g{n}", owner="ada", at=T0, failed=5, pausing=True) for n in range(3)
    ]
    for tally in tallies:
        assert store.save_tally(tally) is True
    assert len(store.tallies_to_pause()) == 3
    assert answers() == before


def test_groups_to_pause_are_found_without_reading_the_others(client, requests) -> None:
    store = opened(client)
    for number in range(120):
        tally = GroupTally(group=f"g{number}", owner="ada", at=T0, failed=1, pausing=number == 7)
        assert store.save_tally(tally) is True
    store.tallies_to_pause()
    requests.clear()
    read: list[int] = []
    client.meta.events.register(
        "after-call.dynamodb", lambda parsed, **_: read.append(len(parsed.get("Items", [])))
    )
    assert [tally.group for tally in store.tallies_to_pause()] == ["g7"]
    assert requests == {"Query": 1, "BatchGetItem": 1}
    assert max(read) == 1


def test_a_row_of_an_index_that_lags_pauses_nobody(client) -> None:
    """The index may still have a group that was paused already; its item tells."""
    store = opened(client)
    store.save_tally(GroupTally(group="g", owner="ada", at=T0, failed=5, pausing=True))
    (tally,) = store.tallies_to_pause()
    rows = client.query(
        TableName="jobcore",
        IndexName="waiting",
        KeyConditionExpression="#s = :s",
        ExpressionAttributeNames={"#s": "_shard"},
        ExpressionAttributeValues={":s": {"N": "-1"}},
    )["Items"]
    store.save_tally(jobcore.scheduling.groups.mark_paused(tally))
    store._records._calls.query = lambda *_, **__: iter(rows)
    assert list(store.tallies_to_pause()) == []


def test_names_as_long_as_a_job_may_have_are_keys(client) -> None:
    store = opened(client)
    group, owner, share = "g" * 1000, "o" * 1000, "s" * 1000
    store.add([make_job("1", group=group, owner=owner, share=share)])
    tally = GroupTally(group=group, owner=owner, at=T0, failed=5, pausing=True)
    usage = ShareUsage(share=share, hours=1.0, at=T0)
    assert (store.save_tally(tally), store.save_shares([usage])) == (True, [True])
    assert [found.key for found in store.tallies_to_pause()] == [tally.key]
    assert set(store.shares([share])) == {share}
