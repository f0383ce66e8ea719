"""What the values are by default, where their bounds are, and that `replace` is `replace`."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st

from core_strategies import (
    T0,
    accepted,
    after,
    clocks,
    decided,
    ended,
    failures,
    make_job,
    placements,
    retry_policies,
    times,
)
from jobcore import (
    Clocks,
    CorruptRecord,
    FailureClass,
    HoldRequested,
    Limits,
    Placement,
    RetryPolicy,
    Settings,
    Snapshot,
    Spec,
    Status,
    StopRequested,
    TrainingEnded,
    TrainingSeen,
    new_job,
)
from jobcore.lifecycle import (
    Attempt,
    InProgress,
    Launched,
    Mark,
    New,
    OutboxEntry,
    PoolState,
    Tick,
    spec_hash,
)
from jobcore.ports import (
    Added,
    JobQuery,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Page,
    Training,
    TrainingState,
    Usage,
    Waiting,
)
from jobcore.scheduling import Explanation, FactKind, Plan, WaitCode

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001
DAY = timedelta(days=1)


def test_bounds_are_inclusive():
    assert Placement("a", 1).count == Placement("a").count == 1
    assert RetryPolicy(budgets={FailureClass.OOM: 0}).budgets == {FailureClass.OOM: 0}
    assert RetryPolicy(backoff=timedelta(0)).backoff == timedelta(0)
    assert RetryPolicy(backoff=DAY, backoff_max=DAY).backoff_max == DAY
    assert RetryPolicy(backoff_max=3650 * DAY).backoff_max == 3650 * DAY
    assert Clocks(wait_at_most=timedelta(seconds=1), run_at_most=3650 * DAY).finish_by is None
    assert Clocks(finish_by=T0).finish_by == T0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Placement("a", 0), "count: expected at least 1, got 0"),
        (lambda: RetryPolicy(budgets={FailureClass.OOM: -1}), "retry.oom: expected 0 or more"),
        (lambda: RetryPolicy(backoff=-timedelta.resolution), "retry.backoff: expected 0 or more"),
        (
            lambda: RetryPolicy(backoff=DAY, backoff_max=DAY - timedelta.resolution),
            "retry.backoff_max: expected at least retry.backoff",
        ),
        (lambda: Clocks(wait_at_most=timedelta(0)), "wait_at_most: expected at least 1 second"),
        (lambda: Clocks(run_at_most=timedelta(0)), "run_at_most: expected at least 1 second"),
        (lambda: Clocks(finish_by=NAIVE), "finish_by: expected an aware"),
        (lambda: Clocks(run_at_most=3650 * DAY + timedelta.resolution), "run_at_most: expected"),
    ],
)
def test_what_is_beyond_a_bound_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        make()


def test_what_is_so_unless_said_otherwise():
    spec = Spec(name="n", owner="o", placements=(Placement("a"),))
    assert (spec.share, spec.group, spec.priority) == ("o", None, 0)
    assert (spec.args, spec.tags, spec.digest) == ({}, {}, None)
    assert (spec.retry, spec.clocks) == (RetryPolicy(), Clocks())
    assert Clocks() == Clocks(wait_at_most=None, run_at_most=None, finish_by=None)
    assert New(since=T0) == New(since=T0, attempt=1, not_before=None, after=None)
    job = new_job(make_job().job_id, spec, now=T0)
    assert (job.version, job.stop, job.hold_next) == (0, None, False)
    assert (job.charges, job.attempts, job.outbox, job.extra) == ({}, (), (), {})
    assert (job.state, job.submitted_at, job.waiting_since) == (New(since=T0), T0, T0)
    (mark,) = job.timeline
    assert (mark.at, mark.status, mark.attempt, mark.note) == (T0, Status.NEW, 1, "submitted")


def test_what_a_record_says_by_default():
    attempt = Attempt(number=1, placement=Placement("a"), launching_at=T0)
    for kind in (Launched, InProgress):
        state = kind(since=T0, attempt=attempt)
        assert (state.detail, state.missing_since) == ("", None)
    assert Mark(at=T0, status=Status.NEW, attempt=1).note == ""
    assert OutboxEntry(event_id="e", status=Status.HELD, at=T0).reason == ""
    times = (attempt.launched_at, attempt.started_at, attempt.ended_at)
    assert (*times, attempt.outcome, attempt.failure) == (None,) * 5
    with pytest.raises(ValueError, match=r"^submitted_at: expected an aware datetime"):
        new_job(make_job().job_id, make_job().spec, now=NAIVE)


def test_a_spec_that_was_hashed_is_the_same_spec():
    hashed, fresh = make_job().spec, make_job().spec
    spec_hash(hashed)
    assert hashed == fresh
    assert repr(hashed) == repr(fresh)
    assert spec_hash(replace(fresh, name="é")) != spec_hash(fresh)


def test_the_settings_of_a_tick_that_has_none():
    plain = Settings()
    assert (plain.launch_lease.seconds, plain.page, plain.launches_together) == (60, 1000, 1)
    assert plain.go_on()
    assert plain.limits == Limits()


def test_nothing_is_known_of_a_pool_at_first():
    state = PoolState(name="a")
    zero = ("version", "level", "before", "bets", "rounds", "refusals", "external")
    assert [getattr(state, name) for name in zero] == [0] * len(zero)
    none = ("level_at", "growth", "bet_at", "refused_at", "closed_until", "limit", "limit_at")
    assert [getattr(state, name) for name in none] == [None] * len(none)
    assert (state.fade, state.shrunk, state.queue_granted, state.refusal) == (1.0, False, False, "")
    times = {f.name for f in dataclasses.fields(PoolState) if "datetime" in str(f.type)}
    assert set(PoolState.TIMES) == times, "a store turns these, and only these, into numbers"


def test_the_words_that_programs_see():
    assert [kind.value for kind in FactKind] == [
        "accepted", "started", "pending", "ended", "refused", "lost",
    ]  # fmt: skip
    assert [code.value for code in WaitCode] == [
        "Next", "Behind", "BackingOff", "PoolFull", "PoolClosed", "Probing", "PoolTooSmall",
        "PoolUnknown", "QuotaFull", "PoolLimit", "ShareLimit", "Held", "Launching", "Running",
        "Stopping", "Over",
    ]  # fmt: skip
    assert [tick.value for tick in Tick] == ["launch", "monitor", "notify"]
    assert [added.value for added in Added] == ["created", "duplicate", "clash"]
    assert [result.value for result in LaunchResult] == ["accepted", "exists", "refused", "unclear"]
    assert [state.value for state in TrainingState] == [
        "Pending", "Running", "Stopping", "Completed", "Failed", "Stopped",
    ]  # fmt: skip
    over = {TrainingState.COMPLETED, TrainingState.FAILED, TrainingState.STOPPED}
    assert {state for state in TrainingState if state.is_terminal} == over


def test_a_record_that_cannot_be_read_says_which_and_why():
    error = CorruptRecord("x", "torn")
    assert (error.job_id, error.why) == ("x", "torn")
    assert str(error) == "job x: stored record cannot be read: torn"


def test_what_a_port_is_asked_by_default():
    query = JobQuery()
    assert (query.statuses, query.cursor, query.limit) == (frozenset(), None, 100)
    assert (query.owner, query.group, query.name, query.id_prefix) == (None,) * 4
    assert Page(jobs=()).cursor is None
    assert LaunchReply(LaunchResult.ACCEPTED).evidence is None
    training = Training(name="n", state=TrainingState.RUNNING)
    assert (training.job_id, training.attempt, training.spec_hash) == (None,) * 3
    assert (training.started_at, training.ended_at, training.evidence) == (None,) * 3
    assert training.detail == ""
    place = Placement("a")
    request = LaunchRequest(
        name="n", job_id="j", attempt=1, spec_hash="h", placement=place, args={}
    )
    assert (request.run_at_most, request.owner, request.group) == (None, "", None)
    assert (request.tags, request.to_stop) == ({}, False)
    snapshot = Snapshot(waiting=())
    assert (snapshot.usage, snapshot.capacity, snapshot.pools) == ((), {}, {})
    assert (snapshot.depth, snapshot.shares) == (None, {})
    waiting = Waiting("j", 0, "s", (place,), T0)
    assert (waiting.attempt, Usage("a", "s", 1).running, Plan(()).wake_at) == (1, 0, None)
    why = Explanation(code=WaitCode.OVER)
    assert (why.facts, why.until) == ({}, None)


def test_what_runs_has_its_slots():
    assert {s for s in Status if s.runs} == {Status.IN_PROGRESS, Status.STOPPING}
    active = {Status.LAUNCHING, Status.LAUNCHED, Status.IN_PROGRESS, Status.STOPPING}
    assert {s for s in Status if s.is_active} == active


def test_the_number_that_a_state_speaks_of():
    again = after(make_job(), decided(), accepted(), ended())
    third = after(again, decided(2), accepted(2), ended(2, outcome=Status.COMPLETED), now=T0 + DAY)
    assert (third.attempt_number, third.current) == (2, None)
    held = after(again, HoldRequested(by="ada"))
    assert (held.attempt_number, held.current, held.training_name[-2:]) == (2, None, "-2")
    assert after(again, StopRequested(by="ada")).attempt_number == 1, "the last that there was"
    assert again.status is Status.NEW


def test_an_end_needs_its_reason_and_only_an_end_is_one():
    done = TrainingEnded(attempt=1, outcome=Status.COMPLETED)
    assert (done.failure, done.started_at, done.ended_at) == (None, None, None)
    for outcome in (Status.FAILED, Status.STOPPED):
        with pytest.raises(ValueError, match="needs its reason"):
            TrainingEnded(attempt=1, outcome=outcome)
    for outcome in set(Status) - {Status.COMPLETED, Status.FAILED, Status.STOPPED}:
        with pytest.raises(ValueError, match="is not the end"):
            TrainingEnded(attempt=1, outcome=outcome, failure=None)


# --- evolve -----------------------------------------------------------------------------

attempts = st.builds(
    Attempt,
    number=st.integers(1, 9),
    placement=placements,
    launching_at=times,
    started_at=st.none() | times,
    failure=st.none() | failures,
)
values = st.one_of(
    attempts,
    clocks,
    retry_policies,
    st.builds(Launched, since=times, attempt=attempts, detail=st.text(max_size=3)),
    st.builds(TrainingSeen, attempt=st.integers(1, 3), running=st.booleans()),
)


def test_a_copy_of_a_spec_has_a_hash_of_its_own():
    """A spec remembers its hash: a copy with other arguments must not still have the old one."""
    spec = make_job().spec
    before = spec_hash(spec)
    other = replace(spec, name="another")
    assert spec_hash(other) != before
    assert spec_hash(replace(other, name=spec.name)) == before
