"""The planner keeps every limit, wastes no room, and says the same as explain."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from core_strategies import POOLS, T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    HoldRequested,
    Limits,
    Placement,
    Snapshot,
    Spec,
    Status,
    StopRequested,
    TrainingSeen,
    explain,
    job_id_from_token,
    new_job,
    plan,
)
from jobcore.lifecycle import PoolState, Retryable, ShareUsage
from jobcore.ports import Usage, Waiting, order_key, usage_of, waiting_of
from jobcore.scheduling import Launch, WaitCode, current_usage
from jobcore.scheduling.pools import allowance

SHARES = ("x", "y")
FULL = make_failure(FailureClass.CAPACITY, Retryable.YES, "no room")


@st.composite
def worlds(draw):
    """Draw waiting jobs, a snapshot that holds them all, and limits."""
    places = [pool for pool in POOLS for _ in range(4)]
    placements = st.builds(Placement, st.sampled_from([*places, "unknown"]), st.integers(1, 3))
    asks = draw(
        st.lists(
            st.tuples(
                st.lists(placements, min_size=1, max_size=2),
                st.sampled_from(SHARES),
                st.integers(0, 2),
                st.integers(-20, 5),
            ),
            max_size=14,
        )
    )
    jobs = [
        new_job(
            job_id_from_token("ada", str(number)),
            Spec(name="n", owner="o", placements=tuple(where), share=share, priority=priority),
            now=T0 + timedelta(seconds=age),
        )
        for number, (where, share, priority, age) in enumerate(asks)
    ]
    sizes = st.sampled_from([None, None, 0, 1, 2, 3, 4, 5, 6, 8, 12])
    states = st.builds(
        PoolState,
        name=st.just("p"),
        closed_until=st.none() | st.sampled_from([T0 - timedelta(1), T0 + timedelta(1)]),
        limit=st.none() | st.integers(0, 8),
        external=st.integers(0, 3),
        limit_at=st.sampled_from([None, *(T0 - timedelta(minutes=m) for m in (1, 5, 20))]),
        level=st.integers(0, 8),
        level_at=st.sampled_from([None, T0, T0 - timedelta(hours=1)]),
        before=st.integers(0, 12),
        fade=st.sampled_from([1.0, 0.7, 0.49]),
        growth=st.none() | st.integers(0, 4),
        bets=st.integers(0, 4),
        bet_at=st.none() | st.just(T0 - timedelta(minutes=1)),
        rounds=st.integers(0, 4),
        refusals=st.integers(0, 3),
        refused_at=st.none() | st.just(T0 - timedelta(minutes=3)),
    )
    snapshot = Snapshot(
        waiting=[waiting_of(job) for job in jobs],
        usage=draw(
            st.lists(
                st.builds(
                    lambda pool, share, slots, idle: Usage(
                        pool, share, slots, max(0, slots - idle)
                    ),
                    st.sampled_from(POOLS),
                    st.sampled_from(SHARES),
                    st.integers(1, 4),
                    st.integers(0, 4),
                ),
                max_size=4,
            )
        ),
        capacity={pool: draw(sizes) for pool in POOLS},
        pools=draw(st.dictionaries(st.sampled_from(POOLS), states)),
        shares={
            share: ShareUsage(share=share, hours=hours, at=T0 - timedelta(hours=1))
            for share, hours in draw(
                st.dictionaries(st.sampled_from(SHARES), st.floats(0, 9))
            ).items()
        },
    )
    limits = Limits(
        pools=draw(st.dictionaries(st.sampled_from(POOLS), st.integers(0, 8))),
        shares=draw(st.dictionaries(st.sampled_from(SHARES), st.integers(0, 10))),
        share_default=draw(st.none() | st.integers(0, 10)),
        launches_max=draw(st.sampled_from([1, 3, 100])),
        share_weights=draw(st.dictionaries(st.sampled_from(SHARES), st.sampled_from([0.5, 3.0]))),
        aging=draw(st.sampled_from([None, timedelta(seconds=7)])),
    )
    return jobs, snapshot, limits


class Ledger:
    """An independent, naive account of who uses what."""

    def __init__(self, snapshot, limits):
        self.snapshot, self.limits = snapshot, limits
        self.rows = [(u.pool, u.share, u.slots) for u in snapshot.usage]
        self.may = {
            pool: allowance(
                snapshot.pools.get(pool),
                size=size,
                in_flight=sum(u.slots for u in snapshot.usage if u.pool == pool),
                running=sum(u.running for u in snapshot.usage if u.pool == pool),
                waiting=sum(p.pool == pool for w in snapshot.waiting for p in w.placements),
                now=T0,
            )
            for pool, size in snapshot.capacity.items()
        }
        self.asked = Counter()
        self.kept = {}  # slots, by pool, for a job that has aged and does not fit
        self.had = {share: current_usage(use, T0) for share, use in snapshot.shares.items()}

    def add(self, launch, share):
        self.rows.append((launch.placement.pool, share, launch.placement.count))
        self.asked[launch.placement.pool] += launch.placement.count

    def load(self, share):
        used = sum(n for _, s, n in self.rows if s == share) + self.had.get(share, 0.0)
        return used / self.limits.share_weights.get(share, 1.0)

    def is_sure(self, placement) -> bool:
        """Whether the slots were ours before."""
        reuse = self.may[placement.pool].reuse
        return reuse is None or self.asked[placement.pool] + placement.count <= reuse

    def where(self, job):
        """The first placement that fits, those in a shortage last."""
        states = self.snapshot.pools
        fitting = [p for p in job.placements if self.fits(p, job.share)]
        short = [
            p
            for p in fitting
            if not self.is_sure(p)
            and (state := states.get(p.pool)) is not None
            and state.refusals
            and state.bet_at is not None
        ]
        return next((p for p in fitting if p not in short), next(iter(short), None))

    def fits(self, placement, share) -> bool:
        pool, count = placement.pool, placement.count
        if pool not in self.snapshot.capacity:
            return False
        in_pool = sum(n for p, _, n in self.rows if p == pool)
        in_share = sum(n for _, s, n in self.rows if s == share)
        taken = in_pool + self.kept.get(pool, 0)
        bounds = [
            (taken, self.snapshot.capacity[pool]),
            (taken, self.limits.pools.get(pool)),
            (in_share, self.limits.shares.get(share, self.limits.share_default)),
        ]
        if any(bound is not None and used + count > bound for used, bound in bounds):
            return False
        may = self.may[pool]
        first = may.oversize and self.asked[pool] == 0
        if may.reuse is not None and self.asked[pool] + count > may.reuse + may.bets and not first:
            return False
        state = self.snapshot.pools.get(pool)
        if state is None:
            return True
        if state.limit is None or state.limit_at is None:
            return True
        age = T0 - state.limit_at
        others = state.external if age < timedelta(minutes=2) else 0
        probe = self.asked[pool] == 0 and age >= timedelta(minutes=15)
        return in_pool + others + count <= state.limit or probe

    def keep(self, job):
        """Keep the first pool that is full, and could have the job if it were empty, for one that has aged."""
        for pool, count in ((p.pool, p.count) for p in job.placements):
            sizes = (self.snapshot.capacity.get(pool), self.limits.pools.get(pool))
            size = min((bound for bound in sizes if bound is not None), default=0)
            in_pool = sum(n for p, _, n in self.rows if p == pool) + self.kept.get(pool, 0)
            limit = self.limits.shares.get(job.share, self.limits.share_default)
            in_share = sum(n for _, s, n in self.rows if s == job.share)
            if count <= size < in_pool + count and (limit is None or in_share + count <= limit):
                self.kept.setdefault(pool, count)
                return


def has_aged(job, limits):
    return limits.aging is not None and T0 - job.submitted_at >= limits.aging


def rank(job, ledger):
    """Priority, which age raises to the highest that waits; the share's load; age in steps; size; age."""
    aging = ledger.limits.aging
    aged = max(0, (T0 - job.submitted_at) // aging) if aging else 0
    highest = max(waiting.priority for waiting in ledger.snapshot.waiting)
    priority = job.priority + min(aged, highest - job.priority)
    size = min(p.count for p in job.placements)
    return (-priority, ledger.load(job.share), -aged, size, *order_key(job)[1:])


@given(worlds())
def test_no_limit_is_ever_exceeded(world):
    _, snapshot, limits = world
    jobs = {job.job_id: job for job in snapshot.waiting}
    ledger = Ledger(snapshot, limits)
    launches = plan(snapshot, limits, now=T0).launches
    assert len(launches) <= limits.launches_max
    assert len({launch.job_id for launch in launches}) == len(launches)
    for launch in launches:
        job = jobs[launch.job_id]
        assert launch.placement in job.placements
        assert launch.attempt == job.attempt
        assert ledger.fits(launch.placement, job.share)
        ledger.add(launch, job.share)


@settings(max_examples=250)
@given(worlds())
def test_the_plan_is_what_walking_all_jobs_in_order_gives(world):
    """The order is `rank`'s; a job that fits nowhere blocks no other, unless it has aged."""
    _, snapshot, limits = world
    ledger = Ledger(snapshot, limits)
    expected = []
    left = list(snapshot.waiting)
    while left and len(expected) < limits.launches_max:
        job = min(left, key=lambda job: rank(job, ledger))
        left.remove(job)
        where = ledger.where(job)
        if where is not None:
            expected.append(Launch(job.job_id, job.attempt, where, bet=not ledger.is_sure(where)))
            ledger.add(expected[-1], job.share)
        elif has_aged(job, limits):
            ledger.keep(job)
    assert list(plan(snapshot, limits, now=T0).launches) == expected


@settings(max_examples=120)
@given(worlds())
def test_nobody_waits_who_could_start(world):
    _, snapshot, limits = world
    limits = replace(limits, launches_max=1000, aging=None)  # nothing is kept for anybody
    launches = plan(snapshot, limits, now=T0).launches
    shares = {job.job_id: job.share for job in snapshot.waiting}
    ledger = Ledger(snapshot, limits)
    for launch in launches:
        ledger.add(launch, shares.pop(launch.job_id))
    for job in snapshot.waiting:
        if job.job_id in shares:
            assert not any(ledger.fits(p, job.share) for p in job.placements)


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(world, random):
    _, snapshot, limits = world
    shuffled = list(snapshot.waiting)
    random.shuffle(shuffled)
    again = replace(snapshot, waiting=shuffled)
    assert plan(again, limits, now=T0) == plan(snapshot, limits, now=T0)


@given(worlds())
def test_explain_agrees_with_plan(world):
    jobs, snapshot, limits = world
    launched = {launch.job_id for launch in plan(snapshot, limits, now=T0).launches}
    for job in jobs:
        why = explain(job, snapshot, limits, now=T0)
        assert (why.code is WaitCode.NEXT) == (job.job_id in launched)
        assert why.sentence


def walked_before(me, snapshot, limits):
    """Walk all jobs one by one until *me* is decided; give those launched and those that fit nowhere."""
    ledger, launched, blocked = Ledger(snapshot, limits), [], []
    left = list(snapshot.waiting)
    while (job := min(left, key=lambda job: rank(job, ledger))).job_id != me.job_id:
        left.remove(job)
        where = ledger.where(job)
        if where is not None:
            launched.append(job)
            ledger.add(Launch(job.job_id, job.attempt, where), job.share)
        else:
            blocked.append(job)
            if has_aged(job, limits):
                ledger.keep(job)
    return launched, blocked


@settings(max_examples=250)
@given(worlds(), st.booleans())
def test_the_jobs_ahead_are_those_that_the_plan_reaches_first(world, one_share):
    jobs, snapshot, limits = world
    if one_share:
        jobs = [replace(job, spec=replace(job.spec, share=SHARES[0])) for job in jobs]
        snapshot = replace(snapshot, waiting=[waiting_of(job) for job in jobs])
    for job in jobs:
        why = explain(job, snapshot, limits, now=T0)
        if why.code is not WaitCode.BEHIND:
            continue
        me = waiting_of(job)
        launched, blocked = walked_before(me, snapshot, limits)
        assert why.facts["starting"] == min(len(launched), limits.launches_max)
        assert why.facts["ahead"] >= max(1, len(launched))
        pools = {place.pool for place in me.placements}
        rivals = [other for other in blocked if pools & {place.pool for place in other.placements}]
        # With several shares a blocked job may fall behind when others of its share are launched.
        assert not one_share or why.facts["ahead"] == len(launched) + len(rivals)


@given(worlds())
def test_a_pool_that_is_full_changes_nothing_for_the_others(world):
    """Take all room out of one pool: what starts elsewhere for one share's one-pool jobs is the same."""
    _, snapshot, _ = world
    single = [
        replace(job, placements=job.placements[:1], share=SHARES[0]) for job in snapshot.waiting
    ]
    snapshot = replace(snapshot, waiting=single)
    full = replace(snapshot, capacity={**snapshot.capacity, "a": 0})

    def elsewhere(launches):
        return [launch for launch in launches if launch.placement.pool != "a"]

    before = plan(snapshot, Limits(), now=T0).launches
    assert elsewhere(before) == list(plan(full, Limits(), now=T0).launches)


def waits(number, count, since, share="x"):
    where = (Placement("a", count),)
    return Waiting(f"job{number}", 0, share, where, T0 - timedelta(minutes=since))


def test_the_smaller_jobs_of_a_share_go_first_until_a_larger_one_has_aged():
    jobs = [waits(1, 3, 90), waits(2, 1, 30)]
    world = Snapshot(waiting=jobs, capacity={"a": 4})
    young = [launch.job_id for launch in plan(world, Limits(), now=T0).launches]
    aged = plan(world, Limits(aging=timedelta(hours=1)), now=T0).launches
    assert young == ["job2", "job1"]
    assert [launch.job_id for launch in aged] == ["job1", "job2"]


def test_what_becomes_free_is_kept_for_a_large_job_that_has_aged():
    """Else a stream of small jobs would keep it out for ever."""
    jobs = [waits(1, 3, 90), waits(2, 1, 30), waits(3, 1, 20, share="y")]
    limits = Limits(aging=timedelta(hours=1))
    busy = Snapshot(waiting=jobs, usage=[Usage("a", "z", 2, 2)], capacity={"a": 4, "b": 1})
    assert not plan(busy, limits, now=T0).launches
    assert plan(busy, Limits(aging=timedelta(hours=2)), now=T0).launches
    free = replace(busy, usage=[Usage("a", "z", 1, 1)])
    assert [launch.job_id for launch in plan(free, limits, now=T0).launches] == ["job1"]


def test_nothing_is_kept_for_a_job_that_never_fits():
    jobs = [waits(1, 5, 90), waits(2, 1, 30)]
    world = Snapshot(waiting=jobs, capacity={"a": 4})
    launches = plan(world, Limits(aging=timedelta(hours=1)), now=T0).launches
    assert [launch.job_id for launch in launches] == ["job2"]


def test_a_plan_says_when_to_plan_again():
    until = T0 + timedelta(seconds=9)
    world = Snapshot(
        waiting=[waiting_of(make_job())],
        capacity={"a": 1},
        pools={"a": PoolState(name="a", closed_until=until)},
    )
    assert plan(world, Limits(), now=T0).wake_at == until
    assert len(plan(world, Limits(), now=until).launches) == 1


def codes_of(capacity, limits=None, usage=(), pools=None, job=None):
    snapshot = Snapshot(waiting=(), usage=usage, capacity=capacity, pools=pools or {})
    return explain(job or make_job(), snapshot, limits or Limits(), now=T0)


def test_every_obstacle_has_its_code():
    job = make_job(placements=(Placement("a", 2),))
    used = [Usage("a", "ada", 3)]
    said = {"a": PoolState(name="a", limit=3, limit_at=T0)}
    closed = {"a": PoolState(name="a", closed_until=T0 + timedelta(1), refusal="no room")}
    asked = {"a": PoolState(name="a", growth=0)}
    none = {"a": None}
    assert codes_of({}, job=job).code is WaitCode.POOL_UNKNOWN
    assert codes_of({"a": 1}, job=job).code is WaitCode.POOL_TOO_SMALL
    assert codes_of({"a": 4}, usage=used, job=job).code is WaitCode.POOL_FULL
    assert codes_of(none, Limits(pools={"a": 4}), used, job=job).code is WaitCode.POOL_LIMIT
    assert codes_of(none, Limits(share_default=4), used, job=job).code is WaitCode.SHARE_LIMIT
    assert codes_of(none, usage=used, pools=said, job=job).code is WaitCode.QUOTA_FULL
    assert codes_of(none, usage=used, pools=closed, job=job).code is WaitCode.POOL_CLOSED
    assert codes_of(none, usage=used, pools=asked, job=job).code is WaitCode.PROBING
    assert codes_of(none, usage=used, job=job).code is WaitCode.NEXT


def test_a_job_behind_others_is_told_so():
    other = waiting_of(make_job("other", priority=1))
    snapshot = Snapshot(waiting=[other], capacity={"a": 1})
    why = explain(make_job(), snapshot, Limits(), now=T0)
    assert (why.code, why.sentence[:1]) == (WaitCode.BEHIND, "1")


def test_every_status_is_explained():
    new = make_job()
    launching = after(new, decided())
    running = after(launching, TrainingSeen(attempt=1, running=True))
    stopping = after(running, StopRequested(by="ada"))
    backs_off = after(running, ended())
    cases = {
        WaitCode.LAUNCHING: launching,
        WaitCode.RUNNING: running,
        WaitCode.STOPPING: stopping,
        WaitCode.BACKING_OFF: backs_off,
        WaitCode.HELD: after(new, HoldRequested(by="ada")),
        WaitCode.OVER: after(running, ended(outcome=Status.COMPLETED)),
    }
    for code, job in cases.items():
        assert codes_of({"a": 1}, job=job).code is code
    failed = after(running, ended(failure=make_failure(FailureClass.TIMEOUT)))
    assert "timeout" in codes_of({"a": 1}, job=failed).sentence
    assert codes_of({}, job=after(launching, accepted())).code is WaitCode.LAUNCHING
    assert codes_of({}, job=after(new, StopRequested(by="ada"))).code is WaitCode.OVER


def test_usage_counts_what_active_jobs_hold():
    one = after(make_job(), decided())
    two = after(make_job("2"), decided(), StopRequested(by="ada"))
    assert usage_of([one, two, make_job("3")]) == (Usage("a", "ada", 2, running=1),)
