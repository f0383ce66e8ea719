"""The records in a training's folder, `started.json` and `exit.json`: reading, checking, settling.

A shim writes each of them whole or not at all (see `_supervisor`). A damaged one was left by an
older release (on a full disk, by a power cut), by a failing disk, or by a person.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jobcore
from jobcore.metrics import METRICS_MAX, Metric, decode_metrics
from jobcore.ports import TrainingState

from ._supervisor.files import replace_durably, try_lock

__all__ = [
    "OUTCOMES",
    "DamagedError",
    "problems",
    "read_end",
    "read_metrics",
    "read_start",
    "settle",
]

OUTCOMES = {
    "Completed": TrainingState.COMPLETED,
    "Failed": TrainingState.FAILED,
    "Stopped": TrainingState.STOPPED,
    "TimedOut": TrainingState.STOPPED,
}
_START: Mapping[str, tuple[type, ...]] = {
    "job_id": (str,),
    "attempt": (int,),
    "spec_hash": (str,),
    "pid": (int, type(None)),
    "start_ticks": (int, type(None)),
    "started_at": (int, type(None)),
    "grace": (int, float),
}
_END: Mapping[str, tuple[type, ...]] = {
    "outcome": (str,),
    "reason": (str,),
    "ended_at": (int, type(None)),
}


class DamagedError(ValueError):
    """A record that exists and does not have the content that a shim writes."""


def read_start(folder: Path) -> dict[str, Any] | None:
    """
    Read the record of a training's start; None if it was never started.

    Raises:
        DamagedError: the record exists, so the name is reserved, but it cannot be read.
        OSError: the disk cannot be read now.
    """
    return _read(folder / "started.json", _START)


def read_end(folder: Path) -> dict[str, Any] | None:
    """
    Read the record of a training's end; None if there is none.

    Raises:
        DamagedError: the record exists, so the training is over, but it cannot be read.
        OSError: the disk cannot be read now.
    """
    document = _read(folder / "exit.json", _END)
    if document is not None and document["outcome"] not in OUTCOMES:
        msg = f"exit.json cannot be read: outcome {document['outcome'][:40]!r} is not known"
        raise DamagedError(msg)
    return document


def read_metrics(end: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the metrics in the record of an end; none if they are damaged: the end counts."""
    try:
        return decode_metrics(end.get("metrics", []))[:METRICS_MAX]
    except (TypeError, ValueError):
        return ()


def _read(path: Path, fields: Mapping[str, tuple[type, ...]]) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        reason = "it is not JSON" if data else "it is empty"
        msg = f"{path.name} cannot be read: {reason}"
        raise DamagedError(msg) from None
    if not isinstance(document, dict):
        msg = f"{path.name} cannot be read: it is not a JSON object"
        raise DamagedError(msg)
    for field, types in fields.items():
        if not isinstance(document.get(field), types):
            msg = f"{path.name} cannot be read: {field} is missing or of a wrong type"
            raise DamagedError(msg)
    return document


def settle(folder: Path, identity: Mapping[str, Any], *, to_stop: bool) -> bool:
    """
    Replace a damaged start record, and write an end record unless there is one.

    The name stays reserved, so nothing runs under it again. The script may have run. So the end is
    recorded as a failure, or as a stop if one was requested, and the job's retry policy applies.

    Args:
        identity: the job's id, the attempt and the hash of the spec.
        to_stop: whether the launch was only to reserve the name.

    Returns:
        False, and nothing was written, if a process of the training is alive and holds its lock.

    Raises:
        OSError: a record could not be written; the next call tries again.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(lock):
            return False
        try:
            if read_start(folder) is not None:
                return True  # another manager has settled it since
            why = "started.json is missing"
        except DamagedError as error:
            why = str(error)
        # The end record first: if this process dies in between, the next call settles the start record.
        if not _is_end_readable(folder):
            stopped = to_stop or (folder / "stop").exists()
            end = {
                "outcome": "Stopped" if stopped else "Failed",
                "exit_code": None,
                "reason": "The training job has stopped."
                if stopped
                else f"InternalError: {why}; whether the training ran is not known",
                "started_at": None,
                "ended_at": None,
            }
            replace_durably(os.fspath(folder / "exit.json"), end)
        start = {**identity, "pid": None, "start_ticks": None, "started_at": None, "grace": 0}
        replace_durably(os.fspath(folder / "started.json"), start)
        return True
    finally:
        os.close(lock)


def _is_end_readable(folder: Path) -> bool:
    try:
        return read_end(folder) is not None
    except DamagedError:
        return False


def problems(trainings: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each training, and the first problem of its records or ""."""
    for name in sorted(os.listdir(trainings)):
        if jobcore.lifecycle.parse_training_name(name) is None:
            continue
        wrong = ""
        for read in (read_start, read_end):
            try:
                read(trainings / name)
            except DamagedError as error:
                wrong = wrong or str(error)
            except OSError as error:
                wrong = wrong or f"{error.filename}: {error.strerror}"
        yield name, wrong
