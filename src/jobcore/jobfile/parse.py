"""From a job file's data to a `Spec`, with every problem named.

The file is the same wherever the job runs: a script, its hyperparameters and channels, pools to run
in, and policies. Decoding TOML, YAML or JSON is the caller's; this module reads the decoded data.

The rules here hold on every backend. The limits of a service are in its adapter's check, which entry
points call before they submit a job (each adapter's `check`).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from jobcore.checks import described, kind_of, wrong_json
from jobcore.errors import InvalidJob, Problem
from jobcore.lifecycle.codec import encode_spec
from jobcore.lifecycle.failure import FailureClass
from jobcore.lifecycle.model import (
    CLOCK_MIN,
    PRIORITY_MAX,
    WAIT_MAX,
    Clocks,
    Json,
    Placement,
    RetryPolicy,
    Spec,
)

from .fields import FieldReader, entry_of, problem_of
from .metrics import read_metrics
from .synonyms import CLOCK_WORDS, JOB_WORDS, POOL_WORDS, RETRY_WORDS

__all__ = [
    "DEPTH_MAX",
    "SPEC_BYTES_MAX",
    "field_kinds",
    "is_pool_name",
    "job_fields",
    "parse_job",
    "validate",
]

DEPTH_MAX = 50  # of tables and lists in a job file; later readers of it recurse

#: A tick reads up to 1,000 jobs at once (`jobcore.Settings.page`); specs of this size take 350 MB.
SPEC_BYTES_MAX = 350_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+@-]{0,127}")
_POOL = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A channel is a folder for the script, and part of the name of an environment variable.
_CHANNEL = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}")
# Prefixes of the variables that every trainer sets: the training contract, and the ownership marks.
_RESERVED_ENVIRONMENT = ("SM_", "JOBCORE_")


def parse_job(
    document: object,
    *,
    owner: str,
    group: str | None = None,
    service_tables: Collection[str] = (),
) -> Spec:
    """
    Read a job file's data.

    Args:
        document: the decoded file.
        owner: the owner if the file names none.
        group: the group of the submission, if it is one of many; goes before the file's own.
        service_tables: names of further tables, each of JSON data for one training service. They are
            taken as they are; the service's adapter reads and checks them.

    Raises:
        InvalidJob: with every problem found.
    """
    if not isinstance(document, Mapping):
        problem = Problem("job file", f"expected a table of fields, got {described(document)}")
        raise InvalidJob([problem])
    if too_much := _unreadable(document):
        raise InvalidJob([too_much])
    problems: list[Problem] = []
    read = FieldReader(document, problems, secret=service_tables)
    fields = _read_fields(read, owner, group, service_tables)
    read.unknown_fields(JOB_WORDS)
    if problems:
        raise InvalidJob(problems)
    try:
        spec = Spec(**fields)
    except ValueError as error:
        raise InvalidJob([problem_of(error)]) from None
    if found := validate(spec):
        raise InvalidJob(found)
    return spec


def is_pool_name(text: str) -> bool:
    """Check whether a job file can name a pool so: up to three parts between slashes, 128 characters."""
    return _POOL.fullmatch(text) is not None


def job_fields(service_tables: Collection[str] = ()) -> frozenset[str]:
    """Return the names of a job file's fields, as `parse_job` knows them."""
    return frozenset(field for field in field_kinds(service_tables) if "." not in field)


def field_kinds(service_tables: Collection[str] = ()) -> Mapping[str, str]:
    """Return the kind of each field that `parse_job` knows, in words; of inner tables as "retry.backoff"."""
    read = FieldReader({}, [])
    _read_fields(read, "", None, service_tables)
    return read.kinds()


def validate(spec: Spec) -> list[Problem]:
    """
    Check a spec against the rules of job files that hold on every backend.

    `Spec` refuses values that no store or process can accept. Beyond that, names must be short and
    safe to print, environment variables and channels must have names that a script can use, and the
    whole spec may have `SPEC_BYTES_MAX` bytes as JSON.
    """
    problems: list[Problem] = []

    def check(ok: bool, field: str, message: str) -> None:
        if not ok:
            problems.append(Problem(field, message))

    for field in ("name", "share", "group"):
        value = getattr(spec, field)
        ok = value is None or _NAME.fullmatch(value) is not None
        wants = "expected 1-128 letters, digits or . _ = , + @ -, starting with a letter or digit"
        check(ok, field, f"{wants}, got {value!r}")
    ok = len(spec.owner) <= 256 and spec.owner.isprintable()
    check(ok, "owner", "expected printable text of at most 256 characters")
    tables = {name: value for name, value in spec.args.items() if isinstance(value, dict)}
    for field, table in (
        ("hyperparameters", tables.get("hyperparameters", {})),
        ("tags", spec.tags),
    ):
        check("" not in table, f"{field}.", "the name is empty")
    for flag in _flags(spec):
        value = tables.get("hyperparameters", {}).get(flag, True)
        wants = "is in flags, so expected true or false"
        check(isinstance(value, bool), entry_of("hyperparameters", flag), wants)
    for key in tables.get("environment", {}):
        ok = _ENV_NAME.fullmatch(key) is not None and not key.startswith(_RESERVED_ENVIRONMENT)
        wants = "not a name that you can set (letters, digits, _; not SM_* or JOBCORE_*)"
        check(ok, entry_of("environment", key), wants)
    for key in tables.get("channels", {}):
        wants = "not a channel name (1-128 letters, digits or . _ -; not . or ..)"
        check(_CHANNEL.fullmatch(key) is not None, entry_of("channels", key), wants)
    if not problems:
        size = len(json.dumps(encode_spec(spec)))
        check(
            size <= SPEC_BYTES_MAX,
            "job file",
            f"{size:,} bytes as JSON; at most {SPEC_BYTES_MAX:,} (put large data into a channel)",
        )
    return problems


def _flags(spec: Spec) -> list[str]:
    flags = spec.args.get("flags")
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def _read_fields(
    read: FieldReader, owner: str, group: str | None, service_tables: Collection[str]
) -> dict[str, Any]:
    """Read the arguments of a `Spec`; the problems are in *read*."""
    args = _read_args(read, service_tables)
    file_group = read.text("group")
    read.known["sweep"] = "a table"  # read by read_sweep
    return {
        "name": read.text("name") or _default_name(args),
        "owner": read.text("owner") or owner,
        "placements": _read_pools(read),
        "args": args,
        "share": read.text("share") or "",
        "group": group or file_group,
        "priority": read.integer("priority", 0, -PRIORITY_MAX, PRIORITY_MAX),
        "retry": _read_retry(read),
        "clocks": _read_clocks(read),
        "tags": _texts(read, "tags"),
    }


def _unreadable(document: Mapping[str, Any]) -> Problem | None:
    """
    Find the field that nests too deeply, or holds more values than a job may have bytes.

    YAML's aliases allow a table that contains itself, and a few lines that stand for millions of
    values. The sweep is left out: it has limits of its own.
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


def _read_args(read: FieldReader, service_tables: Collection[str]) -> dict[str, Json]:
    """Read the arguments of the trainer; fields that are absent or empty are left out."""
    args: dict[str, Json] = {}
    for field in ("script", "source_dir", "python", "image", "role"):
        value = read.text(field)
        if value is not None:
            args[field] = value
    if "script" not in args and "image" not in args and "script" not in read.data:
        read.wrong("script", 'missing; name the training script, such as script = "train.py"')
    more: dict[str, Json] = {
        "hyperparameters": _json_table(read, "hyperparameters"),
        "channels": dict(_texts(read, "channels")),
        "environment": dict(_texts(read, "environment")),
        "arguments": _words(read, "arguments"),
        "flags": _words(read, "flags"),
        "volume_gb": read.integer("volume_gb", 0, 0),
        "metrics": read_metrics(read),
        **{table: _json_table(read, table) for table in service_tables},
    }
    args |= {field: value for field, value in more.items() if value}
    grace = read.duration("stop_grace")
    if grace is not None:
        args["stop_grace_seconds"] = grace.total_seconds()
    return args


def _json_table(read: FieldReader, field: str) -> dict[str, Json]:
    """Read a table of JSON data: dates, sets and infinity, which TOML and YAML allow, are problems."""
    table = read.table(field)
    for key, value in table.items():
        if not isinstance(key, str):
            read.wrong(entry_of(field, key), "the name is not a text; put it in quotation marks")
        elif message := wrong_json({key: value}):
            read.wrong(entry_of(field, key), message)
    return dict(table)


def _texts(read: FieldReader, field: str) -> dict[str, str]:
    """Read a table whose values are texts."""
    result: dict[str, str] = {}
    for key, value in read.table(field).items():
        if isinstance(value, str) and "\x00" not in value and "\x00" not in str(key):
            result[str(key)] = value
        else:
            got = kind_of(value) if field in read.secret else described(value)
            if isinstance(value, str):
                got = "one with a NUL character"
            read.wrong(entry_of(field, key), f"expected a string, got {got}")
    return result


def _words(read: FieldReader, field: str) -> list[Json]:
    """Read a list of texts."""
    words: list[Json] = read.get(field, list, "a list of strings", [])
    if not all(isinstance(item, str) for item in words):
        read.wrong(field, "expected a list of strings")
    elif message := wrong_json(words):
        read.wrong(field, message)
    return words


def _read_pools(read: FieldReader) -> tuple[Placement, ...]:
    read.known |= dict.fromkeys(("pools", "pool"), "a string, a table, or a list of these")
    if "pool" in read.data and "pools" in read.data:
        read.wrong("pool", "give either pool or pools, not both")
    value = read.data.get("pools", read.data.get("pool", "cpu"))
    entries = value if isinstance(value, list) else [value]
    if not entries:
        read.wrong("pools", "expected at least one pool")
    placements = [
        _read_pool(read, f"pools[{number}]" if isinstance(value, list) else "pools", entry)
        for number, entry in enumerate(entries)
    ]
    return tuple(placement for placement in placements if placement is not None)


def _read_pool(read: FieldReader, field: str, entry: object) -> Placement | None:
    table = {"pool": entry} if isinstance(entry, str) else entry
    if not isinstance(table, Mapping):
        read.wrong(field, f"expected a pool's name or a table, got {described(entry)}")
        return None
    inner = read.inside(field, table)
    before = len(read.problems)
    pool = inner.text("pool") or ""
    if len(read.problems) == before and not is_pool_name(pool):
        wants = "expected a pool's name: letters, digits, . _ -, in up to three parts between /"
        inner.wrong("pool", f"{wants}, got {pool!r}")
    count = inner.integer("count", 1, 1)
    inner.unknown_fields(POOL_WORDS)
    return Placement(pool, count) if len(read.problems) == before else None


def _read_retry(read: FieldReader) -> RetryPolicy:
    data = read.table("retry")
    inner = read.inside("retry", data)
    counts = {kind: inner.integer(kind, 0, 0) for kind in FailureClass}
    budgets = {kind: count for kind, count in counts.items() if kind in data}
    default = RetryPolicy()
    backoff = inner.duration("backoff")
    backoff_max = inner.duration("backoff_max", most=WAIT_MAX)
    inner.unknown_fields(RETRY_WORDS)
    backoff = default.backoff if backoff is None else backoff
    if backoff_max is None:
        backoff_max = max(backoff, default.backoff_max)
    try:
        return RetryPolicy(budgets=budgets, backoff=backoff, backoff_max=backoff_max)
    except ValueError as error:
        read.problems.append(problem_of(error))
        return default


def _read_clocks(read: FieldReader) -> Clocks:
    inner = read.inside("clocks", read.table("clocks"))
    wait = inner.duration("wait_at_most", CLOCK_MIN, WAIT_MAX)
    run = inner.duration("run_at_most", CLOCK_MIN, WAIT_MAX)
    finish_by = _read_time(inner, "finish_by")
    inner.unknown_fields(CLOCK_WORDS)
    try:
        return Clocks(wait_at_most=wait, run_at_most=run, finish_by=finish_by)
    except ValueError as error:
        read.problems.append(problem_of(error, "clocks."))
        return Clocks()


def _read_time(read: FieldReader, field: str) -> datetime | None:
    """Read a date and time with its time zone, and convert it to UTC."""
    read.known[field] = "a date and time with its time zone"
    value = read.data.get(field)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            read.wrong(field, f"expected a date and time, got {value!r}")
            return None
    if not isinstance(value, datetime):
        read.wrong(field, f"expected a date and time, got {described(value)}")
    elif value.tzinfo is None:
        read.wrong(field, "give the time zone too, such as 2026-12-01T08:00:00+01:00")
    elif not 1970 <= value.year < 3000:  # before the conversion: year 9999 cannot be converted
        read.wrong(field, f"expected a time between 1970 and 3000, got {value}")
    else:
        return value.astimezone(UTC)
    return None
