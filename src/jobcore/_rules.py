"""The default failure rules: data, read from top to bottom, the first match wins.

The shape is that of a user's own rule file (``[[rule]]`` tables, see docs/failures.md), so that
whoever knows one knows both. Patterns are matched at the start of the normalised text
(`jobcore.normalise`): lower case, single spaces, no SDK prefix.

Order matters in three places: what the service says with a code comes before what it says in
words; a status that speaks for itself comes before texts; and what SageMaker says (its prefixes) comes
before what user code says, which can be anything.

Sources: SageMaker's service model and public failure reports; the class meanings are in docs/failures.md.
"""

from __future__ import annotations

from ._failures import Rule, parse_rules

__all__ = ["DEFAULT_RULES"]

_OOM = (
    r"(out of memory|out_of_memory|outofmemory|memoryerror|bad_alloc|cannot allocate memory"
    r"|unable to allocate|failed to allocate memory|resourceexhausted|resource exhausted: oom|oom when allocating"
    r"|alloc_failed|oom[- ]?kill|killed by the kernel's out-of-memory|more memory)"
)
_DENIED = (
    r"(access ?denied|\b403\b|forbidden|not authorized|unauthorized|permission denied"
    r"|no permission|insufficient permission|does not have permission|invalid ?access ?key|explicit deny)"
)
_ASSUME = r"(unable to|cannot|could not|failed to|not) assume (the )?role|assume the role|sts:assumerole"
_PASSING_NETWORK = (
    r"(unable to execute (http )?request|timed? ?out|timeout|connection|connect to|slow ?down|reduce your request"
    r"|please try again|broken pipe|endpoint|\b50[0-4]\b|temporar|interrupted)"
)
_HYPERPARAMETER = (
    r"(hyper-?parameter|additional properties are not allowed|is not one of \[|does not match format"
    r"|is a required property|failed validating|not in range|no value\(s\) were specified"
    r"|customer error|customererror|usererror|invalid value for|validation error|must be one of)"
)
_CRASH = r"(exit ?code:? ?|exitcode ?|code ?|status ?|signal ?)"
_CLUSTER = r"(nccl|distbackenderror|gloo|connection reset by peer|efa |libfabric|horovod|mpi)"

_DATA: tuple[dict[str, object], ...] = (
    # --- what a service says with a code ------------------------------------------------
    {
        "name": "throttled",
        "class": "throttle",
        "scope": "account",
        "retry": "yes",
        "codes": [
            "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
            "TooManyRequests", "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded",
            "SlowDown", "BandwidthLimitExceeded", "ProvisionedThroughputExceededException",
            "EC2ThrottledException", "PriorRequestNotComplete", "TransactionInProgressException", "429",
        ],
    },
    {
        "name": "throttled (text)",
        "class": "throttle",
        "scope": "account",
        "retry": "yes",
        "pattern": r"(clienterror: )?\(?(throttling\w*|rate exceeded|too many requests|slow ?down|request limit exceeded)\b",
    },
    {
        "name": "not offered in this region",
        "class": "bad_input",
        "scope": "pool",
        "retry": "no",
        "pattern": r"(resourcelimitexceeded: )?(the )?requested (resource|instance type) .*not (available|supported) in",
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
        "name": "some limit",
        "class": "quota",
        "scope": "pool",
        "retry": "limited",
        "codes": [
            "ResourceLimitExceeded", "ServiceQuotaExceededException", "LimitExceededException",
            "LimitExceeded", "VcpuLimitExceeded", "InstanceLimitExceeded", "QuotaExceeded",
        ],
    },
    {
        "name": "no capacity (code)",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "codes": [
            "CapacityError", "InsufficientInstanceCapacity", "InsufficientCapacityException",
            "InsufficientCapacity", "InsufficientHostCapacity", "SpotMaxPriceTooLow",
        ],
    },
    {
        "name": "name in use",
        "class": "bad_input",
        "retry": "limited",
        "codes": ["ResourceInUse", "ResourceInUseException"],
    },
    {
        "name": "credentials expired",
        "class": "permission",
        "scope": "account",
        "retry": "limited",
        "codes": ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"],
    },
    {
        "name": "denied (code)",
        "class": "permission",
        "scope": "account",
        "retry": "no",
        "codes": [
            "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized",
            "UnauthorizedException", "UnrecognizedClientException", "InvalidClientTokenId",
            "InvalidSignatureException", "SignatureDoesNotMatch", "MissingAuthenticationToken",
            "MissingAuthenticationTokenException", "AuthFailure", "OptInRequired", "AuthorizationError",
            "IncompleteSignature", "InvalidAccessKeyId", "KMSAccessDeniedException", "Forbidden", "403",
        ],
    },
    {
        "name": "service fault (code)",
        "class": "service_internal",
        "scope": "account",
        "retry": "yes",
        "codes": [
            "InternalFailure", "InternalServerError", "InternalServerException", "InternalError",
            "InternalServiceError", "InternalServiceException", "ServiceUnavailable", "ServiceException",
            "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "500", "502",
            "503", "504", "ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError",
            "ConnectionClosedError",
        ],
    },
    # --- answers about a training that is over or unknown -------------------------------
    {
        "name": "training not found",
        "class": "unknown",
        "retry": "limited",
        "where": "describe",
        "pattern": r"(requested resource not found|could not find training job|resource not found)",
    },
    {
        "name": "training not found (code)",
        "class": "unknown",
        "retry": "limited",
        "where": "describe",
        "codes": ["ResourceNotFound", "ResourceNotFoundException"],
    },
    {
        "name": "training over or never created",
        "class": "unknown",
        "retry": "no",
        "pattern": r"(could not find job to update|the request was rejected because the \w+ job is in status)",
    },
    # --- a request that was refused -----------------------------------------------------
    {
        "name": "role cannot be assumed (create)",
        "class": "permission",
        "scope": "account",
        "retry": "limited",
        "where": "create",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": rf".*({_ASSUME})",
    },
    {
        "name": "role not allowed (create)",
        "class": "permission",
        "scope": "account",
        "retry": "no",
        "where": "create",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": r"(rolearn: |.*(cross-account pass role|iam:passrole|access denied|is not authorized to perform))",
    },
    {
        "name": "input data not found (create)",
        "class": "data_access",
        "retry": "no",
        "where": "create",
        "codes": ["ValidationException", "ValidationError"],
        "pattern": r"(no s3 objects|.*(s3 uri|s3 object|s3 bucket|manifest).*(not found|does not exist|no such|ensure that the bucket))",
    },
    {
        "name": "request not valid",
        "class": "bad_input",
        "retry": "no",
        "codes": [
            "ValidationException", "ValidationError", "ParamValidationError", "InvalidParameterValue",
            "InvalidParameterException", "InvalidParameterCombination", "InvalidRequestException",
            "SerializationException", "ConflictException", "BadRequestException", "ClientException",
            "InvalidInput", "MalformedInput", "UnknownOperationException",
        ],
    },
    {
        "name": "request not valid (text)",
        "class": "bad_input",
        "retry": "no",
        "where": "create",
        "pattern": (
            r"(botocore\.exceptions\.)?(paramvalidationerror|parameter validation failed|unknown parameter"
            r"|missing required parameter|invalid (type|length|range) for parameter|\d+ validation errors? detected)"
        ),
    },
    {
        "name": "resource not found (create)",
        "class": "bad_input",
        "retry": "no",
        "where": "create",
        "codes": ["ResourceNotFound", "ResourceNotFoundException"],
    },
    # --- statuses that speak for themselves ---------------------------------------------
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
        "name": "wait for capacity over (status)",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "statuses": ["MaxPendingTimeExceeded", "PendingTimeExceeded"],
    },
    # --- capacity -----------------------------------------------------------------------
    {
        "name": "given up after waiting for capacity",
        "class": "capacity",
        "scope": "pool",
        "retry": "limited",
        "pattern": r"terminated by jobstatetimelimit action due to reason: capacity",
    },
    {
        "name": "no capacity",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "pattern": (
            r"(capacityerror\b|capacity:|insufficient (\w+ )?capacity|insufficientinstancecapacity"
            r"|(there is |we currently do )?not (have )?(enough|sufficient) (\w+ )?capacity"
            r"|(there is )?no (spot )?capacity|unable to provision (the )?requested|training job waiting for capacity"
            r"|(the )?(training )?job tim(es|ed) out (in pending |while )?(waiting|pending) (for )?capacity"
            r"|(the )?requested (ml )?(compute )?capacity)"
        ),
    },
    {
        "name": "wait for capacity over",
        "class": "capacity",
        "scope": "pool",
        "retry": "yes",
        "statuses": ["Stopped"],
        "pattern": r".*(waiting for capacity|pending.*capacity|maximum (allowed )?pending time)",
    },
    # --- stops --------------------------------------------------------------------------
    {
        "name": "run time over (text)",
        "class": "timeout",
        "retry": "no",
        "pattern": r"(the )?(training )?job (was )?stopped because it (exceeded|ran longer than) the max\w* (allowed )?run",
    },
    {
        "name": "wait for spot over (text)",
        "class": "timeout",
        "retry": "limited",
        "pattern": r"(the )?(training )?job (was )?stopped because it exceeded the max\w* (allowed )?wait",
    },
    {
        "name": "spot interrupted (text)",
        "class": "spot_interrupted",
        "retry": "yes",
        "pattern": r"(the )?(training )?(job|instance).{0,40}(managed )?spot .{0,40}(interrupt|reclaim|terminat)",
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
    # --- the local trainer --------------------------------------------------------------
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
    # --- the service's own faults -------------------------------------------------------
    {
        "name": "instance unhealthy",
        "class": "service_internal",
        "retry": "yes",
        "pattern": r"(the )?(launched )?instance (was |is )?(unhealthy|unreachable|failed)",
    },
    {
        "name": "internal error under AlgorithmError",
        "class": "oom",
        "retry": "limited",
        "pattern": r"algorithmerror: ?internalservererror",
    },
    {
        "name": "internal error",
        "class": "service_internal",
        "scope": "account",
        "retry": "yes",
        "pattern": (
            r"(internalservererror|internalserviceerror|internalfailure|internal (service |server )?(error|failure)"
            r"|we encountered an internal|an internal error|service ?unavailable|the service is unavailable)"
        ),
    },
    {
        "name": "no connection to the service",
        "class": "service_internal",
        "scope": "account",
        "retry": "yes",
        "where": "create",
        "pattern": (
            r"([\w.]+: )?(could not connect to the endpoint|connect(ion)? (timeout|reset|aborted|was closed|refused)"
            r"|connection broken|read timeout|timed out|http 5\d\d)"
        ),
    },
    # --- SageMaker's ClientError --------------------------------------------------------
    {
        "name": "client: out of memory",
        "class": "oom",
        "retry": "no",
        "pattern": rf"(clienterror: ?)?(artifact upload failed: ?)?(clienterror: ?)?(please use an instance type with more memory|{_OOM})",
    },
    {
        "name": "client: image cannot run",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"(clienterror: ?)?(artifact upload failed: ?)?.{0,40}(oci runtime|container_linux|exec: |exec format error)",
    },
    {
        "name": "client: role cannot be assumed",
        "class": "permission",
        "scope": "account",
        "retry": "limited",
        "pattern": rf"(clienterror: ?)?(sagemaker (was|is) )?.{{0,60}}({_ASSUME})",
    },
    {
        "name": "client: data denied",
        "class": "permission",
        "retry": "no",
        "pattern": rf"(clienterror: ?)?(data download|artifact upload|checkpoint \w+) failed: ?.*{_DENIED}",
    },
    {
        "name": "client: path not valid",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"(clienterror: ?)?data download failed: ?.*(illegal char|invalid (s3 )?(uri|path|key)|manifest)",
    },
    {
        "name": "client: disk or route",
        "class": "data_access",
        "retry": "no",
        "pattern": (
            r"(clienterror: ?)?(data download|artifact upload) failed: ?.*(disk space|no space left|route table"
            r"|no such (key|bucket)|nosuchkey|nosuchbucket|\b404\b|not found|does not exist|no s3 objects)"
        ),
    },
    {
        "name": "client: data",
        "class": "data_access",
        "retry": "limited",
        "pattern": r"(clienterror: ?)?(data download|artifact upload|checkpoint \w+) failed",
    },
    {
        "name": "client: image",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"(clienterror: ?)?(cannot|could not|failed to|unable to) (pull|find|access) .{0,40}(image|container|repository)",
    },
    {
        "name": "client: network set-up",
        "class": "permission",
        "retry": "no",
        "pattern": rf"(clienterror: ?)?.{{0,200}}(ec2:|ecr:|s3:|kms:|logs:)\w+.*",
    },
    {
        "name": "client: denied",
        "class": "permission",
        "scope": "account",
        "retry": "no",
        "pattern": rf"(clienterror: ?)?(user: .{{0,300}}|the role .{{0,200}}|.{{0,40}}){_DENIED}",
    },
    {
        "name": "client: quota",
        "class": "quota",
        "scope": "pool",
        "retry": "limited",
        "pattern": r"(clienterror: ?)?.{0,80}(service limit|quota|resourcelimitexceeded)",
    },
    {
        "name": "client",
        "class": "bad_input",
        "retry": "no",
        "pattern": r"clienterror\b",
    },
    # --- what the user's own code ends with ---------------------------------------------
    {
        "name": "user code: out of memory",
        "class": "oom",
        "retry": "no",
        "pattern": rf"(algorithmerror|.{{0,200}}(error|exception|traceback)|cuda|runtimeerror)\b.*{_OOM}",
    },
    {
        "name": "user code: killed, probably for memory",
        "class": "oom",
        "retry": "limited",
        "pattern": rf".*\b{_CRASH}(137|9)\b",
    },
    {
        "name": "user code: crashed",
        "class": "algorithm",
        "retry": "limited",
        "pattern": rf".*\b{_CRASH}(132|134|135|136|139)\b",
    },
    {
        "name": "user code: hyperparameters",
        "class": "bad_input",
        "retry": "no",
        "pattern": rf"(algorithmerror: ?)?((?!traceback|executeuserscript).){{0,80}}{_HYPERPARAMETER}",
    },
    {
        "name": "user code: collective communication",
        "class": "algorithm",
        "retry": "limited",
        "pattern": rf"(algorithmerror: ?)?.{{0,200}}{_CLUSTER}",
    },
    {
        "name": "framework: data",
        "class": "data_access",
        "retry": "limited",
        "pattern": r"(algorithmerror: ?)?framework ?error: ?.*(download_file|s3\.bucket|headobject|getobject|urlopen)",
    },
    {
        "name": "user code",
        "class": "algorithm",
        "retry": "no",
        "pattern": (
            r"(algorithmerror|executeuserscripterror|framework ?error|traceback|exit code|([\w.]+(error|exception|warning|interrupt)\b)"
            r"|(no|all) training jobs? |training (execution|script|job) failed|uncaught exception|command )"
        ),
    },
    {
        "name": "data does not fit",
        "class": "bad_input",
        "retry": "no",
        "pattern": r".{0,80}\b(must|should|expected|required|invalid|unsupported|not supported|no value|cannot be)\b",
    },
    {
        "name": "data not found",
        "class": "data_access",
        "retry": "limited",
        "pattern": r".{0,80}(no such file|s3://|does not exist|not found)",
    },
)

#: What a user's own rules are put in front of.
DEFAULT_RULES: tuple[Rule, ...] = parse_rules(_DATA)
