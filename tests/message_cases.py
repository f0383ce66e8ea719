"""Ends and holds of jobs, with the message's body and next step; entry points have words for each."""

from __future__ import annotations

from core_strategies import accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    Clocks,
    FailureClass,
    HoldRequested,
    LaunchRefused,
    NameTaken,
    ReleaseRequested,
    Status,
    StopRequested,
    TimePassed,
)
from jobcore.jobfile import parse_duration
from jobcore.lifecycle import HoldCode, Retryable
from jobcore.ports import NextStep

ID = make_job().job_id
FULL = LaunchRefused(attempt=1, failure=make_failure(FailureClass.CAPACITY, Retryable.YES))
LATE = LaunchRefused(attempt=1, failure=make_failure(FailureClass.THROTTLE, Retryable.YES))
FINAL = make_failure(FailureClass.BAD_INPUT, Retryable.NO)
TOLD = HoldRequested(by="jobcore", reason="alike", code=HoldCode.GROUP, notify=True)
SAID = "Submitted: 2026-01-01 00:00:00 UTC"
HOUR = parse_duration("1h")
NEW = make_job(group="g")

#: name: (the job, whose first message it is; the body; the next step)
CASES = {
    "completed": (
        after(NEW, decided(), accepted(), ended(outcome=Status.COMPLETED)),
        f"Job train ({ID}) is Completed.\n\nAttempts: 1   {SAID}\n",
        NextStep.SHOW,
    ),
    "failed": (
        after(NEW, decided(), FULL, decided(), LATE, decided(), accepted(), ended(failure=FINAL)),
        (
            f"Job train ({ID}) is Failed.\n\nWhy: bad_input: it broke\n\n"
            f"Attempts: 1   {SAID}\nRetried after: capacity 1, throttle 1\n"
        ),
        NextStep.READ_LOGS_AND_RETRY,
    ),
    "failed without an attempt": (
        after(
            make_job(group="g", clocks=Clocks(wait_at_most=HOUR)),
            TimePassed(),
            now=NEW.submitted_at + HOUR,
        ),
        (
            f"Job train ({ID}) is Failed.\n\nWhy: waited longer than wait_at_most (1:00:00)\n\n"
            f"Attempts: 0   {SAID}\n"
        ),
        NextStep.RETRY,
    ),
    "stopped": (
        after(NEW, StopRequested(by="bob")),
        (
            f"Job train ({ID}) is Stopped.\n\nWhy: stopped by bob; no training existed\n\n"
            f"Attempts: 0   {SAID}\n"
        ),
        NextStep.RETRY,
    ),
    "held": (
        after(NEW, decided(), NameTaken(attempt=1, reason="a stranger's")),
        f"Job train ({ID}) is Held.\n\nWhy: a stranger's\n\nAttempts: 0   {SAID}\n",
        NextStep.RELEASE,
    ),
    "held with its group": (
        after(NEW, TOLD),
        f"Job train ({ID}) is Held.\n\nWhy: alike\n\nAttempts: 0   {SAID}\n",
        NextStep.RELEASE_GROUP,
    ),
    "held with its group, and released since": (
        after(NEW, TOLD, ReleaseRequested(by="ada")),
        f"Job train ({ID}) is Held.\n\nWhy: alike\n\nAttempts: 0   {SAID}\n",
        NextStep.RELEASE,
    ),
}
