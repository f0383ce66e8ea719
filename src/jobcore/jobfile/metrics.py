"""The table ``metrics`` of a job file: what to find in a script's output, and which values are better."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jobcore.checks import described
from jobcore.documents import Json
from jobcore.lifecycle.model import Spec
from jobcore.metrics import METRICS_MAX, Goal, wrong_metric_name

from .fields import FieldReader, entry_of
from .synonyms import METRIC_WORDS

__all__ = ["REGEX_CHARS_MAX", "metric_goals", "metric_regexes", "read_metrics"]

#: Longer expressions are refused: each is run over the whole output.
REGEX_CHARS_MAX = 1000


def read_metrics(read: FieldReader) -> dict[str, Json]:
    """Read the table ``metrics``: by name, a table with ``regex``, ``goal`` or both."""
    found: dict[str, Json] = {}
    table = read.table("metrics")
    for name, value in table.items():
        field = entry_of("metrics", name)
        if message := wrong_metric_name(name):
            read.wrong(field, message)
        elif isinstance(value, str | Mapping):
            found[name] = _read_metric(
                read.inside(field, {"regex": value} if isinstance(value, str) else value)
            )
        else:
            read.wrong(field, f"expected a regular expression or a table, got {described(value)}")
    if len(table) > METRICS_MAX:
        read.wrong("metrics", f"expected at most {METRICS_MAX} metrics, got {len(table)}")
    return found


def metric_regexes(args: Mapping[str, Json]) -> dict[str, str]:
    """Return the regular expressions of a job's metrics by name, out of its arguments."""
    return {
        name: regex
        for name, entry in _entries(args).items()
        if isinstance(entry, dict) and isinstance(regex := entry.get("regex"), str)
    }


def metric_goals(spec: Spec) -> dict[str, Goal]:
    """Return the goals of a job's metrics by name, in the order of its job file."""
    words = {goal.value: goal for goal in Goal}
    return {
        name: words[str(entry["goal"])]
        for name, entry in _entries(spec.args).items()
        if isinstance(entry, dict) and str(entry.get("goal")) in words
    }


def _entries(args: Mapping[str, Json]) -> Mapping[str, Json]:
    table = args.get("metrics")
    return table if isinstance(table, dict) else {}


def _read_metric(read: FieldReader) -> dict[str, Json]:
    regex, goal = read.text("regex"), read.text("goal")
    read.unknown_fields(METRIC_WORDS)
    if regex is not None and (message := _wrong_regex(regex)):
        read.wrong("regex", message)
    if goal is not None and goal not in list(Goal):
        read.wrong("goal", f"expected {' or '.join(Goal)}, got {described(goal)}")
    if regex is None and goal is None and not read.data.keys() & {"regex", "goal"}:
        read.wrong("regex", "missing; give regex, goal or both")
    return {
        field: value for field, value in (("regex", regex), ("goal", goal)) if value is not None
    }


def _wrong_regex(regex: str) -> str | None:
    """Check a regular expression, and do not run it: how long that takes depends on the output."""
    if len(regex) > REGEX_CHARS_MAX:
        return f"expected at most {REGEX_CHARS_MAX} characters, got {len(regex)}"
    try:
        groups = re.compile(regex).groups
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {error}"
    if groups != 1:
        wants = "expected one group in parentheses around the number, such as loss=([0-9.]+)"
        more = "; write (?:...) around what is no number" if groups else ""
        return f"{wants}, got {groups or 'none'}{more}"
    return None
