from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_job
from jobcore import (
    Clocks,
    Failure,
    FailureClass,
    Placement,
    RetryPolicy,
    Spec,
    Status,
    StopRequested,
    TrainingEnded,
    new_job,
)
from jobcore.documents import digest
from jobcore.lifecycle import Retryable, Scope

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Placement(""), "pool: expected"),
        (lambda: Placement("a", 0), "count: expected at least 1, got 0"),
        (lambda: RetryPolicy(budgets={FailureClass.OOM: -1}), "retry.oom: expected 0 or more"),
        (lambda: RetryPolicy(backoff=timedelta(-1)), "retry.backoff: expected 0 or more"),
        (lambda: RetryPolicy(backoff_max=timedelta(0)), "retry.backoff_max"),
        (lambda: Clocks(wait_at_most=timedelta(0)), "wait_at_most: expected at least 1 second"),
        (lambda: Clocks(run_at_most=timedelta(-1)), "run_at_most: expected at least 1 second"),
        (lambda: Clocks(finish_by=NAIVE), "finish_by: expected an aware datetime"),
        (lambda: Spec(name="", owner="o", placements=(Placement("a"),)), "name: expected"),
        (lambda: Spec(name="n", owner="", placements=(Placement("a"),)), "owner: expected"),
        (lambda: Spec(name="n", owner="o", placements=()), "at least one pool"),
        (lambda: new_job("../../etc", make_job().spec, now=T0), "is not a job id"),
        (lambda: new_job("0" * 26, make_job().spec, now=NAIVE), "submitted_at"),
        (lambda: TrainingEnded(attempt=1, outcome=Status.NEW), "is not the end"),
        (lambda: TrainingEnded(attempt=1, outcome=Status.FAILED), "needs its reason"),
    ],
)
def test_what_is_invalid_cannot_be_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- what cannot work is refused where it enters (each was accepted once) -------------------

LONDON = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/London"))  # 0 hours from UTC, until March
EAST = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))
MILLI = timedelta(milliseconds=1)


def nested(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


def ring() -> object:
    value: list[object] = []
    value.append(value)
    return value


def spec_with(**changes) -> Spec:
    return Spec(**({"name": "n", "owner": "o", "placements": (Placement("a"),)} | changes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Placement("a\0b"), "pool: contains a NUL character"),
        (lambda: Placement("a", True), "count: expected a whole number of at least 1, got true"),
        (lambda: Placement("a", "2"), "count: expected a whole number of at least 1, got a string"),
        (lambda: Placement("a", 1.0), "count: expected a whole number of at least 1, got 1.0"),
        (lambda: Placement(3), "pool: expected the name of a pool, got 3"),
        (lambda: RetryPolicy(budgets={FailureClass.OOM: True}), "retry.oom: expected a whole number"),
        (lambda: RetryPolicy(budgets={"oom": 1}), "retry.oom: expected a class of failures"),
        (lambda: RetryPolicy(budgets={"rain": 1}), "retry.rain: expected a class of failures"),
        (lambda: RetryPolicy(budgets=[]), "retry: expected a table, got a list"),
        (lambda: RetryPolicy(backoff=30), "retry.backoff: expected a duration, got 30"),
        (lambda: RetryPolicy(backoff_max=3600.0), "retry.backoff_max: expected a duration"),
        (lambda: Clocks(run_at_most=MILLI / 10), "run_at_most: expected at least 1 second, got 0.0001 seconds"),
        (lambda: Clocks(wait_at_most=MILLI), "wait_at_most: expected at least 1 second, got 0.001 seconds"),
        (lambda: Clocks(run_at_most=60), "run_at_most: expected a duration, got 60"),
        (lambda: Clocks(finish_by=LONDON), "finish_by: expected an aware datetime in UTC"),
        (lambda: Clocks(finish_by=EAST), r"finish_by: .* got 2026-01-01T00:00:00\+02:00; convert it"),
        (lambda: Clocks(finish_by="2026-01-01"), "finish_by: expected an aware datetime"),
        (lambda: Clocks(finish_by=T0.replace(year=9000)), "finish_by: expected a time between 1970 and 3000"),
        (lambda: spec_with(name="a\0"), "name: contains a NUL character"),
        (lambda: spec_with(name="\ud800"), "name: contains a lone surrogate"),
        (lambda: spec_with(owner="a\0"), "owner: contains a NUL character"),
        (lambda: spec_with(owner=None), "owner: expected who the job belongs to, got None"),
        (lambda: spec_with(share="a\0"), "share: contains a NUL character"),
        (lambda: spec_with(group="a\0"), "group: contains a NUL character"),
        (lambda: spec_with(group=3), "group: expected text, got 3"),
        (lambda: spec_with(priority=True), "priority: expected a whole number from -1,000,000 to 1,000,000"),
        (lambda: spec_with(priority=10**9), "priority: expected -1,000,000 to 1,000,000, got 1000000000"),
        (lambda: spec_with(placements=[Placement("a")]), "pools: expected a tuple of placements"),
        (lambda: spec_with(placements=("a",)), "pools: expected placements, got a string"),
        (lambda: spec_with(retry={}), "retry: expected a RetryPolicy"),
        (lambda: spec_with(clocks={}), "clocks: expected Clocks"),
        (lambda: spec_with(tags={"a": 1}), "tags.a: expected text, got a number"),
        (lambda: spec_with(tags={"a": "secret\0"}), "tags.a: contains a NUL character"),
        (lambda: spec_with(tags=["a"]), "tags: expected a table, got a list$"),
        (lambda: spec_with(args=None), "args: expected a table, got NoneType"),
        (lambda: spec_with(args={"script": "a\0"}), "args.script: contains a NUL character"),
        (lambda: spec_with(args={"arguments": ["a", "b\0"]}), "args.arguments: contains a NUL"),
        (lambda: spec_with(args={"hyperparameters": {"x": ["\0"]}}), "args.hyperparameters: contains a NUL"),
        (lambda: spec_with(args={"hyperparameters": {"x\0": 1}}), "args.hyperparameters: contains a NUL"),
        (lambda: spec_with(args={"environment": {"A": "\0"}}), "args.environment: contains a NUL"),
        (lambda: spec_with(args={"channels": {"a\0": "x"}}), "args.channels: contains a NUL"),
        (lambda: spec_with(args={"x": float("nan")}), "args.x: not JSON data"),
        (lambda: spec_with(args={"x": {"y": float("inf")}}), "args.x: not JSON data"),
        (lambda: spec_with(args={"x": {1, 2}}), "args.x: not JSON data"),
        (lambda: spec_with(args={"x": nested(201)}), "args.x: nested more than 200 levels deep"),
        (lambda: spec_with(args={"x": ring()}), "args.x: nested more than 200 levels deep"),
        (lambda: spec_with(args={"x": {1: 2}}), "args.x: .*name"),
        (lambda: new_job("0" * 26, make_job().spec, now=LONDON), "submitted_at: expected an aware datetime in UTC"),
        (lambda: new_job("0" * 26, make_job().spec, now=EAST), "submitted_at: expected an aware datetime in UTC"),
        (lambda: replace(make_job(), waiting_since=EAST), "waiting_since: expected an aware datetime in UTC"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_where_it_enters(make, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        make()
    assert "secret" not in str(caught.value)


def test_a_time_of_another_name_of_utc_is_allowed():
    for zone in (ZoneInfo("UTC"), ZoneInfo("Etc/UTC"), timezone(timedelta(0), "UTC")):
        assert Clocks(finish_by=T0.replace(tzinfo=zone)).finish_by == T0


def test_the_smallest_clocks_are_one_second():
    second = timedelta(seconds=1)
    assert Clocks(wait_at_most=second, run_at_most=second).run_at_most == second


def test_arguments_of_any_json_are_allowed():
    args = {"x": nested(200), "y": {"": [None, True, 1, 1.5, {"z": []}]}, "path": "/home/\udcff"}
    assert spec_with(args=args).args == args


def test_values_are_frozen():
    job = make_job()
    with pytest.raises(FrozenInstanceError):
        job.version = 1


def test_the_share_is_the_owner_unless_given():
    assert make_job().spec.share == "ada"
    assert make_job(share="vision").spec.share == "vision"


def test_every_status_is_terminal_or_active_or_waiting():
    terminal = {s for s in Status if s.is_terminal}
    active = {s for s in Status if s.is_active}
    assert terminal == {Status.COMPLETED, Status.FAILED, Status.STOPPED}
    assert set(Status) - terminal - active == {Status.NEW, Status.HELD}
    assert not terminal & active


def test_the_attempt_that_a_job_speaks_of():
    new = make_job()
    running = after(new, decided(), accepted())
    again = after(running, ended())
    assert (new.attempt_number, new.current) == (1, None)
    assert (running.attempt_number, running.current.number) == (1, 1)
    assert (again.attempt_number, again.training_name[-2:]) == (2, "-2")
    done = after(running, ended(outcome=Status.COMPLETED))
    assert (done.attempt_number, done.current) == (1, None)
    assert after(new, StopRequested(by="ada")).attempt_number == 1


def test_the_timeline_keeps_its_beginning_and_its_end():
    job = make_job(retry=RetryPolicy(budgets={FailureClass.ALGORITHM: 1000}))
    for number in range(1, 60):
        later = T0 + timedelta(days=number)
        job = after(job, decided(number), accepted(number), ended(number), now=later)
    assert len(job.timeline) == 60
    assert job.timeline[0].note == "submitted"
    assert job.timeline[-1].attempt == 60
    assert [attempt.number for attempt in job.attempts] == list(range(40, 60))


def test_a_headline_is_one_line_of_at_most_200_characters():
    failure = Failure(
        failure_class=FailureClass.UNKNOWN,
        scope=Scope.JOB,
        retryable=Retryable.NO,
        rule="r",
        text="a\n  b " + "x" * 500,
    )
    assert failure.headline.startswith("a b xxx")
    assert len(failure.headline) == 200
    assert replace(failure, text="short").headline == "short"


def test_a_digest_does_not_depend_on_the_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
