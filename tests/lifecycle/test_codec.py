from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import (
    T0,
    accepted,
    after,
    decided,
    ended,
    json_values,
    make_failure,
    make_job,
    specs,
    texts,
)
from jobcore import (
    FailureClass,
    HoldRequested,
    Job,
    LaunchRefused,
    NameTaken,
    ReleaseRequested,
    RetryPolicy,
    Status,
    StopRequested,
    TrainingMissing,
    TrainingSeen,
)
from jobcore.lifecycle import (
    SCHEMA,
    PoolState,
    decode_job,
    decode_pool,
    decode_spec,
    encode_job,
    encode_pool,
    encode_spec,
    from_micros,
    spec_hash,
    to_micros,
)
from jobcore.metrics import METRIC_NAME_CHARS_MAX, METRICS_MAX, Metric

STOP, HOLD = StopRequested(by="ada"), HoldRequested(by="ada")


LOSS = Metric(name="loss", final=0.5, step=7, count=8, lowest=0.25, lowest_step=3)


def measured(**changes):
    return replace(ended(**changes), metrics=(LOSS,))


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


def jobs() -> list[Job]:
    new = make_job()
    launching = after(new, decided())
    launched = after(launching, accepted())
    running = after(launched, TrainingSeen(attempt=1, running=True, detail="Training"))
    return [
        new,
        launching,
        launched,
        running,
        after(running, TrainingMissing(attempt=1)),
        after(running, HOLD),
        after(running, STOP),
        after(running, STOP, TrainingMissing(attempt=1)),
        after(launching, STOP),
        after(running, ended()),
        after(running, ended(outcome=Status.COMPLETED)),
        after(running, measured(outcome=Status.COMPLETED)),
        after(running, measured()),
        after(running, ended(failure=make_failure(FailureClass.TIMEOUT))),
        after(launching, LaunchRefused(attempt=1, failure=make_failure(FailureClass.CAPACITY))),
        after(launching, NameTaken(attempt=1, reason="a stranger's")),
        after(new, HOLD),
        after(new, STOP),
    ]


def test_the_examples_have_every_status():
    assert {job.status for job in jobs()} == set(Status)


@pytest.mark.parametrize("job", jobs(), ids=lambda job: job.status)
def test_a_job_comes_back_as_it_was(job):
    assert decode_job(through_json(encode_job(job)), job.spec, version=job.version) == job


@given(specs)
def test_a_spec_comes_back_as_it_was(spec):
    document = encode_spec(spec)
    assert decode_spec(through_json(document)) == spec
    assert spec_hash(spec) == spec_hash(decode_spec(through_json(document)))


@given(specs, specs)
def test_the_hash_tells_specs_apart(one, other):
    assert (spec_hash(one) == spec_hash(other)) == (encode_spec(one) == encode_spec(other))


@given(st.datetimes(timezones=st.just(T0.tzinfo)))
def test_times_are_exact(at):
    assert from_micros(to_micros(at)) == at


@given(st.dictionaries(texts.map(lambda t: "x-" + t), json_values, min_size=1))
def test_what_a_newer_writer_added_is_kept(extra):
    job = make_job()
    record = encode_job(job) | extra
    read = decode_job(through_json(record), job.spec, version=0)
    assert read.extra == extra
    assert encode_job(after(read, decided())).items() >= extra.items()


def test_a_pool_state_of_an_earlier_release_keeps_the_fields_that_were_renamed():
    stored = {"level": 3, "heard": True, "because": "no capacity"}
    state = PoolState(name="gpu", version=7, level=3, queue_granted=True, refusal="no capacity")
    assert decode_pool("gpu", stored, version=7) == state
    assert decode_pool("gpu", encode_pool(state), version=7) == state


def test_an_unknown_attribute_never_hides_a_known_one():
    job = replace(make_job(), extra={"JobStatus": "Completed"})
    assert encode_job(job)["JobStatus"] == "New"


@pytest.mark.parametrize("schema", [0, SCHEMA + 1])
def test_another_schema_is_refused(schema):
    job = make_job()
    with pytest.raises(ValueError, match=f"schema {schema} is not one"):
        decode_job(encode_job(job) | {"schema": schema}, job.spec, version=0)


@pytest.mark.parametrize("missing", ["schema", "JobId", "JobStatus", "state", "timeline"])
def test_a_record_with_a_hole_is_refused(missing):
    job = make_job()
    record = encode_job(job)
    del record[missing]
    with pytest.raises(KeyError, match=missing):
        decode_job(record, job.spec, version=0)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"JobStatus": "Lost"}, ValueError),
        ({"JobId": "../x"}, ValueError),
        ({"charges": {"bad luck": 1}}, ValueError),
        ({"timeline": 3}, TypeError),
        ({"metrics": {"loss": 0.5}}, TypeError),
        ({"metrics": [["loss", None]]}, ValueError),
        ({"JobStatus": "Failed"}, KeyError),
        ({"JobStatus": "Failed", "state": {"since": 0, "failure": None}}, ValueError),
    ],
)
def test_nonsense_is_refused(change, error):
    job = make_job()
    with pytest.raises(error):
        decode_job(encode_job(job) | change, job.spec, version=0)


def test_the_worst_record_of_plain_text_stays_below_32_kilobytes():
    """Each failure as long as a trainer may make it, more retries than are kept, every flag set."""
    job = make_job(retry=RetryPolicy(budgets={FailureClass.ALGORITHM: 1000}))
    long = "x" * 5000
    failure = make_failure(text=long[:1024])
    for number in range(1, 101):
        now = T0 + timedelta(days=number)
        seen = TrainingSeen(attempt=number, running=True)
        events = [decided(number), accepted(number), seen, ended(number, failure)]
        job = after(job, *events, now=now)
    held = after(job, HoldRequested(by=long, reason=long))
    released = after(held, ReleaseRequested(by=long), StopRequested(by=long))
    for worst in (job, held, released):
        assert len(json.dumps(encode_job(worst))) < 32_000


def test_a_job_without_metrics_is_written_as_before_there_were_any():
    """An earlier release reads it, and this one the record of an earlier one."""
    record = encode_job(after(jobs()[3], ended(outcome=Status.COMPLETED)))
    assert "metrics" not in record
    assert decode_job(record, make_job().spec, version=0).metrics == ()


def test_the_most_metrics_take_less_than_40_kilobytes():
    value = -2.2250738585072014e-308  # as long as a number is written
    metrics = tuple(
        Metric(
            name=f"{n:0{METRIC_NAME_CHARS_MAX}d}", final=value, step=10**15, count=10**6,
            lowest=value, lowest_step=10**15, highest=value, highest_step=10**15,
        )
        for n in range(METRICS_MAX)
    )  # fmt: skip
    job = after(jobs()[3], replace(ended(outcome=Status.COMPLETED), metrics=metrics))
    assert len(json.dumps(encode_job(job))) < 40_000


def test_a_young_job_takes_less_than_a_kilobyte():
    job = after(make_job(), decided(), accepted(), TrainingSeen(attempt=1, running=True))
    assert len(json.dumps(encode_job(job))) < 1000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5), ("name", None), ("owner", ["ada"]), ("share", 1), ("group", 7), ("priority", "3"),
        ("priority", 1.5), ("placements", [["a", "1"]]), ("placements", [[1, 1]]), ("placements", [["a", True]]),
        ("clocks", {"wait_at_most": 10**18, "run_at_most": None, "finish_by": None}),
        ("retry", {"budgets": {}, "backoff": 1, "backoff_max": 10**18}),
        ("JobArgs", []), ("JobArgs", "x"), ("tags", {"a": 1}), ("tags", []),
    ],
)  # fmt: skip
def test_a_spec_whose_fields_are_of_another_kind_is_not_read(field, value):
    document = encode_spec(make_job().spec) | {field: value}
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        decode_spec(document)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("charges", {"oom": "1"}), ("timeline", [[0, "New", "1", ""]]), ("timeline", [[0, "New", 1, None]]),
        ("outbox", [[1, "Failed", 0, ""]]), ("outbox", [["e", "Failed", 0, 5]]), ("stop", [0, 7]),
        ("waiting_since", 2 * 10**17), ("submitted_at", "0"),
        ("hold_next", "yes"), ("hold_next", 1), ("state", {"since": 0, "attempt": {"n": 1}}),
        ("state", {"since": 0, "attempt": 0}), ("state", {"since": 0, "attempt": 10**10}),
        ("state", {"since": 0, "attempt": True}),
        ("state", {"since": 0, "attempt": 1, "after": ["oom", "job", "no", "rule", None]}),
        ("attempts", [{"n": -1, "pool": "a", "count": 1, "launching_at": 0}]),
        ("attempts", [{"n": 1, "pool": 1, "count": 1, "launching_at": 0}]),
        ("attempts", [{"n": 1, "pool": "a", "count": "1", "launching_at": 0}]),
    ],
)  # fmt: skip
def test_a_record_whose_fields_are_of_another_kind_is_not_read(field, value):
    job = make_job()
    record = encode_job(job) | {field: value}
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        decode_job(record, job.spec, version=1)
