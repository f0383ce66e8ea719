"""What follows from a service's error code alone, and which rules speak of more than one job: a second book.

The rules are data that is easily lost in an edit; here it is written again, sorted by what follows.
"""

from __future__ import annotations

import pytest

from jobcore import classify
from jobcore.lifecycle import Scope
from jobcore.ports import Evidence
from jobcore_aws import failure_rules
from jobcore_aws._errors import _CALLER

CODES = [
    ('throttle', 'account', 'yes', 'create', 'Throttling ThrottlingException ThrottledException TooManyRequestsException TooManyRequests RequestThrottled RequestThrottledException RequestLimitExceeded SlowDown BandwidthLimitExceeded LimitExceededException ProvisionedThroughputExceededException ProvisionedThroughputExceeded EC2ThrottledException PriorRequestNotComplete TransactionInProgressException 429'),
    ('quota', 'pool', 'limited', 'create', 'ResourceLimitExceeded ResourceLimitExceededException ServiceQuotaExceeded ServiceQuotaExceededException LimitExceeded VcpuLimitExceeded QuotaExceeded InstanceLimitExceeded MaxSpotInstanceCountExceeded'),
    ('capacity', 'pool', 'yes', 'create', 'CapacityError InsufficientInstanceCapacity InsufficientCapacityException InsufficientCapacity InsufficientHostCapacity InsufficientReservedInstanceCapacity EC2InsufficientCapacityError InsufficientCapacityError SpotMaxPriceTooLow UnfulfillableCapacity'),
    ('bad_input', 'job', 'limited', 'create', 'ResourceInUse ResourceInUseException ResourceAlreadyExistsException'),
    ('permission', 'account', 'limited', 'create', 'ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired'),
    ('permission', 'job', 'no', 'describe', 'AccessDenied AccessDeniedException'),
    ('permission', 'account', 'no', 'create', 'UnrecognizedClientException InvalidClientTokenId InvalidSignatureException SignatureDoesNotMatch MissingAuthenticationToken MissingAuthenticationTokenException AuthFailure OptInRequired IncompleteSignature InvalidAccessKeyId NoCredentialsError 401'),
    ('permission', 'job', 'no', 'create', 'AccessDenied AccessDeniedException UnauthorizedOperation NotAuthorized UnauthorizedException AuthorizationError KMSAccessDeniedException Forbidden Unauthorized 403'),
    ('service_internal', 'job', 'yes', 'create', 'InternalFailure InternalServerError InternalServerException InternalError InternalServiceError InternalServiceException InternalServiceFault ServiceUnavailable ServiceUnavailableException ServiceException ServerException RequestTimeout RequestTimeoutException 500 502 503 504 ConnectTimeoutError ReadTimeoutError EndpointConnectionError ConnectionClosedError ConnectionError HTTPClientError ProxyConnectionError SSLError DependencyFailureException'),
    ('data_access', 'job', 'no', 'create', '404 NoSuchKey NoSuchBucket NotFound'),
    ('unknown', 'job', 'limited', 'describe', 'ResourceNotFound ResourceNotFoundException'),
    ('bad_input', 'job', 'no', 'create', 'ValidationException ValidationError ParamValidationError InvalidParameterValue InvalidParameterException InvalidParameterValueException InvalidParameterCombination InvalidParameter InvalidRequestException InvalidInputException InvalidInput SerializationException MalformedInput MalformedQueryString MissingParameter MissingAction InvalidAction ConflictException BadRequestException BadRequest ClientException UnknownOperationException UnsupportedOperation InvalidS3ObjectException 400 ResourceNotFound ResourceNotFoundException ClientError'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "scope", "retry", "where", "codes"), CODES)
def test_what_follows_from_a_code(kind, scope, retry, where, codes):
    for code in codes.split():
        failure = classify(Evidence(where=where, error_code=code), failure_rules())
        said = (failure.failure_class, failure.scope, failure.retryable)
        assert said == (kind, scope, retry), code


SCOPES = {
    "account": [
        "throttled",
        "throttled (text)",
        "credentials expired",
        "caller not accepted (code)",
    ],
    "pool": [
        "not offered in this region",
        "quota full",
        "quota smaller than the request",
        "quota of zero",
        "some limit",
        "some limit (text)",
        "no capacity (code)",
        "waiting for capacity",
        "given up after waiting for capacity",
        "queue cannot hold the job",
        "queue misconfigured",
        "no capacity",
        "wait for capacity over",
    ],
}


def test_which_rules_speak_of_a_pool_or_the_account():
    for scope in (Scope.POOL, Scope.ACCOUNT):
        assert [r.name for r in failure_rules().rules if r.scope is scope] == SCOPES[scope]


@pytest.mark.parametrize("code", sorted(_CALLER))
def test_a_code_about_the_caller_concerns_the_account(code):
    assert (
        classify(Evidence(where="create", error_code=code), failure_rules()).scope is Scope.ACCOUNT
    )
