"""What went wrong: failure classes, evidence, rules, and the classifier.

A rule is data: where it applies, a pattern anchored at the start of the
normalised text, and what follows from it. Anchoring matters, because user code
writes the tail of a failure text (`/opt/ml/output/failure`) and may well say
"CapacityError" or "ThrottlingException" there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

__all__ = [
    "Evidence",
    "Failure",
    "FailureClass",
    "Quota",
    "Retryable",
    "Rule",
    "Scope",
    "classify",
    "normalise",
    "parse_quota",
    "parse_rules",
]

_E = TypeVar("_E", bound=StrEnum)

REASON_CHARS_MAX = 1024  # SageMaker's FailureReason: the first 1,024 characters


class FailureClass(StrEnum):
    """The kinds of failure that are treated differently."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    THROTTLE = "throttle"
    SERVICE_INTERNAL = "service_internal"
    SPOT_INTERRUPTED = "spot_interrupted"
    STOPPED_BY_USER = "stopped_by_user"
    TIMEOUT = "timeout"
    OOM = "oom"
    ALGORITHM = "algorithm"
    BAD_INPUT = "bad_input"
    PERMISSION = "permission"
    DATA_ACCESS = "data_access"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """Whose trouble it is: one job's, a pool's, or the whole account's."""

    JOB = "job"
    POOL = "pool"
    ACCOUNT = "account"


class Retryable(StrEnum):
    """Whether an identical request has a fair chance later, without a human."""

    YES = "yes"
    NO = "no"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What a trainer said, as it said it.

    Args:
        where: ``"create"`` (the answer to a launch) or ``"describe"`` (a status read later).
        error_code: the service's error code, such as ``"ResourceLimitExceeded"``.
        status: the training's status, such as ``"Failed"``.
        secondary_status: SageMaker's SecondaryStatus, an open set of strings.
        text: the message or failure reason.
    """

    where: str
    error_code: str | None = None
    status: str | None = None
    secondary_status: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A classified failure: what it is, whose it is, whether a retry helps, and how we know."""

    failure_class: FailureClass
    scope: Scope
    retryable: Retryable
    rule: str
    text: str

    @property
    def headline(self) -> str:
        """The failure in one line of at most 200 characters."""
        line = " ".join(self.text.split())
        return line if len(line) <= 200 else line[:199] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """
    A service quota as an error sentence states it, in instances.

    Utilisation above the limit occurs, so nothing may assume *used* <= *limit*.
    """

    name: str
    limit: int
    used: int
    requested: int

    @property
    def can_ever_fit(self) -> bool:
        """False if the request is larger than the whole quota: only a human can help."""
        return self.requested <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One line of the rule file.

    All conditions given must hold; the first rule that matches wins.

    Args:
        name: unique; it is stored with the failure, so that a person can find the rule again.
        failure_class, scope, retryable: what follows.
        where: ``"create"`` or ``"describe"``; None for both.
        codes: error codes, any of which must be the one given; empty for any.
        statuses: values of status or secondary status, any of which must be given; empty for any.
        pattern: a regular expression matched at the *start* of the normalised
            (case-folded, white-space-collapsed) text; None for any text.
        quota_fits: if not None, the text must hold a quota sentence, and whether the
            request could ever fit must be this.
    """

    name: str
    failure_class: FailureClass
    scope: Scope = Scope.JOB
    retryable: Retryable = Retryable.NO
    where: str | None = None
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    pattern: str | None = None
    quota_fits: bool | None = None

    def __post_init__(self) -> None:
        """Refuse a rule whose pattern cannot be compiled, naming the rule."""
        if self.pattern is not None:
            try:
                _compiled(self.pattern)
            except re.error as error:
                msg = f"rule {self.name!r}: pattern: {error}"
                raise ValueError(msg) from None


# botocore's ClientError text: "An error occurred (Code) when calling the Op operation (…): Message".
# People paste it with a prefix of their own, such as "ResourceLimitExceeded: " or "botocore.exceptions…: ".
_BOTO_PREFIX = re.compile(
    r"(?:[\w.]+(?:error|exception|exceeded|inuse): ?)*"
    r"an error occurred \((?P<code>[\w.]+)\) when calling the \w+ operation(?: \([^)]*\))?: ?"
)
# What tools put before a failure reason: the SageMaker SDK, AWS Batch, people.
_TOOL_PREFIX = re.compile(
    r"(?:[\w.]*unexpectedstatusexception: ?|error for [\w ]{1,30} job \S+: failed\. reason: ?"
    r"|received status from sagemaker: ?|(?:failure|status) ?reason: ?)+"
)
_QUOTA = re.compile(
    r"the (?:account|resource)-level service limit (?:'(?P<name>[^']*)'|for (?P<old>\S+)) is (?P<limit>\d+) \w+, "
    r"with current utilization of (?P<used>\d+) \w+ and a request delta of (?P<delta>\d+) \w+"
)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def normalise(text: str) -> str:
    """
    Bring a message into the form that rules match: case-folded, single spaces, no SDK prefix.

    Real texts differ in spacing, case and wrapping from one place to the next
    ("internal error.  Please" and "internal error. Please" are the same failure).
    """
    folded = " ".join(text.casefold().split())
    for prefix in (_TOOL_PREFIX, _BOTO_PREFIX):
        if match := prefix.match(folded):
            folded = folded[match.end() :]
    return folded


def parse_quota(text: str) -> Quota | None:
    """Read limit, utilisation and request out of a ResourceLimitExceeded sentence, if it is one."""
    match = _QUOTA.match(normalise(text))
    if match is None:
        return None
    return Quota(
        name=match["name"] or match["old"],
        limit=int(match["limit"]),
        used=int(match["used"]),
        requested=int(match["delta"]),
    )


def classify(evidence: Evidence, rules: Sequence[Rule]) -> Failure:
    """
    Find out what kind of failure *evidence* is: the first of *rules* that matches decides.

    Unmatched evidence is ``unknown`` with a limited retry: a text that nobody
    has seen must neither lose a job nor loop for ever.
    """
    text = normalise(evidence.text)
    raw = " ".join(evidence.text.casefold().split())
    code = evidence.error_code
    if code is None and (match := _BOTO_PREFIX.match(raw)):
        code = match["code"]
    code = code.casefold() if code else None
    states = {s.casefold() for s in (evidence.status, evidence.secondary_status) if s}
    for rule in rules:
        if rule.where is not None and rule.where != evidence.where:
            continue
        if rule.codes and code not in _folded(rule.codes):
            continue
        if rule.statuses and states.isdisjoint(_folded(rule.statuses)):
            continue
        if rule.pattern is not None and not _compiled(rule.pattern).match(text):
            continue
        if rule.quota_fits is not None:
            quota = parse_quota(evidence.text)
            if quota is None or quota.can_ever_fit is not rule.quota_fits:
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


_RULE_FIELDS = frozenset(
    {"name", "class", "scope", "retry", "where", "codes", "statuses", "pattern", "quota_fits"}
)


def parse_rules(entries: Iterable[Mapping[str, object]]) -> tuple[Rule, ...]:
    """
    Read rules from decoded data, such as the ``[[rule]]`` tables of a TOML file.

    Raises:
        ValueError: an entry is malformed; the message names the entry, the field and what to do.
    """
    rules: list[Rule] = []
    names: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        where = f"rule {number}"
        if not isinstance(entry, Mapping):
            msg = f"{where}: expected a table, got {type(entry).__name__}"
            raise ValueError(msg)
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            msg = f"{where}: name: give each rule a name (a string)"
            raise ValueError(msg)
        where = f"rule {name!r}"
        if name in names:
            msg = f"{where}: name: used twice; rule names are unique"
            raise ValueError(msg)
        names.add(name)
        if unknown := sorted(set(entry) - _RULE_FIELDS):
            msg = f"{where}: {unknown[0]}: unknown field; known: {', '.join(sorted(_RULE_FIELDS))}"
            raise ValueError(msg)
        rules.append(_rule_from(name, where, entry))
    return tuple(rules)


def _rule_from(name: str, where: str, entry: Mapping[str, object]) -> Rule:
    def text(field: str) -> str | None:
        value = entry.get(field)
        if value is not None and not isinstance(value, str):
            msg = f"{where}: {field}: expected a string, got {type(value).__name__}"
            raise ValueError(msg)
        return value

    def texts(field: str) -> tuple[str, ...]:
        value = entry.get(field, ())
        if not isinstance(value, Sequence) or isinstance(value, str):
            msg = f"{where}: {field}: expected a list of strings"
            raise ValueError(msg)
        if not all(isinstance(item, str) for item in value):
            msg = f"{where}: {field}: expected a list of strings"
            raise ValueError(msg)
        return tuple(value)

    def choice(field: str, kind: type[_E], default: _E | None) -> _E:
        value = text(field)
        if value is None and default is not None:
            return default
        try:
            return kind(value or "")
        except ValueError:
            msg = f"{where}: {field}: {value!r} is not one of {', '.join(kind)}"
            raise ValueError(msg) from None

    fits = entry.get("quota_fits")
    if fits is not None and not isinstance(fits, bool):
        msg = f"{where}: quota_fits: expected true or false"
        raise ValueError(msg)
    place = text("where")
    if place not in (None, "create", "describe"):
        msg = f"{where}: where: {place!r} is neither 'create' nor 'describe'"
        raise ValueError(msg)
    return Rule(
        name=name,
        failure_class=choice("class", FailureClass, None),
        scope=choice("scope", Scope, Scope.JOB),
        retryable=choice("retry", Retryable, Retryable.NO),
        where=place,
        codes=texts("codes"),
        statuses=texts("statuses"),
        pattern=text("pattern"),
        quota_fits=fits,
    )
