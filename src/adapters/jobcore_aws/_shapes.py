"""
Checks a request against botocore's model of a service: all that the service itself would check.

botocore checks types, required members and minimum lengths, never maxima, patterns or enums
(`botocore/validate.py`), so a bad name would be told hours after its owner has gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_LENGTHS = {"string": "length", "list": "length", "map": "length", "blob": "length"}


def problems_of(shape: Any, value: Any, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """
    Find what is wrong with *value*: (path, the part that is wrong, the constraint in words).

    Paths and sentences are those of AWS: ``trainingJobName``, "Member must satisfy regular
    expression pattern: ...".
    """
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(shape, value, path)
    elif kind == "list":
        if not isinstance(value, list | tuple):
            yield path, value, "Member must be a list"
            return
        yield from _length(shape, value, path)
        for number, item in enumerate(value, start=1):
            yield from problems_of(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        if not isinstance(value, dict):
            yield path, value, "Member must be a map"
            return
        yield from _length(shape, value, path)
        for key, item in value.items():
            yield from problems_of(shape.key, key, f"{path}.{key}.key")
            yield from problems_of(shape.value, item, f"{path}.{key}.member")
    else:
        yield from _scalar(shape, value, path)


def _structure(shape: Any, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if not isinstance(value, dict):
        yield path, value, "Member must be a structure"
        return
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield prefix + _lower(name), None, "Member must not be null"
    for name, item in value.items():
        member = shape.members.get(name)
        if member is None:
            yield prefix + _lower(name), item, "Member is not known"
        elif item is not None:
            yield from problems_of(member, item, prefix + _lower(name))


def _scalar(shape: Any, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    kind = shape.type_name
    if kind == "string":
        if not isinstance(value, str):
            yield path, value, "Member must be a string"
            return
        yield from _length(shape, value, path)
        if shape.enum and value not in shape.enum:
            yield path, value, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            yield path, value, f"Member must satisfy regular expression pattern: {pattern}"
    elif kind in ("integer", "long", "float", "double"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield path, value, "Member must be a number"
            return
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if least is not None and value < least:
            yield path, value, f"Member must have value greater than or equal to {least}"
        if most is not None and value > most:
            yield path, value, f"Member must have value less than or equal to {most}"
    elif kind == "boolean" and not isinstance(value, bool):
        yield path, value, "Member must be true or false"


def _length(shape: Any, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield path, value, f"Member must have length greater than or equal to {least}"
    if most is not None and len(value) > most:
        yield path, value, f"Member must have length less than or equal to {most}"


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    # AWS writes patterns for Java; what Python does not know is what no value is refused by.
    try:
        return re.compile(
            pattern.replace(r"\p{L}", "\\w").replace(r"\p{N}", "\\d").replace(r"\p{Z}", "\\s")
        )
    except re.error:
        return re.compile(r"[\s\S]*")
