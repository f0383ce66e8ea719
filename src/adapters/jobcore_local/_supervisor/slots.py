"""The slots of a pool: files that the holders keep flock-ed."""

from __future__ import annotations

import fcntl
import os

from .files import try_lock


def allocate_slots(directory: str, size: int, count: int) -> tuple[list[int], list[int], int]:
    """
    Allocate *count* of a pool's *size* slots; all or none.

    The pool's own lock makes counting and allocating one step. So the count is right even if the
    pool has just shrunk and slots beyond its size are still held.

    Returns:
        The open files and the slots' numbers (empty if there are not enough), and how many slots
        were in use.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    pool = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(pool, fcntl.LOCK_EX)
        existing = [int(n[5:]) for n in os.listdir(directory) if n.startswith("slot-")]
        free: list[tuple[int, int]] = []
        used = 0
        for number in sorted({*existing, *range(size)}):
            path = os.path.join(directory, f"slot-{number}")
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(fd):
                used += 1
                os.close(fd)
            elif number < size:
                free.append((fd, number))
            else:
                os.close(fd)
        wanted = count if used + count <= size else 0
        for fd, _ in free[wanted:]:
            os.close(fd)
        return [fd for fd, _ in free[:wanted]], [number for _, number in free[:wanted]], used
    finally:
        os.close(pool)
