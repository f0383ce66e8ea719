"""Whatever is done to them, the DynamoDB store and the one in memory answer the same; and what it costs."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stores_agree import (
    actions,
    apply,
    compare_records,
    jobs,
    moments,
    pages,
    queries,
    waiting_by_lane,
)

import jobcore
from aws_fixtures import connect
from core_strategies import T0, make_job
from jobcore import Placement, Status, job_id_from_token
from jobcore.lifecycle import Tick
from jobcore.ports import JobQuery, order_key
from jobcore_aws import DynamoStore, create_table
from jobcore_aws._dynamodb import _listing, _queues
from jobcore_memory import MemoryStore

IDS = [job_id_from_token("t", str(n)) for n in range(10)]


@pytest.fixture
def client(moto):
    return connect("dynamodb", "")


def both_stores(client) -> tuple[MemoryStore, DynamoStore]:
    if client.list_tables()["TableNames"]:
        client.delete_table(TableName="jobcore")
    create_table(client, "jobcore")
    return MemoryStore(), DynamoStore("jobcore", client=client, shards=2, threads=1)


def compare(both, asked, now) -> None:
    one, two = (dict(store.get(IDS)) for store in both)
    assert one == two
    compare_records(both)
    for at in (now, now + timedelta(hours=1)):
        for tick in Tick:
            for limit in (2, 100):
                one, two = (list(s.due(tick, before=at, limit=limit)) for s in both)
                assert one == two
        for depth in (0, 1, 100):
            one, two = (waiting_by_lane(s.waiting(now=at, depth=depth)) for s in both)
            assert one == two
    one, two = (sorted(s.usage(), key=str) for s in both)
    assert one == two
    one, two = (dict(s.counts()) for s in both)
    assert one == two
    for query in asked:
        one, two = (pages(store, query) for store in both)
        assert one == two
        one, two = (dict(s.counts(group=query.group, owner=query.owner)) for s in both)
        assert one == two


# Pages of two rows, so that few jobs make many pages.
@pytest.mark.parametrize("page", [2, 25])
def test_the_stores_agree(client, page) -> None:
    @settings(max_examples=12)
    @given(st.lists(jobs, min_size=3, max_size=10), actions, st.lists(queries, max_size=3), moments)
    def check(first, steps, asked, now) -> None:
        both = both_stores(client)
        for kind, what in [("add", first), *steps]:
            apply(both, kind, what, IDS)
        compare(both, asked, now)

    with patch.object(_queues, "_LANE_PAGE_MIN", page), patch.object(_listing, "_PAGE_MIN", page):
        check()


def test_deep_lanes_beside_each_other(client) -> None:
    """The heads of every lane are found, however many jobs wait in the others."""
    both = both_stores(client)
    lanes = [(Placement("a"),), (Placement("a"), Placement("b", 2)), (Placement("c"),)]
    crowd = [make_job(f"{n}", placements=lanes[n % 3], priority=n % 2) for n in range(60)]
    for store in both:
        store.add(crowd)
    for depth in (1, 3, 7, 30):
        with patch.object(_queues, "_LANE_PAGE_MIN", 2):
            one, two = (waiting_by_lane(s.waiting(now=T0, depth=depth)) for s in both)
        assert one == two
        assert all(lane == sorted(lane, key=order_key) for lane in two.values())
        assert {len(lane) for lane in two.values()} == {min(depth, 10)}
    query = JobQuery(statuses=frozenset({Status.NEW}), limit=7)
    one, two = (pages(store, query) for store in both)
    assert one == two


# --- what it costs, counted by the benchmark's meter -------------------------------------------


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[2] / "benchmarks" / "bench_aws.py"
    spec = importlib.util.spec_from_file_location("bench_aws", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def measured(bench, client):
    create_table(client, "jobcore")
    meter = bench.Meter(client, "jobcore")
    return meter, bench.Life(client, meter)


def test_a_happy_life_costs_at_most_20_write_units(measured, bench) -> None:
    meter, life = measured
    life.submit(1)
    life.until_over(1)
    requests, units = meter.take()
    assert [str(mark.status) for mark in life.job(1).timeline] == [
        "New",
        "Launching",
        "Launched",
        "InProgress",
        "Completed",
    ]
    assert len(life.notifier.messages) == 1
    assert units <= bench.HAPPY_GOAL
    assert meter.largest <= 1024
    assert requests["PutItem"] == 2
    assert set(requests) == {"PutItem", "UpdateItem", "BatchGetItem", "Query"}  # and no Scan


def test_polling_writes_nothing(measured) -> None:
    meter, life = measured
    life.submit(1)
    for _ in range(5):
        life.tick()
        life.clock.advance(timedelta(minutes=1))
    assert life.job(1).status is Status.IN_PROGRESS
    meter.take()
    for _ in range(3):
        life.tick()
    requests, units = meter.take()
    assert units == 0
    assert set(requests) == {"BatchGetItem", "Query"}


def test_ticks_make_the_same_requests_whatever_the_history(bench) -> None:
    few, _ = bench.tick_requests(0)
    many, _ = bench.tick_requests(300)
    assert few == many
    assert few["Query"] > 0
    assert few["Scan"] == 0


def test_what_shares_and_groups_cost_a_launch_tick(measured) -> None:
    """One query for groups to pause; with two shares or more, one read, and one write for each charged."""
    meter, life = measured

    def launched(*shares) -> tuple[dict, int]:
        for share in shares:
            life.number += 1
            life.submit(life.number, share=share)
        meter.take()
        jobcore.launch_tick(life.store, life.trainer, life.clock, life.settings)
        life.clock.advance(timedelta(minutes=1))
        requests, units = meter.take()
        return dict(requests), units

    life.number = 0
    launched()  # asks for the shared item of the previous release, once
    per_shard = len(life.store._queues().shards)
    assert launched() == ({"Query": 3 * per_shard + 2}, 0)
    (alone, units) = launched("a", "a", "a")
    assert alone["BatchGetItem"] == 1
    (first, first_units) = launched("a", "b", "a")
    assert first == alone | {"BatchGetItem": 2, "PutItem": 2}
    (again, again_units) = launched("a", "b", "a")
    assert again == alone | {"BatchGetItem": 2, "UpdateItem": alone["UpdateItem"] + 2}
    assert (first_units, again_units) == (units + 2, units + 2)
    life.clock.advance(timedelta(minutes=20))
    (idle, idle_units) = launched("a")
    assert idle["UpdateItem"] == 2 + 2, (
        "a share that only runs is charged after a quarter of an hour"
    )
    assert idle_units == units // 3 + 2
