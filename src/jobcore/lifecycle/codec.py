"""
Jobs and the records beside them as JSON data and back: one format for every store.

A job is two documents, because they are written at different rates: the *spec*, written once, and
the *record*, small and written at every transition. Times are integer microseconds since 1970
(exact, sortable). A reader takes records of this schema and the one before, and keeps attributes
that it does not know (`Job.extra`), so that old and new code can run side by side during an upgrade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

from jobcore import documents as doc
from jobcore.documents import optional, to_micros
from jobcore.errors import CorruptRecord
from jobcore.metrics import decode_metrics, encode_metrics

from .failure import Failure, FailureClass, Retryable, Scope
from .model import (
    Attempt,
    Clocks,
    HoldCode,
    Job,
    Json,
    Mark,
    OutboxEntry,
    Placement,
    RetryPolicy,
    Spec,
    State,
    Status,
    StopCause,
    StopRequest,
)
from .names import ATTEMPTS_MAX
from .records import GroupTally, PoolState, ShareUsage

__all__ = [
    "SCHEMA", "UNREADABLE", "decode_job", "decode_pool", "decode_share", "decode_spec",
    "decode_tally", "encode_job", "encode_pool", "encode_share", "encode_spec", "encode_tally",
    "readable", "spec_hash",
]  # fmt: skip


T = TypeVar("T")

#: The version of the documents that this release writes; it reads this one and the one before.
SCHEMA = 1
#: The exceptions that decoding a damaged record may raise.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_DEFAULT_RETRY = RetryPolicy()
_STATUSES = {str(status): status for status in Status}  # faster than a call of Status
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
            "backoff": doc.write_duration_or_none(spec.retry.backoff),
            "backoff_max": doc.write_duration_or_none(spec.retry.backoff_max),
        }
    if spec.clocks != _DEFAULT_CLOCKS:
        document["clocks"] = {
            "wait_at_most": doc.write_duration_or_none(spec.clocks.wait_at_most),
            "run_at_most": doc.write_duration_or_none(spec.clocks.run_at_most),
            "finish_by": doc.write_time_or_none(spec.clocks.finish_by),
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
            backoff=doc.read_duration(retry["backoff"]),
            backoff_max=doc.read_duration(retry["backoff_max"]),
        ),
        clocks=_DEFAULT_CLOCKS
        if clocks is None
        else Clocks(
            wait_at_most=doc.read_duration_or_none(clocks["wait_at_most"]),
            run_at_most=doc.read_duration_or_none(clocks["run_at_most"]),
            finish_by=doc.read_time_or_none(clocks["finish_by"]),
        ),
        tags=document.get("tags", {}),
    )


def spec_hash(spec: Spec) -> str:
    """Hash a spec: recorded with every training, for the ownership check."""
    if (
        spec.digest is None
    ):  # kept: needed at every observation of a training, and a spec never changes
        object.__setattr__(spec, "digest", doc.digest(encode_spec(spec)))
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
    if job.metrics:
        record["metrics"] = encode_metrics(job.metrics)
    return record


_KNOWN = frozenset({
    "schema", "JobId", "JobStatus", "submitted_at", "waiting_since", "state", "timeline", "charges",
    "attempts", "outbox", "stop", "hold_next", "metrics",
})  # fmt: skip


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
        submitted_at=doc.read_time(record["submitted_at"]),
        waiting_since=doc.read_time(record["waiting_since"]),
        version=version,
        charges={FailureClass(n): doc.read_int(c) for n, c in record.get("charges", {}).items()},
        attempts=tuple(_decode_attempt(a) for a in record.get("attempts", ())),
        timeline=tuple(
            Mark(
                at=doc.read_time(at),
                status=_STATUSES.get(status) or Status(status),
                attempt=doc.read_int(attempt),
                note=doc.read_text(note),
            )
            for at, status, attempt, note in record["timeline"]
        ),
        outbox=tuple(
            OutboxEntry(
                event_id=doc.read_text(event_id),
                status=Status(status),
                at=doc.read_time(at),
                reason=doc.read_text(reason),
            )
            for event_id, status, at, reason in record.get("outbox", ())
        ),
        stop=None
        if stop is None
        else StopRequest(at=doc.read_time(stop[0]), by=doc.read_text(stop[1])),
        hold_next=doc.read_bool(record.get("hold_next", False)),
        metrics=decode_metrics(record["metrics"]) if "metrics" in record else (),
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


def _decode_failure(value: Any) -> Failure:
    if value is None:
        msg = "a failure is missing"
        raise ValueError(msg)
    name, scope, retryable, rule, text = value
    return Failure(
        failure_class=FailureClass(name),
        scope=Scope(scope),
        retryable=Retryable(retryable),
        rule=doc.read_text(rule),
        text=doc.read_text(text),
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


def _read_attempt(value: Any) -> int:
    """Read an attempt's number: one that can be part of a training's name."""
    number = doc.read_int(value)
    if not 1 <= number <= ATTEMPTS_MAX:
        msg = f"attempt {number} is outside 1..{ATTEMPTS_MAX}"
        raise ValueError(msg)
    return number


def _decode_attempt(record: Mapping[str, Any]) -> Attempt:
    outcome = record.get("outcome")
    return Attempt(
        number=_read_attempt(record["n"]),
        placement=Placement(record["pool"], record["count"]),
        launching_at=doc.read_time(record["launching_at"]),
        launched_at=doc.read_time_or_none(record.get("launched_at")),
        started_at=doc.read_time_or_none(record.get("started_at")),
        ended_at=doc.read_time_or_none(record.get("ended_at")),
        outcome=None if outcome is None else Status(outcome),
        failure=optional(_decode_failure)(record.get("failure")),
    )


def _encode_state(state: State) -> dict[str, Json]:
    return doc.encode_fields(_STATE_FIELDS[state.status], state)


def _decode_state(status: Status, record: Mapping[str, Any]) -> State:
    return doc.decode_fields(_STATES[status], _STATE_FIELDS[status], record)


def readable(kind: str, key: str, decode: Callable[[], T]) -> T:
    """
    Call *decode*, which reads one stored record.

    Raises:
        CorruptRecord: the record cannot be read, for any reason.
    """
    try:
        return decode()
    except CorruptRecord:
        raise
    except UNREADABLE as error:
        raise CorruptRecord(key, f"{type(error).__name__}: {error}", kind) from error


# --- dataclasses, field by field --------------------------------------------------------

# A document holds the fields of a dataclass; defaults are left out. A field that this release does
# not know was written by a newer one, and is left out when it is read.


# By the annotation of a field.
_KINDS: Mapping[str, tuple[Callable[[Any], Json], Callable[[Any], Any]]] = {
    "int": (doc.same, doc.read_int),
    "int | None": (doc.same, optional(doc.read_int)),
    "float": (doc.same, doc.read_float),
    "bool": (doc.same, doc.read_bool),
    "str": (doc.same, doc.read_text),
    "datetime": (to_micros, doc.read_time),
    "datetime | None": (to_micros, doc.read_time_or_none),
    "Attempt": (_encode_attempt, _decode_attempt),
    "AttemptNumber": (doc.same, _read_attempt),
    "Failure": (_encode_failure, _decode_failure),
    "Failure | None": (_encode_failure, optional(_decode_failure)),
    "StopCause": (str, StopCause),
    "HoldCode": (str, HoldCode),
}
_STATES: Mapping[Status, Callable[..., State]] = {cls.status: cls for cls in get_args(State)}
_STATE_FIELDS = {
    status: doc.fields_of(cls, _KINDS, always=("attempt",)) for status, cls in _STATES.items()
}
_POOL_FIELDS = doc.fields_of(PoolState, _KINDS, columns=("name", "version"))
#: Fields of a stored pool state that had another name in releases before the present one.
_POOL_RENAMED = {"heard": "queue_granted", "because": "refusal"}
_SHARE_FIELDS = doc.fields_of(ShareUsage, _KINDS, columns=("share", "version"))
_TALLY_FIELDS = doc.fields_of(GroupTally, _KINDS, columns=("group", "owner", "version"))

# --- records beside jobs ----------------------------------------------------------------


def encode_pool(state: PoolState) -> dict[str, Json]:
    """Turn all of a pool's state but its name and its version into JSON data."""
    return doc.encode_fields(_POOL_FIELDS, state)


def decode_pool(name: str, document: Mapping[str, Any], *, version: int) -> PoolState:
    """
    Read a pool's state back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that `encode_pool` wrote.
    """
    renamed = {_POOL_RENAMED.get(field, field): value for field, value in document.items()}
    return doc.decode_fields(
        PoolState, _POOL_FIELDS, renamed, name=doc.read_text(name), version=doc.read_int(version)
    )


def encode_share(usage: ShareUsage) -> dict[str, Json]:
    """Turn all of a share's usage but its name and its version into JSON data."""
    return doc.encode_fields(_SHARE_FIELDS, usage)


def decode_share(share: str, document: Mapping[str, Any], *, version: int) -> ShareUsage:
    """
    Read a share's usage back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that `encode_share` wrote.
    """
    return doc.decode_fields(
        ShareUsage,
        _SHARE_FIELDS,
        document,
        share=doc.read_text(share),
        version=doc.read_int(version),
    )


def encode_tally(tally: GroupTally) -> dict[str, Json]:
    """Turn all of a group's tally but its key and its version into JSON data."""
    return doc.encode_fields(_TALLY_FIELDS, tally)


def decode_tally(
    group: str, owner: str, document: Mapping[str, Any], *, version: int
) -> GroupTally:
    """
    Read a group's tally back.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the document is not one that `encode_tally` wrote.
    """
    key = {"group": doc.read_text(group), "owner": doc.read_text(owner)}
    return doc.decode_fields(
        GroupTally, _TALLY_FIELDS, document, **key, version=doc.read_int(version)
    )
