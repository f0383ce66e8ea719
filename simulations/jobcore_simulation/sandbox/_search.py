"""Paging as ListTrainingJobs does it, and the filters of Search."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from jobcore_simulation._texts import INVALID, Refused

_T = TypeVar("_T")

__all__ = ["holds", "names_asked", "page", "value_of"]

Record = Mapping[str, Any]

_TABLES = ("HyperParameters", "Environment", "Tags")
_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanOrEqualTo": lambda a, b: a >= b,
    "LessThan": lambda a, b: a < b,
    "LessThanOrEqualTo": lambda a, b: a <= b,
}


def page(
    items: Iterable[_T],
    key: Callable[[_T], tuple[Any, ...]],
    *,
    descending: bool,
    size: int,
    token: str | None,
    sorted_by: str,
) -> tuple[list[_T], str | None]:
    """
    Cut a page out of the sorted items; it begins after the item that the token names.

    Args:
        sorted_by: names the order by *key*; a token is valid for that order only.

    Raises:
        Refused: the token is not one of this sandbox, or belongs to another order.
    """
    order = f"{'-' if descending else '+'}{sorted_by}"
    ordered = sorted(items, key=key, reverse=descending)
    if token is not None:
        after = _key_in(token, order)
        try:
            ordered = [i for i in ordered if (key(i) < after if descending else key(i) > after)]
        except TypeError:
            raise _bad_token() from None
    cut = ordered[:size]
    more = len(ordered) > size
    return cut, _token_of(key(cut[-1]), order) if more else None


def _token_of(key: tuple[Any, ...], order: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, *key]).encode()).decode()


def _key_in(token: str, order: str) -> tuple[Any, ...]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except ValueError:
        raise _bad_token() from None
    if not isinstance(parts, list) or parts[:1] != [order]:
        raise _bad_token()
    return tuple(parts[1:])


def _bad_token() -> Refused:
    return Refused(INVALID, "Invalid pagination token")


def holds(expression: Record, record: Record, known: frozenset[str]) -> bool:
    """
    Check whether a search expression is true of a record.

    Args:
        known: the first parts of the existing property names.

    Raises:
        Refused: a filter names an unknown property, or has a value that cannot be compared.
    """
    if expression.get("NestedFilters"):
        raise Refused(INVALID, "The sandbox does not support NestedFilters")
    answers = [_filter_holds(f, record, known) for f in expression.get("Filters", ())]
    answers += [holds(e, record, known) for e in expression.get("SubExpressions", ())]
    return any(answers) if expression.get("Operator") == "Or" and answers else all(answers)


def names_asked(expression: Record) -> Sequence[str] | None:
    """Return the names that a search is limited to; None: all."""
    if expression.get("Operator") == "Or":
        return None
    for f in expression.get("Filters", ()):
        if f.get("Name") == "TrainingJobName" and "Value" in f:
            if f.get("Operator", "Equals") == "Equals":
                return (str(f["Value"]),)
            if f["Operator"] == "In":
                return tuple(_listed(f["Value"]))
    return None


def value_of(record: Record, name: str) -> Any:
    """Read a property by its dotted name; None: it is not there."""
    table, dot, key = name.partition(".")
    if dot and table == "Tags":
        return {tag["Key"]: tag["Value"] for tag in record.get("Tags", ())}.get(key)
    if dot and table in _TABLES:
        return record.get(table, {}).get(key)
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _filter_holds(f: Record, record: Record, known: frozenset[str]) -> bool:
    name = f["Name"]
    if name.partition(".")[0] not in known:
        raise Refused(INVALID, f"Invalid property name: {name}")
    operator, value = f.get("Operator", "Equals"), value_of(record, name)
    if operator == "Exists":
        return value is not None
    if operator == "NotExists":
        return value is None
    if "Value" not in f:
        raise Refused(INVALID, f"Value is required for the operator {operator}")
    if value is None:
        return bool(operator == "NotEquals")
    return _compares(name, operator, value, f["Value"])


def _compares(name: str, operator: str, value: Any, wanted: str) -> bool:
    """Apply an operator to a property's value and the text of the filter."""
    if operator == "In":
        return value in _listed(wanted)
    if operator == "Contains":
        return wanted in str(value)
    ordering = _ORDERINGS.get(operator)
    if ordering is not None:
        return ordering(*_comparable(name, value, wanted))
    if isinstance(value, bool):
        same = wanted.casefold() == str(value).casefold()
    elif isinstance(value, int | float):
        have, want = _comparable(name, value, wanted)
        same = have == want
    else:
        same = value == wanted
    return same if operator == "Equals" else not same


def _comparable(name: str, value: Any, wanted: str) -> tuple[float, float]:
    try:
        if name.endswith("Time"):
            time = datetime.fromisoformat(wanted)
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            return float(value), time.timestamp()
        return float(value), float(wanted)
    except (TypeError, ValueError):
        raise Refused(INVALID, f"Invalid value for {name}: {wanted}") from None


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]
