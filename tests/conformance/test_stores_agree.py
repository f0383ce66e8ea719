"""Whatever is done to them, the SQLite store and the one in memory answer the same."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core_strategies import POOLS, T0, events, placements
from jobcore import (
    Job,
    LaunchDecided,
    Spec,
    Status,
    StopRequested,
    job_id_from_token,
    new_job,
    step,
)
from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage, Tick
from jobcore.ports import JobQuery
from jobcore_memory import MemoryStore
from jobcore_sqlite import SqliteStore

OWNERS = ("ada", "bob")
GROUPS = (None, "g", "h")
NAMES = ("x", "y")

# Few values of each, so that ids repeat, lanes fill and filters match.
specs = st.builds(
    Spec,
    name=st.sampled_from(NAMES),
    owner=st.sampled_from(OWNERS),
    group=st.sampled_from(GROUPS),
    share=st.sampled_from(("", "team")),
    priority=st.integers(0, 1),
    placements=st.lists(placements, min_size=1, max_size=2).map(tuple),
    args=st.dictionaries(st.sampled_from(("a", "b")), st.integers(0, 1) | st.booleans()),
)
moments = st.integers(0, 3).map(lambda n: T0 + timedelta(seconds=n))
jobs = st.builds(
    lambda number, spec, now: new_job(job_id_from_token("t", str(number)), spec, now=now),
    st.integers(0, 9),
    specs,
    moments,
)
moves = st.tuples(
    st.integers(0, 9),
    st.lists(
        st.builds(LaunchDecided, attempt=st.just(1), placement=placements)
        | st.builds(StopRequested, by=st.just("ada"))
        | events(st.integers(1, 2)),
        max_size=4,
    ),
    st.integers(0, 300).map(lambda n: T0 + timedelta(seconds=n)),
    st.booleans(),
)
pools = st.builds(
    PoolState,
    name=st.sampled_from(POOLS),
    version=st.integers(0, 2),
    refusals=st.integers(0, 3),
    closed_until=st.none() | moments,
    refusal=st.text(max_size=5),
)
SHARES = ("ada", "team")
KEYS = tuple(GroupKey(group, owner) for group in GROUPS if group for owner in OWNERS)
shares = st.builds(
    ShareUsage,
    share=st.sampled_from(SHARES),
    version=st.integers(0, 2),
    hours=st.floats(0, 9),
    at=moments,
)
tallies = st.builds(
    lambda key, **values: GroupTally(group=key.group, owner=key.owner, **values),
    st.sampled_from(KEYS),
    version=st.integers(0, 2),
    at=moments,
    failed=st.integers(0, 3),
    cause=st.text(max_size=3),
    reason=st.text(max_size=5),
    sound=st.booleans(),
    pausing=st.booleans(),
)
actions = st.lists(
    st.tuples(st.just("add"), st.lists(jobs, max_size=5))
    | st.tuples(st.just("save"), st.lists(moves, max_size=3))
    | st.tuples(st.just("pool"), pools)
    | st.tuples(st.just("shares"), st.lists(shares, max_size=3))
    | st.tuples(st.just("tally"), tallies),
    max_size=12,
)
queries = st.builds(
    JobQuery,
    statuses=st.frozensets(st.sampled_from(Status), max_size=3),
    owner=st.none() | st.sampled_from(OWNERS),
    group=st.sampled_from(GROUPS),
    name=st.none() | st.sampled_from(NAMES),
    id_prefix=st.none() | st.integers(0, 9).map(lambda n: job_id_from_token("t", str(n))[: n % 4]),
    limit=st.integers(1, 3),
)


def moved(read: dict[str, Job], move: tuple) -> Job | None:
    number, facts, now, stale = move
    job = read.get(job_id_from_token("t", str(number)))
    if job is None:
        return None
    for fact in facts:
        job = step(job, fact, now=now).job
    return replace(job, version=job.version - 1) if stale else job


def pages(store, query: JobQuery) -> list[tuple[Job, ...]]:
    found = []
    while True:
        page = store.find(query)
        found.append(page.jobs)
        if page.cursor is None:
            return found
        query = replace(query, cursor=page.cursor)


def apply(both, kind: str, what, ids) -> None:
    """Do the same to both stores; they answer the same."""
    match kind:
        case "add":
            one, two = (list(store.add(what)) for store in both)
        case "pool":
            one, two = (store.save_pool(what) for store in both)
        case "shares":
            one, two = (list(store.save_shares(what)) for store in both)
        case "tally":
            one, two = (store.save_tally(what) for store in both)
        case _:
            read = dict(both[0].get(ids))
            batch = [job for move in what if (job := moved(read, move)) is not None]
            one, two = (list(store.save(batch)) for store in both)
    assert one == two


def compare_records(both) -> None:
    """Hold the records beside jobs against each other."""
    one, two = (
        (dict(s.pools()), dict(s.shares(SHARES)), dict(s.tallies(KEYS)), dict(s.shares(["ada"])))
        for s in both
    )
    assert one == two
    one, two = ({tally.key: tally for tally in store.tallies_to_pause()} for store in both)
    assert one == two


@settings(max_examples=60)
@given(actions, st.lists(queries, min_size=4, max_size=8), moments)
def test_the_stores_agree(steps, asked, now) -> None:
    ids = [job_id_from_token("t", str(n)) for n in range(10)]
    with (
        tempfile.TemporaryDirectory() as folder,
        SqliteStore(Path(folder) / "jobcore.db") as disk,
    ):
        both = (MemoryStore(), disk)
        for kind, what in steps:
            apply(both, kind, what, ids)
        one, two = (dict(store.get(ids)) for store in both)
        assert one == two
        compare_records(both)
        for tick in Tick:
            one, two = (store.next_wake(tick, after=now) for store in both)
            assert one == two
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
        for query in asked:
            one, two = (pages(store, query) for store in both)
            assert one == two
            one, two = (dict(s.counts(group=query.group, owner=query.owner)) for s in both)
            assert one == two
        assert disk.check() == []


def waiting_by_lane(waiting) -> dict:
    """The order of the lanes is the store's own; the order within one is a promise."""
    lanes: dict = {}
    for job in waiting:
        lanes.setdefault(job.lane, []).append(job)
    return lanes
