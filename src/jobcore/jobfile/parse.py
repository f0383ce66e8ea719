"""From a job file's data to a `Spec`, with every problem named.

The file is the same on a laptop and on SageMaker: a script, its
hyperparameters and channels, pools to run in, and policies. Decoding TOML,
YAML or JSON is the caller's; here is what the decoded data means.

Limits are SageMaker's own (botocore checks neither maxima nor patterns), so that a
mistake is found at submit and not hours later, when the scientist has gone.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobcore.errors import InvalidJob, Problem
from jobcore.lifecycle.failure import FailureClass
from jobcore.lifecycle.model import Clocks, Json, Placement, RetryPolicy, Spec

from .fields import _UNQUOTED, FieldReader, described, kind_of
from .limits import SPEC_BYTES_MAX, validate

__all__ = [
    "DEPTH_MAX",
    "parse_job",
]

DEPTH_MAX = 50  # of tables and lists in a job file; what reads it later recurses
_POOL = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}")


def parse_job(document: object, *, owner: str, group: str | None = None) -> Spec:
    """
    Read a job file's data.

    Args:
        document: the decoded file.
        owner: the owner if the file names none.
        group: the group of the submission, if it is one of many.

    Raises:
        InvalidJob: with every problem found.
    """
    if not isinstance(document, Mapping):
        problem = Problem("job file", f"expected a table of fields, got {described(document)}")
        raise InvalidJob([problem])
    if too_much := _unreadable(document):
        raise InvalidJob([too_much])
    problems: list[Problem] = []
    read = FieldReader(document, problems)
    args = _read_args(read)
    name = read.text("name") or _default_name(args)
    retry = _read_retry(read)
    clocks = _read_clocks(read)
    placements = _read_pools(read)
    file_owner = read.text("owner")
    share = read.text("share")
    file_group = read.text("group")
    priority = read.integer("priority", 0)
    tags = _texts(read, "tags")
    read.known.add("sweep")  # read by expand_sweep
    read.unknown_fields()
    if problems:
        raise InvalidJob(problems)
    spec = Spec(
        name=name,
        owner=file_owner or owner,
        placements=placements,
        args=args,
        share=share or "",
        group=group or file_group,
        priority=priority,
        retry=retry,
        clocks=clocks,
        tags=tags,
    )
    if found := validate(spec):
        raise InvalidJob(found)
    return spec


def _unreadable(document: Mapping[str, Any]) -> Problem | None:
    """
    Find the field that nests too deeply, or holds more values than a job may have bytes.

    YAML's aliases can make a table that holds itself, or a few lines that hold millions of values.
    The sweep is left out: `expand_sweep` has limits of its own.
    """
    for field, value in document.items():
        if field == "sweep":
            continue
        seen = 0
        level: list[object] = [value]
        for _ in range(DEPTH_MAX):
            inner = itertools.chain.from_iterable(
                value.values() if isinstance(value, Mapping) else value
                for value in level
                if isinstance(value, Mapping | list)
            )
            level = list(itertools.islice(inner, SPEC_BYTES_MAX + 1))
            seen += len(level)
            if not level:
                break
            if seen > SPEC_BYTES_MAX:
                return Problem(str(field), f"more than {SPEC_BYTES_MAX:,} values")
        else:
            return Problem(str(field), f"nested more than {DEPTH_MAX} levels deep")
    return None


def _default_name(args: Mapping[str, Json]) -> str:
    script = args.get("script")
    stem = str(script).rsplit("/", 1)[-1].rsplit(".", 1)[0] if script else ""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("-._")[:128]
    return name.rstrip("-.") or "job"


def _read_args(read: FieldReader) -> dict[str, Json]:
    args: dict[str, Json] = {}
    for field in ("script", "source_dir", "python", "image", "role", "output"):
        value = read.text(field)
        if value is not None:
            args[field] = value
    if "script" not in args and "image" not in args and "script" not in read.data:
        read.wrong("script", 'missing; name the training script, such as script = "train.py"')
    hyperparameters = read.table("hyperparameters")
    _check_json(read, "hyperparameters", hyperparameters)
    if hyperparameters:
        args["hyperparameters"] = dict(hyperparameters)
    for field in ("channels", "environment"):
        texts = _texts(read, field)
        if texts:
            args[field] = dict(texts)
    arguments = read.get("arguments", list, "a list of strings", [])
    if not all(isinstance(item, str) for item in arguments):
        read.wrong("arguments", "expected a list of strings")
    elif arguments:
        args["arguments"] = arguments
    grace = read.duration("stop_grace")
    if grace is not None:
        args["stop_grace_seconds"] = grace.total_seconds()
    volume = read.integer("volume_gb", 0)
    if volume:
        args["volume_gb"] = volume
    sagemaker = read.table("sagemaker")
    _check_json(read, "sagemaker", sagemaker)
    if sagemaker:
        args["sagemaker"] = dict(sagemaker)
    return args


def _check_json(read: FieldReader, field: str, table: Mapping[str, Any]) -> None:
    """Refuse what TOML and YAML know and JSON does not: dates, sets, infinity, keys that are no text."""
    for key, value in table.items():
        if not isinstance(key, str):
            read.wrong(f"{field}.{key}", "the name is not a text; put it in quotation marks")
        elif not _is_json(value):
            read.wrong(f"{field}.{key}", "not JSON data: only texts, numbers, lists and tables are")


def _is_json(value: object) -> bool:
    match value:
        case None | bool() | str() | int():
            return True
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_json, value))
        case dict():
            return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
        case _:
            return False


def _texts(read: FieldReader, field: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for key, value in read.table(field).items():
        if isinstance(value, str) and "\x00" not in value:
            result[str(key)] = value
        else:
            got = kind_of(value) if field in _UNQUOTED else described(value)
            if isinstance(value, str):
                got = "one with a NUL character"
            read.wrong(f"{field}.{key}", f"expected a string, got {got}")
    return result


def _read_pools(read: FieldReader) -> tuple[Placement, ...]:
    read.known |= {"pools", "pool"}
    if "pool" in read.data and "pools" in read.data:
        read.wrong("pool", "give either pool or pools, not both")
    value = read.data.get("pools", read.data.get("pool", "cpu"))
    entries = value if isinstance(value, list) else [value]
    if not entries:
        read.wrong("pools", "expected at least one pool")
    placements: list[Placement] = []
    for number, entry in enumerate(entries):
        field = f"pools[{number}]" if isinstance(value, list) else "pools"
        table = {"pool": entry} if isinstance(entry, str) else entry
        if not isinstance(table, Mapping):
            read.wrong(field, f"expected a pool's name or a table, got {described(entry)}")
            continue
        inner = FieldReader(table, read.problems, f"{field}.")
        pool, count = inner.text("pool"), inner.integer("count", 1)
        inner.unknown_fields()
        if not pool or not _POOL.fullmatch(pool):
            wants = (
                "expected a pool's name (letters, digits, . _ -), or region/instance type/market"
            )
            inner.wrong("pool", f"{wants}, got {pool!r}")
        elif count < 1:
            inner.wrong("count", f"expected at least 1, got {count}")
        else:
            placements.append(Placement(pool, count))
    return tuple(placements)


def _read_retry(read: FieldReader) -> RetryPolicy:
    data = read.table("retry")
    inner = FieldReader(data, read.problems, "retry.")
    budgets: dict[FailureClass, int] = {}
    for kind in FailureClass:
        if kind in data:
            count = inner.integer(kind, 0)
            if count < 0:
                inner.wrong(kind, f"expected 0 or more retries, got {count}")
            else:
                budgets[kind] = count
    default = RetryPolicy()
    backoff = inner.duration("backoff")
    backoff_max = inner.duration("backoff_max")
    inner.known |= set(FailureClass)
    inner.unknown_fields()
    backoff = default.backoff if backoff is None else backoff
    if backoff_max is None:
        backoff_max = max(backoff, default.backoff_max)
    try:
        return RetryPolicy(budgets=budgets, backoff=backoff, backoff_max=backoff_max)
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        read.wrong(field, message)
        return default


def _read_clocks(read: FieldReader) -> Clocks:
    inner = FieldReader(read.table("clocks"), read.problems, "clocks.")
    wait, run = inner.duration("wait_at_most"), inner.duration("run_at_most")
    finish_by = inner.data.get("finish_by")
    inner.known.add("finish_by")
    if isinstance(finish_by, str):
        try:
            finish_by = datetime.fromisoformat(finish_by)
        except ValueError:
            inner.wrong("finish_by", f"expected a date and time, got {finish_by!r}")
            finish_by = None
    if finish_by is not None and not isinstance(finish_by, datetime):
        inner.wrong("finish_by", f"expected a date and time, got {described(finish_by)}")
        finish_by = None
    if finish_by is not None and finish_by.tzinfo is None:
        inner.wrong("finish_by", "give the time zone too, such as 2026-12-01T08:00:00+01:00")
        finish_by = None
    if finish_by is not None and not 1970 <= finish_by.year < 3000:
        inner.wrong("finish_by", f"expected a time between 1970 and 3000, got {finish_by}")
        finish_by = None
    inner.unknown_fields()
    try:
        return Clocks(wait_at_most=wait, run_at_most=run, finish_by=finish_by)
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        inner.wrong(field, message)
        return Clocks()
