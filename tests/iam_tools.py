"""
A small evaluator of IAM policies: what the policy language says, as far as the template uses it.

One account, identity policies only: an explicit Deny wins, then an Allow, then nothing is
allowed. Names and ARNs are matched without and with regard to case as IAM does it, an unknown
condition operator is an error and never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any


@dataclass(frozen=True)
class Call:
    """
    A request to AWS.

    Args:
        action: such as ``sagemaker:StopTrainingJob``.
        resource: the ARN, or ``*`` for actions that know no resource.
        context: condition keys and their values; a list for those with many values.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


def allowed(statements: Sequence[Mapping[str, Any]], call: Call) -> bool:
    """Tell whether the statements allow the call."""
    matching = [s for s in statements if applies(s, call)]
    if any(s["Effect"] == "Deny" for s in matching):
        return False
    return any(s["Effect"] == "Allow" for s in matching)


def applies(statement: Mapping[str, Any], call: Call) -> bool:
    """Tell whether a statement speaks of the call."""
    assert not {"NotAction", "NotResource"} & set(statement), "not understood here"
    return (
        any(_like(call.action.lower(), pattern.lower()) for pattern in _list(statement["Action"]))
        and any(_like(call.resource, pattern) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, key, _list(values), call.context)
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def _list(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _like(text: str, pattern: str) -> bool:
    # IAM knows * and ?; square brackets are letters like others.
    return re.fullmatch(translate(pattern.replace("[", "[[]")), text) is not None


def _holds(
    operator: str, key: str, expected: list[str], context: Mapping[str, str | Sequence[str]]
) -> bool:
    lowered = {name.lower(): value for name, value in context.items()}
    raw = lowered.get(key.lower())
    given = None if raw is None else [raw] if isinstance(raw, str) else list(raw)
    if operator == "Null":
        return (given is None or not given) == (expected == ["true"])
    name = operator
    every = name.startswith("ForAllValues:")
    some = name.startswith("ForAnyValue:")
    if every or some:
        name = name.split(":", 1)[1]
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if given is None:
        # IAM: ForAllValues holds for an absent key; a negated operator does as well.
        return every or if_exists or "Not" in name
    test = _OPERATORS[name]
    if "Not" in name:
        return all(test(value, e) for value in given for e in expected)
    if every:
        return all(any(test(value, e) for e in expected) for value in given)
    return any(test(value, e) for value in given for e in expected)


_OPERATORS = {
    "StringEquals": lambda a, b: a == b,
    "StringLike": _like,
    "StringNotEquals": lambda a, b: a != b,
    "ArnEquals": _like,
    "ArnLike": _like,
    "ArnNotEquals": lambda a, b: not _like(a, b),
    "Bool": lambda a, b: a.lower() == b.lower(),
    "NumericLessThanEquals": lambda a, b: float(a) <= float(b),
}
