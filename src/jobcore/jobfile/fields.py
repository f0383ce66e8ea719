"""Typed fields out of decoded data, with every problem collected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from jobcore.errors import Problem

from .durations import parse_duration

__all__ = [
    "FieldReader",
    "described",
    "kind_of",
    "listed",
    "nearest",
]


class FieldReader:
    """Reads typed fields out of a mapping and collects what is wrong."""

    def __init__(self, data: Mapping[str, Any], problems: list[Problem], prefix: str = "") -> None:
        self.data = data
        self.problems = problems
        self.prefix = prefix
        self.known: set[str] = set()

    def wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(self.prefix + field, message))

    def get(self, field: str, kind: type, expected: str, default: Any = None) -> Any:
        self.known.add(field)
        value = self.data.get(field)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            got = kind_of(value) if field in _UNQUOTED else described(value)
            self.wrong(field, f"expected {expected}, got {got}")
            return default
        return value

    def text(self, field: str, default: str | None = None) -> str | None:
        value = self.get(field, str, "a string", default)
        if isinstance(value, str) and "\x00" in value:
            self.wrong(field, "contains a NUL character; remove it")
            return default
        return value  # type: ignore[no-any-return]

    def integer(self, field: str, default: int) -> int:
        return self.get(field, int, "a whole number", default)  # type: ignore[no-any-return]

    def table(self, field: str) -> Mapping[str, Any]:
        return self.get(field, Mapping, "a table", {})  # type: ignore[no-any-return]

    def duration(self, field: str) -> timedelta | None:
        self.known.add(field)
        if self.data.get(field) is None:
            return None
        try:
            return parse_duration(self.data[field])
        except ValueError as error:
            self.wrong(field, str(error))
            return None

    def unknown_fields(self) -> None:
        for field in self.data:
            if field not in self.known:
                near = nearest(str(field), set(map(str, self.known)))
                hint = f"; did you mean {near!r}?" if near else f"; known: {listed(self.known)}"
                self.wrong(str(field), f"unknown field{hint}")


# What may be a secret is not quoted in a message.
_UNQUOTED = frozenset({"hyperparameters", "environment", "arguments", "tags", "sagemaker"})


def kind_of(value: object) -> str:
    kinds: dict[type, str] = _KINDS | {int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


_KINDS: dict[type, str] = {
    dict: "a table",
    list: "a list",
    str: "a string",
    bool: "true or false",
}


def described(value: object) -> str:
    kind = _KINDS.get(type(value))
    shown = repr(value)
    shown = shown if len(shown) <= 40 else shown[:39] + "…"
    return f"{kind} ({shown})" if kind else shown


def listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def nearest(word: str, known: set[str]) -> str | None:
    """Find the known name within two edits of *word* (transpositions count as two)."""
    best = min(known, key=lambda k: (_distance(word, k), k), default=None)
    return best if best is not None and _distance(word, best) <= 2 else None


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]
