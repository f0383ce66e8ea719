"""Checks of requests against botocore's model: types, required members, lengths, ranges, patterns, enums.

botocore itself checks types, required members and minima only. Each shape is walked once and
becomes a function; the sentences are those that AWS services put together for a violated
constraint.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

__all__ = ["Malformed", "Validator"]

Check = Callable[[Any, str, list[str]], None]

_VALUE_CHARS_MAX = 256  # of a value repeated in a message
_ASCII = {
    "L": "a-zA-Z",
    "M": "",
    "N": "0-9",
    "P": re.escape("!\"#%&'()*,-./:;?@[\\]_{}"),
    "S": re.escape("$+<=>^`|~"),
    "Z": " ",
    "Alnum": "a-zA-Z0-9",
}
_CATEGORY = re.compile(r"\\p\{(\w+)\}")


class Malformed(Exception):  # noqa: N818  (an answer to the client)
    """The request is not of the model's types; the service answers with SerializationException."""


class Validator:
    """Checks the requests of one operation."""

    def __init__(self, operation: OperationModel) -> None:
        """Walk the operation's input shape."""
        self._check = _compile(operation.input_shape, {})

    def problems(self, request: Mapping[str, Any]) -> list[str]:
        """
        List the violated constraints; empty: the request is legal.

        Raises:
            Malformed: a value has the wrong type.
        """
        found: list[str] = []
        self._check(request, "", found)
        return found


def refusal(problems: list[str]) -> str:
    """Put violated constraints into the service's sentence."""
    plural = "s" if len(problems) > 1 else ""
    return f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}"


def _compile(shape: Shape | None, known: dict[str, Check]) -> Check:
    if shape is None:
        return lambda value, path, problems: None
    if shape.name in known:
        return known[shape.name]
    # A shape may contain itself: until it is compiled, a check looks it up when it runs.
    name = shape.name

    def later(value: Any, path: str, problems: list[str]) -> None:
        known[name](value, path, problems)

    known[name] = later
    make = _MAKERS.get(shape.type_name, _scalar)
    known[name] = make(shape, known)
    return known[name]


def _structure(shape: Any, known: dict[str, Check]) -> Check:
    members = {name: (_lower(name), _compile(m, known)) for name, m in shape.members.items()}
    required = [(name, _lower(name)) for name in shape.required_members]

    def check(value: Any, path: str, problems: list[str]) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(path, "structure")
        at = f"{path}." if path else ""
        for name, lower in required:
            if value.get(name) is None:
                problems.append(
                    f"Value null at '{at}{lower}' failed to satisfy constraint: Member must not be null"
                )
        for name, item in value.items():
            member = members.get(name)
            if member is None:
                # Users report that the service ignores unknown members; here a misspelt one is refused.
                problems.append(f"Unknown member '{name}' at '{path or '/'}'")
            elif item is not None:
                member[1](item, at + member[0], problems)

    return check


def _list(shape: Any, known: dict[str, Check]) -> Check:
    member = _compile(shape.member, known)
    limits = _limits(shape, "length")

    def check(value: Any, path: str, problems: list[str]) -> None:
        if not isinstance(value, list):
            raise _wrong_type(path, "list")
        broken = limits(len(value))
        if broken:
            problems.append(f"Value at '{path}' failed to satisfy constraint: {broken}")
        for n, item in enumerate(value, 1):
            member(item, f"{path}.{n}.member", problems)

    return check


def _map(shape: Any, known: dict[str, Check]) -> Check:
    key, item = _compile(shape.key, known), _compile(shape.value, known)
    limits = _limits(shape, "length")

    def check(value: Any, path: str, problems: list[str]) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(path, "map")
        broken = limits(len(value))
        if broken:
            problems.append(f"Value at '{path}' failed to satisfy constraint: {broken}")
        for name, entry in value.items():
            for what, check_one, one in (("key", key, name), ("value", item, entry)):
                inner: list[str] = []
                check_one(one, path, inner)
                if inner:
                    # The message leaves out the values: hyperparameters may be secret.
                    rules = ", ".join(dict.fromkeys(text.rpartition(": ")[2] for text in inner))
                    problems.append(
                        f"Value at '{path}' failed to satisfy constraint: "
                        f"Map {what} must satisfy constraint: [{rules}]"
                    )

    return check


def _string(shape: Any, known: dict[str, Check]) -> Check:
    metadata = shape.metadata
    limits = _limits(shape, "length")
    enum = frozenset(shape.enum or ())
    allowed = ", ".join(shape.enum or ())
    pattern: str | None = metadata.get("pattern")
    length_max = metadata.get("max", sys.maxsize)
    hidden = bool(metadata.get("sensitive"))

    def check(value: Any, path: str, problems: list[str]) -> None:
        if not isinstance(value, str):
            raise _wrong_type(path, "string")
        broken = []
        if enum and value not in enum:
            broken.append(f"Member must satisfy enum value set: [{allowed}]")
        if text := limits(len(value)):
            broken.append(text)
        if pattern is not None and len(value) <= length_max and not matches(pattern, value):
            broken.append(f"Member must satisfy regular expression pattern: {pattern}")
        if broken:
            shown = "" if hidden else f" '{value[:_VALUE_CHARS_MAX]}'"
            problems.extend(
                f"Value{shown} at '{path}' failed to satisfy constraint: {text}" for text in broken
            )

    return check


def _number(shape: Any, known: dict[str, Check]) -> Check:
    limits = _limits(shape, "value")
    types = (int,) if shape.type_name in {"integer", "long"} else (int, float)

    def check(value: Any, path: str, problems: list[str]) -> None:
        if isinstance(value, bool) or not isinstance(value, types):
            raise _wrong_type(path, shape.type_name)
        if text := limits(value):
            problems.append(f"Value '{value}' at '{path}' failed to satisfy constraint: {text}")

    return check


def _scalar(shape: Any, known: dict[str, Check]) -> Check:
    types: tuple[type, ...] = {
        "boolean": (bool,),
        "timestamp": (int, float),
        "blob": (str,),
    }.get(shape.type_name, (object,))

    def check(value: Any, path: str, problems: list[str]) -> None:
        if not isinstance(value, types):
            raise _wrong_type(path, shape.type_name)

    return check


_MAKERS: dict[str, Callable[[Any, dict[str, Check]], Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
}


def _limits(shape: Any, what: str) -> Callable[[float], str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")

    def broken(size: float) -> str:
        if low is not None and size < low:
            return f"Member must have {what} greater than or equal to {low}"
        if high is not None and size > high:
            return f"Member must have {what} less than or equal to {high}"
        return ""

    return broken


def _wrong_type(path: str, wanted: str) -> Malformed:
    return Malformed(f"Unexpected value type in payload at '{path or '/'}': expected {wanted}")


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


# --- patterns: written for Java, whose \p{L} and the like Python does not know ---------------


def matches(pattern: str, text: str) -> bool:
    """Check whether the whole text matches a pattern of the model."""
    if "\\p{" not in pattern:
        return _plain(pattern).fullmatch(text) is not None
    if text.isascii():
        return _translated(pattern, ascii_only=True).fullmatch(text) is not None
    return _translated(pattern, ascii_only=False).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _plain(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=256)
def _translated(pattern: str, *, ascii_only: bool) -> re.Pattern[str]:
    ranges = _ASCII if ascii_only else _categories()
    return re.compile(_CATEGORY.sub(lambda match: ranges[match[1]], pattern))


@lru_cache(maxsize=1)
def _categories() -> dict[str, str]:
    """Write each major category of Unicode as ranges of a character class; takes a moment, once."""
    parts: dict[str, list[str]] = {name: [] for name in ("C", "L", "M", "N", "P", "S", "Z")}
    begin, current = 0, unicodedata.category(chr(0))[0]
    for code in range(1, sys.maxunicode + 2):
        category = unicodedata.category(chr(code))[0] if code <= sys.maxunicode else ""
        if category != current:
            parts[current].append(f"\\U{begin:08x}-\\U{code - 1:08x}")
            begin, current = code, category
    return {name: "".join(ranges) for name, ranges in parts.items()} | {"Alnum": "a-zA-Z0-9"}
