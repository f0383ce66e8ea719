"""Capacity and work from files: what was measured, not made up."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ._scenario import PoolSpec, Provider, Scenario, Task

__all__ = ["capacity_from", "scenario_from", "work_from"]

_WRONG = (ArithmeticError, KeyError, RecursionError, TypeError, ValueError)
_SECONDS_MAX = 1e10  # what is larger, infinite or no number has no date


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        msg = f"{path}: cannot be read: {error}"
        raise ValueError(msg) from None


def _rows(path: Path, text: str, columns: set[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV with at least these columns: each row, and the line that it ends in."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if not columns <= set(rows.fieldnames or ()):
            wanted = ", ".join(sorted(columns))
            msg = f"{path}: expected the columns {wanted}, got {rows.fieldnames!r:.200}"
            raise ValueError(msg)
        for row in rows:
            if not all(isinstance(row[name], str) for name in columns):
                msg = f"{path}: line {rows.line_num}: too few columns"
                raise ValueError(msg)
            yield rows.line_num, row
    except csv.Error as error:
        msg = f"{path}: line {rows.line_num}: {error}"
        raise ValueError(msg) from None


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not abs(number) <= _SECONDS_MAX:
        msg = f"{number} is no time"
        raise ValueError(msg)
    return number


def capacity_from(path: Path, pattern: str = "") -> dict[str, list[tuple[float, int]]]:
    """
    Read capacity traces: steps of (seconds, instances) by name.

    Two formats: run-length CSV with the columns ``trace_id,t_s,available``, and SkyPilot's JSON
    (``{"metadata": {"gap_seconds": ...}, "data": [instances, ...]}``). Either may be gzipped.

    Args:
        pattern: only traces whose name contains this.

    Raises:
        ValueError: the file is neither, or no trace is left; the message names the line.
    """
    text = _text(path)
    traces: dict[str, list[tuple[float, int]]] = {}
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
            gap = _finite(document["metadata"]["gap_seconds"])
            steps: list[tuple[float, int]] = []
            for number, available in enumerate(document["data"]):
                if not steps or steps[-1][1] != int(available):
                    steps.append((number * gap, int(available)))
            traces[path.name.split(".")[0]] = steps
        except _WRONG as error:
            msg = f"{path}: expected metadata.gap_seconds and data: {type(error).__name__}: {error}"
            raise ValueError(msg) from None
    else:
        for line, row in _rows(path, text, {"trace_id", "t_s", "available"}):
            try:
                step = _finite(row["t_s"]), int(row["available"])
            except _WRONG:
                msg = f"{path}: line {line}: t_s and available must be numbers"
                raise ValueError(msg) from None
            traces.setdefault(row["trace_id"], []).append(step)
    found = {name: sorted(steps) for name, steps in traces.items() if pattern in name and steps}
    if not found:
        msg = f"{path}: no trace whose name contains {pattern!r}; there are: {', '.join(sorted(traces)[:5])} ..."
        raise ValueError(msg)
    return found


def work_from(path: Path, source: str = "") -> Sequence[Mapping[str, str]]:
    """
    Read a workload: rows with ``submit_s``, ``duration_s``, and, where known, ``gpus`` and ``user``.

    Raises:
        ValueError: the file is no such CSV, or has no usable row.
    """
    found = []
    for line, row in _rows(path, _text(path), {"submit_s", "duration_s"}):
        if not (row["submit_s"] and row["duration_s"] and source in (row.get("source") or source)):
            continue
        try:
            for field in ("submit_s", "duration_s", "gpus"):
                _finite(row.get(field) or 0)
        except _WRONG:
            msg = f"{path}: line {line}: submit_s, duration_s and gpus must be numbers"
            raise ValueError(msg) from None
        found.append(row)
    if not found:
        msg = f"{path}: no row with submit_s and duration_s"
        raise ValueError(msg)
    return found


def scenario_from(
    capacity: Path,
    workload: Path | None,
    *,
    pattern: str = "",
    pools_max: int = 3,
    jobs_max: int = 500,
    scale: int = 1,
    spot: bool = True,
) -> Scenario:
    """
    Make a scenario of a capacity trace and a workload.

    Args:
        pattern: which traces of the file; the first *pools_max* become pools.
        jobs_max: the first jobs of the workload; its submissions are kept.
        scale: instances for each of the trace's (one-node traces are on or off).
        spot: whether a falling capacity takes instances away.

    Raises:
        ValueError: a file cannot be read.
    """
    traces = capacity_from(capacity, pattern)
    chosen = sorted(traces)[:pools_max]
    pools = []
    for name in chosen:
        begin = traces[name][0][0]
        steps = tuple((at - begin, count * scale) for at, count in traces[name])
        end = steps[-1][0] + 3600.0
        pools.append(PoolSpec(name=name, capacity=steps, repeat=end, spot=spot))
    names = tuple(chosen)
    largest = min(max(count for _, count in pool.capacity) for pool in pools)
    tasks = _tasks(work_from(workload)[:jobs_max], names, largest) if workload else None
    return Scenario(
        name=capacity.name.split(".")[0],
        title=f"{', '.join(names)}",
        pools=pools,
        provider=Provider(),
        tasks_given=tasks,
        horizon=365 * 86400.0,
    )


def _tasks(rows: Sequence[Mapping[str, str]], pools: tuple[str, ...], largest: int) -> list[Task]:
    begin = min(float(row["submit_s"]) for row in rows)
    made = []
    ordered = sorted(rows, key=lambda row: float(row["submit_s"]))
    for number, row in enumerate(ordered):
        turn = number % len(pools)
        gpus = float(row.get("gpus") or 1)
        made.append(
            Task(
                number=number,
                submitted=float(row["submit_s"]) - begin,
                share=row.get("user") or "all",
                pools=(*pools[turn:], *pools[:turn]),
                count=max(1, min(largest, round(gpus / 8))),  # GPUs, at eight to an instance
                work=max(1.0, float(row["duration_s"])),
            )
        )
    return made
