"""`read`: from decoded data to an instance of an attrs class, or to every problem by its field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from jobcore.errors import InvalidSetting

from .checks import KINDS, Wrong, collect, duration, expect, problems_in

__all__ = ["read", "structure"]

T = TypeVar("T")


def read(cls: type[T], data: object, *, where: str = "", beside: Iterable[str] = ()) -> T:
    """
    Read settings.

    A field's annotation is its kind, and its validator checks its value. Its metadata "override" (the
    arguments of `cattrs.override`) may change how it is read. Null in JSON stands for the default,
    unless the field can be None.

    Args:
        cls: an attrs class, or a dataclass that checks its own values.
        data: decoded TOML or JSON.
        where: the source, for messages.
        beside: further names in *data* that the caller reads.

    Raises:
        InvalidSetting: with every problem of every field.
    """
    hook: Any = _converter.get_structure_hook(cls)
    try:
        made: T = hook(data, cls, tuple(beside))
    except ValueError as error:
        raise InvalidSetting(problems_in(error), where) from None
    return made


def structure(value: object, kind: Any) -> Any:
    """
    Turn one decoded value into a value of an annotated kind; for a field's own "struct_hook".

    Raises:
        ValueError: it is not of that kind.
    """
    return _converter.structure(value, kind)


def _structure_plain(value: object, kind: Any) -> Any:
    if not issubclass(kind, Enum):  # cattrs calls the hook of str for a StrEnum as well
        return expect(kind, value)
    values = [str(member.value) for member in kind]
    if value not in values:
        expected = f"one of {', '.join(values)}"
        raise Wrong(expected, value)
    return kind(value)


def _structure_table(value: object, kind: Any) -> Mapping[str, Any]:
    entries = expect(Mapping, value).items()
    return collect(entries, lambda _, entry: _converter.structure(entry, get_args(kind)[1]))


def _structure_list(value: object, kind: Any) -> tuple[Any, ...]:
    kinds, entries = get_args(kind), expect(list, value)
    if kinds[-1] is ... or get_origin(kind) is Sequence:
        kinds = kinds[:1] * len(entries)
    if len(kinds) != len(entries):
        expected = f"a list of {len(kinds)}"
        raise Wrong(expected, value)
    made = collect(enumerate(entries), lambda n, entry: _converter.structure(entry, kinds[n]))
    return tuple(made.values())


def _structure_union(value: object, kind: Any) -> Any:
    """Structure a list as the tuple of the union, and anything else as its first kind that fits."""
    members = [member for member in get_args(kind) if member is not NoneType]
    lists = [member for member in members if get_origin(member) is tuple]
    if value is None and len(members) < len(get_args(kind)):
        return None
    if isinstance(value, list) and lists:
        return _converter.structure(value, lists[0])
    plain = [member for member in members if member not in lists]
    for member in plain:
        with suppress(Wrong):
            return expect(member, value)
    expected = " or ".join([*(KINDS[member] for member in plain), *["a list"] * len(lists)])
    raise Wrong(expected, value)


def _class_hook(cls: Any) -> Callable[..., Any]:
    names, kinds = _names(cls), get_type_hints(cls)
    never_null = {names[name] for name in names if NoneType not in get_args(kinds[name])}
    overrides = {f.name: _override(f) for f in _fields(cls)}
    make = make_dict_structure_fn(cls, _converter, _cattrs_use_linecache=False, **overrides)

    def hook(value: object, _: Any, beside: tuple[str, ...] = ()) -> Any:
        given = expect(Mapping, value).items()
        own = {k: v for k, v in given if k not in beside and (v is not None or k not in never_null)}
        try:
            return make(own, cls)
        except cattrs.ClassValidationError as error:
            problems = list(_problems(error, [*names.values(), *beside]))
        wrong = {_field(path) for path, _ in problems}
        try:  # a dataclass checks its values when it is made, which takes fields of the right kinds
            make({name: part for name, part in own.items() if name not in wrong}, cls)
        except cattrs.ClassValidationError as error:
            more = _problems(error, [])
            problems += [problem for problem in more if _field(problem[0]) not in wrong]
        raise InvalidSetting(problems)

    return hook


def _override(field: Any) -> Any:
    """Check each value where it is structured, so that the problems of all fields are found."""
    how = {"struct_hook": _converter.structure, **field.metadata.get("override", {})}
    convert, check = how.pop("struct_hook"), field.metadata.get("check")

    def hook(value: Any, kind: Any) -> Any:
        made = convert(value, kind)
        if check is not None:
            check(None, field, made)
        return made

    return override(struct_hook=hook, **how)


def _has_origin(origin: object) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


_converter = cattrs.Converter(forbid_extra_keys=True)
for _kind in (bool, int, float, str, Enum):
    _converter.register_structure_hook(_kind, _structure_plain)
_converter.register_structure_hook(timedelta, lambda value, _: duration(value))
_converter.register_structure_hook(Path, lambda value, _: Path(expect(str, value)))
_converter.register_structure_hook_func(_has_origin(Mapping), _structure_table)
_converter.register_structure_hook_func(_has_origin(tuple), _structure_list)
_converter.register_structure_hook_func(_has_origin(Sequence), _structure_list)
_converter.register_structure_hook_func(
    lambda kind: isinstance(kind, UnionType) and len({*get_args(kind), NoneType}) > 2,
    _structure_union,
)
_converter.register_structure_hook_factory(
    lambda kind: attrs.has(kind) or dataclasses.is_dataclass(kind), _class_hook
)


def _fields(cls: Any) -> Sequence[Any]:
    return attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls)


def _names(cls: Any) -> dict[str, str]:
    """Map the names of fields in the class to those in files."""
    how = {field.name: field.metadata.get("override", {}) for field in _fields(cls)}
    return {name: o.get("rename", name) for name, o in how.items() if not o.get("omit")}


def _field(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _problems(error: cattrs.ClassValidationError, known: list[str]) -> Iterator[tuple[str, str]]:
    noted, others = error.group_exceptions()
    fields, names = {field.name: field for field in _fields(error.cl)}, _names(error.cl)
    for inner, name in [(e, note.name) for e, note in noted] + [(e, "") for e in others]:
        path = names.get(name, "")
        if isinstance(inner, KeyError) and inner.args == (path,):
            expected = getattr(fields[name].metadata.get("check"), "expected", "")
            yield path, f"missing; expected {expected}" if expected else "missing"
        elif isinstance(inner, ValueError):
            yield from problems_in(inner, path)
        elif isinstance(inner, cattrs.ForbiddenExtraKeysError):
            yield from _unknown(inner.extra_fields, known)
        else:
            raise inner  # a bug, not a problem of the settings


def _unknown(names: Iterable[str], known: list[str]) -> Iterator[tuple[str, str]]:
    """Suggest a known field for each unknown one; list the known fields once."""
    from difflib import get_close_matches

    listing = f"; known: {', '.join(sorted(known))}"
    for name in sorted(map(str, names)):
        near = get_close_matches(name[:100], known, n=1, cutoff=0.8)
        yield name[:100], f"unknown field{f'; did you mean {near[0]!r}?' if near else listing}"
        listing = listing if near else ""
