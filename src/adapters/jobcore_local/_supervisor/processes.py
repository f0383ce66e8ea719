"""Facts about processes, from /proc and the C library; without either, empty answers."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

IS_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def start_ticks(pid: int) -> int | None:
    """
    Read a process's start time, in clock ticks since boot; None if it is dead.

    With the pid it identifies the process: pids are reused.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def descendants(root: int) -> list[int]:
    """List the processes below *root*, by the parent pids in /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if IS_LINUX else ():
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    todo = list(children.get(root, ()))
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, ())
    return found


def kernel_oom_kills() -> int:
    """Read the number of the kernel's out-of-memory kills since boot; 0 where it is not known."""
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


@cache
def load_libc() -> ctypes.CDLL:
    """Load the C library; the fork server does it once, before it forks."""
    return ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make this process the parent of the orphans among its descendants, so that it can end them."""
    if IS_LINUX:
        load_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
