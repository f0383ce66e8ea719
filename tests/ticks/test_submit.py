"""Submissions and requests of people: what is saved, and what happens when another process is faster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core_strategies import T0, make_job
from jobcore import (
    ReleaseRequested,
    Status,
    Unavailable,
    job_id_from_token,
    submit,
)
from jobcore.ports import (
    Added,
)
from jobcore.ticks import apply_request, apply_requests
from jobcore_memory import MemoryStore
from ticks_world import MINUTE, STOP, Contended


def test_a_submission_keeps_its_order_and_says_what_became_of_each():
    store = MemoryStore()
    specs = [make_job().spec] * 3
    ids = [job_id_from_token("t", str(n)) for n in range(3)]
    first = submit(specs, ids, store=store, now=T0)
    assert [one.added for one in first] == [Added.CREATED] * 3
    assert [one.job.submitted_at - T0 for one in first] == [
        timedelta(microseconds=n) for n in range(3)
    ]
    again = submit(specs[:1], ids[:1], store=store, now=T0 + MINUTE)
    assert [one.added for one in again] == [Added.DUPLICATE]
    assert store.get(ids[:1])[ids[0]] == first[0].job


def test_a_submission_may_be_on_hold():
    store = MemoryStore()
    (one,) = submit([make_job().spec], [make_job().job_id], store=store, now=T0, held_by="ada")
    assert (one.job.status, one.job.state.reason) == (Status.HELD, "submitted on hold")
    assert one.job.outbox == ()


def test_a_submission_with_a_mistake_writes_nothing():
    store, spec, (one, two) = MemoryStore(), make_job().spec, ("0" * 26, "1" * 26)
    with pytest.raises(ValueError, match="expected one for each of 2 specs, got 1"):
        submit([spec] * 2, [one], store=store, now=T0)
    with pytest.raises(ValueError, match=f"job_ids: {two} occurs twice"):
        submit([spec] * 3, [one, two, two], store=store, now=T0)
    assert store.get([one, two]) == {}


def test_what_is_asked_is_tried_again_when_others_are_faster():
    store = Contended(losses=9)
    store.add([make_job()])
    done = apply_request(make_job().job_id, STOP, store=store, now=T0)
    assert (done.job.status, done.job.version, done.changed) == (Status.STOPPED, 1, True)
    store = Contended(losses=10)
    store.add([make_job()])
    with pytest.raises(Unavailable, match=f"job {make_job().job_id} kept changing"):
        apply_request(make_job().job_id, STOP, store=store, now=T0)
    assert store.saves == 10


def test_what_cannot_be_asked_is_answered_and_not_saved():
    store = Contended()
    store.add([make_job()])
    assert apply_request("0" * 26, STOP, store=store, now=T0) is None
    refused = apply_request(make_job().job_id, ReleaseRequested(by="ada"), store=store, now=T0)
    assert refused.ignored == "it is not held and does not back off"
    assert store.saves == 0


def test_a_request_for_many_jobs_takes_one_read_and_one_write():
    store = Contended()
    ids = [job_id_from_token("t", str(n)) for n in range(5)]
    submit([make_job().spec] * 5, ids, store=store, now=T0)
    apply_request(ids[3], STOP, store=store, now=T0)
    before = store.saves
    done = apply_requests([*ids, "0" * 26, ids[0]], STOP, store=store, now=T0)
    assert [one.job.job_id for one in done] == ids
    assert [one.changed for one in done] == [True, True, True, False, True]
    assert [job.status for job in store.get(ids).values()] == [Status.STOPPED] * 5
    assert [one.job for one in done] == [store.get(ids)[job_id] for job_id in ids]
    assert store.saves == before + 1
    assert apply_requests([], STOP, store=store, now=T0) == []


def test_a_request_for_many_jobs_is_tried_again_for_those_that_others_changed():
    store = Contended(losses=9)
    store.add([make_job()])
    (done,) = apply_requests([make_job().job_id], STOP, store=store, now=T0)
    assert (done.job.status, done.job.version) == (Status.STOPPED, 1)
    store = Contended(losses=10)
    store.add([make_job()])
    with pytest.raises(Unavailable, match=f"job {make_job().job_id} kept changing"):
        apply_requests([make_job().job_id], STOP, store=store, now=T0)
    assert store.saves == 10
