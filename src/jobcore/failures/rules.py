"""Failure rules as data: what a rule can say, and how rules are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from jobcore.lifecycle.failure import FailureClass, Retryable, Scope

__all__ = [
    "Rule",
    "compiled",
    "parse_rules",
]

_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One line of the rule file.

    All conditions given must hold; the first rule that matches wins. Patterns are
    compiled when they are first used; `parse_rules` refuses one that cannot be.

    Args:
        name: unique; it is stored with the failure, so that a person can find the rule again.
        failure_class, scope, retryable: what follows.
        where: ``"create"`` or ``"describe"``; None for both.
        codes: error codes, any of which must be the one given; empty for any.
        statuses: values of status or secondary status, any of which must be given; empty for any.
        pattern: a regular expression matched at the *start* of the normalised
            (case-folded, white-space-collapsed) text; None for any text.
        error: a regular expression matched at the start of each error that the text reports
            (see `reported_errors`); None for any. For what the training itself wrote.
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
    error: str | None = None
    quota_fits: bool | None = None


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


_RULE_FIELDS = frozenset(
    {
        "name", "class", "scope", "retry", "where", "codes", "statuses", "pattern", "error",
        "quota_fits",
    }
)  # fmt: skip


def parse_rules(
    entries: Iterable[Mapping[str, object]], *, compile_patterns: bool = True
) -> tuple[Rule, ...]:
    """
    Read rules from decoded data, such as the ``[[rule]]`` tables of a TOML file.

    Args:
        entries: one mapping per rule.
        compile_patterns: compile every pattern now, to refuse a bad one now. The default rules
            go without (a test compiles them), so that an import need not pay for it.

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
        rule = _rule_from(name, where, entry)
        if compile_patterns:
            _check_patterns(rule, where)
        rules.append(rule)
    return tuple(rules)


def _check_patterns(rule: Rule, where: str) -> None:
    """Refuse a rule whose pattern cannot be compiled, naming the rule and the field."""
    for field, pattern in (("pattern", rule.pattern), ("error", rule.error)):
        if pattern is not None:
            try:
                compiled(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                msg = f"{where}: {field}: not a regular expression: {error}"
                raise ValueError(msg) from None


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
        error=text("error"),
        quota_fits=fits,
    )
