"""
The kinds and bounds of settings, with their names in messages; needs the standard library only.

A `Check` is a validator of an attrs class. None passes every check: it is the value of an optional
field that was left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from jobcore.errors import InvalidSetting

__all__ = [
    "KINDS", "Check", "Wrong", "above", "at_least", "between", "collect", "duration", "each", "expect",
    "matching", "one_of", "parse_json", "parse_toml", "problems_in", "report_all", "sized",
]  # fmt: skip

Number = int | float | timedelta

#: The kinds for `expect`, with their names in messages.
KINDS: Mapping[type, str] = {
    bool: "true or false", float: "a number", int: "a whole number", list: "a list",
    Mapping: "a table", str: "a string",
}  # fmt: skip
_SHOWN_CHARS_MAX = 60
_PATH = re.compile(r"[\w./\[\]-]+")


class Wrong(ValueError):  # noqa: N818  (reads well in `raise`)
    """A value that is not allowed: the text has the value and the expectation; `collect` adds the field."""

    def __init__(self, expected: str, value: object, *, quote: bool = True) -> None:
        """Make the text; without *quote* the value is not shown."""
        super().__init__(f"expected {expected}, got {_shown(value) if quote else 'another value'}")


def _shown(value: object) -> str:
    """Write a value as in TOML and JSON, with secrets redacted."""
    if isinstance(value, Mapping | list | tuple):
        return "a table" if isinstance(value, Mapping) else f"a list of {len(value)}"
    if isinstance(value, timedelta):
        return _said(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str):
        from jobcore.redact import redact

        value = redact(value[:1000])
    words = repr(value)
    return words if len(words) <= _SHOWN_CHARS_MAX else f"{words[: _SHOWN_CHARS_MAX - 1]}…"


# --- kinds -------------------------------------------------------------------------------


def expect(kind: type, value: object) -> Any:
    """
    Check that a value is of a kind (bool, int, finite float, str, list or Mapping), and return it.

    Raises:
        Wrong: it is of another kind.
    """
    if isinstance(value, bool):
        fits = kind is bool
    elif kind is float:
        fits = isinstance(value, int | float) and abs(value) < 1e308
    else:
        fits = isinstance(value, kind)
    if not fits:
        raise Wrong(KINDS[kind], value)
    return value


def duration(value: object) -> timedelta:
    """
    Read a duration in the form of job files: text such as ``"1h30m"``, or a number of seconds.

    Raises:
        Wrong: it is neither.
    """
    from jobcore.jobfile import parse_duration

    try:
        return parse_duration(value if isinstance(value, str) else expect(float, value))
    except ValueError:
        expected = 'a duration such as "90s", "1h30m" or "2d"'
        raise Wrong(expected, value) from None


def parse_toml(text: str | bytes, *, where: str) -> dict[str, Any]:
    """
    Decode TOML; bytes are UTF-8.

    Raises:
        InvalidSetting: it is malformed.
    """
    import tomllib

    try:
        return tomllib.loads(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise InvalidSetting([("", f"not valid TOML: {error}")], where) from None


def parse_json(text: str, *, where: str) -> Any:
    """
    Decode JSON.

    Raises:
        InvalidSetting: it is malformed.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSetting([("", f"not valid JSON: {error}")], where) from None


# --- bounds ------------------------------------------------------------------------------


class Check:
    """
    A validator of attrs whose message names the expectation.

    Args:
        expected: the words for allowed values.
        allows: the predicate.
        quote: whether messages may show the value; False for a value that may be a secret.
    """

    def __init__(self, expected: str, allows: Callable[[Any], bool], *, quote: bool = True) -> None:
        """Make a check."""
        self.expected, self.allows, self.quote = expected, allows, quote

    def __call__(self, instance: object, attribute: object, value: Any) -> None:
        """Raise `Wrong` for a value that is not allowed."""
        if value is not None and not self.allows(value):
            raise Wrong(self.expected, value, quote=self.quote)


def _bounded(expected: str, allows: Callable[[Any], bool]) -> Check:
    def is_allowed(value: object) -> bool:  # code, unlike files, may pass a value of another kind
        return isinstance(value, Number) and not isinstance(value, bool) and allows(value)

    return Check(expected, is_allowed)


def _said(number: Number) -> str:
    if not isinstance(number, timedelta):
        return f"{number:,}"
    seconds = number.total_seconds()
    units = (("d", 86400), ("h", 3600), ("m", 60))
    unit, length = next((u for u in units if seconds and seconds % u[1] == 0), ("s", 1))
    return f"{seconds / length:g}{unit}"


def at_least(low: Number) -> Check:
    """Expect *low* or more."""
    return _bounded(f"{_said(low)} or more", lambda value: value >= low)


def above(low: Number) -> Check:
    """Expect more than *low*."""
    return _bounded(f"more than {_said(low)}", lambda value: value > low)


def between(low: Number, high: Number) -> Check:
    """Expect *low* to *high*, both included."""
    return _bounded(f"{_said(low)} to {_said(high)}", lambda value: low <= value <= high)


def one_of(*values: str) -> Check:
    """Expect one of these texts."""
    return Check(f"{', '.join(values[:-1])} or {values[-1]}", lambda value: value in values)


def matching(pattern: str, expected: str) -> Check:
    """Expect a text that matches a regular expression as a whole."""
    found = re.compile(pattern).fullmatch
    return Check(expected, lambda value: isinstance(value, str) and found(value) is not None)


def sized(low: int, high: int, what: str) -> Check:
    """Expect *low* to *high* entries."""
    return Check(f"{low} to {high:,} {what}", lambda value: low <= len(value) <= high)


def each(check: Check) -> Callable[[object, object, Any], None]:
    """Apply a check to every entry of a list, or to every value of a table."""

    def check_each(instance: object, attribute: object, value: Any) -> None:
        entries = value.items() if isinstance(value, Mapping) else enumerate(value or ())
        collect(entries, lambda _, entry: check(None, None, entry))

    return check_each


def report_all(cls: type, fields: list[Any]) -> list[Any]:
    """
    Make a class report the problems of all its fields; attrs stops at the first one.

    For `attrs.frozen`, as its *field_transformer*. The validator of the last field runs those of all
    fields. Each field keeps its own as the metadata "check", for `read`.
    """
    checks = {field.name: field.validator for field in fields if field.validator is not None}

    def check_all(instance: object, attribute: object, value: object) -> None:
        collect(checks.items(), lambda name, check: check(None, None, getattr(instance, name)))

    *others, last = [
        f.evolve(validator=None, metadata={**f.metadata, "check": f.validator}) for f in fields
    ]
    return [*others, last.evolve(validator=check_all)]


# --- problems ----------------------------------------------------------------------------


def collect(entries: Iterable[tuple[Any, Any]], make: Callable[[Any, Any], Any]) -> dict[Any, Any]:
    """
    Convert each entry of a table, or each numbered entry of a list.

    Raises:
        InvalidSetting: *make* raised ValueError for some entries; it has the problems of all.
    """
    made, problems = {}, list[tuple[str, str]]()
    for at, value in entries:
        try:
            made[at] = make(at, value)
        except ValueError as error:
            problems += problems_in(error, f"[{at}]" if isinstance(at, int) else str(at))
    if problems:
        raise InvalidSetting(problems)
    return made


def problems_in(error: ValueError, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the message of each problem in *error*, which is about the value at *path*."""
    problems: Iterable[tuple[str, str]]
    if isinstance(error, InvalidSetting):
        problems = error.problems
    else:
        field, colon, message = str(error).partition(": ")
        is_path = colon and _PATH.fullmatch(field)  # errors of the core are "field: message"
        problems = ((field, message) if is_path else ("", str(error)),)
    for inner, message in problems:
        dot = "." if path and inner and inner[0] != "[" else ""
        yield f"{path[:200]}{dot}{inner}", message
