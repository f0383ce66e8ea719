"""
JSON documents: times and durations as integers, values of a checked kind, dataclasses field by field.

A reader of a record refuses a value of another kind than the writer wrote. So a damaged record fails
when it is read, and not later in a tick.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar

__all__ = [
    "DocumentField", "Json", "Kinds", "decode_fields", "digest", "encode_fields", "fields_of",
    "from_micros", "optional", "read_bool", "read_duration", "read_duration_or_none",
    "read_float", "read_int", "read_table", "read_text", "read_time", "read_time_or_none", "same",
    "to_micros", "write_duration_or_none", "write_time_or_none",
]  # fmt: skip

T = TypeVar("T")

#: JSON data.
Json: TypeAlias = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
#: The functions that write and read a field, by its annotation.
Kinds: TypeAlias = Mapping[str, tuple[Callable[[Any], Json], Callable[[Any], Any]]]


def digest(document: Json) -> str:
    """Hash JSON data: the same data gives the same 64 hex digits, however it was ordered."""
    return hashlib.sha256(_CANONICAL.encode(document).encode("ascii")).hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROS_MAX = 10**17


def to_micros(at: datetime) -> int:
    """Turn an aware datetime into microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Turn microseconds since 1970 into an aware datetime in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def write_time_or_none(at: datetime | None) -> int | None:
    """Write an optional time."""
    return None if at is None else to_micros(at)


def read_time_or_none(micros: int | None) -> datetime | None:
    """Read an optional time."""
    return None if micros is None else read_time(micros)


def write_duration_or_none(delta: timedelta | None) -> int | None:
    """Write an optional duration as microseconds."""
    return None if delta is None else delta // _MICROSECOND


def read_duration_or_none(micros: int | None) -> timedelta | None:
    """Read an optional duration."""
    return None if micros is None else read_duration(micros)


def read_time(micros: int) -> datetime:
    """Read a time."""
    if type(micros) is int and -_MICROS_MAX <= micros <= _MICROS_MAX:  # read by the thousand
        return _EPOCH + timedelta(microseconds=micros)
    return from_micros(_bounded(micros))


def read_duration(micros: int) -> timedelta:
    """Read a duration."""
    return timedelta(microseconds=_bounded(micros))


def _bounded(micros: int) -> int:
    """Refuse a time so far away that adding a duration to it may overflow a datetime."""
    if abs(read_int(micros)) > _MICROS_MAX:
        msg = f"{micros} microseconds are more than three thousand years"
        raise ValueError(msg)
    return micros


def _check(ok: bool, wanted: str, value: object) -> None:
    if not ok:
        msg = f"expected {wanted}, got {type(value).__name__}"
        raise TypeError(msg)


def read_text(value: Any) -> str:
    """Read a text."""
    if type(value) is not str:
        _check(isinstance(value, str), "a text", value)
    return str(value)


def read_int(value: Any) -> int:
    """Read a whole number."""
    if type(value) is not int:
        _check(False, "a whole number", value)  # noqa: FBT003
    number: int = value
    return number


def read_float(value: Any) -> float:
    """Read a finite number that need not be whole; a store may give 1.0 back as 1."""
    _check(type(value) in (int, float) and math.isfinite(value), "a number", value)
    return float(value)


def read_bool(value: Any) -> bool:
    """Read true or false."""
    _check(isinstance(value, bool), "true or false", value)
    return bool(value)


def read_table(value: Any) -> Mapping[str, Any]:
    """Read a table."""
    _check(isinstance(value, Mapping), "a table", value)
    found: Mapping[str, Any] = value
    return found


class DocumentField(NamedTuple):
    """One field of a dataclass in a document."""

    name: str
    default: Any
    encode: Callable[[Any], Json]
    decode: Callable[[Any], Any]


def same(value: Any) -> Any:
    """Write or read a value as it is."""
    return value


def optional(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a reader that takes null as well."""
    return lambda value: None if value is None else decode(value)


def fields_of(
    cls: Any, kinds: Kinds, *, columns: Collection[str] = (), always: Collection[str] = ()
) -> tuple[DocumentField, ...]:
    """
    List the fields of a dataclass that a document holds.

    Args:
        columns: fields that are kept elsewhere by the store.
        always: fields that are written and expected even if they have their default.
    """
    return tuple(
        DocumentField(
            field.name, MISSING if field.name in always else field.default, *kinds[str(field.type)]
        )
        for field in fields(cls)
        if field.name not in columns
    )


def encode_fields(known: Sequence[DocumentField], record: object) -> dict[str, Json]:
    """Turn a dataclass into a document; fields that have their default are left out."""
    document: dict[str, Json] = {}
    for field in known:
        value = getattr(record, field.name)
        if value is not field.default and value != field.default:
            document[field.name] = field.encode(value)
    return document


def decode_fields(
    cls: Callable[..., T],
    known: Sequence[DocumentField],
    document: Mapping[str, Any],
    **columns: Any,
) -> T:
    """Read a dataclass back; *columns* are the values that the store keeps outside the document."""
    read_table(document)
    values = {
        field.name: field.decode(document[field.name])
        for field in known
        if field.name in document or field.default is MISSING
    }
    return cls(**values, **columns)
