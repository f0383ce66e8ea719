"""A new value from an old one."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

__all__ = ["evolve"]

T = TypeVar("T")


def evolve(value: T, /, **changes: Any) -> T:
    """
    Do as `dataclasses.replace` does, in half the time: steps are made of little else.

    Every field has to be one of the constructor's.

    Raises:
        TypeError: *value* is no dataclass, or has no field of such a name.
    """
    cls: Any = type(value)
    names, read = _fields_of(cls)
    made: T = cls(**(dict(zip(names, read(value), strict=True)) | changes))
    return made


@cache
def _fields_of(cls: Any) -> tuple[tuple[str, ...], Any]:
    names = tuple(field.name for field in fields(cls))
    # Of one name, attrgetter gives the value itself.
    return names, attrgetter(*names) if len(names) > 1 else lambda value: (
        getattr(value, names[0]),
    )
