"""
Clients that give up on a reply that comes late, and wait for minutes for every other.

A short timeout of the client would strike any reply of an overloaded machine.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from patience import SECONDS, until

#: The header by which a faulty endpoint of the tests marks a reply as late.
LATE = "X-Test-Late"


def impatient(client: Any) -> Any:
    """
    Let a boto3 client give up on each reply that a faulty endpoint of the tests marks as late.

    The endpoint has applied the request. The reply arrives at once, and the client behaves as if it
    had waited in vain.
    """
    session = client._endpoint.http_session
    patient = session.send

    def send(request: Any) -> Any:
        response = patient(request)
        if LATE in response.headers:
            response.raw.close()  # the body of a download is not read, and holds the connection
            raise ReadTimeoutError(endpoint_url=request.url)
        return response

    session.send = send
    return client


def hurried(client: Any, sandbox: Any, *, seconds: float = 0.5) -> Any:
    """Let a boto3 client wait for *seconds* for the replies that faults of *sandbox* delay; for minutes else."""
    sandbox.sent = 0
    session = client._endpoint.http_session
    patient, close = session.send, session.close
    quick = URLLib3Session(timeout=(SECONDS, seconds))

    def is_late(operation: str) -> bool:
        return any(
            fault.kind in {"late-reply", "late-apply"}
            and fnmatchcase(operation, fault.operation)
            and (fault.times is None or fault.hits < fault.times)
            for fault in sandbox.faults
        )

    def send(request: Any) -> Any:
        sandbox.sent += 1
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        return quick.send(request) if is_late(operation) else patient(request)

    def close_both() -> None:
        quick.close()
        close()

    session.send, session.close = send, close_both
    return client


def settle(sandbox: Any) -> None:
    """Wait until *sandbox* has carried out all requests of its `hurried` client, the late ones too."""
    until(lambda: sandbox.calls.total() >= sandbox.sent and _is_idle(sandbox))


def _is_idle(sandbox: Any) -> bool:
    return len(sandbox.log) == sandbox.calls.total()
