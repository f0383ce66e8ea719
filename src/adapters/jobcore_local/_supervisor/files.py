"""Locks, and files that are durable when a call returns."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from typing import Any

TAIL_BYTES = 64 * 1024
_LINKS_UNSUPPORTED = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # FAT: EPERM


def try_lock(fd: int) -> bool:
    """Take an exclusive flock without waiting; False if another process holds one."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: str, document: dict[str, Any], *, flags: int) -> None:
    """Write a JSON file and sync it; the caller syncs the directory."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        data = json.dumps(document).encode()
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def create_durably(path: str, document: dict[str, Any]) -> None:
    """
    Create a JSON file that is whole from the moment that it has its name.

    The caller holds the lock of the folder, and syncs its entries.

    Raises:
        FileExistsError: a file of that name exists; it was left as it is.
        OSError: the disk is full, for one; there is no file of that name.
    """
    part = f"{path}.part"
    if os.path.lexists(part):  # left by a shim that was killed while it wrote
        os.unlink(part)
    try:
        write_durably(part, document, flags=os.O_EXCL)
        try:
            os.link(part, path)
        except OSError as error:
            if error.errno not in _LINKS_UNSUPPORTED:
                raise
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            os.rename(part, path)
    finally:
        if os.path.lexists(part):
            os.unlink(part)


def replace_durably(path: str, document: dict[str, Any]) -> None:
    """
    Write a JSON file in one step over the one of that name, if there is one.

    The caller holds the lock of the folder.
    """
    part = f"{path}.part"
    write_durably(part, document, flags=os.O_TRUNC)
    os.rename(part, path)
    sync_directory(os.path.dirname(path))


def read_tail(path: str, *, head: bool = False) -> str:
    """Read the last 64 KB (or the first) of a file that the script wrote; links are not followed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        size = os.fstat(fd).st_size
        offset = 0 if head else max(0, size - TAIL_BYTES)
        return os.pread(fd, TAIL_BYTES, offset).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
