"""The operations of the submit function: submit, list, show, stop, hold, release.

The owner is the caller, as authenticated by IAM. For jobs of other owners the answer is "not found".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jobcore
from jobcore.jobfile import job_for_backend
from jobcore.metrics import describe_metrics
from jobcore_aws import JOB_TABLES
from jobcore_config import BACKENDS

from ._requests import ApiError, Hold, Listing, Submission, is_name, read_request, refusal

if TYPE_CHECKING:
    from ._wiring import Wiring

__all__ = ["ApiError", "change_job", "get_job", "list_jobs", "owner_of", "read_json", "submit"]

BODY_BYTES_MAX = 5_000_000  # Lambda accepts 6 MB

_ARN = re.compile(r"arn:[a-z-]+:(?:iam|sts)::([0-9]{12}):([!-~]{1,220})")


# --- the caller -------------------------------------------------------------------------


def owner_of(iam: object, *, account: str = "") -> str:
    """
    Return the owner's name of the caller that API Gateway has authenticated.

    ``user/alice`` for an IAM user. ``role/Team`` for a role: the session's name is chosen by the user
    who assumes the role, so it does not identify the caller. ``role/AWSReservedSSO_.../alice`` for IAM Identity
    Center, which sets the session's name itself. The name of a caller of another account begins with
    that account.

    Args:
        iam: ``requestContext.authorizer.iam`` of the event.
        account: the deployment's own account.

    Raises:
        ApiError: the caller is not authenticated.
    """
    arn = iam.get("userArn") if isinstance(iam, Mapping) else None
    match = _ARN.fullmatch(arn) if isinstance(arn, str) else None
    if match is None:
        raise ApiError(403, "unauthenticated", "sign the request (AWS Signature Version 4)")
    kind, _, name = match[2].partition("/")
    if kind == "assumed-role":
        role, _, session = name.partition("/")
        name = f"{role}/{session}" if role.startswith("AWSReservedSSO_") else role
        kind = "role"
    owner = f"{kind}/{name}" if name else kind
    return owner if not account or match[1] == account else f"{match[1]}:{owner}"


def _share_of(owner: str) -> str:
    name = owner.rsplit("/", 1)[-1]
    return name if is_name(name) else "other"


# --- reading requests -------------------------------------------------------------------


def read_json(body: str | bytes | None) -> Mapping[str, Any]:
    """
    Decode a request's body.

    Raises:
        ApiError: it is too large, or not a JSON object.
    """
    if body is not None and len(body) > BODY_BYTES_MAX:
        message = f"{len(body):,} bytes; at most {BODY_BYTES_MAX:,}: submit in several requests"
        raise ApiError(413, "too_large", message)
    try:
        document = json.loads(body or "", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "no_json", "the body is not valid JSON") from None
    if not isinstance(document, dict):
        raise ApiError(400, "no_json", 'expected a JSON object such as {"jobs": [...]}')
    return document


def _no_constant(word: str) -> None:
    raise ValueError(word)


# --- submit -----------------------------------------------------------------------------


def submit(wired: Wiring, owner: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """
    Register jobs, each at most once.

    Args:
        document: ``jobs`` (a list of job files' data), and optionally ``token`` (a repeated
            request with the same token submits nothing twice) and ``group``.

    Raises:
        ApiError: with every problem of every job; nothing was written.
    """
    request = read_request(Submission, document)
    token, group = request.token, request.group
    specs = _specs(wired, owner, request.jobs, group)
    ids = _ids(owner, token, len(specs))
    if token is not None:
        _check_token(wired, dict(zip(ids, specs, strict=True)))
    try:
        done = jobcore.submit(specs, ids, store=wired.store, now=wired.clock.now())
    except ValueError as error:  # for example, a job is too large for the store
        field, _, message = str(error).partition(": ")
        raise refusal([{"field": field, "message": message}]) from None
    if any(s.added is jobcore.ports.Added.CLASH for s in done):
        raise _clash()
    known = sum(s.added is jobcore.ports.Added.DUPLICATE for s in done)
    return {"ids": ids, "group": group, "created": len(ids) - known, "known": known}


def _specs(
    wired: Wiring, owner: str, entries: Sequence[object], group: str | None
) -> list[jobcore.Spec]:
    specs: list[jobcore.Spec] = []
    problems: list[dict[str, Any]] = []
    for number, entry in enumerate(entries):
        try:
            document = job_for_backend(entry, "aws", backends=BACKENDS, service_tables=JOB_TABLES)
            spec = jobcore.parse_job(
                _shared(document, owner), owner=owner, group=group, service_tables=JOB_TABLES
            )
            spec = wired.resolve_pools(spec)
            if found := wired.check(spec):
                raise jobcore.InvalidJob(found)
        except jobcore.InvalidJob as error:
            problems += [
                {"job": number, "field": p.field, "message": p.message} for p in error.problems
            ]
        except RecursionError:
            problems.append({"job": number, "field": "job", "message": "nested too deeply"})
        else:
            specs.append(spec)
    if problems:
        raise refusal(problems)
    return specs


def _shared(entry: object, owner: str) -> object:
    """Add the caller's share to a job's data, and refuse the fields that the API does not allow."""
    if not isinstance(entry, dict):
        return entry
    if "owner" in entry:
        raise jobcore.InvalidJob(
            [jobcore.errors.Problem("owner", "leave it out; the owner is the caller")]
        )
    if "sweep" in entry:
        message = "expand it first: one job for each point"
        raise jobcore.InvalidJob([jobcore.errors.Problem("sweep", message)])
    return {"share": _share_of(owner), **entry}


def _ids(owner: str, token: str | None, count: int) -> list[str]:
    """Make the jobs' ids; from the token as `jobcore submit --key` does."""
    if token is None:
        return [jobcore.job_id_from_bytes(os.urandom(16)) for _ in range(count)]
    if count == 1:
        return [jobcore.job_id_from_token(owner, token)]
    return [jobcore.job_id_from_token(owner, f"{token}/{number}") for number in range(count)]


def _check_token(wired: Wiring, specs: Mapping[str, jobcore.Spec]) -> None:
    """Check, before anything is written, that the token was used for exactly these jobs or for none."""
    known = wired.store.get(list(specs))
    for job_id, job in known.items():
        if jobcore.lifecycle.spec_hash(job.spec) != jobcore.lifecycle.spec_hash(specs[job_id]):
            raise _clash()


def _clash() -> ApiError:
    message = "token: used before for another submission; choose another one"
    return ApiError(409, "token_used", message, [{"field": "token", "message": message[7:]}])


# --- reading and changing ---------------------------------------------------------------


def list_jobs(wired: Wiring, owner: str, query: Mapping[str, str]) -> dict[str, Any]:
    """
    List the caller's jobs, newest first.

    Args:
        query: ``status`` (several by commas), ``group``, ``name``, ``cursor``, ``limit``.

    Raises:
        ApiError: a field is wrong.
    """
    request = read_request(Listing, query)
    try:
        page = wired.store.find(
            jobcore.ports.JobQuery(
                owner=owner,
                statuses=request.statuses,
                group=request.group,
                name=request.name,
                cursor=request.cursor,
                limit=request.limit,
            )
        )
    except ValueError:
        message = "cursor: not one that a page gave; start again without a cursor"
        raise ApiError(400, "invalid", message) from None
    own = [job for job in page.jobs if job.spec.owner == owner]
    return {"jobs": [summary(job) for job in own], "cursor": page.cursor}


def get_job(wired: Wiring, owner: str, job_id: str) -> dict[str, Any]:
    """
    Show a job.

    Raises:
        ApiError: the caller has no such job.
    """
    return details(_own(wired, owner, job_id))


def change_job(
    wired: Wiring, owner: str, job_id: str, action: str, document: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Stop, hold or release a job.

    Raises:
        ApiError: the caller has no such job, or its state does not allow it.
    """
    _own(wired, owner, job_id)
    event: jobcore.lifecycle.Event
    match action:
        case "stop":
            event = jobcore.StopRequested(by=owner)
        case "hold":
            hold = read_request(Hold, {"reason": document.get("reason")})
            event = jobcore.HoldRequested(by=owner, reason=hold.reason or "")
        case "release":
            event = jobcore.ReleaseRequested(by=owner)
        case _:
            raise ApiError(404, "not_found", "known: stop, hold, release")
    step = jobcore.ticks.apply_request(job_id, event, store=wired.store, now=wired.clock.now())
    if step is None:
        raise _no_job()
    if step.refused:
        raise ApiError(409, "refused", step.refused)
    return {"id": job_id, "status": str(step.job.status), "changed": step.changed} | (
        {"ignored": step.ignored} if step.ignored else {}
    )


def _own(wired: Wiring, owner: str, job_id: str) -> jobcore.Job:
    # A text that is not an id does not reach the store. Another owner's job is answered as no job.
    job = wired.store.get([job_id]).get(job_id) if jobcore.lifecycle.is_job_id(job_id) else None
    if job is None or job.spec.owner != owner:
        raise _no_job()
    return job


def _no_job() -> ApiError:
    return ApiError(404, "not_found", "there is no such job of yours")


def _at(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time is not None else None


def summary(job: jobcore.Job) -> dict[str, Any]:
    """Make the entry of a job in a list."""
    return {
        "id": job.job_id,
        "name": job.spec.name,
        "group": job.spec.group,
        "status": str(job.status),
        "since": _at(job.state.since),
        "submitted_at": _at(job.submitted_at),
        "attempt": job.attempt_number,
        "priority": job.spec.priority,
    }


def details(job: jobcore.Job) -> dict[str, Any]:
    """Make the document of a job, without its arguments: environments and hyperparameters may hold secrets."""
    attempts = (*job.attempts, *([job.current] if job.current else []))
    failure = job.state.failure if isinstance(job.state, jobcore.lifecycle.Failed) else None
    return summary(job) | {
        "owner": job.spec.owner,
        "share": job.spec.share,
        "pools": [{"pool": p.pool, "count": p.count} for p in job.spec.placements],
        "failure": _failure(failure),
        "metrics": describe_metrics(job.metrics),
        "charges": {str(name): count for name, count in job.charges.items()},
        "attempts": [
            {
                "number": a.number,
                "pool": a.placement.pool,
                "training_name": jobcore.lifecycle.training_name(job.job_id, a.number),
                "launched_at": _at(a.launched_at),
                "started_at": _at(a.started_at),
                "ended_at": _at(a.ended_at),
                "outcome": str(a.outcome) if a.outcome else None,
                "failure": _failure(a.failure),
            }
            for a in attempts
        ],
        "timeline": [
            {
                "at": _at(m.at),
                "status": str(m.status),
                "attempt": m.attempt,
                "note": jobcore.redact.redact(m.note),
            }
            for m in job.timeline
        ],
    }


def _failure(failure: jobcore.Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {
        "class": str(failure.failure_class),
        "retry": str(failure.retryable),
        "rule": failure.rule,
        "text": jobcore.redact.redact(failure.text),
    }
