from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    LaunchRefused,
    MessagePublished,
    ReleaseRequested,
    Status,
    StopRequested,
)
from jobcore.lifecycle import Retryable
from jobcore.messages import message_for

RUNNING = (decided(), accepted())


def the_message(job):
    (entry,) = job.outbox
    return message_for(job, entry)


@pytest.mark.parametrize(
    ("events", "status", "command"),
    [
        ((*RUNNING, ended(outcome=Status.COMPLETED)), Status.COMPLETED, "jobcore show"),
        ((StopRequested(by="ada"),), Status.STOPPED, "jobcore retry"),
        (
            (*RUNNING, ended(failure=make_failure(FailureClass.OOM, Retryable.NO))),
            Status.FAILED,
            "jobcore logs",
        ),
        (
            (
                decided(),
                LaunchRefused(attempt=1, failure=make_failure(FailureClass.QUOTA, Retryable.NO)),
            ),
            Status.HELD,
            "jobcore release",
        ),
    ],
)
def test_a_message_says_what_happened_and_what_to_do(events, status, command):
    job = after(make_job(group="sweep"), *events)
    message = the_message(job)
    assert message.status is status
    assert message.subject == f"[jobcore] {status}: train"
    assert f"is {status}." in message.body
    assert command in message.body
    assert message.owner == message.attributes["owner"] == "ada"
    assert message.attributes["group"] == "sweep"
    assert message.event_id == message.data["event_id"]
    json.dumps(dict(message.data))


def test_the_class_of_a_failure_is_there_to_filter_by():
    job = after(make_job(), *RUNNING, ended(failure=make_failure(FailureClass.OOM, Retryable.NO)))
    message = the_message(job)
    assert message.attributes["class"] == message.data["class"] == "oom"
    assert "Why: oom: it broke" in message.body


def test_charges_are_told():
    full = make_failure(FailureClass.CAPACITY, Retryable.YES)
    job = after(make_job(), decided(), LaunchRefused(attempt=1, failure=full))
    job = after(job, StopRequested(by="ada"))
    assert "Retried after: capacity 1" in the_message(job).body


def test_a_message_is_a_pure_function_of_the_job():
    job = after(make_job(), StopRequested(by="ada"))
    assert the_message(job) == the_message(job)


def test_an_older_message_is_not_given_a_newer_failure():
    refused = LaunchRefused(attempt=1, failure=make_failure(FailureClass.QUOTA, Retryable.NO))
    job = after(make_job(), decided(), refused, ReleaseRequested(by="ada"), StopRequested(by="ada"))
    held, stopped = (message_for(job, entry) for entry in job.outbox)
    assert (held.status, stopped.status) == (Status.HELD, Status.STOPPED)
    assert "class" not in held.attributes
    assert held.event_id != stopped.event_id
    rest = after(job, MessagePublished(event_id=held.event_id))
    assert [entry.status for entry in rest.outbox] == [Status.STOPPED]


@given(st.text(min_size=1, max_size=200))
def test_a_subject_is_short_and_printable_ascii(name):
    message = the_message(after(make_job(name=name), StopRequested(by="ada")))
    assert len(message.subject) <= 99
    assert all(" " <= c <= "~" for c in message.subject)
