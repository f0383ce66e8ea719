"""Values out of files and requests held against the types of the record that they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

__all__ = ["check_kinds"]

_LARGEST = 1e10  # three hundred years of seconds: a clock beyond the year 9999 has no dates


def check_kinds(record: Any) -> None:
    """
    Check that the fields of a frozen record hold what their annotations say.

    Raises:
        ValueError: one does not, or holds a number that no clock can show; the message names it.
    """
    for field in fields(record):
        expected, holds = _KINDS[str(field.type)]
        value = getattr(record, field.name)
        if not holds(value):
            msg = f"{field.name}: expected {expected}, got {value!r:.60}"
            raise ValueError(msg)


def _number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= _LARGEST  # type: ignore[arg-type]


def _whole(value: object) -> bool:
    return isinstance(value, int) and _number(value)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _many(value: object, holds: Callable[[object], bool]) -> bool:
    return isinstance(value, tuple) and all(map(holds, value))


def _pair(value: object) -> bool:
    return _many(value, _number) and len(value) == 2  # type: ignore[arg-type]


def _step(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _number(value[0]) and _whole(value[1])


def _table(value: object, holds: Callable[[object, object], bool]) -> bool:
    return isinstance(value, Mapping) and all(holds(k, v) for k, v in value.items())


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", _text),
    "bool": ("true or false", lambda v: isinstance(v, bool)),
    "int": ("a whole number", _whole),
    "int | None": ("a whole number", lambda v: v is None or _whole(v)),
    "float": ("a number", _number),
    "float | None": ("a number", lambda v: v is None or _number(v)),
    "Span": ("a number or [low, high]", lambda v: _number(v) or _pair(v)),
    "Steps": ("a list of [seconds, instances]", lambda v: _many(v, _step)),
    "int | tuple[tuple[float, int], ...] | None": (
        "a number or a list of [seconds, instances]",
        lambda v: v is None or _whole(v) or _many(v, _step),
    ),
    "tuple[float, float]": ("two numbers", _pair),
    "tuple[float, float] | None": ("two numbers", lambda v: v is None or _pair(v)),
    "tuple[float, ...]": ("a list of numbers", lambda v: _many(v, _number)),
    "tuple[str, ...]": ("a list of texts", lambda v: _many(v, _text)),
    "Mapping[str, str]": (
        "a table of texts",
        lambda v: _table(v, lambda k, item: _text(k) and _text(item)),
    ),
    "Mapping[int, float]": (
        "a table of numbers",
        lambda v: _table(v, lambda k, item: _whole(k) and _number(item)),
    ),
    # These have been made of what was given.
    "Shortage | None": ("a shortage", lambda v: v is None or _text(v)),
    "Refusal | None": ("a table", lambda v: v is None or not isinstance(v, Mapping | str)),
    "FaultKind": ("a kind of fault", _text),
}
