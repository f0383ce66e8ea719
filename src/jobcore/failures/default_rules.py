"""The default failure rules: data, read from top to bottom, the first match wins.

The shape is that of a user's own rule file (``[[rule]]`` tables, see docs/how-to/add-failure-rules.md), so that
whoever knows one knows both. `pattern` is matched at the start of the normalised text
(`jobcore.normalise`): lower case, single spaces, no SDK prefix. `error` is matched at the start
of each error that the text reports.

The order is the argument:

1. A training's own words (everything behind ``AlgorithmError``) are told apart first and can
   only become algorithm, oom, bad_input, data_access or permission: user code may say
   "CapacityError" or "ThrottlingException", and a rule about the service must not believe it.
2. What the service says with a code, before what it says in words.
3. Statuses that speak for themselves, before texts.
4. SageMaker's own sentences (``ClientError: …``); they are SageMaker's to the last word, so
   these patterns may look inside.
5. Texts without any prefix: how people and other schedulers pass a reason on.

Sources: the service models, AWS's documentation of errors and statuses, and public failure
reports; tests/unit/failure_texts.jsonl names them one by one.
"""

from __future__ import annotations

from .rules import Rule, parse_rules

__all__ = [
    "DEFAULT_RULES",
]

_OOM = (
    r"(?:out[ _]of[ _]memory|outofmemory|memoryerror|bad_alloc|cannot allocate memory"
    r"|can't allocate memory|not enough memory|unable to allocate|failed to allocate"
    r"|resourceexhausted|resource exhausted|oom when allocating|alloc_failed|oom[- ]kill"
    r"|std::length_error|java heap space|more memory|memory limit)"
)
_KILLED = (
    r"(?:sigkill|signal[: ]+\(?9\b|signal: killed|died with <signals\.sigkill|exit ?code ?:? ?-9\b)"
)
_DENIED = (
    r"(?:access ?denied|\b403\b|forbidden|not authori[sz]ed|not permitted to |unauthori[sz]ed|permission denied"
    r"|explicit deny|-based policy allows|insufficient permission|sufficient access"
    r"|(?:not|n't) (?:grant |have (?:\S+ ){0,4}(?:permissions?|access)\b)"
    r"|has (?:\w+:\w+|the \w+:\w+) permission|access key id|not subscribed|(?:locate|invalid) credentials)"
)
_ASSUME = r"(?:assume (?:the )?role|assume it|sts:assumerole|role (?:could not|cannot) be assumed)"
_ABSENT = (
    r"(?:no such (?:key|bucket|file)|nosuchkey|nosuchbucket|\b404\b|not found|(?:does|do) not exist"
    r"|no s3 objects|no file|no object|could not find|cannot find)"
)
_DISK = r"(?:insufficient disk|disk space|no space left|enospc|errno 28|disk quota)"
_NETWORK = r"(?:route table|vpc endpoint|nat (?:device|gateway)|network acl|security group)"
_HYPERPARAMETER = (
    r"(?:hyper-?parameter|additional properties are not allowed|failed validating"
    r"|is a required property|is not (?:one of \[|of type '|valid under any of)"
    r"|(?:does not|doesn't) match (?:format|')|not in range|no value\(s\) were specified"
    r"|caused by validationerror|is less than the minimum of|is greater than the maximum of"
    r"|greater equal to)"
)
_DATA_CHECK = (  # what built-in algorithms say of the data they were given
    r"(?:labels? (?:must|should)|feature_names mismatch|base_score must|contains? pos or neg"
    r"|target is multiclass|label_correct)"
)
_REQUEST_CHECK = (  # the same without a prefix, where no user code can have written it
    rf"(?:{_HYPERPARAMETER}|{_DATA_CHECK}|content ?type|not a valid channel|empty \.?\w+ file"
    r"|no training data|could not determine|usererror|customer ?error)"
)
_CLUSTER = (
    r"(?:\bnccl|dist\w*error\b|\bgloo\b|collective operation timeout|connection reset by peer"
    r"|\bhorovod\b|\bmpi_|\befa\b|libfabric|rendezvous)"
)
_CRASHED = r"(?:132|134|135|136|139|-4|-6|-7|-8|-11)"
_CANNOT_RUN = (  # a container that never came to run the training
    r"(?:oci runtime|container_linux|standard_init_linux|starting container|exec format error"
    r"|executable file not found|exec \w+ failed|exec user process)"
)
_BY_USER_CODE = r"(?:algorithmerror|framework ?error|executeuserscripterror|uncaught exception|traceback \(most)"
_CLIENT = r"(?:clienterror: ?)"
_TRANSFER = r"(?:data download|artifact upload|checkpoint \w+|model download) failed\b"


def _user(pattern: str) -> str:
    """Anchor a pattern behind the words that open a training's own text."""
    return rf"{_BY_USER_CODE}\b{pattern}"


_DATA: tuple[dict[str, object], ...] = (
    # --- 1. a training's own words -------------------------------------------------------
    {
        "name": "training: internal error, no more said",
        "class": "oom",  # a host that died, mostly for memory: public reports agree
        "retry": "limited",
        "pattern": r"algorithmerror: ?internalservererror(?=$|[.,])",
    },
    {
        "name": "training: out of memory",
        "class": "oom",
        "retry": "no",
        "pattern": _user(rf".*{_OOM}"),
    },
    {
        "name": "training: killed, mostly for memory",
        "class": "oom",
        "retry": "limited",
        "pattern": _user(
            rf"(?::? ?(?:executeuserscripterror: ?)?exit ?code:? 137\b|.*(?:, exit code: 137$|{_KILLED}))"
        ),
    },
    {
        "name": "training: the toolkit's own validation",
        "class": "bad_input",
        "retry": "no",
        "pattern": _user(r".*/(?:hyperparameter|channel|metrics?)_validation\.py\b"),
    },
    {
        "name": "training: a built-in check of hyperparameters or data",
        "class": "bad_input",
        "retry": "no",
        "pattern": _user(r""),
        "error": rf"(?:(?:[\w.]*(?:usererror|customererror|validationerror|xgboosterror|jsonschema[\w.]*)\b.*|.{{0,80}})"
        rf"(?:{_HYPERPARAMETER}|{_DATA_CHECK}))",
    },
    {
        "name": "training: access denied",
        "class": "permission",
        "retry": "no",
        "pattern": _user(r""),
        "error": (
            r"(?:[\w.]*clienterror: ?)?an error occurred"
            r" \((?:403|forbidden|accessdenied\w*|unauthorized\w*|invalidaccesskeyid|signaturedoesnotmatch)\)"
        ),
    },
    {
        "name": "training: object not found",
        "class": "data_access",
        "retry": "no",
        "pattern": _user(r""),
        "error": r"(?:[\w.]*clienterror: ?)?an error occurred \((?:404|nosuchkey|nosuchbucket|notfound)\)|[\w.]*nosuch(?:key|bucket)\b",
    },
    {
        "name": "training: input file not found",
        "class": "data_access",
        "retry": "no",
        "pattern": _user(r""),
        "error": r"[\w.]*(?:filenotfounderror|oserror|ioerror)\b.{0,120}/opt/ml/(?:processing/)?input/(?!config|code)",
    },
    {
        "name": "training: disk full",
        "class": "data_access",
        "retry": "no",
        "pattern": _user(r""),
        "error": rf"[\w.]*(?:oserror|ioerror|runtimeerror|error)\b.{{0,80}}{_DISK}",
    },
    {
        "name": "training: its code could not be fetched",
        "class": "data_access",
        "retry": "limited",
        "pattern": r"(?:algorithmerror: ?)?framework ?error: ?.*(?:download_file\(|s3_download|download_and_extract)",
    },
    {
        "name": "training: collective communication",
        "class": "algorithm",
        "retry": "limited",
        "pattern": _user(r""),
        "error": rf"[\w.]*error\b.{{0,120}}{_CLUSTER}|[\w.]*dist(?:backend|network|store)error\b",
    },
    {
        "name": "training: a worker crashed",
        "class": "algorithm",
        "retry": "limited",
        "pattern": _user(r""),
        "error": rf"[\w.]*childfailederror\b.*exitcode ?: ?{_CRASHED}\b",
    },
    {
        "name": "training: crashed",
        "class": "algorithm",
        "retry": "limited",
        "pattern": _user(
            rf"(?::? ?(?:executeuserscripterror: ?)?exit ?code:? {_CRASHED}\b|.*, exit code: {_CRASHED}$)"
        ),
    },
    {
        "name": "training: failed",
        "class": "algorithm",
        "retry": "no",
        "pattern": _user(r""),
    },
    # --- 2. what a service says with a code ----------------------------------------------
    {
        "name": "throttled",
        "class": "throttle",
        "scope": "account",
        "retry": "yes",
        "codes": [
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "TooManyRequestsException",
            "TooManyRequests",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestLimitExceeded",
            "SlowDown",
            "BandwidthLimitExceeded",
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "ProvisionedThroughputExceeded",
            "EC2ThrottledException",
            "PriorRequestNotComplete",
            "TransactionInProgressException",
            "429",
        ],
    },
    {
        "name": "throttled (text)",
        "class": "throttle",
        "scope": "account",
        "retry": "yes",
        "pattern": (
            rf"{_CLIENT}?\(?(?:(?:request )?throttl(?:ing|ed)|rate exceeded|too many requests"
            r"|slow ?down\b|request limit exceeded|the request was denied due to request throttling)"
        ),
    },
    {
        "name": "not offered in this region",
        "class": "bad_input",
        "scope": "pool",
        "retry": "no",
        "pattern": r"(?:the )?requested (?:resource|instance type) .{0,200}not (?:available|supported) in",
    },
    {
        "name": "quota full",
        "class": "quota",
        "scope": "pool",
        "retry": "yes",
        "quota_fits": True,
    },
    {
        "name": "quota smaller than the request",
        "class": "quota",
        "scope": "pool",
        "retry": "no",
        "quota_fits": False,
    },
    {
        "name": "quota of zero",  # the sentence cut short
        "class": "quota",
        "scope": "pool",
        "retry": "no",
        "pattern": rf"{_CLIENT}?(?:the )?(?:account|resource)-level service limit .{{0,200}}is 0\b",
    },
    {
        "name": "some limit",
        "class": "quota",
        "scope": "pool",
        "retry": "limited",
        "codes": [
            "ResourceLimitExceeded",
            "ResourceLimitExceededException",
            "ServiceQuotaExceeded",
            "ServiceQuotaExceededException",
            "LimitExceeded",
            "VcpuLimitExceeded",
            "QuotaExceeded",
            "InstanceLimitExceeded",
            "MaxSpotInstanceCountExceeded",
        ],
    },
    {
        "name": "some limit (text)",
        "class": "quota",
        "scope": "pool",
        "retry": "limited",
        "pattern": rf"{_CLIENT}?.{{0,80}}(?:-level service limit|service ?quota|resourcelimitexceeded|quota exceeded)",
    },
    {
        "name": "no capacity (code)",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "codes": [
            "CapacityError",
            "InsufficientInstanceCapacity",
            "InsufficientCapacityException",
            "InsufficientCapacity",
            "InsufficientHostCapacity",
            "InsufficientReservedInstanceCapacity",
            "EC2InsufficientCapacityError",
            "InsufficientCapacityError",
            "SpotMaxPriceTooLow",
            "UnfulfillableCapacity",
        ],
    },
    {
        "name": "name in use",  # with deterministic names mostly our own earlier success
        "class": "bad_input",
        "retry": "limited",
        "codes": ["ResourceInUse", "ResourceInUseException", "ResourceAlreadyExistsException"],
    },
    {
        "name": "credentials expired",
        "class": "permission",
        "scope": "account",
        "retry": "limited",
        "codes": [
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
            "TokenRefreshRequired",
        ],
    },
    {
        "name": "not allowed to look",  # also for a while after a create, until its tags are known
        "class": "permission",
        "scope": "account",
        "retry": "limited",
        "where": "describe",
        "codes": ["AccessDenied", "AccessDeniedException"],
        "pattern": r".{0,300}sagemaker:(?:describe|list|search)",
    },
    {
        "name": "denied (code)",
        "class": "permission",
        "scope": "account",
        "retry": "no",
        "codes": [
            "AccessDenied",
            "AccessDeniedException",
            "UnauthorizedOperation",
            "NotAuthorized",
            "UnauthorizedException",
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "AuthFailure",
            "OptInRequired",
            "AuthorizationError",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "KMSAccessDeniedException",
            "Forbidden",
            "Unauthorized",
            "NoCredentialsError",
            "401",
            "403",
        ],
    },
    {
        "name": "service fault (code)",
        "class": "service_internal",
        "retry": "yes",
        "codes": [
            "InternalFailure",
            "InternalServerError",
            "InternalServerException",
            "InternalError",
            "InternalServiceError",
            "InternalServiceException",
            "InternalServiceFault",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "ServiceException",
            "ServerException",
            "RequestTimeout",
            "RequestTimeoutException",
            "500",
            "502",
            "503",
            "504",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "EndpointConnectionError",
            "ConnectionClosedError",
            "ConnectionError",
            "HTTPClientError",
            "ProxyConnectionError",
            "SSLError",
            "DependencyFailureException",
        ],
    },
    {
        "name": "object not found (code)",
        "class": "data_access",
        "retry": "no",
        "codes": ["404", "NoSuchKey", "NoSuchBucket", "NotFound"],
    },
    # --- answers about a training that is over or unknown ---------------------------------
    {
        "name": "training over or never created",
        "class": "unknown",  # benign: what was asked is so already
        "retry": "no",
        "pattern": r"(?:\w+: )?(?:could not find job to update|the request was rejected because the \w+ job is in status)",
    },
    {
        "name": "training not found",
        "class": "unknown",
        "retry": "limited",
        "where": "describe",
        "pattern": r"(?:\w+: )?(?:requested resource not found|could not find (?:(?:training|requested) job|[\w -]{1,40}[\"']?arn:)|resource not found)",
    },
    {
        "name": "training not found (code)",
        "class": "unknown",
        "retry": "limited",
        "where": "describe",
        "codes": ["ResourceNotFound", "ResourceNotFoundException"],
    },
    # --- a request that was refused: SageMaker says ValidationException to nearly all ----
    {
        "name": "refused: image not found",
        "class": "bad_input",
        "retry": "no",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": r"(?:cannot|could not) find (?:the )?(?:requested )?(?:repository|image)",
    },
    {
        "name": "refused: input not found",
        "class": "data_access",
        "retry": "no",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": rf"(?:no s3 objects|.{{0,80}}(?:s3|bucket|model data|manifest|file ?system).*{_ABSENT}|could not find .{{0,40}}(?:data|s3:))",
    },
    {
        "name": "refused: role cannot be assumed",
        "class": "permission",
        "scope": "account",
        "retry": "limited",  # a role just made takes a while to be known everywhere
        "codes": ["ValidationException", "ValidationError"],
        "pattern": rf".{{0,200}}{_ASSUME}",
    },
    {
        "name": "refused: a value that breaks a constraint",
        "class": "bad_input",
        "retry": "no",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": r"\d+ validation errors? detected",
    },
    {
        "name": "refused: not allowed",
        "class": "permission",
        "scope": "account",
        "retry": "no",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": rf"(?:rolearn: |.*(?:pass role|iam:passrole|could not access|{_DENIED}))",
    },
    {
        "name": "refused: not valid",
        "class": "bad_input",
        "retry": "no",
        "codes": [
            "ValidationException",
            "ValidationError",
            "ParamValidationError",
            "InvalidParameterValue",
            "InvalidParameterException",
            "InvalidParameterValueException",
            "InvalidParameterCombination",
            "InvalidParameter",
            "InvalidRequestException",
            "InvalidInputException",
            "InvalidInput",
            "SerializationException",
            "MalformedInput",
            "MalformedQueryString",
            "MissingParameter",
            "MissingAction",
            "InvalidAction",
            "ConflictException",
            "BadRequestException",
            "BadRequest",
            "ClientException",
            "UnknownOperationException",
            "UnsupportedOperation",
            "InvalidS3ObjectException",
            "400",
        ],
    },
    {
        "name": "refused: not valid (text)",
        "class": "bad_input",
        "retry": "no",
        "pattern": (
            r"(?:[\w.]*paramvalidationerror|parameter validation failed|unknown parameter"
            r"|missing required parameter|invalid (?:type|length|range) for parameter"
            r"|\d+ validation errors? detected)"
        ),
    },
    {
        "name": "resource not found (create)",
        "class": "bad_input",
        "retry": "no",
        "where": "create",
        "codes": ["ResourceNotFound", "ResourceNotFoundException"],
    },
    # --- 3. statuses that speak for themselves --------------------------------------------
    {
        "name": "run time over",
        "class": "timeout",
        "retry": "no",
        "statuses": ["MaxRuntimeExceeded"],
    },
    {
        "name": "wait for spot over",
        "class": "timeout",
        "retry": "limited",
        "statuses": ["MaxWaitTimeExceeded"],
    },
    {
        "name": "spot interrupted",
        "class": "spot_interrupted",
        "retry": "yes",
        "statuses": ["Interrupted"],
    },
    {
        "name": "waiting for capacity",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "statuses": ["Pending", "MaxPendingTimeExceeded", "PendingTimeExceeded"],
    },
    # --- capacity, limits and stops in words ----------------------------------------------
    {
        "name": "given up after waiting for capacity",
        "class": "capacity",
        "scope": "pool",
        "retry": "limited",
        "pattern": r"(?:terminated|canceled|cancelled) by jobstatetimelimit action due to reason: capacity",
    },
    {
        "name": "queue cannot hold the job",
        "class": "quota",
        "scope": "pool",
        "retry": "no",
        "pattern": (
            r"(?:\w+ by jobstatetimelimit action due to reason: )?"
            r"misconfiguration:(?:service_environment_max_resource|quota_\w+)"
        ),
    },
    {
        "name": "queue misconfigured",
        "class": "bad_input",
        "scope": "pool",
        "retry": "no",
        "pattern": r"(?:\w+ by jobstatetimelimit action due to reason: )?(?:misconfiguration:|action_required)",
    },
    {
        "name": "no capacity",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "pattern": (
            rf"{_CLIENT}?[. ]*(?:capacityerror\b|capacity:|capacity-\w+|insufficient (?:\w+ ){{0,3}}capacity"
            r"|insufficientinstancecapacity|(?:at this time )?(?:there (?:is|was) |we currently do )?(?:not |isn't )(?:have )?"
            r"(?:enough|sufficient) (?:[\w.]+ ){0,2}capacity|(?:there is )?no (?:\w+ )?capacity"
            r"|unable to (?:provision|launch) (?:the )?requested|(?:the )?requested (?:ml )?(?:compute )?capacity"
            r"|(?:\w+ ){0,3}(?:timed|times|time) out (?:in pending |while )?(?:waiting|pending) (?:for )?capacity"
            r"|(?:\w+ job )?(?:is )?waiting for capacity"
            r"|(?:the )?instance type .{0,60}(?:temporarily unavailable|not enough capacity))"
        ),
    },
    {
        "name": "wait for capacity over",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "statuses": ["Stopped"],
        "pattern": r".{0,200}(?:waiting for capacity|pending.{0,80}capacity|max\w* (?:allowed )?pending ?time)",
    },
    {
        "name": "run time over (text)",
        "class": "timeout",
        "retry": "no",
        "pattern": (
            r"(?:(?:the )?(?:training )?job (?:was )?(?:has )?(?:stopped|timed out|exceeded)?.{0,40}(?:exceed\w*|longer than) )?"
            r"(?:the )?(?:its )?max\w* ?(?:allowed )?run ?time"
        ),
    },
    {
        "name": "wait for spot over (text)",
        "class": "timeout",
        "retry": "limited",
        "pattern": (
            r"(?:(?:the )?(?:training )?job (?:was )?(?:has )?(?:stopped|timed out|exceeded)?.{0,40}(?:exceed\w*|longer than) )?"
            r"(?:the )?(?:its )?max\w* ?(?:allowed )?wait ?time"
        ),
    },
    {
        "name": "attempt time over (Batch)",
        "class": "timeout",
        "retry": "no",
        "pattern": r"job attempt duration exceeded timeout",
    },
    {
        "name": "spot interrupted (text)",
        "class": "spot_interrupted",
        "retry": "yes",
        "pattern": r"(?:the )?(?:training )?(?:job|instance).{0,60}spot .{0,60}(?:interrupt|reclaim|terminat)|spot interruption",
    },
    {
        "name": "host taken away",
        "class": "spot_interrupted",
        "retry": "yes",
        "pattern": r"host ec2 .{0,60}terminated",
    },
    {
        "name": "stopped, not by us",
        "class": "stopped_by_user",
        "retry": "no",
        "statuses": ["Stopped"],
    },
    # --- the local trainer ----------------------------------------------------------------
    {
        "name": "local: killed from outside",
        "class": "spot_interrupted",
        "retry": "yes",
        "pattern": r"interrupted: ",
    },
    {
        "name": "local: out of memory",
        "class": "oom",
        "retry": "limited",
        "pattern": r"outofmemory: ",
    },
    {
        "name": "local: bad input",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"localbadinput: ",
    },
    # --- the service's own faults ---------------------------------------------------------
    {
        "name": "instance unhealthy",
        "class": "service_internal",
        "retry": "yes",
        "pattern": r"(?:the |a )?(?:launched )?(?:instance|host) (?:was |is )?(?:unhealthy|unreachable|impaired)",
    },
    {
        "name": "internal error",
        "class": "service_internal",
        "scope": "account",
        "retry": "yes",
        "pattern": (
            r"(?:internalservererror|internalfailure|internal (?:service |server )?(?:error|failure)"
            r"|(?:we encountered )?an? (?:unexpected )?internal (?:error|failure)|service ?unavailable"
            r"|the service is (?:temporarily )?unavailable|platform error"
            r"|(?:failed|unable) to .{0,200}\binternal(?:failure|servererror)\b)"
        ),
    },
    {
        "name": "no connection to the service",
        "class": "service_internal",
        "scope": "account",
        "retry": "yes",
        "pattern": (
            r"(?:[\w.]+: )?(?:could not connect to the endpoint|(?:connect|read) timeout on endpoint"
            r"|connection was closed before|connection broken: |failed to connect to proxy|http 5\d\d)"
        ),
    },
    # --- 4. SageMaker's ClientError -------------------------------------------------------
    {
        "name": "client: out of memory",
        "class": "oom",
        "retry": "no",
        "pattern": rf"{_CLIENT}.*{_OOM}",
    },
    {
        "name": "client: image cannot run",
        "class": "bad_input",
        "retry": "no",
        "pattern": rf"{_CLIENT}.{{0,80}}{_CANNOT_RUN}",
    },
    {
        "name": "client: role cannot be assumed",
        "class": "permission",
        "scope": "account",
        "retry": "limited",
        "pattern": rf"(?:{_CLIENT}.*|sagemaker (?:was|is) .{{0,60}}|(?:could not|unable to|cannot) ){_ASSUME}",
    },
    {
        "name": "client: no such image",
        "class": "bad_input",
        "retry": "no",
        "pattern": (
            rf"{_CLIENT}.{{0,40}}(?:(?:cannot|could not|failed to|unable to) (?:pull|find) .{{0,40}}(?:image|container|repository)"
            r"|manifest (?:for|unknown)|requested image)"
        ),
    },
    {
        "name": "client: denied",
        "class": "permission",
        "retry": "no",
        "pattern": rf"{_CLIENT}.*{_DENIED}",
    },
    {
        "name": "client: path not valid",
        "class": "bad_input",
        "retry": "no",
        "pattern": rf"{_CLIENT}{_TRANSFER}.*(?:illegal char|invalid (?:s3 )?(?:uri|url|path|key|prefix|manifest)|prefix is not supported|not supported)",
    },
    {
        "name": "client: disk, route or object",
        "class": "data_access",
        "retry": "no",
        "pattern": rf"{_CLIENT}{_TRANSFER}.*(?:{_DISK}|{_NETWORK}|{_ABSENT})",
    },
    {
        "name": "client: transfer",
        "class": "data_access",
        "retry": "limited",
        "pattern": rf"{_CLIENT}?{_TRANSFER}",
    },
    {
        "name": "client: input not found",
        "class": "data_access",
        "retry": "no",
        "pattern": rf"{_CLIENT}(?:.{{0,80}}(?:s3|bucket|file ?system|fsx|efs)\b.*{_ABSENT}|no s3 objects|{_DISK})",
    },
    {
        "name": "client: not valid",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"clienterror\b",
    },
    # --- 5. texts without a prefix --------------------------------------------------------
    {
        "name": "bare: image cannot run",
        "class": "bad_input",
        "retry": "no",
        "pattern": rf"(?:\[?\w+|\S+) ?.{{0,40}}{_CANNOT_RUN}|{_CANNOT_RUN}",
    },
    {
        "name": "bare: out of memory",
        "class": "oom",
        "retry": "no",
        "error": rf"(?:[\w.:]*(?:error|exception|bad_alloc)\b.{{0,400}}|.{{0,160}}){_OOM}",
    },
    {
        "name": "bare: killed, mostly for memory",
        "class": "oom",
        "retry": "limited",
        "pattern": rf"(?:exit(?:ed)? ?(?:with )?(?:code|status):? 137\b|killed$|.{{0,120}}{_KILLED})",
    },
    {
        "name": "bare: disk full",
        "class": "data_access",
        "retry": "no",
        "error": rf"(?:[\w.]*error\b.{{0,80}}|.{{0,40}}){_DISK}",
    },
    {
        "name": "bare: no such image",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"(?:cannotpullcontainererror|.{0,60}pull access denied|.{0,60}(?:pull|find) .{0,40}(?:image|container\b|repository)|manifest (?:for|unknown))",
    },
    {
        "name": "bare: role or access denied",
        "class": "permission",
        "scope": "account",
        "retry": "no",
        "pattern": rf"(?:user: |the role |the repository |role |[\w<>/:.-]+ )?.{{0,120}}{_DENIED}",
    },
    {
        "name": "bare: hyperparameters or data not accepted",
        "class": "bad_input",
        "retry": "no",
        "pattern": rf"(?!(?:[\w.]+(?:error|exception)): )(?:check failed: |.{{0,120}}{_REQUEST_CHECK})",
    },
    {
        "name": "bare: input not found",
        "class": "data_access",
        "retry": "no",
        "pattern": rf"(?!(?:[\w.]+(?:error|exception)): )(?:.{{0,80}}(?:s3|bucket|/opt/ml/input|channel|model data)\b.*{_ABSENT}|{_ABSENT}.{{0,80}}(?:s3:|/opt/ml/input|data\b|channel|bucket))",
    },
    {
        "name": "bare: network route",
        "class": "data_access",
        "retry": "no",
        "pattern": rf"please ensure that the subnet.{{0,200}}{_NETWORK}",
    },
    {
        "name": "bare: collective communication",
        "class": "algorithm",
        "retry": "limited",
        "error": rf"[\w.]*error\b.{{0,120}}{_CLUSTER}|[\w.]*dist(?:backend|network|store)error\b|\bnccl",
    },
    {
        "name": "bare: crashed",
        "class": "algorithm",
        "retry": "limited",
        "pattern": rf"(?:exit(?:ed)? ?(?:with )?(?:code|status):? {_CRASHED}\b|segmentation fault|core dumped)",
    },
    {
        "name": "bare: an exception or an exit code",
        "class": "algorithm",
        "retry": "no",
        "pattern": (
            r"(?:(?:[a-z_]\w*\.)*[a-z_]\w*(?:error|exception|warning|interrupt|exit)\b|exit(?:ed)? ?(?:with )?(?:code|status)"
            r"|(?:no|all) training jobs? |training (?:execution|script|job) (?:failed|execution failed)"
            r"|command \"|script |the primary container|essential container)"
        ),
    },
    {
        "name": "bare: something not accepted",
        "class": "bad_input",
        "retry": "no",
        "pattern": (
            r"(?:.{0,80}\b(?:must|should|expected|required|invalid|unsupported|not supported|not accepted"
            r"|not valid|mismatch|not allowed|too large|too long|already exist\w*)\b"
            r"|please (?:make sure|ensure|check|provide|specify|use|choose)\b)"
        ),
    },
    {
        "name": "blamed on the request (code)",  # an SDK's name for any answer of the 400 kind
        "class": "bad_input",
        "retry": "no",
        "codes": ["ClientError"],
    },
)
#: What a user's own rules are put in front of.
DEFAULT_RULES: tuple[Rule, ...] = parse_rules(_DATA, compile_patterns=False)
