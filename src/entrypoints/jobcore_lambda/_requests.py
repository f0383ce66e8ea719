"""Requests to the API: their fields, checks and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import attrs

from jobcore import Status
from jobcore.errors import InvalidSetting
from jobcore_config.checks import Check, Wrong, between, matching, report_all, sized
from jobcore_config.reading import read

__all__ = ["ApiError", "Hold", "Listing", "Submission", "is_name", "read_request", "refusal"]

JOBS_MAX = 500
PROBLEMS_MAX = 50

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+@-]{0,127}")  # of jobs, groups and shares
T = TypeVar("T")


class ApiError(Exception):
    """
    A request that cannot be granted.

    Args:
        status: the HTTP status: 400, 404, 409, 413, 503.
        code: one word, for programs.
        message: the problem and what to do.
        problems: one entry for each problem: job, field, message.
    """

    def __init__(
        self, status: int, code: str, message: str, problems: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problems = list(problems)

    def document(self) -> dict[str, Any]:
        """Make the JSON document of the error."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.problems:
            error["problems"] = self.problems
        return {"error": error}


def refusal(problems: Sequence[Mapping[str, Any]]) -> ApiError:
    """Make the error of a request with problems; the message has the first of them."""
    first = problems[0]
    where = f"jobs[{first['job']}]." if "job" in first else ""
    message = f"{where}{first['field']}: {first['message']}"
    if len(problems) > 1:
        message += f" (and {len(problems) - 1} more problems)"
    return ApiError(400, "invalid", message, problems[:PROBLEMS_MAX])


def read_request(kind: type[T], data: Mapping[str, Any]) -> T:
    """
    Read a request's body or query.

    Raises:
        ApiError: with every problem.
    """
    try:
        return read(kind, data)
    except InvalidSetting as error:
        raise refusal([{"field": f, "message": m} for f, m in error.problems]) from None


def is_name(text: str) -> bool:
    """Check whether *text* can be the name of a job, a group or a share."""
    return _NAME.fullmatch(text) is not None


# --- the requests ------------------------------------------------------------------------


def _printable(longest: int) -> Check:
    """Expect text; messages do not quote it, because a token is a secret."""
    return Check(
        f"printable text of 1 to {longest} characters",
        lambda text: 1 <= len(text) <= longest and text.isprintable(),
        quote=False,
    )


def _read_statuses(text: str, _: Any) -> frozenset[Status]:
    try:
        return frozenset(Status(word) for word in text.split(",") if word)
    except ValueError:
        expected = f"any of {', '.join(Status)}"
        raise Wrong(expected, text) from None


def _read_limit(text: str, _: Any) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        expected = f"1 to {JOBS_MAX}"
        raise Wrong(expected, text)
    return int(text)


_NAMED = matching(_NAME.pattern, "1-128 letters, digits or . _ = , + @ -")


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Submission:
    """
    The body of ``POST /jobs``.

    Attributes:
        jobs: the data of job files.
        token: an idempotency key: a repeated request with its token submits nothing twice.
        group: the group of jobs that name none.
    """

    jobs: tuple[Any, ...] = attrs.field(validator=sized(1, JOBS_MAX, "jobs"))
    token: str | None = attrs.field(default=None, validator=_printable(128))
    group: str | None = attrs.field(default=None, validator=_printable(128))


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Listing:
    """The query of ``GET /jobs``; *statuses* are separated by commas."""

    statuses: frozenset[Status] = attrs.field(
        default=frozenset(),
        metadata={"override": {"rename": "status", "struct_hook": _read_statuses}},
    )
    group: str | None = attrs.field(default=None, validator=_NAMED)
    name: str | None = attrs.field(default=None, validator=_NAMED)
    cursor: str | None = None
    limit: int = attrs.field(
        default=100,
        validator=between(1, JOBS_MAX),
        metadata={"override": {"struct_hook": _read_limit}},
    )


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Hold:
    """The body of ``POST /jobs/{id}/hold``."""

    reason: str | None = attrs.field(default=None, validator=_printable(200))
