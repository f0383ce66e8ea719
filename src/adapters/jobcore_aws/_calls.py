"""Calls of an AWS service: our own retries, in place of the SDK's, and errors as port errors.

The SDK's retries turn "applied, and the answer lost" into "already exists" or "condition failed".
So clients that change something make one attempt, and what is repeated is repeated here, where
the caller knows how to recognise its own earlier write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from jobcore import Unavailable, hash_fraction

T = TypeVar("T")
R = TypeVar("R")

#: Errors that say "not now"; of them the request is known not to have been applied.
THROTTLES = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
#: Errors that may go away, of which it is not known whether the request was applied.
DOUBTFUL = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


def error_code(error: Exception) -> str:
    """Give the code of a service's error; "" for any other exception."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def error_status(error: Exception) -> int:
    """Give the HTTP status of a service's error; 0 for any other exception."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def error_text(error: Exception) -> str:
    """Give the service's own words; the exception's for any other."""
    response = getattr(error, "response", None)
    if isinstance(response, dict) and response.get("Error", {}).get("Message"):
        return str(response["Error"]["Message"])
    return str(error)


def is_passing(error: Exception) -> bool:
    """Tell whether the same call may succeed later: throttled, 5xx, or the connection failed."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    if isinstance(error, ClientError):
        code = error_code(error)
        return code in THROTTLES or code in DOUBTFUL or error_status(error) >= 500
    return isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError)


def repeatedly(
    call: Callable[[], T],
    what: str,
    *,
    tries: int = 4,
    pause: float = 0.05,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """
    Make a call that may be repeated, up to *tries* times, with growing pauses.

    Raises:
        Unavailable: it went on failing in a way that passes, or access was denied.
        ClientError: it failed for good.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    for number in range(1, tries + 1):
        try:
            return call()
        except (BotoCoreError, ClientError) as error:
            if not is_passing(error):
                if error_code(error) in _NO_ACCESS or not isinstance(error, ClientError):
                    msg = f"{what}: {_said(error)}"
                    raise Unavailable(msg) from None
                raise
            if number == tries:
                msg = f"{what}: {_said(error)}"
                raise Unavailable(msg) from None
            # Not all callers at once; the fraction is of the call, so that it can be repeated.
            sleep(pause * 2**number * (0.5 + hash_fraction(what, number)))
    raise AssertionError(tries)


_NO_ACCESS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "ResourceNotFoundException",  # the table: it may not be made yet, or the name is wrong
        "UnrecognizedClientException",
    }
)


def _said(error: Exception) -> str:
    code = error_code(error)
    return f"{code}: {error_text(error)}" if code else f"{type(error).__name__}: {error}"


class Crowd:
    """Makes many calls at once, on a bounded number of threads that are started when needed."""

    def __init__(self, size: int) -> None:
        """Use at most *size* threads."""
        self.size = size
        self._pool: ThreadPoolExecutor | None = None

    def map(self, call: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
        """Call for each item; the answers come in order, the first exception after all are over."""
        if len(items) < 2:
            return [call(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.size, thread_name_prefix="jobcore-aws")
        futures = [self._pool.submit(call, item) for item in items]
        troubles = [error for f in futures if (error := f.exception()) is not None]
        if troubles:
            raise troubles[0]
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Cut a sequence into pieces of at most *size*."""
    return [items[start : start + size] for start in range(0, len(items), size)]
