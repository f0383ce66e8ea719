"""A job in words and as a document: its reason, its run time, its JSON data with secrets hidden."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jobcore
from jobcore.metrics import describe_metrics


def run_time(job: jobcore.Job, now: datetime) -> timedelta | None:
    """Add up the run times of the job's attempts; None if none has started."""
    spans = [
        (attempt.ended_at or now) - attempt.started_at
        for attempt in (*job.attempts, *([job.current] if job.current else []))
        if attempt.started_at is not None
    ]
    return sum(spans, timedelta(0)) if spans else None


def first_start(job: jobcore.Job) -> datetime | None:
    """Return the time at which the first attempt that is on record began to run; None if none has."""
    attempts = (*job.attempts, *([job.current] if job.current else []))
    return next((a.started_at for a in attempts if a.started_at is not None), None)


def reason(job: jobcore.Job) -> str:
    """Return the reason of the job's status in a few words; may be empty."""
    state = job.state
    if isinstance(state, jobcore.lifecycle.Failed):
        return f"{state.failure.failure_class}: {headline(state.failure)}"
    if isinstance(state, jobcore.lifecycle.Held):
        return f"{state.code}: {jobcore.redact.redact(state.reason)}"
    if isinstance(state, jobcore.lifecycle.New) and state.after is not None:
        return f"retry after {state.after.failure_class}"
    if isinstance(state, jobcore.lifecycle.Launched):
        return state.detail
    if job.status is jobcore.Status.COMPLETED and job.charges:
        return "retried: " + ", ".join(f"{name} {n}" for name, n in sorted(job.charges.items()))
    if job.status is jobcore.Status.STOPPED and job.stop is not None:
        return f"stopped by {job.stop.by}"
    return ""


def headline(failure: jobcore.Failure) -> str:
    """Return a failure's message without the prefix of the training toolkit."""
    text = jobcore.redact.redact(failure.headline)
    if 'ErrorMessage "' in text:
        text = text.split('ErrorMessage "', 1)[1].rsplit('"', 1)[0]
    return text


def job_document(job: jobcore.Job) -> dict[str, Any]:
    """Make the JSON document of a job, for programs; times are ISO 8601 in UTC."""
    attempts = (*job.attempts, *([job.current] if job.current else []))
    state = job.state
    return {
        "id": job.job_id,
        "name": job.spec.name,
        "owner": job.spec.owner,
        "share": job.spec.share,
        "group": job.spec.group,
        "priority": job.spec.priority,
        "status": str(job.status),
        "since": _iso(state.since),
        "submitted_at": _iso(job.submitted_at),
        "attempt": job.attempt_number,
        "not_before": _iso(state.not_before) if isinstance(state, jobcore.lifecycle.New) else None,
        "reason": reason(job) or None,
        "failure": (
            _failure_document(state.failure)
            if isinstance(state, jobcore.lifecycle.Failed)
            else None
        ),
        "pools": [{"pool": p.pool, "count": p.count} for p in job.spec.placements],
        "args": jobcore.redact.redact_args(job.spec.args),
        "tags": jobcore.redact.redact_args(job.spec.tags),
        "metrics": describe_metrics(job.metrics),
        "charges": {str(name): count for name, count in job.charges.items()},
        "attempts": [_attempt_document(job, attempt) for attempt in attempts],
        "timeline": [
            {
                "at": _iso(m.at),
                "status": str(m.status),
                "attempt": m.attempt,
                "note": jobcore.redact.redact(m.note),
            }
            for m in job.timeline
        ],
        "messages_owed": [entry.event_id for entry in job.outbox],
        "version": job.version,
    }


def _attempt_document(job: jobcore.Job, attempt: jobcore.lifecycle.Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "pool": attempt.placement.pool,
        "count": attempt.placement.count,
        "training_name": jobcore.lifecycle.training_name(job.job_id, attempt.number),
        "launching_at": _iso(attempt.launching_at),
        "launched_at": _iso(attempt.launched_at),
        "started_at": _iso(attempt.started_at),
        "ended_at": _iso(attempt.ended_at),
        "outcome": str(attempt.outcome) if attempt.outcome else None,
        "failure": _failure_document(attempt.failure),
    }


def _failure_document(failure: jobcore.Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {
        "class": failure.failure_class,
        "scope": failure.scope,
        "retry": failure.retryable,
        "rule": failure.rule,
        "text": jobcore.redact.redact(failure.text),
    }


def _iso(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time is not None else None
