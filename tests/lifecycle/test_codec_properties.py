"""
The stored form, word by word: what is in a table today is read by the releases to come.

A change of any of these documents needs a new schema number and a reader of the old one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, json_values, make_job, specs, words
from jobcore import (
    Clocks,
    Failure,
    FailureClass,
    Job,
    Placement,
    RetryPolicy,
    Spec,
    Status,
    job_id_from_token,
)
from jobcore.lifecycle import (
    Attempt,
    Completed,
    Failed,
    Held,
    HoldCode,
    InProgress,
    Launched,
    Launching,
    Mark,
    New,
    OutboxEntry,
    Retryable,
    Scope,
    StopCause,
    Stopped,
    Stopping,
    StopRequest,
    decode_job,
    decode_spec,
    encode_job,
    encode_spec,
    spec_hash,
)

MICRO = timedelta(microseconds=1)
SINCE = T0 + 9 * MICRO
FAILURE = Failure(
    failure_class=FailureClass.OOM,
    scope=Scope.POOL,
    retryable=Retryable.LIMITED,
    rule="r",
    text="t",
)
FULL = Attempt(
    number=2,
    placement=Placement("b", 3),
    launching_at=T0 + MICRO,
    launched_at=T0 + 2 * MICRO,
    started_at=T0 + 3 * MICRO,
    ended_at=T0 + 4 * MICRO,
    outcome=Status.FAILED,
    failure=FAILURE,
)
BARE = Attempt(number=1, placement=Placement("a"), launching_at=T0 + MICRO)
GONE = T0 + 11 * MICRO

SPEC = Spec(
    name="n",
    owner="o",
    placements=(Placement("a"), Placement("b", 3)),
    args={"script": "x.py"},
    share="s",
    group="g",
    priority=-2,
    retry=RetryPolicy(
        budgets={FailureClass.OOM: 4},
        backoff=timedelta(seconds=1),
        backoff_max=timedelta(seconds=2),
    ),
    clocks=Clocks(
        wait_at_most=timedelta(seconds=3),
        run_at_most=timedelta(seconds=4),
        finish_by=T0 + 5 * MICRO,
    ),
    tags={"k": "v"},
)
SPEC_STORED = """
{"name": "n", "owner": "o", "placements": [["a", 1], ["b", 3]], "JobArgs": {"script": "x.py"},
 "share": "s", "group": "g", "priority": -2,
 "retry": {"budgets": {"oom": 4}, "backoff": 1000000, "backoff_max": 2000000},
 "clocks": {"wait_at_most": 3000000, "run_at_most": 4000000, "finish_by": 1767225600000005},
 "tags": {"k": "v"}}
"""
SMALL = Spec(name="n", owner="o", placements=(Placement("a"),))

JOB = Job(
    job_id=job_id_from_token("ada", "1"),
    spec=SPEC,
    state=Completed(since=SINCE),
    submitted_at=T0,
    waiting_since=T0 + MICRO,
    version=7,
    charges={FailureClass.OOM: 2},
    attempts=(BARE, FULL),
    timeline=(Mark(at=T0, status=Status.NEW, attempt=1, note="x"),),
    outbox=(OutboxEntry(event_id="e", status=Status.COMPLETED, at=T0 + MICRO, reason="r"),),
    stop=StopRequest(at=T0 + 2 * MICRO, by="me"),
    hold_next=True,
)
BARE_STORED = '{"n": 1, "pool": "a", "count": 1, "launching_at": 1767225600000001}'
FULL_STORED = """
{"n": 2, "pool": "b", "count": 3, "launching_at": 1767225600000001,
 "launched_at": 1767225600000002, "started_at": 1767225600000003, "ended_at": 1767225600000004,
 "outcome": "Failed", "failure": ["oom", "pool", "limited", "r", "t"]}
"""
JOB_STORED = f"""
{{"schema": 1, "JobId": "45g62yqzzk6ye5gx074ya0gngj", "JobStatus": "Completed",
 "submitted_at": 1767225600000000, "waiting_since": 1767225600000001,
 "state": {{"since": 1767225600000009}}, "timeline": [[1767225600000000, "New", 1, "x"]],
 "charges": {{"oom": 2}}, "attempts": [{BARE_STORED}, {FULL_STORED}],
 "outbox": [["e", "Completed", 1767225600000001, "r"]], "stop": [1767225600000002, "me"],
 "hold_next": true}}
"""
SAID = '"since": 1767225600000009'
STATES = [
    (New(since=SINCE), f'{{{SAID}, "attempt": 1}}'),
    (
        New(since=SINCE, attempt=3, not_before=T0 + 10 * MICRO, after=FAILURE),
        (
            f'{{{SAID}, "attempt": 3, "not_before": 1767225600000010,'
            ' "after": ["oom", "pool", "limited", "r", "t"]}'
        ),
    ),
    (Launching(since=SINCE, attempt=BARE), f'{{{SAID}, "attempt": {BARE_STORED}}}'),
    (Launched(since=SINCE, attempt=BARE), f'{{{SAID}, "attempt": {BARE_STORED}}}'),
    (
        Launched(since=SINCE, attempt=FULL, detail="d", missing_since=GONE),
        f'{{{SAID}, "attempt": {FULL_STORED}, "detail": "d", "missing_since": 1767225600000011}}',
    ),
    (InProgress(since=SINCE, attempt=BARE), f'{{{SAID}, "attempt": {BARE_STORED}}}'),
    (
        InProgress(since=SINCE, attempt=FULL, detail="d", missing_since=GONE),
        f'{{{SAID}, "attempt": {FULL_STORED}, "detail": "d", "missing_since": 1767225600000011}}',
    ),
    (
        Stopping(since=SINCE, attempt=BARE, cause=StopCause.USER, known=False),
        f'{{{SAID}, "attempt": {BARE_STORED}, "cause": "user", "known": false}}',
    ),
    (
        Stopping(
            since=SINCE,
            attempt=FULL,
            cause=StopCause.FINISH_BY,
            known=True,
            missing_since=GONE,
        ),
        (
            f'{{{SAID}, "attempt": {FULL_STORED}, "cause": "finish_by", "known": true,'
            ' "missing_since": 1767225600000011}'
        ),
    ),
    (
        Held(since=SINCE, attempt=3, code=HoldCode.GROUP, reason="why"),
        f'{{{SAID}, "attempt": 3, "code": "group", "reason": "why"}}',
    ),
    (Completed(since=SINCE), f"{{{SAID}}}"),
    (
        Failed(since=SINCE, failure=FAILURE),
        f'{{{SAID}, "failure": ["oom", "pool", "limited", "r", "t"]}}',
    ),
    (Stopped(since=SINCE), f"{{{SAID}}}"),
]


def test_the_words_that_are_stored():
    assert [s.value for s in Status] == [
        "New", "Launching", "Launched", "InProgress", "Stopping", "Held", "Completed", "Failed",
        "Stopped",
    ]  # fmt: skip
    assert [c.value for c in StopCause] == ["user", "wait_at_most", "run_at_most", "finish_by"]
    assert [c.value for c in HoldCode] == ["user", "quota", "name_taken", "group"]
    assert [s.value for s in Scope] == ["job", "pool", "account"]
    assert [r.value for r in Retryable] == ["yes", "no", "limited"]
    assert [k.value for k in FailureClass] == [
        "capacity", "quota", "throttle", "service_internal", "spot_interrupted", "stopped_by_user",
        "timeout", "oom", "algorithm", "bad_input", "permission", "data_access", "unknown",
    ]  # fmt: skip


def test_a_spec_is_stored_so():
    assert encode_spec(SPEC) == json.loads(SPEC_STORED)
    assert decode_spec(json.loads(SPEC_STORED)) == SPEC
    small = {"name": "n", "owner": "o", "placements": [["a", 1]], "JobArgs": {}}
    assert encode_spec(SMALL) == small, "defaults are left out"
    assert decode_spec(small) == SMALL
    # Trainings carry this hash; if it changed, none of those that run would be known again.
    assert spec_hash(SPEC) == "fe71956b996adb00d57d8031c0e3eaadfb9122f2e69d766d17ce7e02577f5047"
    assert spec_hash(SMALL) == "f6132d96a1431cc69ed2b0071c887e5b9c1caa47775684af1b3ec99fb8f8dd4e"


def test_a_job_is_stored_so():
    assert encode_job(JOB) == json.loads(JOB_STORED)
    assert decode_job(json.loads(JOB_STORED), SPEC, version=7) == JOB
    bare = replace(JOB, charges={}, attempts=(), outbox=(), stop=None, hold_next=False, version=0)
    left_out = {"charges", "attempts", "outbox", "stop", "hold_next"}
    assert encode_job(JOB).keys() - encode_job(bare).keys() == left_out
    assert decode_job(encode_job(bare), SPEC, version=0) == bare


@pytest.mark.parametrize(("state", "stored"), STATES, ids=lambda x: str(getattr(x, "status", "")))
def test_a_state_is_stored_so(state, stored):
    job = replace(JOB, state=state)
    assert encode_job(job) == json.loads(JOB_STORED) | {
        "JobStatus": str(state.status),
        "state": json.loads(stored),
    }
    assert decode_job(encode_job(job), SPEC, version=7) == job


@given(specs, words, st.integers(0, 3))
def test_a_spec_that_differs_in_one_field_has_another_hash(spec, text, count):
    others = [
        replace(spec, name=spec.name + "x"),
        replace(spec, owner=spec.owner + "x", share=spec.share),
        replace(spec, share=spec.share + "x"),
        replace(spec, group=(spec.group or "") + "x"),
        replace(spec, priority=spec.priority + 1),
        replace(spec, placements=(*spec.placements, Placement("z"))),
        replace(spec, args={**spec.args, "another": text}),
        replace(spec, tags={**spec.tags, "another": text}),
        replace(spec, clocks=replace(spec.clocks, run_at_most=timedelta(days=1000))),
        replace(spec, retry=replace(spec.retry, budgets={FailureClass.TIMEOUT: 4 + count})),
    ]
    hashes = {spec_hash(one) for one in (spec, *others)}
    assert len(hashes) == 1 + len(others)


@given(json_values)
def test_a_field_that_is_no_field_is_kept_and_written_again(value):
    job = make_job()
    record = {**encode_job(job), "colour": value}
    read = decode_job(record, job.spec, version=3)
    assert encode_job(read) == record
    assert (read.version, read.extra) == (3, {"colour": value})
