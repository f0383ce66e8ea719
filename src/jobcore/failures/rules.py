"""Failure rules as data: their fields, and reading and combining documents of rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TypeGuard, TypeVar

from jobcore.lifecycle.failure import FailureClass, Retryable, Scope

__all__ = [
    "Reading",
    "Rule",
    "Rules",
    "compiled",
    "parse_rules",
]

_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One failure rule: conditions on the evidence, and the failure that follows from them.

    All conditions given must hold; the first rule that matches decides. Patterns are
    compiled when they are first used.

    Args:
        name: stored with the failure, to find the rule by.
        failure_class, scope, retryable: the failure that follows.
        where: ``"create"`` or ``"describe"``; None for both.
        codes: error codes, one of which must be the evidence's; empty for any.
        statuses: values, one of which must be the status or the secondary status; empty for any.
        own: if not None, whether the training itself must have written the text
            (see `Reading.own_words`).
        pattern: a regular expression matched at the *start* of the normalised text, or with
            ``own=True`` at the start of the text after the own words; None for any text.
        error: a regular expression matched at the start of each error that the text reports
            (see `jobcore.failures.classify.reported_errors`); None for any.
        quota_fits: if not None, the text must state a quota (see `Reading.quotas`) that the request
            can (True) or can never (False) fit.
    """

    name: str
    failure_class: FailureClass
    scope: Scope = Scope.JOB
    retryable: Retryable = Retryable.NO
    where: str | None = None
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    own: bool | None = None
    pattern: str | None = None
    error: str | None = None
    quota_fits: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    The preparation of a text before rules are tried. All patterns are matched at the start of a text.

    Args:
        wrappers: patterns of the prefixes that SDKs and schedulers add to a message. They are
            removed; a group ``code`` gives the error code.
        codes: patterns of texts with an error code, in the group ``code``.
        not_codes: names that are too general for an error code.
        quotas: patterns of sentences that state a quota; groups ``limit``, ``used`` and
            ``requested`` are numbers, ``name`` is optional.
        own_words: patterns of the words that open a text written by the training itself. Such a
            text is not unwrapped and gives no code: user code may quote a service's errors.
        preamble: more patterns of words between a text's own words and its first reported error.

    Attributes:
        opening: derived: a pattern of the own words that open a text; None without own words.
        before_errors: derived: a pattern of the text before the first reported error.
    """

    wrappers: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    not_codes: tuple[str, ...] = ()
    quotas: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    preamble: tuple[str, ...] = ()
    opening: str | None = field(init=False, repr=False, compare=False)
    before_errors: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = "|".join(self.own_words)
        opening = rf"(?:(?:{own})\b[:\s]*)+" if own else None
        object.__setattr__(self, "opening", opening)
        words = "".join(f"{word}|" for word in (*self.own_words, *self.preamble))
        object.__setattr__(self, "before_errors", rf"(?:{words}[:\s\"',])*")


_READING_FIELDS = tuple(f.name for f in fields(Reading) if f.init)
#: The groups that a pattern of a reading must have.
_GROUPS = {"codes": ("code",), "quotas": ("limit", "used", "requested")}


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """
    Failure rules in the order in which they are tried, and the reading of texts for them.

    Compared by identity: results of `jobcore.failures.classify` are cached by it.

    Args:
        rules: tried from first to last; the first that matches decides.
        reading: the preparation of texts.
        fragments: named parts of patterns, for the documents that are put in front.
    """

    rules: tuple[Rule, ...] = ()
    reading: Reading = Reading()
    fragments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def in_front_of(self, other: Rules) -> Rules:
        """
        Combine with *other*, whose rules are tried after these.

        A rule that both contain is tried where it stands first.
        """
        merged = {
            name: tuple(
                dict.fromkeys((*getattr(self.reading, name), *getattr(other.reading, name)))
            )
            for name in _READING_FIELDS
        }
        return Rules(
            tuple(dict.fromkeys((*self.rules, *other.rules))),
            Reading(**merged),
            MappingProxyType({**other.fragments, **self.fragments}),
        )


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern once."""
    return re.compile(pattern, re.DOTALL)


# --- reading a document -----------------------------------------------------------------

_NOTHING = Rules()
_DOCUMENT_FIELDS = ("fragments", "reading", "rule")
_RULE_FIELDS = frozenset(
    {
        "name", "class", "scope", "retry", "where", "codes", "statuses", "own", "pattern", "error",
        "quota_fits",
    }
)  # fmt: skip
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def parse_rules(
    document: Mapping[str, object], base: Rules = _NOTHING, *, compile_patterns: bool = True
) -> Rules:
    """
    Read a document of rules and put its rules in front of *base*.

    A document is decoded data, such as that of a TOML file, with three tables, all optional:

    - ``rule``: a list of tables with the fields of `Rule` (there called ``class`` and ``retry``).
      A table with the one field ``use`` puts a rule of *base* at this place, by its name.
    - ``fragments``: named patterns. ``{{name}}`` in any pattern of the document stands for one of
      them, or of *base*'s; a fragment may use those above it.
    - ``reading``: lists of patterns with the names of `Reading`'s fields.

    A pattern is a string, or a list of strings of which any may match.

    Args:
        document: the decoded data.
        base: the rules that are tried after those of the document.
        compile_patterns: compile every pattern now, to refuse a bad one now. The rules that are
            shipped are read without: a test compiles them, and a process needs few of them.

    Raises:
        ValueError: the document is malformed; the message names the place and what was expected.
    """
    if not isinstance(document, Mapping):
        msg = f"expected a table with fragments, reading and rule, got {type(document).__name__}"
        raise ValueError(msg)
    _refuse_unknown(document, _DOCUMENT_FIELDS, "")
    fragments = _fragments(document.get("fragments", {}), base.fragments)
    reading = _reading(document.get("reading", {}), fragments)
    rules = _rules(document.get("rule", []), fragments, base)
    if compile_patterns:
        _check_patterns(reading, rules)
    return Rules(rules, reading, fragments).in_front_of(base)


def _refuse_unknown(table: Mapping[str, object], known: Sequence[str], where: str) -> None:
    if unknown := sorted(map(str, set(table) - set(known))):
        msg = f"{where}{unknown[0]}: unknown field; known: {', '.join(sorted(known))}"
        raise ValueError(msg)


def _fragments(table: object, known: Mapping[str, str]) -> Mapping[str, str]:
    """Read fragments into patterns without placeholders; those of *known* may be used and replaced."""
    if not isinstance(table, Mapping):
        msg = f"fragments: expected a table, got {type(table).__name__}"
        raise ValueError(msg)
    found = dict(known)
    for name, value in table.items():
        pattern = _pattern(value, found, f"fragments: {name}")
        found[name] = f"(?:{pattern})"
    return MappingProxyType(found)


def _reading(table: object, fragments: Mapping[str, str]) -> Reading:
    if not isinstance(table, Mapping):
        msg = f"reading: expected a table, got {type(table).__name__}"
        raise ValueError(msg)
    _refuse_unknown(table, _READING_FIELDS, "reading: ")
    lists = {name: _texts(table, name, "reading") for name in _READING_FIELDS}
    for name in set(lists) - {"not_codes"}:
        lists[name] = tuple(_filled(p, fragments, f"reading: {name}") for p in lists[name])
    lists["not_codes"] = tuple(name.casefold() for name in lists["not_codes"])
    return Reading(**lists)


def _rules(entries: object, fragments: Mapping[str, str], base: Rules) -> tuple[Rule, ...]:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        msg = "rule: expected a list of tables ([[rule]])"
        raise ValueError(msg)
    usable = {rule.name: rule for rule in reversed(base.rules)}
    rules: dict[str, Rule] = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping):
            msg = f"rule {number}: expected a table, got {type(entry).__name__}"
            raise ValueError(msg)
        field_ = "use" if "use" in entry else "name"
        name = entry.get(field_)
        if not isinstance(name, str) or not name:
            msg = f"rule {number}: {field_}: give each rule a name (a string)"
            raise ValueError(msg)
        if name in rules:
            msg = f"rule {name!r}: {field_}: used twice; rule names are unique"
            raise ValueError(msg)
        rules[name] = (
            _used(name, entry, usable) if "use" in entry else _rule(name, entry, fragments)
        )
    return tuple(rules.values())


def _used(name: str, entry: Mapping[str, object], usable: Mapping[str, Rule]) -> Rule:
    """Find the rule that an entry with ``use`` names."""
    if len(entry) > 1:
        msg = f"rule {name!r}: use: puts the rule here as it is; remove the other fields"
        raise ValueError(msg)
    if name not in usable:
        known = ", ".join(sorted(usable)) or "none"
        msg = f"rule {name!r}: use: there is no such rule to put here; known: {known}"
        raise ValueError(msg)
    return usable[name]


def _rule(name: str, entry: Mapping[str, object], fragments: Mapping[str, str]) -> Rule:
    where = f"rule {name!r}"
    _refuse_unknown(entry, tuple(_RULE_FIELDS), f"{where}: ")
    place = _text(entry, "where", where)
    if place not in (None, "create", "describe"):
        msg = f"{where}: where: {place!r} is neither 'create' nor 'describe'"
        raise ValueError(msg)
    return Rule(
        name=name,
        failure_class=_choice(entry, "class", FailureClass, None, where),
        scope=_choice(entry, "scope", Scope, Scope.JOB, where),
        retryable=_choice(entry, "retry", Retryable, Retryable.NO, where),
        where=place,
        codes=_texts(entry, "codes", where),
        statuses=_texts(entry, "statuses", where),
        own=_flag(entry, "own", where),
        pattern=_optional_pattern(entry, "pattern", fragments, where),
        error=_optional_pattern(entry, "error", fragments, where),
        quota_fits=_flag(entry, "quota_fits", where),
    )


# --- reading a field --------------------------------------------------------------------


def _text(entry: Mapping[str, object], name: str, where: str) -> str | None:
    value = entry.get(name)
    if value is not None and not isinstance(value, str):
        msg = f"{where}: {name}: expected a string, got {type(value).__name__}"
        raise ValueError(msg)
    return value


def _texts(entry: Mapping[str, object], name: str, where: str) -> tuple[str, ...]:
    value = entry.get(name, ())
    if not _is_texts(value):
        msg = f"{where}: {name}: expected a list of strings"
        raise ValueError(msg)
    return tuple(value)


def _is_texts(value: object) -> TypeGuard[Sequence[str]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return False
    return all(isinstance(item, str) for item in value)


def _flag(entry: Mapping[str, object], name: str, where: str) -> bool | None:
    value = entry.get(name)
    if value is not None and not isinstance(value, bool):
        msg = f"{where}: {name}: expected true or false"
        raise ValueError(msg)
    return value


def _choice(
    entry: Mapping[str, object], name: str, kind: type[_E], default: _E | None, where: str
) -> _E:
    value = _text(entry, name, where)
    if value is None and default is not None:
        return default
    try:
        return kind(value or "")
    except ValueError:
        msg = f"{where}: {name}: {value!r} is not one of {', '.join(kind)}"
        raise ValueError(msg) from None


def _optional_pattern(
    entry: Mapping[str, object], name: str, fragments: Mapping[str, str], where: str
) -> str | None:
    value = entry.get(name)
    return None if value is None else _pattern(value, fragments, f"{where}: {name}")


def _pattern(value: object, fragments: Mapping[str, str], where: str) -> str:
    """Read a pattern: a string, or a list of strings of which any may match."""
    if isinstance(value, str):
        return _filled(value, fragments, where)
    if not _is_texts(value):
        msg = f"{where}: expected a string, got {type(value).__name__}"
        raise ValueError(msg)
    return f"(?:{'|'.join(_filled(part, fragments, where) for part in value)})"


def _filled(pattern: str, fragments: Mapping[str, str], where: str) -> str:
    """Put the fragments into a pattern."""

    def fragment(match: re.Match[str]) -> str:
        name = match[1]
        if name not in fragments:
            msg = f"{where}: there is no fragment {{{{{name}}}}}; known: {', '.join(sorted(fragments)) or 'none'}"
            raise ValueError(msg)
        return fragments[name]

    return _PLACEHOLDER.sub(fragment, pattern)


def _check_patterns(reading: Reading, rules: Sequence[Rule]) -> None:
    """Refuse a pattern that cannot be compiled, or lacks a group that its use needs."""
    for name in set(_READING_FIELDS) - {"not_codes"}:
        for pattern in getattr(reading, name):
            _check_reading(name, pattern)
    _compiled_or_refused(reading.opening or "", "reading: own_words")
    _compiled_or_refused(reading.before_errors, "reading: preamble")
    for rule in rules:
        for name, condition in (("pattern", rule.pattern), ("error", rule.error)):
            if condition is not None:
                _compiled_or_refused(condition, f"rule {rule.name!r}: {name}")


def _check_reading(name: str, pattern: str) -> None:
    found = _compiled_or_refused(pattern, f"reading: {name}")
    if found.match(""):
        msg = f"reading: {name}: {pattern!r} matches an empty text, and so every text"
        raise ValueError(msg)
    for group in _GROUPS.get(name, ()):
        if group not in found.groupindex:
            msg = f"reading: {name}: the group (?P<{group}>...) is missing in {pattern!r}"
            raise ValueError(msg)


def _compiled_or_refused(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return compiled(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        msg = f"{where}: not a regular expression: {error}"
        raise ValueError(msg) from None
