"""A new value from an old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

__all__ = ["evolve"]

T = TypeVar("T")


def evolve(value: T, /, **changes: Any) -> T:
    """
    Do as `dataclasses.replace` does, in a quarter of the time: steps are made of little else.

    For frozen dataclasses with slots, all of whose fields are the constructor's. What
    ``__post_init__`` checks is checked.

    Raises:
        TypeError: *value* is no dataclass with slots, has no field of such a name, or has a
            field that is not the constructor's (a spec's digest would be that of the old one).
    """
    cls: Any = type(value)
    copies, setters, check = _slots_of(cls)
    made: T = object.__new__(cls)
    for read, write in copies:
        write(made, read(value))
    for name, new in changes.items():
        if name not in setters:
            msg = f"{cls.__name__} has no field {name!r}"
            raise TypeError(msg)
        setters[name](made, new)
    if check is not None:
        check(made)
    return made


_Read = Callable[[Any], Any]
_Write = Callable[[Any, Any], None]


@cache
def _slots_of(
    cls: Any,
) -> tuple[Sequence[tuple[_Read, _Write]], Mapping[str, _Write], Callable[[Any], None] | None]:
    slots = {field.name: cls.__dict__.get(field.name) for field in fields(cls)}
    if None in slots.values() or not hasattr(cls, "__slots__"):
        msg = f"{cls.__name__} is no dataclass with slots"
        raise TypeError(msg)
    if not all(field.init for field in fields(cls)):
        msg = f"{cls.__name__} has a field that is not the constructor's; use dataclasses.replace"
        raise TypeError(msg)
    copies = tuple((slot.__get__, slot.__set__) for slot in slots.values())
    setters = {name: slot.__set__ for name, slot in slots.items()}
    return copies, setters, getattr(cls, "__post_init__", None)
