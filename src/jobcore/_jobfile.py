"""From a job file's data to a `Spec`, with every problem named.

The file is the same on a laptop and on SageMaker: a script, its
hyperparameters and channels, pools to run in, and policies. Decoding TOML,
YAML or JSON is the caller's; here is what the decoded data means.

Limits are SageMaker's own (botocore checks neither maxima nor patterns), so that a
mistake is found at submit and not hours later, when the scientist has gone.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ._codec import encode_spec
from ._failures import FailureClass
from ._model import Clocks, Json, Placement, RetryPolicy, Spec

__all__ = [
    "InvalidJob",
    "Problem",
    "expand_sweep",
    "parse_duration",
    "parse_job",
    "validate",
]

SPEC_BYTES_MAX = 350_000  # DynamoDB refuses items over 400 KB
SWEEP_JOBS_MAX = 10_000
DURATION_DAYS_MAX = 10_000
DEPTH_MAX = 50  # of tables and lists in a job file; what reads it later recurses


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a job file: the field, and what is wrong and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        """Give the problem as one line."""
        return f"{self.field}: {self.message}"


class InvalidJob(ValueError):  # noqa: N818  (reads well in `except`)
    """A job file that cannot be run; *problems* names all that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems; the first is the message."""
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


# --- reading values ---------------------------------------------------------------------

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+@-]{0,127}")
_POOL = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHANNEL = re.compile(r"[A-Za-z0-9._-]{1,64}")  # SageMaker's ChannelName


def parse_duration(value: object) -> timedelta:
    """
    Read a duration: a number of seconds, or text such as ``"90s"``, ``"1h30m"``, ``"2d"``.

    Raises:
        ValueError: it is neither, or longer than 10,000 days; the message says what is expected.
    """
    seconds = math.inf
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        parts = re.findall(r"([0-9.]+)([smhdw])", value)
        seconds = sum(float(n) * _UNITS[unit] for n, unit in parts)
    if (
        abs(seconds) <= DURATION_DAYS_MAX * 86400
    ):  # what is longer ends after the last date there is
        return timedelta(seconds=seconds)
    msg = f'expected a duration such as "90s", "1h30m" or "2d", got {value!r}'
    raise ValueError(msg)


class _Reader:
    """Reads typed fields out of a mapping and collects what is wrong."""

    def __init__(self, data: Mapping[str, Any], problems: list[Problem], prefix: str = "") -> None:
        self.data = data
        self.problems = problems
        self.prefix = prefix
        self.known: set[str] = set()

    def wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(self.prefix + field, message))

    def get(self, field: str, kind: type, expected: str, default: Any = None) -> Any:
        self.known.add(field)
        value = self.data.get(field)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            got = _kind(value) if field in _UNQUOTED else _described(value)
            self.wrong(field, f"expected {expected}, got {got}")
            return default
        return value

    def text(self, field: str, default: str | None = None) -> str | None:
        value = self.get(field, str, "a string", default)
        if isinstance(value, str) and "\x00" in value:
            self.wrong(field, "contains a NUL character; remove it")
            return default
        return value  # type: ignore[no-any-return]

    def integer(self, field: str, default: int) -> int:
        return self.get(field, int, "a whole number", default)  # type: ignore[no-any-return]

    def table(self, field: str) -> Mapping[str, Any]:
        return self.get(field, Mapping, "a table", {})  # type: ignore[no-any-return]

    def duration(self, field: str) -> timedelta | None:
        self.known.add(field)
        if self.data.get(field) is None:
            return None
        try:
            return parse_duration(self.data[field])
        except ValueError as error:
            self.wrong(field, str(error))
            return None

    def unknown_fields(self) -> None:
        for field in self.data:
            if field not in self.known:
                near = _nearest(str(field), set(map(str, self.known)))
                hint = f"; did you mean {near!r}?" if near else f"; known: {_listed(self.known)}"
                self.wrong(str(field), f"unknown field{hint}")


# What may be a secret is not quoted in a message.
_UNQUOTED = frozenset({"hyperparameters", "environment", "arguments", "tags", "sagemaker"})


def _kind(value: object) -> str:
    kinds: dict[type, str] = _KINDS | {int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


_KINDS: dict[type, str] = {
    dict: "a table",
    list: "a list",
    str: "a string",
    bool: "true or false",
}


def _described(value: object) -> str:
    kind = _KINDS.get(type(value))
    shown = repr(value)
    shown = shown if len(shown) <= 40 else shown[:39] + "…"
    return f"{kind} ({shown})" if kind else shown


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _nearest(word: str, known: set[str]) -> str | None:
    """Find the known name within two edits of *word* (transpositions count as two)."""
    best = min(known, key=lambda k: (_distance(word, k), k), default=None)
    return best if best is not None and _distance(word, best) <= 2 else None


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


# --- the job file -----------------------------------------------------------------------


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
        problem = Problem("job file", f"expected a table of fields, got {_described(document)}")
        raise InvalidJob([problem])
    if too_much := _unreadable(document):
        raise InvalidJob([too_much])
    problems: list[Problem] = []
    read = _Reader(document, problems)
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


def _read_args(read: _Reader) -> dict[str, Json]:
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


def _check_json(read: _Reader, field: str, table: Mapping[str, Any]) -> None:
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


def _texts(read: _Reader, field: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for key, value in read.table(field).items():
        if isinstance(value, str) and "\x00" not in value:
            result[str(key)] = value
        else:
            got = _kind(value) if field in _UNQUOTED else _described(value)
            if isinstance(value, str):
                got = "one with a NUL character"
            read.wrong(f"{field}.{key}", f"expected a string, got {got}")
    return result


def _read_pools(read: _Reader) -> tuple[Placement, ...]:
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
            read.wrong(field, f"expected a pool's name or a table, got {_described(entry)}")
            continue
        inner = _Reader(table, read.problems, f"{field}.")
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


def _read_retry(read: _Reader) -> RetryPolicy:
    data = read.table("retry")
    inner = _Reader(data, read.problems, "retry.")
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


def _read_clocks(read: _Reader) -> Clocks:
    inner = _Reader(read.table("clocks"), read.problems, "clocks.")
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
        inner.wrong("finish_by", f"expected a date and time, got {_described(finish_by)}")
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


# --- limits -----------------------------------------------------------------------------


def validate(spec: Spec) -> list[Problem]:
    """
    Check a spec against the limits of the services that it may meet.

    Sources: botocore's service model for SageMaker's CreateTrainingJob (hyperparameters,
    environment, tags, channels), DynamoDB's item size.
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
    check(len(spec.owner) <= 256 and spec.owner.isprintable(), "owner", "expected printable text")
    check(len(spec.placements) <= 5, "pools", "expected at most 5 pools (SageMaker's limit)")
    check(
        abs(spec.priority) <= 1_000_000,
        "priority",
        f"expected -1,000,000 to 1,000,000, got {spec.priority}",
    )
    _check_map(problems, "hyperparameters", spec.args.get("hyperparameters"), 100, 256, 2500)
    _check_map(problems, "environment", spec.args.get("environment"), 100, 512, 512)
    _check_map(problems, "tags", dict(spec.tags), 45, 128, 256)
    environment = spec.args.get("environment")
    for key in environment if isinstance(environment, dict) else {}:
        ok = _ENV_NAME.fullmatch(key) is not None and not key.startswith(("SM_", "JOBCORE_"))
        check(ok, f"environment.{key}", "not a name you can set (letters, digits, _; not SM_*)")
    channels = spec.args.get("channels")
    for key in channels if isinstance(channels, dict) else {}:
        check(_CHANNEL.fullmatch(key) is not None, f"channels.{key}", "not a channel name")
    check(not isinstance(channels, dict) or len(channels) <= 20, "channels", "expected at most 20")
    if not problems:
        size = len(json.dumps(encode_spec(spec)))
        check(
            size <= SPEC_BYTES_MAX,
            "job file",
            f"{size:,} bytes as JSON; at most {SPEC_BYTES_MAX:,} (put large data into a channel)",
        )
    return problems


def _check_map(
    problems: list[Problem], field: str, value: object, count: int, key_max: int, value_max: int
) -> None:
    if not isinstance(value, dict):
        return
    if len(value) > count:
        problems.append(Problem(field, f"{len(value)} entries; at most {count}"))
    for key, item in value.items():
        text = item if isinstance(item, str) else json.dumps(item)
        if not 1 <= len(key) <= key_max:
            message = f"the name has {len(key)} characters; 1 to {key_max} are allowed"
            problems.append(Problem(f"{field}.{key[:40]}", message))
        if len(text) > value_max:
            message = f"the value has {len(text)} characters; at most {value_max} are allowed"
            problems.append(Problem(f"{field}.{key[:40]}", message))


# --- sweeps -----------------------------------------------------------------------------


def expand_sweep(
    grid: Mapping[str, object], points: Sequence[object] = ()
) -> list[dict[str, Json]]:
    """
    List the hyperparameters of each job of a sweep: all combinations of the grid, then each point.

    Args:
        grid: values by hyperparameter.
        points: further combinations, given one by one.

    Raises:
        InvalidJob: an empty list of values, something that is no table, no job at all, or
            more than 10,000.
    """
    problems: list[Problem] = []
    axes: dict[str, Sequence[Json]] = {}
    rows: list[dict[str, Json]] = []
    for name, values in grid.items():
        if isinstance(values, list | tuple) and values:
            axes[name] = values
        else:
            problem = Problem(f"sweep.grid.{name}", "expected a list with at least one value")
            problems.append(problem)
    for number, point in enumerate(points):
        if isinstance(point, Mapping):
            rows.append(dict(point))
        else:
            problems.append(Problem(f"sweep.list[{number}]", "expected a table"))
    if not grid and not points:
        problems.append(Problem("sweep", "nothing to sweep; give a grid or a list"))
    if problems:
        raise InvalidJob(problems)
    total = len(rows) + (math.prod(map(len, axes.values())) if axes else 0)
    if total > SWEEP_JOBS_MAX:
        problem = Problem("sweep", f"{total:,} jobs; at most {SWEEP_JOBS_MAX:,} in one sweep")
        raise InvalidJob([problem])
    combinations = itertools.product(*axes.values()) if axes else ()
    return [*(dict(zip(axes, values, strict=True)) for values in combinations), *rows]
