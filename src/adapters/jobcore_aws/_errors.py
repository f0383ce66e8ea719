"""Reading errors of boto3: code, text, and whether the call was refused or throttled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobcore.ports import Evidence

__all__ = ["error_code", "error_text", "evidence_of", "is_refusal", "is_throttle"]

# The service rejected the caller, not the request. This is no refusal of the job: jobs wait until the
# caller's credentials work again.
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
    """Return the service's error code, or the name of botocore's exception if there was no answer."""
    return str(_response(error).get("Error", {}).get("Code") or type(error).__name__)


def error_text(error: BaseException) -> str:
    """Return the message of an error."""
    return str(_response(error).get("Error", {}).get("Message") or error)


def is_throttle(error: BaseException) -> bool:
    """Check whether the service throttled the call."""
    return error_code(error) in _THROTTLES


def is_refusal(error: BaseException) -> bool:
    """
    Check whether a call was refused for its content, so that it certainly took no effect.

    That is known from an answer of the service with a status of 4xx, and from botocore's check of
    the parameters. After a 5xx, a reset or a timeout the call may have been applied, or may be applied
    later. A call that did not reach the service is no refusal of the job.
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
    """Make the evidence of an error, for the classifier."""
    return Evidence(where=where, error_code=error_code(error), text=error_text(error))


def _response(error: BaseException) -> Mapping[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, Mapping) else {}
