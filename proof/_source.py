"""Bytes read as values: a fuzzer changes bytes, and a parser reads texts and tables.

Every value is a pure function of the bytes, so that an input that found something finds it
again. When the bytes are used up, the smallest value follows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

__all__ = ["Source", "toml"]

_T = TypeVar("_T")

_NUMBERS: Sequence[int | float] = (
    0, 1, -1, 2, 7, 63, 64, 100, 255, 1024, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**18, 10**30,
    10**400, 0.0, -0.0, 0.5, 1e-9, 1e308, -1e308, math.inf, -math.inf, math.nan,
)  # fmt: skip
_TEXTS = (
    "", " ", "\x00", "\n", "\r\n", "\t", "\x1b[31m", "\u2028", "\ud800", "\udcff", "\U0001f600", "é", "İ",
    "a" * 64, "x" * 300, "../../etc/passwd", "%2e%2e%2f", "s3://b/k", "arn:aws:iam::123456789012:role/x",
    "null", "true", "-1", "1e999", "NaN", "2026-01-01T00:00:00+00:00", "1h30m", "cpu",
    "us-east-1/ml.m5.large/spot", "<img src=x onerror=alert(1)>", "' OR 1=1 --", "{{x}}", "${x}",
    "New", "Failed", "Completed", "InProgress", "Stopping", "Held", "unknown", "jc-", "job#",
)  # fmt: skip
_ODD: Sequence[Any] = (
    None, True, False, [], {}, [[]], [None], {"": None}, {"a": {"b": [1]}},
)  # fmt: skip
_LOCAL: Sequence[Any] = (
    datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1), date(2026, 1, 1), time(1, 2),  # noqa: DTZ001
    b"bytes", frozenset({"s"}), {1: 2}, {None: 1}, (1, 2), datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC),
)  # fmt: skip
_MUTATIONS_MAX = 6


class Source:
    """
    Reads values off *data*.

    Args:
        local: also give the values of TOML and YAML that JSON does not have: dates, bytes, sets.
    """

    def __init__(self, data: bytes, *, local: bool = False) -> None:
        self._data = data
        self._at = 0
        self._local = local

    def below(self, limit: int) -> int:
        """Give a number from 0 up to, and without, *limit*."""
        width = 1 if limit <= 256 else 2 if limit <= 65536 else 8
        part = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(part, "big") % limit

    def flag(self) -> bool:
        """Give a yes or a no."""
        return bool(self.below(2))

    def one_of(self, values: Sequence[_T]) -> _T:
        """Give one of *values*."""
        return values[self.below(len(values))]

    def bytes(self, longest: int = 64) -> bytes:
        """Give at most *longest* bytes."""
        size = min(self.below(longest + 1), max(0, len(self._data) - self._at))
        part = self._data[self._at : self._at + size]
        self._at += size
        return part

    def rest(self) -> bytes:
        """Give all bytes that are left."""
        part, self._at = self._data[self._at :], len(self._data)
        return part

    def text(self, longest: int = 64) -> str:
        """Give a text: one with a history, or the bytes as UTF-8 (lone surrogates where they are none)."""
        if self.below(3) == 0:
            return self.one_of(_TEXTS)
        return self.bytes(longest).decode("utf-8", "surrogateescape")

    def number(self) -> int | float:
        """Give a number, rather one that is on an edge."""
        if self.flag():
            return self.one_of(_NUMBERS)
        return int.from_bytes(self.bytes(8), "big", signed=True)

    def value(self, depth: int = 2) -> Any:
        """Give JSON data, at most *depth* deep; NaN and numbers of 400 digits are in it."""
        match self.below(7 if depth else 4):
            case 0:
                return _copy(self.one_of(_ODD))
            case 1:
                return self.number()
            case 2:
                return _copy(self.one_of(_LOCAL)) if self._local else self.text()
            case 3:
                return self.text()
            case 4:
                return [self.value(depth - 1) for _ in range(self.below(4))]
            case 5:
                return {self.text(16): self.value(depth - 1) for _ in range(self.below(4))}
            case _:
                return self.nested(self.one_of((3, 50, 300, 700)))

    def nested(self, depth: int) -> Any:
        """Give lists or tables one in the other."""
        found: Any = 1
        as_table = self.flag()
        for _ in range(depth):
            found = {"a": found} if as_table else [found]
        return found

    def changed(self, document: Any) -> Any:
        """Give a copy of *document* with up to six values replaced, added or left out."""
        document = _copy(document)
        for _ in range(self.below(_MUTATIONS_MAX + 1)):
            document = self._change(document)
        return document

    def _change(self, document: Any) -> Any:
        parent: Any = None
        key: Any = None
        here = document
        while isinstance(here, dict | list) and here and (parent is None or self.below(4)):
            parent = here
            key = self.one_of(list(here)) if isinstance(here, dict) else self.below(len(here))
            here = here[key]
        if parent is None:
            return self.value()
        match self.below(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[self.text(16)] = self.value()
            case 1:
                parent.insert(key, self.value())
            case 2 if isinstance(here, str):
                cut = self.below(len(here) + 1)
                parent[key] = here[:cut] + self.text(8) + here[cut:]
            case 3 if isinstance(here, int | float):
                parent[key] = self.number()
            case 4 if isinstance(here, str):
                parent[key] = self.text(512)
            case _:
                parent[key] = self.value()
        return document


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def toml(document: Any) -> str:
    """Write a table as TOML, on one line a field; what TOML cannot say becomes a text."""
    if not isinstance(document, dict):
        return _toml(document)
    return "".join(f"{_toml(str(key))} = {_toml(value)}\n" for key, value in document.items())


def _toml(value: Any, depth: int = 0) -> str:
    def inner(item: Any) -> str:
        return _toml(item, depth + 1) if depth < 100 else "1"

    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(repr(value), repr(value))
        case int():
            return str(value)
        case list():
            return "[" + ", ".join(map(inner, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{inner(str(k))} = {inner(v)}" for k, v in value.items()) + "}"
        case _:
            # JSON's escapes are TOML's, but for lone surrogates.
            text = str(value).encode("utf-8", "replace").decode()
            return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
