"""The message for each end: body, facts, next step, and a subject of one printable line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    LaunchRefused,
    MessagePublished,
    NameTaken,
    ReleaseRequested,
    Status,
    StopRequested,
)
from jobcore.lifecycle import HoldCode, Retryable
from jobcore.messages import WordedNotifier, message_for
from jobcore.ports import NextStep
from jobcore_memory import RecordingNotifier
from message_cases import CASES, FINAL, FULL, ID, TOLD

RUNNING = (decided(), accepted())


def the_message(job):
    return message_for(job, job.outbox[0])


@pytest.mark.parametrize("case", CASES)
def test_the_body_says_all_and_the_next_step_is_a_code(case):
    job, body, next_step = CASES[case]
    message = the_message(job)
    assert message.body == body
    assert message.next_step is next_step
    assert message.data["next_step"] == next_step.value


def test_every_next_step_has_a_case():
    assert {next_step for _, _, next_step in CASES.values()} == set(NextStep)


def test_the_words_of_an_entry_point_are_the_last_line():
    kept = RecordingNotifier()
    message = the_message(CASES["completed"][0])
    WordedNotifier(kept, lambda message: f"look at {message.job_id}").publish(message)
    body = f"{message.body}\nNext: look at {ID}\n"
    assert kept.messages == [replace(message, body=body)]


def test_a_hold_for_another_reason_is_released_by_its_job():
    job = after(make_job(group="g"), replace(TOLD, code=HoldCode.USER))
    assert the_message(job).next_step is NextStep.RELEASE


def test_the_attributes_and_the_data_are_for_programs():
    job = after(make_job(group="g"), decided(), accepted(), ended(failure=FINAL))
    (entry,) = job.outbox
    message = message_for(job, entry)
    assert (message.job_id, message.owner, message.event_id) == (ID, "ada", f"{ID}/1/Failed")
    assert message.attributes == {
        "status": "Failed",
        "owner": "ada",
        "job": ID,
        "group": "g",
        "class": "bad_input",
    }
    assert message.data == {
        "event_id": f"{ID}/1/Failed",
        "job_id": ID,
        "name": "train",
        "group": "g",
        "status": "Failed",
        "at": T0.isoformat(),
        "attempts": 1,
        "reason": "bad_input: it broke",
        "class": "bad_input",
        "rule": "a rule",
        "hold": None,
        "charges": {},
        "next_step": "read_logs_and_retry",
    }
    json.dumps(dict(message.data))


def test_the_data_of_a_hold_has_its_code_and_the_retries():
    held = after(make_job(), decided(), FULL, decided(), NameTaken(attempt=1, reason="x"))
    data = the_message(held).data
    assert (data["hold"], data["charges"]) == ("name_taken", {"capacity": 1})
    released = after(held, ReleaseRequested(by="ada"))
    assert the_message(released).data["hold"] is None, "it is not held any more"


def test_an_older_message_is_not_given_the_class_of_a_later_failure():
    job = after(make_job(), TOLD, ReleaseRequested(by="a"), decided(), accepted())
    job = after(job, ended(failure=FINAL))
    held, failed = (message_for(job, entry) for entry in job.outbox)
    assert "class" not in held.attributes
    assert failed.attributes["class"] == "bad_input"


def test_what_is_not_so_is_not_said():
    job = after(make_job(), decided(), accepted(), ended(outcome=Status.COMPLETED))
    message = message_for(job, job.outbox[0])
    assert message.attributes.keys() == {"status", "owner", "job"}
    assert (message.data["group"], message.data["class"]) == (None, None)
    assert "Why" not in message.body
    assert "Retried" not in message.body


def test_the_last_attempt_counts_and_not_how_many_are_kept():
    job = after(make_job(), decided(), accepted(), ended(), ReleaseRequested(by="a"))
    job = after(job, decided(2), accepted(2), ended(2, outcome=Status.COMPLETED))
    assert "Attempts: 2 " in message_for(job, job.outbox[0]).body
    job = replace(job, attempts=job.attempts[1:])
    assert "Attempts: 2 " in message_for(job, job.outbox[0]).body


@pytest.mark.parametrize(
    ("events", "status", "next_step"),
    [
        ((*RUNNING, ended(outcome=Status.COMPLETED)), Status.COMPLETED, NextStep.SHOW),
        ((StopRequested(by="ada"),), Status.STOPPED, NextStep.RETRY),
        (
            (*RUNNING, ended(failure=make_failure(FailureClass.OOM, Retryable.NO))),
            Status.FAILED,
            NextStep.READ_LOGS_AND_RETRY,
        ),
        (
            (
                decided(),
                LaunchRefused(attempt=1, failure=make_failure(FailureClass.QUOTA, Retryable.NO)),
            ),
            Status.HELD,
            NextStep.RELEASE,
        ),
    ],
)
def test_a_message_says_what_happened_and_what_to_do(events, status, next_step):
    job = after(make_job(group="sweep"), *events)
    message = the_message(job)
    assert message.status is status
    assert message.subject == f"[jobcore] {status}: train"
    assert f"is {status}." in message.body
    assert message.next_step is next_step
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


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=300))
def test_a_subject_is_one_line_of_printable_text(name):
    subject = the_message(after(make_job(name=name), StopRequested(by="ada"))).subject
    line = " ".join(f"[jobcore] Stopped: {name}".split())
    assert subject == "".join(c if c.isprintable() else "?" for c in line)
    assert subject.isprintable()


def test_a_subject_keeps_its_letters_and_its_length():
    name = "größe-試験-" + "x" * 200
    subject = the_message(after(make_job(name=name), StopRequested(by="ada"))).subject
    assert subject == f"[jobcore] Stopped: {name}"
