"""Builders and hypothesis strategies that the core's tests share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from jobcore import (
    Clocks,
    Failure,
    FailureClass,
    HoldRequested,
    Job,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    MessagePublished,
    NameTaken,
    Placement,
    ReleaseRequested,
    RetryPolicy,
    Spec,
    Status,
    StopRequested,
    TimePassed,
    TrainingEnded,
    TrainingMissing,
    TrainingSeen,
    job_id_from_token,
    new_job,
    step,
)
from jobcore.lifecycle import Retryable, Scope

T0 = datetime(2026, 1, 1, tzinfo=UTC)
POOLS = ("a", "b", "c")


def make_failure(
    kind: FailureClass = FailureClass.ALGORITHM,
    retryable: Retryable = Retryable.LIMITED,
    text: str = "it broke",
) -> Failure:
    return Failure(
        failure_class=kind, scope=Scope.JOB, retryable=retryable, rule="a rule", text=text
    )


def make_job(token: str = "1", **spec: object) -> Job:
    values = {"name": "train", "owner": "ada", "placements": (Placement("a"),)} | spec
    return new_job(job_id_from_token("ada", token), Spec(**values), now=T0)


def after(job: Job, *events: object, now: datetime = T0) -> Job:
    """Apply *events*, each of which must change the job, saving after each."""
    for event in events:
        result = step(job, event, now=now)
        assert result.changed, (job.status, event, result.ignored, result.refused)
        job = saved(result.job)
    return job


def saved(job: Job) -> Job:
    from dataclasses import replace

    return replace(job, version=job.version + 1)


def decided(attempt: int = 1) -> LaunchDecided:
    return LaunchDecided(attempt=attempt, placement=Placement("a"))


def accepted(attempt: int = 1) -> LaunchAccepted:
    return LaunchAccepted(attempt=attempt, placement=Placement("a"))


def ended(
    attempt: int = 1, failure: Failure | None = None, outcome: Status = Status.FAILED
) -> TrainingEnded:
    if outcome is not Status.COMPLETED and failure is None:
        failure = make_failure()
    return TrainingEnded(attempt=attempt, outcome=outcome, failure=failure)


texts = st.text(max_size=30)
#: What a spec may hold: no NUL, which no process can be given.
clean = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
words = st.text(clean, max_size=30)
placements = st.builds(Placement, st.sampled_from(POOLS), st.integers(1, 4))
spans = st.integers(1, 10**7).map(lambda s: timedelta(seconds=s))
times = st.integers(-(10**6), 10**6).map(lambda s: T0 + timedelta(seconds=s))
failures = st.builds(
    Failure,
    failure_class=st.sampled_from(FailureClass),
    scope=st.sampled_from(Scope),
    retryable=st.sampled_from(Retryable),
    rule=texts,
    text=texts,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | words
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
retry_policies = st.builds(
    RetryPolicy,
    budgets=st.dictionaries(st.sampled_from(FailureClass), st.integers(0, 3), max_size=4),
    backoff=st.integers(0, 60).map(lambda s: timedelta(seconds=s)),
    backoff_max=st.integers(60, 600).map(lambda s: timedelta(seconds=s)),
)
clocks = st.builds(
    Clocks,
    wait_at_most=st.none() | spans,
    run_at_most=st.none() | spans,
    finish_by=st.none() | times,
)
specs = st.builds(
    Spec,
    name=st.text(clean, min_size=1, max_size=10),
    owner=st.text(clean, min_size=1, max_size=10),
    placements=st.lists(placements, min_size=1, max_size=3).map(tuple),
    args=st.dictionaries(words, json_values, max_size=3),
    share=words,
    group=st.none() | words,
    priority=st.integers(-3, 3),
    retry=retry_policies,
    clocks=clocks,
    tags=st.dictionaries(words, words, max_size=3),
)


def events(attempts: st.SearchStrategy[int]) -> st.SearchStrategy[object]:
    """Draw any event, about one of *attempts* where it is about a training."""
    outcomes = st.sampled_from([Status.FAILED, Status.STOPPED])
    seen = st.builds(
        TrainingSeen, attempt=attempts, running=st.booleans(), detail=st.sampled_from(["", "x"])
    )
    return st.one_of(
        st.builds(LaunchDecided, attempt=attempts, placement=placements),
        st.builds(LaunchAccepted, attempt=attempts, placement=placements),
        st.builds(LaunchRefused, attempt=attempts, failure=failures),
        st.builds(NameTaken, attempt=attempts, reason=texts),
        seen,
        st.builds(TrainingEnded, attempt=attempts, outcome=outcomes, failure=failures),
        st.builds(TrainingEnded, attempt=attempts, outcome=st.just(Status.COMPLETED)),
        st.builds(TrainingMissing, attempt=attempts),
        st.builds(StopRequested, by=texts),
        st.builds(HoldRequested, by=texts, reason=texts),
        st.builds(ReleaseRequested, by=texts),
        st.just(TimePassed()),
        st.builds(MessagePublished, event_id=texts),
    )
