"""
Requests to DynamoDB and S3: retries, partial answers, and the classification of errors.

The SDK makes one attempt, and this module retries. So a write that is repeated after a lost reply can
be distinguished from another writer's (see `_writes`), and the time of all tries is bounded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from jobcore import Unavailable

from ._items import Item

__all__ = [
    "TRIES",
    "Calls",
    "answered",
    "error_code",
    "is_refused",
    "is_transient",
    "make_client",
    "retried",
]

T = TypeVar("T")
R = TypeVar("R")

TRIES = 8
_BACKOFF_SECONDS = 0.05
_BACKOFF_SECONDS_MAX = 2.0

_KEYS_PER_GET = 100  # DynamoDB's limit for BatchGetItem

# Transient errors with HTTP status 400; those with 429 or 5xx are transient, too.
_TRANSIENT = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",  # another transaction has locked the item
        "TransactionInProgressException",
    }
)
_BROKEN_ANSWERS = frozenset({"ChecksumError", "IncompleteReadError", "ResponseParserError"})
# Waiting does not help, and the state of every job is unknown.
_REFUSED = {
    "AccessDeniedException": "the credentials do not allow it",
    "AccessDenied": "the credentials do not allow it",
    "ExpiredToken": "the credentials have expired",
    "ExpiredTokenException": "the credentials have expired",
    "InvalidSignatureException": "the credentials, or this machine's clock, are wrong",
    "MissingAuthenticationTokenException": "there are no credentials",
    "NoSuchBucket": "there is no such bucket",
    "ResourceNotFoundException": "there is no such table, or its indexes are not jobcore's",
    "UnrecognizedClientException": "the credentials are not valid",
}


class _NotTheService(Exception):  # noqa: N818  (a condition, not an error of its own)
    """An answer with HTTP status 200 that is not the service's; the SDK takes it for an empty one."""


def make_client(service: str, threads: int) -> Any:
    """
    Make a boto3 client that makes one attempt per call, with a connection for each thread.

    Raises:
        Unavailable: no region is configured, for example.
    """
    import boto3
    from botocore.config import Config

    make: Any = boto3.client  # typed by literal service names only
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=3,
        read_timeout=10,
        tcp_keepalive=True,
        max_pool_connections=threads,
    )
    return retried(f"boto3 client of {service}", partial(make, service, config=config))


def error_code(error: Exception) -> str:
    """Return the service's code of an error; empty if the service did not answer."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _classify(error: Exception) -> tuple[str, bool] | None:
    """Return the cause in words, and whether it is transient; None if it concerns this request only."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004  (botocore's, not the built-in one)
        HTTPClientError,
        ParamValidationError,
    )

    if isinstance(error, _NotTheService):
        return "the answer is not the service's (a proxy's page?)", True
    if isinstance(error, ClientError):
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _REFUSED:
            return f"{_REFUSED[code]} ({code})", False
        if code in _TRANSIENT or status == 429 or status >= 500:
            return f"{code} (HTTP {status})", True
        return None
    if isinstance(error, HTTPClientError | ConnectionError):  # timeouts, resets, unknown hosts
        return f"no answer ({type(error).__name__})", True
    if isinstance(error, ParamValidationError) or not isinstance(error, BotoCoreError):
        return None
    # A broken answer (a proxy's page, a cut connection) is transient; missing credentials are not.
    return f"{type(error).__name__}: {error}", type(error).__name__ in _BROKEN_ANSWERS


def is_transient(error: BaseException | None) -> bool:
    """Check whether an error of the SDK is transient: the same request may succeed later."""
    found = _classify(error) if isinstance(error, Exception) else None
    return found is not None and found[1]


def is_refused(error: BaseException) -> bool:
    """Check whether a request was refused for its content, so that it certainly took no effect."""
    from botocore.exceptions import ClientError, ParamValidationError

    if isinstance(error, ParamValidationError):
        return True
    if not isinstance(error, ClientError) or _classify(error) is not None:
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return bool(400 <= status < 500)


def answered(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Make one request; an answer without a request id is not the service's, and is refused."""
    answer: dict[str, Any] = call(**arguments)
    if not answer.get("ResponseMetadata", {}).get("RequestId"):
        raise _NotTheService
    return answer


def _back_off(number: int) -> None:
    """Wait before try *number*: exponential backoff with full jitter."""
    wait = min(_BACKOFF_SECONDS_MAX, _BACKOFF_SECONDS * 2.0**number)
    time.sleep(random.uniform(0, wait))  # noqa: S311  (no secret)


def retried(what: str, call: Callable[[], R], *, tries: int = TRIES) -> R:
    """
    Make a call until it is answered, at most *tries* times.

    Raises:
        Unavailable: it was not answered. A write may have been applied all the same.
        Exception: the error of the SDK, if it concerns this request only.
    """
    for number in range(tries):
        if number:
            _back_off(number)
        try:
            return call()
        except Exception as error:
            found = _classify(error)
            if found is None:
                raise
            why, transient = found
            if not transient or number == tries - 1:
                times = f", {tries} times" if transient and tries > 1 else ""
                help_ = "; nothing may be concluded, try again" if transient else ""
                msg = f"{what}: {why}{times}{help_}"
                raise Unavailable(msg) from error
    raise AssertionError


class Calls:
    """Requests for one table."""

    def __init__(self, table: str, client: Any, *, threads: int) -> None:
        self.table = table
        self.client = client
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="dynamodb")

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Make one request for the table (see `retried`)."""
        method = getattr(self.client, operation)
        return retried(
            f"DynamoDB {operation} of table {self.table}",
            partial(answered, method, TableName=self.table, **arguments),
        )

    def read(
        self, keys: Iterable[Item], *, consistent: bool, only: Sequence[str] = ()
    ) -> list[Item]:
        """Read items by key, in no order; those that do not exist are absent."""
        unique = list({(key["pk"]["S"], key["sk"]["S"]): key for key in keys}.values())
        parts = [unique[n : n + _KEYS_PER_GET] for n in range(0, len(unique), _KEYS_PER_GET)]
        request: dict[str, Any] = {"ConsistentRead": consistent}
        if only:
            names = {f"#{n}": name for n, name in enumerate(only)}
            request["ProjectionExpression"] = ",".join(names)
            request["ExpressionAttributeNames"] = names
        answers = self.map(lambda part: self._read(part, request), parts)
        return [item for items in answers for item in items]

    def _read(self, keys: list[Item], request: dict[str, Any]) -> list[Item]:
        """Read up to 100 items; keys that an answer leaves out (16 MB, throttling) are requested again."""
        found: list[Item] = []
        what = f"DynamoDB batch_get_item of table {self.table}"
        empty = 0
        while keys:
            wanted = {self.table: {**request, "Keys": keys}}
            answer = retried(
                what, partial(answered, self.client.batch_get_item, RequestItems=wanted)
            )
            items = answer.get("Responses", {}).get(self.table, [])
            found += items
            keys = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            # An answer without items was throttled: back off, and give up after some tries.
            empty = 0 if items else empty + 1
            if keys and empty >= TRIES:
                msg = f"{what}: {len(keys)} keys were left unread {TRIES} times; try again"
                raise Unavailable(msg)
            if keys and empty:
                _back_off(empty)
        return found

    def query(
        self,
        condition: str,
        values: Mapping[str, Any],
        *,
        names: Mapping[str, str],
        page: int | None = None,
        **arguments: Any,
    ) -> Iterator[Item]:
        """Iterate over the items of a query; a page is read when the caller needs it."""
        if page is not None:
            arguments["Limit"] = page
        for answer in self._pages(condition, values, names, arguments):
            yield from answer.get("Items", [])

    def count(
        self, condition: str, values: Mapping[str, Any], *, names: Mapping[str, str], index: str
    ) -> int:
        """Count the items of a query."""
        arguments = {"IndexName": index, "Select": "COUNT"}
        return sum(answer["Count"] for answer in self._pages(condition, values, names, arguments))

    def _pages(
        self,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str],
        arguments: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        request = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": dict(names),
            "ExpressionAttributeValues": dict(values),
            **arguments,
        }
        while True:
            answer = self.call("query", **request)
            yield answer
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def map(self, function: Callable[[T], R], values: Sequence[T]) -> list[R]:
        """
        Apply *function* to each value, several at a time, and wait for all of them.

        Raises:
            Exception: the first one that a call raised, after all have ended (one thread: at once).
        """
        if len(values) < 2 or self._threads < 2:
            return [function(value) for value in values]
        futures = [self._executor.submit(function, value) for value in values]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]
