"""
Checks of the fields of a value, run when it is constructed.

A `wrong_...` function checks one value and returns the fault as "expected ..., got ...", or None.
`refuse` and `refuse_setting` raise for the fields with a fault:

    refuse(count=wrong_whole(self.count, 1), pool=wrong_text(self.pool, "the name of a pool"))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jobcore.errors import InvalidSetting, Problem

__all__ = [
    "described", "if_given", "kind_of", "refuse", "refuse_setting", "wrong_duration",
    "wrong_flag", "wrong_in", "wrong_json", "wrong_kind", "wrong_number", "wrong_optional_string",
    "wrong_secret", "wrong_string", "wrong_table", "wrong_text", "wrong_time", "wrong_whole",
]  # fmt: skip

Check = Callable[[Any], str | None]

#: JSON data nested more deeply is refused: Python's own encoder and decoder recurse.
JSON_DEPTH_MAX = 200

_NUL = "contains a NUL character; remove it"
_SHOWN_CHARS_MAX = 40
_KINDS: Mapping[type, str] = {
    dict: "a table",
    list: "a list",
    str: "a string",
    bool: "true or false",
}
_NUMBERS: Mapping[type, str] = {int: "a number", float: "a number"}
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def refuse(**wrong: str | None) -> None:
    """
    Refuse the first field of *wrong* for which a check returned something.

    Raises:
        ValueError: "field: expected ..., got ...".
    """
    if not any(wrong.values()):  # values are made by the thousand, and nearly all are right
        return
    for field, message in wrong.items():
        if message is not None:
            msg = f"{field}: {message}"
            raise ValueError(msg)


def refuse_setting(**wrong: str | None) -> None:
    """
    Refuse a setting with all the fields of *wrong* for which a check returned something.

    Raises:
        InvalidSetting: with one problem for each such field.
    """
    problems = [Problem(field, message) for field, message in wrong.items() if message is not None]
    if problems:
        raise InvalidSetting(problems)


def if_given(check: Callable[..., str | None], value: object, *bounds: Any) -> str | None:
    """Run *check* on an optional value; None is right."""
    return None if value is None else check(value, *bounds)


def wrong_kind(value: object, kind: type, expected: str) -> str | None:
    """Check that *value* is of *kind*, which the message calls *expected*."""
    return None if isinstance(value, kind) else f"expected {expected}, got {described(value)}"


def wrong_flag(value: object) -> str | None:
    """Check that *value* is True or False."""
    return None if type(value) is bool else f"expected true or false, got {described(value)}"


def wrong_whole(value: object, least: int | None = None, most: int | None = None) -> str | None:
    """Check that *value* is an int, no bool, from *least* to *most*; None for no bound."""
    if type(value) is int and (least is None or least <= value) and (most is None or value <= most):
        return None
    bounds = _range(least, most, "{:,}".format)
    if type(value) is int:
        return f"expected {bounds}, got {described(value)}"
    of = "from" if most is not None else "of"
    kind = f"a whole number {of} {bounds}" if bounds else "a whole number"
    return f"expected {kind}, got {described(value)}"


def wrong_number(value: object, least: float, most: float) -> str | None:
    """Check that *value* is an int or a float, no bool, from *least* to *most*. NaN never is."""
    is_number = isinstance(value, int | float) and type(value) is not bool
    if isinstance(value, int | float) and is_number and least <= value <= most:
        return None
    bounds = _range(least, most, lambda bound: f"{bound:,f}".rstrip("0").rstrip("."))
    return f"expected {'' if is_number else 'a number from '}{bounds}, got {described(value)}"


def wrong_text(
    value: object, expected: str = "text", *, empty: bool = False, secret: bool = False
) -> str | None:
    """
    Check that *value* is text that every store and every process can be given.

    NUL ends a string of the operating system. Half of a surrogate pair cannot be written as UTF-8.

    Args:
        expected: describes the expected value in the message.
        empty: the empty text is allowed.
        secret: the value may be a secret; the message does not quote it.
    """
    if not isinstance(value, str):
        return f"expected {expected}, got {kind_of(value) if secret else described(value)}"
    if not value:
        return None if empty else f"expected {expected}, got nothing"
    if "\x00" in value:
        return _NUL
    return (
        None
        if value.isascii() or _is_utf8(value)
        else "contains a lone surrogate, which is half a character; remove it"
    )


def wrong_string(value: object) -> str | None:
    """Check that *value* is text of any characters, such as a service's message."""
    return None if isinstance(value, str) else f"expected text, got {described(value)}"


def wrong_optional_string(value: object) -> str | None:
    """Check that *value* is None, or text of any characters."""
    return None if value is None or isinstance(value, str) else wrong_string(value)


def wrong_table(value: object, *, secret: bool = False) -> str | None:
    """Check that *value* is a mapping; a *secret* one is not quoted."""
    if type(value) is dict or isinstance(value, Mapping):  # the first is much faster
        return None
    return f"expected a table, got {kind_of(value) if secret else described(value)}"


def wrong_secret(value: object) -> str | None:
    """Check that *value* is text, and do not quote it."""
    return wrong_text(value, empty=True, secret=True)


def wrong_time(value: object) -> str | None:
    """Check that *value* is an aware datetime in UTC, and not only one that is 0 hours from it now."""
    if not isinstance(value, datetime):
        return f"expected an aware datetime (UTC), got {described(value)}"
    if value.tzinfo is UTC:
        return None
    if value.tzinfo is None:
        return "expected an aware datetime (UTC), got a naive one"
    # The offset alone is not enough: London's is 0 in winter, and adding months there is an hour wrong.
    if value.utcoffset() == timedelta(0) and value.tzname() == "UTC":
        return None
    return f"expected an aware datetime in UTC, got {value.isoformat()}; convert it with astimezone(UTC)"


def wrong_duration(
    value: object, least: timedelta = timedelta(0), most: timedelta = timedelta.max
) -> str | None:
    """Check that *value* is a timedelta from *least* to *most*."""
    if not isinstance(value, timedelta):
        return f"expected a duration, got {described(value)}"
    if least <= value <= most:
        return None
    if value > most:
        return f"expected at most {_in_units(most)}, got {_in_units(value)}"
    return f"expected {f'at least {_in_units(least)}' if least else '0 or more'}, got {_in_units(value)}"


def wrong_json(value: object) -> str | None:
    """
    Check that *value* is JSON data without a NUL character. The message does not quote it.

    A lone surrogate is allowed: Python writes a path that is not UTF-8 with them.
    """
    level: list[Any] = [value]
    for _ in range(JSON_DEPTH_MAX + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if "\x00" in item:
                    return _NUL
            elif isinstance(item, dict):
                if (message := _wrong_names(item)) is not None:
                    return message
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif not (item is None or isinstance(item, int) or _is_finite(item)):
                return "not JSON data: only texts, numbers, lists and tables are"
        if not inner:
            return None
        level = inner
    return f"nested more than {JSON_DEPTH_MAX} levels deep"


def wrong_in(
    field: str, table: Any, check: Check, *, name: Check | None = None, secret: bool = False
) -> dict[str, str | None]:
    """
    Check the names and the values of a mapping.

    Args:
        field: the mapping's own name.
        check: for each value.
        name: for each name; text that is not empty unless given.
        secret: the mapping may hold secrets; messages do not quote it.

    Returns:
        The faults by field: "pools", or "pools.cpu" for an entry. For `refuse`.
    """
    if (message := wrong_table(table, secret=secret)) is not None:
        return {field: message}
    check_name = name or _wrong_name
    wrong: dict[str, str | None] = {}
    for key, value in table.items():
        message = check_name(key) or check(value)
        if message is not None:
            wrong[f"{field}.{str(key)[:_SHOWN_CHARS_MAX]}"] = message
    return wrong


def kind_of(value: object) -> str:
    """Name the kind of *value* as job files do, without the value."""
    kind = type(value)
    return _KINDS.get(kind) or _NUMBERS.get(kind) or kind.__name__


def described(value: object) -> str:
    """Name the kind of *value* and show it, cut at 40 characters; a number or None is only shown."""
    kind = _KINDS.get(type(value))
    try:
        shown = repr(value)
    except ValueError:  # an int of more than 4,300 digits is not written out by Python
        shown = f"{kind_of(value)} too long to show"
    if len(shown) > _SHOWN_CHARS_MAX:
        shown = shown[: _SHOWN_CHARS_MAX - 1] + "…"
    return f"{kind} ({shown})" if kind else shown


def _wrong_name(value: object) -> str | None:
    return wrong_text(value, "a name")


def _wrong_names(table: Mapping[Any, Any]) -> str | None:
    for name in table:
        if not isinstance(name, str):
            return "not JSON data: a name is not a text; put it in quotation marks"
        if "\x00" in name:
            return _NUL
    return None


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _range(least: float | None, most: float | None, shown: Callable[[float], str]) -> str:
    """Write the bounds of a number for a message."""
    if most is None:
        if least is None:
            return ""
        return "0 or more" if not least else f"at least {shown(least)}"
    return f"at most {shown(most)}" if least is None else f"{shown(least)} to {shown(most)}"


def _in_units(duration: timedelta) -> str:
    """Write a duration in the largest unit of which it is a whole number, or in seconds."""
    for unit, seconds in _UNITS:
        number, rest = divmod(duration, timedelta(seconds=seconds))
        if number and not rest:
            return f"{number} {unit}{'' if abs(number) == 1 else 's'}"
    number_s = duration.total_seconds()
    return f"{number_s:g} second{'' if abs(number_s) == 1 else 's'}"
