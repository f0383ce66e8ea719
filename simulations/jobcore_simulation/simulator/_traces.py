"""Measured capacity and workloads from files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobcore import InvalidSetting

from ._scenario import PoolSpec, Scenario, Task

__all__ = ["Trace", "WorkRow", "capacity_from", "scenario_from", "work_from"]

_SUFFIXES = (".gz", ".json", ".csv")
_YEAR = 365 * 86400.0
# Seconds that the last step of a CSV lasts, since the file has no end. A trace of few steps gets a
# day: with an hour it would begin again, and interrupt its trainings, every hour.
_LAST_STEP, _LAST_STEP_OF_FEW, _FEW = 3600.0, 86400.0, 3


@dataclass(frozen=True, slots=True)
class Trace:
    """
    The capacity of a pool, as measured.

    Args:
        steps: (seconds, instances), in the order of time; each holds until the next.
        ends: seconds at which the measurement ended.
    """

    steps: tuple[tuple[float, int], ...]
    ends: float

    @property
    def largest(self) -> int:
        """The most instances at any time."""
        return max(count for _, count in self.steps)


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A job of a workload file; times in seconds, *gpus* 0 if the file has no number."""

    submitted: float
    duration: float
    gpus: float
    user: str


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        # By content, not by name: a download may have lost its suffix, or been unpacked on the way.
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{path}: cannot be read: {reason}"
        raise ValueError(msg) from None


def _rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read CSV: the number of each line, and its fields; a field that the line lacks is empty."""
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, restval="")
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if not set(columns) <= set(names):
            found = ",".join(names)[:80] or "an empty file"
            msg = f"{path}: line 1: expected the columns {','.join(columns)}, got {found}"
            raise ValueError(msg)
        reader.fieldnames = names
        for row in reader:
            yield reader.line_num, {name: row[name].strip() for name in names}
    except csv.Error as error:
        msg = f"{path}: line {reader.line_num}: {error}"
        raise ValueError(msg) from None


def _number(where: str, text: object) -> float:
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        msg = f"{where}: expected a number, got {str(text)[:40]!r}"
        raise ValueError(msg)
    return value


def _count(where: str, text: object) -> int:
    value = _number(where, text)
    if value < 0 or value != int(value):
        msg = f"{where}: expected a whole number of instances, 0 or more, got {str(text)[:40]!r}"
        raise ValueError(msg)
    return int(value)


# --- capacity ---------------------------------------------------------------------------


def capacity_from(paths: Path | Sequence[Path], pattern: str = "") -> dict[str, Trace]:
    """
    Read capacity traces, by name.

    Two formats, each gzipped or not: run-length CSV with the columns ``t_s,available`` and, where a
    file has several traces, ``trace_id``; and SkyPilot's JSON (``{"metadata": {"gap_seconds": ...},
    "data": [instances, ...]}``), a trace named for its file. A CSV's last
    step counts for an hour, or for a day where there are three steps or fewer.

    Args:
        paths: files, or folders of which every .csv, .json and .gz below is read.
        pattern: only traces whose name contains this.

    Raises:
        ValueError: a file is neither, or no trace is left; the message names file, line and field.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    named: dict[str, Trace] = {}
    for given_path in given:
        files = _files(given_path)
        for path in files:
            for name, trace in _traces(path).items():
                full = name
                if full in named:  # two folders may have files of one name
                    full = f"{path.parent.name}/{name}"
                if full in named:
                    msg = f"{path}: there are two traces named {name!r}"
                    raise ValueError(msg)
                named[full] = trace
    found = {name: trace for name, trace in named.items() if pattern in name}
    if not found:
        some = ", ".join(sorted(named)[:5]) + (", ..." if len(named) > 5 else "")
        of = ", ".join(str(path) for path in given)
        msg = f"{of}: no trace whose name contains {pattern!r}; there are {len(named)}: {some}"
        raise ValueError(msg)
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(f for f in path.rglob("*") if f.suffix in _SUFFIXES and f.is_file())
    if not files:
        msg = f"{path}: no .json, .csv or .gz in this folder"
        raise ValueError(msg)
    return files


def _stem(path: Path) -> str:
    name = path.name
    while name.endswith(_SUFFIXES):
        name = name.rpartition(".")[0]
    return name or path.name


def _traces(path: Path) -> dict[str, Trace]:
    text = _text(path)
    if text.lstrip()[:1] in ("{", "["):
        return {_stem(path): _from_json(path, text)}
    steps: dict[str, dict[float, int]] = {}
    for line, row in _rows(path, text, ("t_s", "available")):
        at = _number(f"{path}: line {line}: t_s", row["t_s"])
        count = _count(f"{path}: line {line}: available", row["available"])
        steps.setdefault(row.get("trace_id") or _stem(path), {})[at] = count
    if not steps:
        msg = f"{path}: no line below the header"
        raise ValueError(msg)
    found = {}
    for name, part in steps.items():
        merged = _merged(sorted(part.items()))
        last = _LAST_STEP if len(merged) > _FEW else _LAST_STEP_OF_FEW
        found[name] = Trace(merged, max(part) + last)
    return found


def _from_json(path: Path, text: str) -> Trace:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: not JSON: {error}"
        raise ValueError(msg) from None
    metadata = document.get("metadata") if isinstance(document, dict) else None
    gap = metadata.get("gap_seconds") if isinstance(metadata, dict) else None
    if gap is None:
        msg = f"{path}: metadata.gap_seconds: missing"
        raise ValueError(msg)
    seconds = _number(f"{path}: metadata.gap_seconds", gap)
    if seconds <= 0:
        msg = f"{path}: metadata.gap_seconds: expected more than 0, got {gap!r}"
        raise ValueError(msg)
    data = document.get("data")
    if not isinstance(data, list) or not data:
        msg = f"{path}: data: expected a list of numbers of instances"
        raise ValueError(msg)
    steps = [(n * seconds, _count(f"{path}: data[{n}]", one)) for n, one in enumerate(data)]
    return Trace(_merged(steps), len(data) * seconds)


def _merged(steps: Sequence[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
    kept: list[tuple[float, int]] = []
    for step in steps:
        if not kept or kept[-1][1] != step[1]:
            kept.append(step)
    return tuple(kept)


# --- work -------------------------------------------------------------------------------


def work_from(path: Path, source: str = "") -> list[WorkRow]:
    """
    Read a workload, in the order of submission: CSV with ``submit_s``, ``duration_s``, and, where known, ``gpus``, ``user`` and ``source``.

    A row without a submission or a duration is skipped: its job never ran, or had not ended.

    Args:
        source: only rows whose ``source`` contains this.

    Raises:
        ValueError: the file is no such CSV, or has no usable row; the message names line and field.
    """
    found, total = [], 0
    for line, row in _rows(path, _text(path), ("submit_s", "duration_s")):
        total += 1
        if source not in row.get("source", source) or not (row["submit_s"] and row["duration_s"]):
            continue
        where = f"{path}: line {line}"
        made = WorkRow(
            _number(f"{where}: submit_s", row["submit_s"]),
            _number(f"{where}: duration_s", row["duration_s"]),
            _number(f"{where}: gpus", row.get("gpus") or 0),
            row.get("user") or "all",
        )
        if min(made.duration, made.gpus) < 0:
            field = "duration_s" if made.duration < 0 else "gpus"
            msg = f"{where}: {field}: expected 0 or more, got {row[field]!r}"
            raise ValueError(msg)
        found.append(made)
    if not found:
        which = f" and a source that contains {source!r}" if source else ""
        msg = f"{path}: of {total} rows none has both submit_s and duration_s{which}"
        raise ValueError(msg)
    return sorted(found, key=lambda row: row.submitted)


# --- both -------------------------------------------------------------------------------


def scenario_from(
    capacity: Path | Sequence[Path],
    workload: Path | None,
    *,
    pattern: str = "",
    source: str = "",
    pools_max: int | None = None,
    jobs_max: int = 500,
    scale: int = 1,
    gpus_per_instance: float = 8.0,
    spot: bool = True,
) -> Scenario:
    """
    Make a scenario of capacity traces and a workload.

    Each trace is a pool, and begins again when it is over. Times are kept relative to each other;
    a pool whose trace begins later than the first has nothing until then. A job asks for the
    instances that its GPUs need, or for as many as the largest pool ever has if that is less, and
    may run in every pool that is ever large enough.

    Args:
        pattern: see `capacity_from`; the first *pools_max* traces by name become pools (None: all).
        source: see `work_from`.
        jobs_max: the most jobs, the first of the workload by submission.
        scale: instances for each of the trace's (one-node traces are on or off).
        gpus_per_instance: the number of GPUs of an instance.
        spot: whether a falling capacity takes instances away.

    Raises:
        ValueError: a file cannot be read, or no trace ever has an instance.
    """
    paths = [capacity] if isinstance(capacity, Path) else list(capacity)
    traces = capacity_from(paths, pattern)
    chosen = sorted(traces)[:pools_max]
    largest = {name: traces[name].largest * scale for name in chosen}
    if not any(largest.values()):
        msg = f"{', '.join(map(str, paths))}: {', '.join(chosen)[:200]}: never an instance: no job could run"
        raise ValueError(msg)
    tasks = None
    if workload is not None:
        rows = work_from(workload, source)[:jobs_max]
        tasks = _tasks(rows, largest, gpus_per_instance)
    names = _stem(paths[0]) + (" and more" if len(paths) > 1 else "")
    return Scenario(
        name=names,
        title=", ".join(chosen[:3]) + (f" and {len(chosen) - 3} more" if len(chosen) > 3 else ""),
        pools=_pools_of(paths, {name: traces[name] for name in chosen}, scale, spot=spot),
        tasks_given=tasks,
        horizon=_YEAR + (tasks[-1].submitted if tasks else 0.0),
    )


def _pools_of(
    paths: Sequence[Path], traces: Mapping[str, Trace], scale: int, *, spot: bool
) -> list[PoolSpec]:
    try:
        return _pools(traces, scale, spot=spot)
    except InvalidSetting as error:
        msg = f"{', '.join(map(str, paths))}: {error}"
        raise ValueError(msg) from error


def _pools(traces: Mapping[str, Trace], scale: int, *, spot: bool) -> list[PoolSpec]:
    begins = min(trace.steps[0][0] for trace in traces.values())
    return [
        PoolSpec(
            name=name,
            capacity=_from_zero(trace.steps, begins, scale),
            # A constant capacity needs no repetition.
            repeat=trace.ends - begins if len(trace.steps) > 1 else 0.0,
            spot=spot,
        )
        for name, trace in traces.items()
    ]


def _from_zero(
    steps: Sequence[tuple[float, int]], begins: float, scale: int
) -> tuple[tuple[float, int], ...]:
    moved = tuple((at - begins, count * scale) for at, count in steps)
    return moved if moved[0][0] <= 0 else ((0.0, 0), *moved)


def _tasks(rows: Sequence[WorkRow], largest: Mapping[str, int], gpus: float) -> list[Task]:
    begins, most = rows[0].submitted, max(largest.values())
    fitting: dict[int, tuple[str, ...]] = {}
    made = []
    for number, row in enumerate(rows):
        count = max(1, min(most, math.ceil(row.gpus / gpus)))
        if count not in fitting:
            fitting[count] = tuple(name for name, size in largest.items() if size >= count)
        pools = fitting[count]
        turn = number % len(pools)
        made.append(
            Task(
                number=number,
                submitted=row.submitted - begins,
                share=row.user,
                pools=(*pools[turn:], *pools[:turn]),
                count=count,
                work=max(1.0, row.duration),
            )
        )
    return made
