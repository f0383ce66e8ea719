"""What an error of boto3 means for the call that raised it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore.ports import Evidence

__all__ = ["error_code", "error_text", "evidence_of", "is_refusal", "is_throttle"]

# The service threw the call out unread because of who called. Nothing is wrong with the job, so
# this is no answer to it: as long as the caller's own credentials fail, its jobs wait.
_CALLER = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired",
        "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
        "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken",
        "MissingAuthenticationTokenException", "InvalidAccessKeyId", "AuthFailure", "OptInRequired",
    }
)  # fmt: skip
_LATE = frozenset({"RequestTimeout", "RequestTimeoutException"})
_THROTTLES = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
        "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "SlowDown",
    }
)  # fmt: skip


def error_code(error: BaseException) -> str:
    """Give the service's error code, or botocore's name for what happened instead of an answer."""
    return str(_response(error).get("Error", {}).get("Code") or type(error).__name__)


def error_text(error: BaseException) -> str:
    """Give the message of an error."""
    return str(_response(error).get("Error", {}).get("Message") or error)


def is_throttle(error: BaseException) -> bool:
    """Tell whether the service said that there are too many calls."""
    return error_code(error) in _THROTTLES


def is_refusal(error: BaseException) -> bool:
    """
    Tell whether a call was judged and refused, so that it certainly took no effect.

    Only the service's own answer with a status of 4xx says so, and botocore's check of the
    parameters. After a 5xx, a reset or a timeout the call may have been applied, or be applied
    later; and what never reached the service says nothing about the job.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    if isinstance(error, ParamValidationError):
        return True
    if not isinstance(error, ClientError):
        return False
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error_code(error)
    return 400 <= status < 500 and status != 408 and code not in _CALLER and code not in _LATE


def evidence_of(error: BaseException, where: str) -> Evidence:
    """Write an error down for the classifier."""
    return Evidence(where=where, error_code=error_code(error), text=error_text(error))


def _response(error: BaseException) -> Mapping[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, Mapping) else {}
