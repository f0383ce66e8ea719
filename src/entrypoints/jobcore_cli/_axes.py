"""Hyperparameters from the command line and from lists of combinations: ``-p`` and ``--list``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jobcore
from jobcore.errors import InvalidJob, Problem

from ._errors import CliError

__all__ = ["combinations", "read_assignment"]

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_SCALES = {"lin": "linear", "linear": "linear", "log": "log"}
_RANGE = re.compile(rf"(lin|linear|log):({_NUMBER}):({_NUMBER})(?::([0-9]+))?")
_WHOLE = re.compile(r"(-?[0-9]+):(-?[0-9]+)")
# 1e-3:1e-1, 0:1:5, 1..5, log:1e-3, uniform(0,1): meant as a range in one notation or another.
_LIKE_A_RANGE = re.compile(
    rf"{_NUMBER}(?::{_NUMBER})+|{_NUMBER}\.\.\.?{_NUMBER}"
    r"|(?:lin|linear|log|logspace|linspace|range|uniform|loguniform|choice)(?::.*|\(.*)"
)


def read_assignment(word: str) -> tuple[str, Any]:
    """
    Read NAME=VALUE.

    Raises:
        CliError: it has another form, or the value looks like a range, which is for a sweep.
    """
    name, equals, text = word.partition("=")
    if not equals or not name:
        msg = f"-p: expected NAME=VALUE, got {word!r}"
        raise CliError(msg)
    if _LIKE_A_RANGE.fullmatch(text):
        msg = (
            f"-p {name}: {text} looks like a range, and submit sends one job; use jobcore sweep, "
            f"or for the text itself write {_as_text(name, text)}"
        )
        raise CliError(msg)
    return name, _value(text)


def combinations(
    table: object,
    words: tuple[str, ...],
    points: Path | None,
    count: int | None,
    seed: int | None,
) -> list[dict[str, Any]]:
    """
    List the hyperparameters of each job of a sweep.

    Args:
        table: the job file's ``sweep``; *words* and *points* take its place.
        words: the values of ``-p``.
        points: the file of ``--list``.
        count, seed: of ``--random`` and ``--seed``; None for those of *table*.

    Raises:
        CliError: a word or a file is wrong.
        InvalidJob: the sweep is none.
    """
    grid, rows, random = jobcore.jobfile.read_sweep(table)
    if words or points:
        grid, rows, random = dict(map(_axis, words)), _read_points(points), None
    if count is not None:
        random = {**(random or {}), "count": count}
    if seed is not None:
        if random is None:
            msg = "--seed: there is nothing to draw; give --random with the number of jobs"
            raise CliError(msg)
        random = {**random, "seed": seed}
    try:
        return jobcore.jobfile.expand_sweep(grid, rows, random)
    except InvalidJob as error:
        if not words:
            raise
        raise InvalidJob([_in_options(problem) for problem in error.problems]) from None


def _in_options(problem: Problem) -> Problem:
    """Name the option for the field of a sweep."""
    field, text = problem
    if field.startswith("sweep.grid."):
        name, _, part = field.removeprefix("sweep.grid.").rpartition(".")
        if part == "count" and text.startswith("missing"):
            text = (
                f"the number of values is missing; write {name}=lin:FROM:TO:COUNT (or log), or draw "
                "the values with --random COUNT"
            )
        return Problem(f"-p {name or part}", text)
    for start, option in (("sweep.list", "--list "), ("sweep.random", "--random")):
        if field.startswith(start):
            return Problem(option + field.removeprefix(start).removeprefix(".count"), text)
    return problem


def _axis(word: str) -> tuple[str, list[Any] | Mapping[str, Any]]:
    """Read NAME=A,B,... or a range: NAME=FIRST:LAST, NAME=lin:FROM:TO:COUNT, NAME=log:..."""
    name, equals, text = word.partition("=")
    if not equals or not name or not text:
        msg = f"-p: expected NAME=A,B,... or NAME=FIRST:LAST, got {word!r}"
        raise CliError(msg)
    if found := _RANGE.fullmatch(text):
        scale, first, last, count = found.groups()
        table = {"from": _number(first), "to": _number(last), "scale": _SCALES[scale]}
        return name, {**table, **({"count": int(count)} if count else {})}
    if found := _WHOLE.fullmatch(text):
        return name, _whole(name, text, int(found[1]), int(found[2]))
    for item in text.split(","):
        if _LIKE_A_RANGE.fullmatch(item):
            raise _no_range(name, item)
    return name, [_value(item) for item in text.split(",")]


def _whole(name: str, text: str, first: int, last: int) -> list[int]:
    if last < first:
        msg = f"-p {name}: {text} is an empty range"
        raise CliError(msg)
    if last - first >= jobcore.jobfile.SWEEP_JOBS_MAX:
        msg = f"-p {name}: {text} has more than {jobcore.jobfile.SWEEP_JOBS_MAX:,} values"
        raise CliError(msg)
    return list(range(first, last + 1))


def _no_range(name: str, text: str) -> CliError:
    ends = re.findall(_NUMBER, text.replace("..", ":"))[:2]
    first, last = ends if len(ends) == 2 else ("FROM", "TO")
    scale = "log" if text.startswith("log") or "e" in first.lower() else "lin"
    return CliError(
        f"-p {name}: {text} looks like a range and is none; for 5 values from {first} to {last} "
        f"write {name}={scale}:{first}:{last}:5 (lin or log), for the text itself "
        f"{_as_text(name, text)}"
    )


def _as_text(name: str, text: str) -> str:
    return f"'{name}={json.dumps(text)}'"


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"[-+]?[0-9]{1,16}", text) else float(text)


def _value(text: str) -> Any:
    """Read a value as JSON if it is JSON, else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, float) and math.isnan(value) else value


def _read_points(path: Path | None) -> list[Any]:
    if path is None:
        return []
    if path.suffix.lower() == ".csv":
        import csv

        try:
            with path.open(encoding="utf-8", newline="") as file:
                return [{k: _value(v) for k, v in row.items()} for row in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            msg = f"{path}: {error}"
            raise CliError(msg) from None
    try:
        text = path.read_text("utf-8")
        if path.suffix.lower() in (".yaml", ".yml"):
            import yaml

            rows = yaml.safe_load(text)
        else:
            rows = json.loads(text)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise CliError(msg) from None
    except Exception as error:
        msg = f"{path}: not valid: {str(error).splitlines()[0]}"
        raise CliError(msg) from None
    if not isinstance(rows, list):
        msg = f"{path}: expected a list of tables"
        raise CliError(msg)
    return rows
