"""What went wrong: failure classes, evidence, rules, and the classifier.

A rule is data: where it applies, a pattern anchored at the start of the
normalised text, and what follows from it. Anchoring matters, because user code
writes the tail of a failure text (`/opt/ml/output/failure`) and may well say
"CapacityError" or "ThrottlingException" there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from jobcore.lifecycle.failure import (
    REASON_CHARS_MAX,
    Failure,
    FailureClass,
    Quota,
    Retryable,
    Scope,
)
from jobcore.ports import Evidence

from .rules import Rule, compiled

__all__ = [
    "classify",
    "normalise",
    "parse_quota",
    "reported_errors",
]

# The error code in botocore's ClientError text: "An error occurred (Code) when calling the Op
# operation (…): Message". People paste it behind a name: "botocore.exceptions.ClientError: ".
_BOTO_PREFIX = (
    r"(?:[\w.]+(?:error|exception|exceeded|inuse): ?)*"
    r"an error occurred \((?P<code>[\w.]+)\) when calling the (?:\w+ )?operation"
    r"(?: \([^)]*\))?(?:: ?|$)"
)
# The same from the AWS SDK for Go: "operation error SageMaker: CreateTrainingJob, https response
# error StatusCode: 400, RequestID: …, api error ValidationException: …".
_GO_PREFIX = (
    r"[^,]{0,200}operation error \w+: \w+, [^:]{0,60}: \d+, [^,]{0,120}, api error (?P<code>\w+): ?"
)
# What SDKs and schedulers put in front of a failure reason when they pass it on.
_WRAPPERS = (
    r"(?:"
    r"(?:[\w.]+(?:error|exception): ?)?"
    r"error (?:for|training|hosting|in) (?:\w+ job |endpoint )?[^:]{0,200}: failed\.? reason: ?"
    r"|[\w.-]{1,80}: failed reason: ?"
    r"|(?:[\w.]+(?:error|exception): ?)?encountered unexpected failed state [^:]{0,120}:"
    r" failed\. failure reason: ?"
    r"|(?:[\w.]+(?:error|exception): ?)?sagemaker job failed because "
    r"|(?:(?P<code>clienterror): ?)?failed to invoke sagemaker:\w+\. error details: ?"
    r"|received status from sagemaker: ?"
    r"|failed\. reason: ?"
    r"|failed for reason: ?'?"
    r"|failure ?reason:? ?"
    r"|clienterror: ?(?=clienterror\b|algorithmerror\b)"
    r")"
)
_LEADING_CODE = r"(?:[\w]+\.)*(?P<code>\w+): ?"
# The AWS SDK for Java: "Message (Service: S; Status Code: 429; Error Code: E; Request ID: …)".
_JAVA_SUFFIX = r"\(service: [^;()]{1,80}; status code: \d+; error code: (?P<code>\w+)"
# Names that say that some error came from AWS, not which.
_NO_CODES = frozenset({"", "clienterror", "botocoreerror", "error", "exception", "unknown"})
_QUOTA = (
    r"the (?:account|resource)-level service limit (?:'(?P<name>[^']*)'|for (?P<old>\S+))"
    r" is (?P<limit>\d{1,18})(?: [a-z]+){1,4},"
    r" with current utilization of (?P<used>\d{1,18})(?: [a-z]+){1,4}"
    r" and a request delta of (?P<delta>\d{1,18})\b"
)
# An exception as a traceback ends with it, or as a toolkit quotes it: its name at the start of
# a word, then a colon, the end of the quotation, or the end of the text.
_REPORTED = (
    r"(?:(?<=[\s\"'(\[|])|(?<=[^:]:)|^)(?:[a-z_]\w*(?:\.|::))*"
    r"(?:\w*(?:error|exception|interrupt|iteration)|systemexit|bad_alloc)(?=:|[\"']|$| \()"
)
# What stands before the first error of a text that a training wrote.
_PREAMBLE = (
    r"(?:algorithmerror|framework ?error|executeuserscripterror|exit ?code:? \d+,?|errormessage"
    r"|uncaught exception during training|[:\s\"',])*"
)
_OWN_WORDS = ("algorithmerror", "executeuserscripterror", "framework error", "traceback (most")
_ERRORS_MAX = 32  # the last ones: bounds the work on a text that is nothing but error names
_WRAPPERS_MAX = 8  # how many wrappers one around the other are taken off
_TEXT_CHARS_MAX = 2048  # twice a FailureReason; what follows never decides
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00b4": "'"})


def normalise(text: str) -> str:
    """
    Bring a message into the form that rules match.

    Case-folded, single spaces, straight quotation marks, without what an SDK or a scheduler
    puts in front ("An error occurred (…) when calling the … operation: ", "Error for Training
    job …: Failed. Reason: "), at most 2,048 characters. Real texts differ in spacing, case and
    wrapping from one place to the next ("internal error.  Please" is "internal error. Please").
    """
    return _unwrap(text)[0]


def _unwrap(text: str) -> tuple[str, str | None]:
    """Normalise, and give the error code that the wrapping told."""
    folded = " ".join(text.casefold().translate(_QUOTES).split())[: 4 * _TEXT_CHARS_MAX]
    code: str | None = None
    for _ in range(_WRAPPERS_MAX):
        if folded.startswith(_OWN_WORDS):
            break  # what follows is the training's own, whatever it looks like
        if match := compiled(_BOTO_PREFIX).match(folded) or compiled(_GO_PREFIX).match(folded):
            code = match["code"]
        else:
            match = compiled(_WRAPPERS).match(folded)
            code = (match["code"] if match else None) or code
        if match is None:
            break
        folded = folded[match.end() :]
    return folded[:_TEXT_CHARS_MAX], code


def reported_errors(text: str) -> tuple[str, ...]:
    """
    Find the errors that a normalised text reports, each from its name to the end of the text.

    The first entry is the text itself after the words that SageMaker and its toolkits put
    first ("AlgorithmError: ", "ExecuteUserScriptError: ExitCode 1 ErrorMessage"); the others
    begin with an exception's name (``valueerror: …``). Only the last 32 names are looked at.
    """
    match = compiled(_PREAMBLE).match(text)
    start = match.end() if match else 0
    found = [m.start() for m in compiled(_REPORTED).finditer(text, start)][-_ERRORS_MAX:]
    return tuple(text[at:] for at in dict.fromkeys((start, *found)))


@lru_cache(maxsize=256)
def parse_quota(text: str) -> Quota | None:
    """Read limit, utilisation and request out of a ResourceLimitExceeded sentence, if it is one."""
    return _quota_in(_without_code(normalise(text)))


def _quota_in(normalised: str) -> Quota | None:
    match = compiled(_QUOTA).match(normalised)
    if match is None:
        return None
    return Quota(
        name=match["name"] or match["old"] or "",
        limit=int(match["limit"]),
        used=int(match["used"]),
        requested=int(match["delta"]),
    )


def _without_code(normalised: str) -> str:
    """Cut a leading "ResourceLimitExceeded: ", which people write before the sentence."""
    match = compiled(_LEADING_CODE).match(normalised)
    if match and match["code"].endswith(("exceeded", "exceededexception")):
        return normalised[match.end() :]
    return normalised


def _code_of(evidence: Evidence, text: str, told: str | None) -> str | None:
    """Give the error code: as given, as the SDK's prefix or suffix tells it, or leading the text."""
    given = (evidence.error_code or "").strip().casefold()
    if given not in _NO_CODES:
        return given
    if told is not None and told not in _NO_CODES:
        return told
    if text.startswith(_OWN_WORDS):
        return None
    if match := compiled(_JAVA_SUFFIX).search(text):
        return match["code"]
    match = compiled(_LEADING_CODE).match(text)
    if match and match["code"] not in _NO_CODES:
        return match["code"]
    return told or given or None


def classify(evidence: Evidence, rules: Sequence[Rule]) -> Failure:
    """
    Find out what kind of failure *evidence* is: the first of *rules* that matches decides.

    Unmatched evidence is ``unknown`` with a limited retry: a text that nobody
    has seen must neither lose a job nor loop for ever.
    """
    # In a shortage the same few texts come back thousands of times. A tuple of rules is known
    # by its identity: it cannot change, and the cache keeps it.
    if type(rules) is tuple and len(evidence.text) <= REASON_CHARS_MAX:
        return _classify_again(evidence, _Known(rules))
    return _classify(evidence, rules)


class _Known:
    """Rules, compared by what they are and not line by line."""

    __slots__ = ("rules",)

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules

    def __hash__(self) -> int:
        return id(self.rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.rules is self.rules


@lru_cache(maxsize=256)
def _classify_again(evidence: Evidence, known: _Known) -> Failure:
    return _classify(evidence, known.rules)


def _classify(evidence: Evidence, rules: Sequence[Rule]) -> Failure:
    text, told = _unwrap(evidence.text)
    code = _code_of(evidence, text, told)
    text = _without_code(text)
    states = {s.casefold() for s in (evidence.status, evidence.secondary_status) if s}
    quota = _quota_in(text)
    errors: tuple[str, ...] | None = None
    for rule in rules:
        if rule.where is not None and rule.where != evidence.where:
            continue
        if rule.codes and code not in _folded(rule.codes):
            continue
        if rule.statuses and states.isdisjoint(_folded(rule.statuses)):
            continue
        if rule.quota_fits is not None and (
            quota is None or quota.can_ever_fit is not rule.quota_fits
        ):
            continue
        if rule.pattern is not None and not compiled(rule.pattern).match(text):
            continue
        if rule.error is not None:
            errors = reported_errors(text) if errors is None else errors
            if not any(map(compiled(rule.error).match, errors)):
                continue
        return _failure(rule.failure_class, rule.scope, rule.retryable, rule.name, evidence.text)
    return _failure(
        FailureClass.UNKNOWN, Scope.JOB, Retryable.LIMITED, "no rule matched", evidence.text
    )


def _failure(
    failure_class: FailureClass, scope: Scope, retryable: Retryable, rule: str, text: str
) -> Failure:
    return Failure(
        failure_class=failure_class,
        scope=scope,
        retryable=retryable,
        rule=rule,
        text=text[:REASON_CHARS_MAX],
    )


@lru_cache(maxsize=4096)
def _folded(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(v.casefold() for v in values)
