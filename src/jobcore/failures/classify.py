"""Classification: from the evidence of a trainer to a failure, by the first rule that matches.

Patterns are anchored at the start of a text, because user code writes the tail of a failure
reason, in which "CapacityError" or "ThrottlingException" may occur.
"""

from __future__ import annotations

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

from .rules import Reading, Rule, Rules, compiled

__all__ = [
    "classify",
    "find_quota",
    "normalise",
    "reported_errors",
]

# An exception as a traceback ends with it, or as a tool quotes it: its name at the start of
# a word, then a colon, the end of the quotation, or the end of the text.
_REPORTED = (
    r"(?:(?<=[\s\"'(\[|])|(?<=[^:]:)|^)(?:[a-z_]\w*(?:\.|::))*"
    r"(?:\w*(?:error|exception|interrupt|iteration)|systemexit|bad_alloc)(?=:|[\"']|$| \()"
)
_ERRORS_MAX = 32  # the last ones: bounds the work on a text that is nothing but error names
_WRAPPERS_MAX = 8  # the most nested wrappers that are removed
_TEXT_CHARS_MAX = 2048  # twice the length that a failure keeps; the rest of a text is not matched
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00b4": "'"})


def classify(evidence: Evidence, rules: Rules) -> Failure:
    """
    Classify *evidence* by the first of *rules* that matches.

    Without a match the failure is ``unknown`` with a limited retry, so that an unknown text neither
    fails the job at once nor makes it loop for ever.
    """
    # Cached: in a shortage the same few texts occur thousands of times.
    if len(evidence.text) <= REASON_CHARS_MAX:
        return _classify_cached(evidence, rules)
    return _classify(evidence, rules)


def normalise(text: str, rules: Rules) -> str:
    """
    Bring a message into the form that rules match.

    Case-folded, single spaces, straight quotation marks, without the wrappers that *rules* know
    (`Reading.wrappers`), at most 2,048 characters. Real texts differ in spacing, case and
    wrapping from one place to the next ("internal error.  Please" is "internal error. Please").
    """
    return _unwrap(text, rules.reading)[0]


@lru_cache(maxsize=256)
def find_quota(text: str, rules: Rules) -> Quota | None:
    """Read the quota that a message states, if *rules* know its sentence (`Reading.quotas`)."""
    return _quota_in(normalise(text, rules), rules.reading)


def reported_errors(text: str, rules: Rules) -> tuple[str, ...]:
    """
    Find the errors that a normalised text reports, each from its name to the end of the text.

    The first entry is the text itself after its opening words (`Reading.own_words`,
    `Reading.preamble`); the others begin with an exception's name (``valueerror: …``). Only the
    last 32 names count.
    """
    match = compiled(rules.reading.before_errors).match(text)
    start = match.end() if match else 0
    found = [m.start() for m in compiled(_REPORTED).finditer(text, start)][-_ERRORS_MAX:]
    return tuple(text[at:] for at in dict.fromkeys((start, *found)))


# --- reading a text ---------------------------------------------------------------------


def _own_words_end(text: str, reading: Reading) -> int | None:
    """Find the end of the words that mark a text as the training's own; None if there are none."""
    match = compiled(reading.opening).match(text) if reading.opening is not None else None
    return match.end() if match else None


def _unwrap(text: str, reading: Reading) -> tuple[str, str | None]:
    """Normalise a text without its wrappers, and return it with the error code that they state."""
    folded = " ".join(text.casefold().translate(_QUOTES).split())[: 4 * _TEXT_CHARS_MAX]
    code: str | None = None
    for _ in range(_WRAPPERS_MAX):
        if _own_words_end(folded, reading) is not None:
            break  # the training wrote the rest, even if it quotes a wrapper
        for pattern in reading.wrappers:
            if match := compiled(pattern).match(folded):
                code = match.groupdict().get("code") or code
                folded = folded[match.end() :]
                break
        else:
            break
    return folded[:_TEXT_CHARS_MAX], code


def _quota_in(normalised: str, reading: Reading) -> Quota | None:
    for pattern in reading.quotas:
        match = compiled(pattern).match(normalised)
        if match is None:
            continue
        try:
            return Quota(
                name=match.groupdict().get("name") or "",
                limit=int(match["limit"]),
                used=int(match["used"]),
                requested=int(match["requested"]),
            )
        except (TypeError, ValueError):
            continue  # the group did not match, or is not a number
    return None


class _Text:
    """Evidence in the form that rules match; each part is computed at its first use."""

    __slots__ = ("_errors", "code", "normalised", "own_end", "quota", "rules", "states", "where")

    def __init__(self, evidence: Evidence, rules: Rules) -> None:
        reading = rules.reading
        self.rules = rules
        self.where = evidence.where
        self.normalised, from_wrapper = _unwrap(evidence.text, reading)
        self.own_end = _own_words_end(self.normalised, reading)
        given = (evidence.error_code or "").strip().casefold()
        self.code = self._code(given, from_wrapper or "")
        self.states = {s.casefold() for s in (evidence.status, evidence.secondary_status) if s}
        self.quota = _quota_in(self.normalised, reading)
        self._errors: tuple[str, ...] | None = None

    def _code(self, given: str, from_wrapper: str) -> str | None:
        """Choose the error code: the evidence's, else that of a wrapper, else that in the text."""
        reading = self.rules.reading
        for code in (given, from_wrapper):
            if code and code not in reading.not_codes:
                return code
        if self.own_end is None:
            for pattern in reading.codes:
                match = compiled(pattern).match(self.normalised)
                if match and match["code"] and match["code"] not in reading.not_codes:
                    return match["code"]
        return from_wrapper or given or None

    @property
    def errors(self) -> tuple[str, ...]:
        if self._errors is None:
            self._errors = reported_errors(self.normalised, self.rules)
        return self._errors


# --- trying the rules -------------------------------------------------------------------


@lru_cache(maxsize=256)
def _classify_cached(evidence: Evidence, rules: Rules) -> Failure:
    return _classify(evidence, rules)


def _classify(evidence: Evidence, rules: Rules) -> Failure:
    text = _Text(evidence, rules)
    kept = evidence.text[:REASON_CHARS_MAX]
    for rule in rules.rules:
        if _matches(rule, text):
            return Failure(
                failure_class=rule.failure_class,
                scope=rule.scope,
                retryable=rule.retryable,
                rule=rule.name,
                text=kept,
            )
    return Failure(
        failure_class=FailureClass.UNKNOWN,
        scope=Scope.JOB,
        retryable=Retryable.LIMITED,
        rule="no rule matched",
        text=kept,
    )


def _matches(rule: Rule, text: _Text) -> bool:
    """Check whether all conditions of *rule* hold, the cheap ones first."""
    if rule.where is not None and rule.where != text.where:
        return False
    if rule.own is not None and rule.own is (text.own_end is None):
        return False
    if rule.codes and text.code not in _folded(rule.codes):
        return False
    if rule.statuses and text.states.isdisjoint(_folded(rule.statuses)):
        return False
    if rule.quota_fits is not None and (
        text.quota is None or text.quota.can_ever_fit is not rule.quota_fits
    ):
        return False
    if rule.pattern is not None:
        start = (text.own_end or 0) if rule.own else 0
        if not compiled(rule.pattern).match(text.normalised, start):
            return False
    return rule.error is None or any(map(compiled(rule.error).match, text.errors))


@lru_cache(maxsize=4096)
def _folded(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(v.casefold() for v in values)
