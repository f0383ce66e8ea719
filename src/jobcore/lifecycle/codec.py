"""
Jobs and the records beside them as JSON data and back: one format for every store.

A job is two documents, because they are written at different rates: the *spec*, written once, and
the *record*, small and written at every transition. Times are integer microseconds since 1970
(exact, sortable). A reader takes records of this schema and the one before, and keeps attributes
that it does not know (`Job.extra`), so that old and new code can run side by side during an upgrade.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from jobcore.errors import CorruptRecord

from .failure import Failure, FailureClass, Retryable, Scope
from .model import (
    Attempt,
    Clocks,
    Completed,
    Failed,
    Held,
    HoldCode,
    InProgress,
    Job,
    Json,
    Launched,
    Launching,
    Mark,
    New,
    OutboxEntry,
    Placement,
    RetryPolicy,
    Spec,
    State,
    Status,
    StopCause,
    Stopped,
    Stopping,
    StopRequest,
)
from .names import ATTEMPTS_MAX
from .records import GroupTally, PoolState, ShareUsage

__all__ = [
    "SCHEMA",
    "UNREADABLE",
    "decode_job",
    "decode_pool",
    "decode_share",
    "decode_spec",
    "decode_tally",
    "digest",
    "encode_job",
    "encode_pool",
    "encode_share",
    "encode_spec",
    "encode_tally",
    "from_micros",
    "readable",
    "spec_hash",
    "to_micros",
]


def digest(document: Json) -> str:
    """Hash JSON data: the same data gives the same 64 hex digits, however it was ordered."""
    return hashlib.sha256(_CANONICAL.encode(document).encode("ascii")).hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


T = TypeVar("T")

SCHEMA = 1


#: What decoding a damaged record may raise.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_MICROSECOND = timedelta(microseconds=1)


_MICROS_MAX = 10**17


def to_micros(at: datetime) -> int:
    """Turn an aware datetime into microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Turn microseconds since 1970 into an aware datetime in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def _micros(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else _moment(micros)


def _span(delta: timedelta | None) -> int | None:
    return None if delta is None else delta // _MICROSECOND


def _delta(micros: int | None) -> timedelta | None:
    return None if micros is None else _duration(micros)


def _moment(micros: int) -> datetime:
    return from_micros(_bounded(micros))


def _duration(micros: int) -> timedelta:
    return timedelta(microseconds=_bounded(micros))


def _bounded(micros: int) -> int:
    """Refuse what is so far away that a duration added to it has no date."""
    if abs(_whole(micros)) > _MICROS_MAX:
        msg = f"{micros} microseconds are more than three thousand years"
        raise ValueError(msg)
    return micros


def _text(value: Any) -> str:
    if not isinstance(value, str):
        msg = f"expected a text, got {type(value).__name__}"
        raise TypeError(msg)
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        msg = f"expected a whole number, got {type(value).__name__}"
        raise TypeError(msg)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        msg = f"expected true or false, got {type(value).__name__}"
        raise TypeError(msg)
    return value


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        msg = f"expected a table, got {type(value).__name__}"
        raise TypeError(msg)
    return value


def _number(value: Any) -> int:
    """Read an attempt's number: one that can be part of a training's name."""
    if not 1 <= _whole(value) <= ATTEMPTS_MAX:
        msg = f"attempt {value} is outside 1..{ATTEMPTS_MAX}"
        raise ValueError(msg)
    return int(value)


_DEFAULT_RETRY = RetryPolicy()


_DEFAULT_CLOCKS = Clocks()


def encode_spec(spec: Spec) -> dict[str, Json]:
    """Turn a spec into JSON data. Defaults are left out."""
    document: dict[str, Json] = {
        "name": spec.name,
        "owner": spec.owner,
        "placements": [[p.pool, p.count] for p in spec.placements],
        "JobArgs": dict(spec.args),
    }
    if spec.share != spec.owner:
        document["share"] = spec.share
    if spec.group is not None:
        document["group"] = spec.group
    if spec.priority:
        document["priority"] = spec.priority
    if spec.retry != _DEFAULT_RETRY:
        document["retry"] = {
            "budgets": {str(name): count for name, count in spec.retry.budgets.items()},
            "backoff": _span(spec.retry.backoff),
            "backoff_max": _span(spec.retry.backoff_max),
        }
    if spec.clocks != _DEFAULT_CLOCKS:
        document["clocks"] = {
            "wait_at_most": _span(spec.clocks.wait_at_most),
            "run_at_most": _span(spec.clocks.run_at_most),
            "finish_by": _micros(spec.clocks.finish_by),
        }
    if spec.tags:
        document["tags"] = dict(spec.tags)
    return document


def decode_spec(document: Mapping[str, Any]) -> Spec:
    """
    Read a spec back.

    Raises:
        KeyError, TypeError, ValueError: the document is not one that `encode_spec` wrote.
    """
    retry = document.get("retry")
    clocks = document.get("clocks")
    return Spec(  # it checks its fields itself
        name=document["name"],
        owner=document["owner"],
        placements=tuple(Placement(pool, count) for pool, count in document["placements"]),
        args=document["JobArgs"],
        share=document.get("share", ""),
        group=document.get("group"),
        priority=document.get("priority", 0),
        retry=_DEFAULT_RETRY
        if retry is None
        else RetryPolicy(
            budgets={FailureClass(name): count for name, count in retry["budgets"].items()},
            backoff=_duration(retry["backoff"]),
            backoff_max=_duration(retry["backoff_max"]),
        ),
        clocks=_DEFAULT_CLOCKS
        if clocks is None
        else Clocks(
            wait_at_most=_delta(clocks["wait_at_most"]),
            run_at_most=_delta(clocks["run_at_most"]),
            finish_by=_time(clocks["finish_by"]),
        ),
        tags=document.get("tags", {}),
    )


def spec_hash(spec: Spec) -> str:
    """Hash a spec: recorded with every training, to know it again as ours."""
    if spec.digest is None:  # every look at a training asks for it, and a spec never changes
        object.__setattr__(spec, "digest", digest(encode_spec(spec)))
    assert spec.digest is not None
    return spec.digest


def encode_job(job: Job) -> dict[str, Json]:
    """Turn all of a job but its spec and its version into JSON data."""
    record: dict[str, Json] = dict(job.extra)
    record |= {
        "schema": SCHEMA,
        "JobId": job.job_id,
        "JobStatus": str(job.status),
        "submitted_at": to_micros(job.submitted_at),
        "waiting_since": to_micros(job.waiting_since),
        "state": _encode_state(job.state),
        "timeline": [[to_micros(m.at), str(m.status), m.attempt, m.note] for m in job.timeline],
    }
    if job.charges:
        record["charges"] = {str(name): count for name, count in job.charges.items()}
    if job.attempts:
        record["attempts"] = [_encode_attempt(a) for a in job.attempts]
    if job.outbox:
        record["outbox"] = [
            [o.event_id, str(o.status), to_micros(o.at), o.reason] for o in job.outbox
        ]
    if job.stop is not None:
        record["stop"] = [to_micros(job.stop.at), job.stop.by]
    if job.hold_next:
        record["hold_next"] = True
    return record


_KNOWN = frozenset(
    {
        "schema",
        "JobId",
        "JobStatus",
        "submitted_at",
        "waiting_since",
        "state",
        "timeline",
        "charges",
        "attempts",
        "outbox",
        "stop",
        "hold_next",
    }
)


def decode_job(record: Mapping[str, Any], spec: Spec, *, version: int) -> Job:
    """
    Read a job back.

    Raises:
        KeyError, TypeError, ValueError: the record is not one that this schema
            or the one before it wrote.
    """
    schema = record["schema"]
    if not 1 <= schema <= SCHEMA:
        msg = f"schema {schema} is not one that this release reads (1 to {SCHEMA})"
        raise ValueError(msg)
    stop = record.get("stop")
    return Job(
        job_id=record["JobId"],
        spec=spec,
        state=_decode_state(Status(record["JobStatus"]), record["state"]),
        submitted_at=_moment(record["submitted_at"]),
        waiting_since=_moment(record["waiting_since"]),
        version=version,
        charges={FailureClass(n): _whole(c) for n, c in record.get("charges", {}).items()},
        attempts=tuple(_decode_attempt(a) for a in record.get("attempts", ())),
        timeline=tuple(
            Mark(at=_moment(at), status=Status(status), attempt=_whole(attempt), note=_text(note))
            for at, status, attempt, note in record["timeline"]
        ),
        outbox=tuple(
            OutboxEntry(
                event_id=_text(event_id),
                status=Status(status),
                at=_moment(at),
                reason=_text(reason),
            )
            for event_id, status, at, reason in record.get("outbox", ())
        ),
        stop=None if stop is None else StopRequest(at=_moment(stop[0]), by=_text(stop[1])),
        hold_next=_flag(record.get("hold_next", False)),
        extra={name: value for name, value in record.items() if name not in _KNOWN},
    )


def _encode_failure(failure: Failure) -> Json:
    return [
        str(failure.failure_class),
        str(failure.scope),
        str(failure.retryable),
        failure.rule,
        failure.text,
    ]


def _decode_failure(value: Any) -> Failure | None:
    if value is None:
        return None
    name, scope, retryable, rule, text = value
    return Failure(
        failure_class=FailureClass(name),
        scope=Scope(scope),
        retryable=Retryable(retryable),
        rule=_text(rule),
        text=_text(text),
    )


def _encode_attempt(attempt: Attempt) -> dict[str, Json]:
    record: dict[str, Json] = {
        "n": attempt.number,
        "pool": attempt.placement.pool,
        "count": attempt.placement.count,
        "launching_at": to_micros(attempt.launching_at),
    }
    for name in ("launched_at", "started_at", "ended_at"):
        at = getattr(attempt, name)
        if at is not None:
            record[name] = to_micros(at)
    if attempt.outcome is not None:
        record["outcome"] = str(attempt.outcome)
    if attempt.failure is not None:
        record["failure"] = _encode_failure(attempt.failure)
    return record


def _decode_attempt(record: Mapping[str, Any]) -> Attempt:
    outcome = record.get("outcome")
    return Attempt(
        number=_number(record["n"]),
        placement=Placement(record["pool"], record["count"]),
        launching_at=_moment(record["launching_at"]),
        launched_at=_time(record.get("launched_at")),
        started_at=_time(record.get("started_at")),
        ended_at=_time(record.get("ended_at")),
        outcome=None if outcome is None else Status(outcome),
        failure=_decode_failure(record.get("failure")),
    )


def _encode_state(state: State) -> dict[str, Json]:
    record: dict[str, Json] = {"since": to_micros(state.since)}
    match state:
        case New():
            record["attempt"] = state.attempt
            if state.not_before is not None:
                record["not_before"] = to_micros(state.not_before)
            if state.after is not None:
                record["after"] = _encode_failure(state.after)
        case Launching():
            record["attempt"] = _encode_attempt(state.attempt)
        case Launched() | InProgress():
            record["attempt"] = _encode_attempt(state.attempt)
            if state.detail:
                record["detail"] = state.detail
            if state.missing_since is not None:
                record["missing_since"] = to_micros(state.missing_since)
        case Stopping():
            record["attempt"] = _encode_attempt(state.attempt)
            record["cause"] = str(state.cause)
            record["known"] = state.known
            if state.missing_since is not None:
                record["missing_since"] = to_micros(state.missing_since)
        case Held():
            record["attempt"] = state.attempt
            record["code"] = str(state.code)
            record["reason"] = state.reason
        case Failed():
            record["failure"] = _encode_failure(state.failure)
        case Completed() | Stopped():
            pass
    return record


def _decode_state(status: Status, record: Mapping[str, Any]) -> State:
    since = _moment(record["since"])
    match status:
        case Status.NEW:
            return New(
                since=since,
                attempt=_number(record["attempt"]),
                not_before=_time(record.get("not_before")),
                after=_decode_failure(record.get("after")),
            )
        case Status.LAUNCHING:
            return Launching(since=since, attempt=_decode_attempt(record["attempt"]))
        case Status.LAUNCHED | Status.IN_PROGRESS:
            kind = Launched if status is Status.LAUNCHED else InProgress
            return kind(
                since=since,
                attempt=_decode_attempt(record["attempt"]),
                detail=_text(record.get("detail", "")),
                missing_since=_time(record.get("missing_since")),
            )
        case Status.STOPPING:
            return Stopping(
                since=since,
                attempt=_decode_attempt(record["attempt"]),
                cause=StopCause(record["cause"]),
                known=_flag(record["known"]),
                missing_since=_time(record.get("missing_since")),
            )
        case Status.HELD:
            return Held(
                since=since,
                attempt=_number(record["attempt"]),
                code=HoldCode(record["code"]),
                reason=_text(record["reason"]),
            )
        case Status.FAILED:
            failure = _decode_failure(record["failure"])
            if failure is None:
                msg = "a Failed job without a failure"
                raise ValueError(msg)
            return Failed(since=since, failure=failure)
        case Status.COMPLETED:
            return Completed(since=since)
        case Status.STOPPED:
            return Stopped(since=since)


def readable(kind: str, key: str, decode: Callable[[], T]) -> T:
    """
    Call *decode*, which reads one stored record.

    Raises:
        CorruptRecord: the record cannot be read, whatever is wrong with it.
    """
    try:
        return decode()
    except CorruptRecord:
        raise
    except UNREADABLE as error:
        raise CorruptRecord(key, f"{type(error).__name__}: {error}", kind) from error


# --- records beside jobs ----------------------------------------------------------------

# Name and version are the store's columns or keys; a document holds the rest.
# A field that this release does not know was written by a newer one, and is left out.

_POOL_DEFAULTS = PoolState(name="")
_POOL_FIELDS = tuple(name for name in PoolState.__slots__ if name not in ("name", "version"))
_POOL_TEXTS = frozenset({"because"})
_POOL_FLAGS = frozenset({"shrunk", "heard"})
_POOL_OPTIONAL = frozenset({"growth", "limit"})


def encode_pool(state: PoolState) -> dict[str, Json]:
    """Turn all of a pool's state but its name and its version into JSON data. Defaults are left out."""
    document: dict[str, Json] = {}
    for name in _POOL_FIELDS:
        value = getattr(state, name)
        if value != getattr(_POOL_DEFAULTS, name):
            document[name] = to_micros(value) if isinstance(value, datetime) else value
    return document


def decode_pool(name: str, document: Mapping[str, Any], *, version: int) -> PoolState:
    """
    Read a pool's state back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that `encode_pool` wrote.
    """
    values = {
        field: _pool_value(field, document[field]) for field in _POOL_FIELDS if field in document
    }
    return PoolState(name=_text(name), version=_whole(version), **values)


def _pool_value(field: str, value: Any) -> Any:
    if field in PoolState.TIMES:
        return _time(value)
    if field in _POOL_TEXTS:
        return _text(value)
    if field in _POOL_FLAGS:
        return _flag(value)
    if field == "fade":
        return _fraction(value)
    return None if value is None and field in _POOL_OPTIONAL else _whole(value)


def _fraction(value: Any) -> float:
    """Read a number that need not be whole; a store may give 1.0 back as 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"expected a number, got {value!r}"
        raise TypeError(msg)
    return float(value)


def encode_share(usage: ShareUsage) -> dict[str, Json]:
    """Turn all of a share's usage but its name and its version into JSON data."""
    return {"hours": usage.hours, "at": to_micros(usage.at)}


def decode_share(share: str, document: Mapping[str, Any], *, version: int) -> ShareUsage:
    """
    Read a share's usage back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that `encode_share` wrote.
    """
    hours = _fraction(document["hours"])
    if hours < 0:
        msg = f"hours: expected 0 or more, got {hours}"
        raise ValueError(msg)
    return ShareUsage(
        share=_text(share), version=_whole(version), hours=hours, at=_moment(document["at"])
    )


def encode_tally(tally: GroupTally) -> dict[str, Json]:
    """Turn all of a group's tally but its key and its version into JSON data."""
    return {
        "at": to_micros(tally.at),
        "failed": tally.failed,
        "cause": tally.cause,
        "reason": tally.reason,
        "sound": tally.sound,
        "pausing": tally.pausing,
    }


def decode_tally(
    group: str, owner: str, document: Mapping[str, Any], *, version: int
) -> GroupTally:
    """
    Read a group's tally back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that `encode_tally` wrote.
    """
    return GroupTally(
        group=_text(group),
        owner=_text(owner),
        version=_whole(version),
        at=_moment(document["at"]),
        failed=_whole(document["failed"]),
        cause=_text(document["cause"]),
        reason=_text(document["reason"]),
        sound=_flag(document["sound"]),
        pausing=_flag(document["pausing"]),
    )
