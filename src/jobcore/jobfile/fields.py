"""Typed fields out of decoded data, with every problem collected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from types import UnionType
from typing import Any

from jobcore.checks import described, kind_of, wrong_duration, wrong_whole
from jobcore.errors import Problem

from .durations import parse_duration
from .synonyms import plain_word

__all__ = [
    "SECRET_FIELDS",
    "FieldReader",
    "entry_of",
    "nearest",
    "problem_of",
]

#: The fields whose values may be secrets, so that messages do not quote them.
SECRET_FIELDS = frozenset({"hyperparameters", "environment", "arguments", "tags"})


class FieldReader:
    """
    Reads typed fields out of a mapping and collects every problem.

    Args:
        data: the decoded data.
        problems: problems are appended to this list.
        prefix: goes before the names of fields in problems, such as "retry.".
        secret: further fields whose values may be secrets.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        problems: list[Problem],
        prefix: str = "",
        *,
        secret: Collection[str] = (),
    ) -> None:
        self.data = data
        self.problems = problems
        self.prefix = prefix
        self.secret = SECRET_FIELDS.union(secret)
        #: The kind of each field that was read, in words.
        self.known: dict[str, str] = {}
        #: The readers of the tables in this one.
        self.inner: list[FieldReader] = []

    def inside(self, field: str, data: Mapping[str, Any]) -> FieldReader:
        """Make a reader of the table *data* in *field*, with the same list of problems."""
        reader = FieldReader(data, self.problems, f"{self.prefix}{field}.")
        self.inner.append(reader)
        return reader

    def kinds(self) -> dict[str, str]:
        """Return the kinds of the fields that were read, those of inner tables included."""
        own = {self.prefix + field: kind for field, kind in self.known.items()}
        for reader in self.inner:
            own |= reader.kinds()
        return own

    def wrong(self, field: str, message: str) -> None:
        """Add a problem of *field*."""
        self.problems.append(Problem(self.prefix + field, message))

    def get(self, field: str, kind: type | UnionType, expected: str, default: Any = None) -> Any:
        """
        Read a field of *kind*, which a message calls *expected*; null counts as absent.

        A problem is added for a value of another kind, a bool where *kind* is int included.

        Returns:
            The value; *default* if it is absent or of another kind.
        """
        self.known[field] = expected
        value = self.data.get(field)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            got = kind_of(value) if field in self.secret else described(value)
            self.wrong(field, f"expected {expected}, got {got}")
            return default
        return value

    def text(self, field: str, default: str | None = None) -> str | None:
        """Read a text; one with a NUL character is a problem."""
        value = self.get(field, str, "a string", default)
        if isinstance(value, str) and "\x00" in value:
            self.wrong(field, "contains a NUL character; remove it")
            return default
        return value  # type: ignore[no-any-return]

    def integer(
        self, field: str, default: int, least: int | None = None, most: int | None = None
    ) -> int:
        """Read a whole number from *least* to *most*; None for no bound."""
        value: int = self.get(field, int, "a whole number", default)
        self.known[field] += _bounds(least, most)
        if message := wrong_whole(value, least, most):
            self.wrong(field, message)
            return default
        return value

    def number(self, field: str, most: float) -> float | None:
        """Read a number from -*most* to *most*; None if it is absent. A whole number stays one."""
        value: float | None = self.get(field, int | float, "a number")
        if value is not None and not -most <= value <= most:  # NaN is not
            self.wrong(
                field, f"expected a number from {-most:g} to {most:g}, got {described(value)}"
            )
            return None
        return value

    def table(self, field: str) -> Mapping[str, Any]:
        """Read a table; an empty one if it is absent."""
        return self.get(field, Mapping, "a table", {})  # type: ignore[no-any-return]

    def duration(
        self, field: str, least: timedelta = timedelta(0), most: timedelta = timedelta.max
    ) -> timedelta | None:
        """Read a duration (see `parse_duration`) from *least* to *most*."""
        self.known[field] = "a duration"
        if self.data.get(field) is None:
            return None
        try:
            value = parse_duration(self.data[field])
        except ValueError as error:
            self.wrong(field, str(error))
            return None
        if message := wrong_duration(value, least, most):
            self.wrong(field, message)
            return None
        return value

    def unknown_fields(self, words: Mapping[str, str] | None = None) -> None:
        """
        Add a problem for each field that was not read, with the field that was probably meant.

        If none is near, the problem lists the known fields, once for all such fields.

        Args:
            words: hints for words of other tools, by `plain_word`.
        """
        for field in self.data:
            if field not in self.known:
                self.wrong(str(field), f"unknown field{self._hint(str(field), words or {})}")

    def _hint(self, field: str, words: Mapping[str, str]) -> str:
        names = sorted(map(str, self.known))
        plain = plain_word(field)
        same = next((name for name in names if plain_word(name) == plain), None)
        if same is None and plain in words:
            return f"; {words[plain]}"
        if near := same or nearest(field, set(names)):
            return f"; did you mean {near!r}?"
        known = f"; known: {', '.join(names)}"
        is_listed = any(problem.message.endswith(known) for problem in self.problems)
        return "" if is_listed else known


def _bounds(least: int | None, most: int | None) -> str:
    if least is None:
        return ""
    return f", {least:,} or more" if most is None else f", {least:,} to {most:,}"


def entry_of(field: str, key: object) -> str:
    """Name an entry of a table for a message: printable, and cut at 40 characters."""
    name = str(key)
    return f"{field}.{(name if name.isprintable() else repr(name)[1:-1])[:40]}"


def problem_of(error: ValueError, prefix: str = "") -> Problem:
    """Make a problem out of the error of a value, "field: message"."""
    field, _, message = str(error).partition(": ")
    return Problem(prefix + field.removeprefix("args."), message)


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
