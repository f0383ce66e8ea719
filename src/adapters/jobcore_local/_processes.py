"""The processes of trainings: recognised by pid and start time, or by marks in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from ._supervisor.processes import start_ticks

__all__ = ["is_same_process", "marked_processes", "signal_each", "signal_if_same"]


def is_same_process(pid: int | None, ticks: int | None) -> bool:
    """Check that a process is the one that was started then: pids are reused."""
    if pid is None:
        return False
    if ticks is None:  # no /proc on this system
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
    return start_ticks(pid) == ticks


def signal_if_same(pid: int, ticks: int | None, number: signal.Signals) -> bool:
    """Signal a process if it is the one that was started then; False if it is not."""
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            return True
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_ticks(pid) != ticks:
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def marked_processes(directory: Path) -> list[int]:
    """
    Find the processes of all hosts: those with a training's name and folder in their environment.

    The name alone is not enough: a job that was submitted with the same key in another home has
    trainings of the same names.
    """
    name = f"JOBCORE_TRAINING={directory.name}".encode()
    folder = os.fsencode(f"SM_MODEL_DIR={directory}/")  # and the folder of a host below it
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError):
                environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                if name in environment and any(text.startswith(folder) for text in environment):
                    found.append(int(entry))
    return found


def signal_each(pids: Sequence[int], number: signal.Signals) -> None:
    """Signal processes; those that have ended or belong to another user are left out."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
