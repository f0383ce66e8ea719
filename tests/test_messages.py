"""The whole message for each end, and that its subject is always one short line of ASCII."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    HoldRequested,
    LaunchRefused,
    NameTaken,
    ReleaseRequested,
    Status,
    StopRequested,
)
from jobcore.lifecycle import HoldCode, Retryable
from jobcore.messages import message_for

ID = make_job().job_id
FULL = LaunchRefused(attempt=1, failure=make_failure(FailureClass.CAPACITY, Retryable.YES))
LATE = LaunchRefused(attempt=1, failure=make_failure(FailureClass.THROTTLE, Retryable.YES))
FINAL = make_failure(FailureClass.BAD_INPUT, Retryable.NO)
TOLD = HoldRequested(by="jobcore", reason="alike", code=HoldCode.GROUP, tell=True)
SAID = "Submitted: 2026-01-01 00:00:00 UTC"

WHOLE = [
    (
        [decided(), accepted(), ended(outcome=Status.COMPLETED)],
        f"Job train ({ID}) is Completed.\n\nAttempts: 1   {SAID}\n\nNext: jobcore show {ID}\n",
    ),
    (
        [decided(), FULL, decided(), LATE, decided(), accepted(), ended(failure=FINAL)],
        (
            f"Job train ({ID}) is Failed.\n\nWhy: bad_input: it broke\n\n"
            f"Attempts: 1   {SAID}\nRetried after: capacity 1, throttle 1\n\n"
            f"Next: jobcore logs {ID}, then jobcore retry {ID}\n"
        ),
    ),
    (
        [StopRequested(by="bob")],
        (
            f"Job train ({ID}) is Stopped.\n\nWhy: stopped by bob; no training existed\n\n"
            f"Attempts: 0   {SAID}\n\nNext: jobcore retry {ID}\n"
        ),
    ),
    (
        [decided(), NameTaken(attempt=1, reason="a stranger's")],
        (
            f"Job train ({ID}) is Held.\n\nWhy: a stranger's\n\n"
            f"Attempts: 0   {SAID}\n\nNext: jobcore why {ID}, then jobcore release {ID}\n"
        ),
    ),
    (
        [TOLD],
        (
            f"Job train ({ID}) is Held.\n\nWhy: alike\n\nAttempts: 0   {SAID}\n\n"
            "Next: jobcore list --group g, then jobcore release --group g\n"
        ),
    ),
    (  # it was released meanwhile: what helps is what is so now
        [TOLD, ReleaseRequested(by="ada")],
        (
            f"Job train ({ID}) is Held.\n\nWhy: alike\n\nAttempts: 0   {SAID}\n\n"
            f"Next: jobcore why {ID}, then jobcore release {ID}\n"
        ),
    ),
]


@pytest.mark.parametrize(("events", "body"), WHOLE)
def test_the_body_says_all(events, body):
    job = after(make_job(group="g"), *events)
    assert message_for(job, job.outbox[0]).body == body


def test_a_hold_for_another_reason_is_released_by_its_job():
    job = after(make_job(group="g"), replace(TOLD, code=HoldCode.USER))
    assert f"jobcore release {job.job_id}" in message_for(job, job.outbox[0]).body


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
    }


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


@given(st.text(min_size=1, max_size=150))
def test_a_subject_is_what_ascii_leaves_of_the_name(name):
    job = after(make_job(name=name), StopRequested(by="ada"))
    subject = message_for(job, job.outbox[0]).subject
    line = " ".join(f"[jobcore] Stopped: {name}".split())
    plain = "".join(c if 32 <= ord(c) <= 126 else "?" for c in line)
    assert subject == (plain if len(plain) <= 99 else plain[:96] + "...")


@pytest.mark.parametrize(("length", "cut"), [(80, False), (81, True)])
def test_a_subject_has_99_characters_at_most(length, cut):
    job = after(make_job(name="~" * length), StopRequested(by="ada"))
    subject = message_for(job, job.outbox[0]).subject
    assert (len(subject), subject.endswith("...")) == (99, cut)
    assert subject.startswith("[jobcore] Stopped: ~~~")
