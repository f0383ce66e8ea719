"""Files of the code store: whole or absent, copied and checked."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable

__all__ = [
    "copy_checked", "hash_file", "make_private", "new_name", "put", "remove_tree", "sync",
    "write_all",
]  # fmt: skip

CHUNK_BYTES = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: shares the blocks until one of the two files is written to
_can_clone = True


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data*; `os.write` may write less."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def hash_file(fd: int, write: Callable[[bytes], None] | None = None) -> tuple[str, int]:
    """Read a file to its end; return its digest and its size. Each part read is given to *write*."""
    digest, size = hashlib.sha256(), 0
    while data := os.read(fd, CHUNK_BYTES):
        digest.update(data)
        size += len(data)
        if write is not None:
            write(data)
    return digest.hexdigest(), size


def copy_checked(
    source: str,
    target: str,
    digest: str,
    *,
    mode: int,
    see: Callable[[bytes], None] | None = None,
) -> bool:
    """
    Copy an object of the store into a new file; False if the object is missing or damaged.

    Where the file system can, large files share their blocks until one is changed. A file of less than
    1 MB, which is read in one part, is given to *see*.

    Raises:
        OSError: the new file cannot be written; it may exist in part.
    """
    to = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return _copy(fd, to, see) == digest
        finally:
            os.close(fd)
    except FileNotFoundError:
        return False
    finally:
        os.close(to)


def _copy(fd: int, to: int, see: Callable[[bytes], None] | None) -> str:
    first = os.read(fd, CHUNK_BYTES)
    if len(first) < CHUNK_BYTES:  # nearly all files of code; one read and one write
        write_all(to, first)
        if see is not None:
            see(first)
        return hashlib.sha256(first).hexdigest()
    if _clone(fd, to):
        return hash_file(to)[0]
    os.lseek(fd, 0, os.SEEK_SET)
    return hash_file(fd, lambda data: write_all(to, data))[0]


def _clone(fd: int, to: int) -> bool:
    global _can_clone  # noqa: PLW0603  (of the file system of one home; asked once in a process)
    if _can_clone:
        try:
            fcntl.ioctl(to, _FICLONE, fd)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            _can_clone = False
    return _can_clone


def put(store: str, digest: str, content: bytes) -> None:
    """Write an object durably, over one of that name."""
    folder = os.path.join(store, "objects", digest[:2])
    part = os.path.join(store, "tmp", new_name())
    for needed in (folder, os.path.dirname(part)):
        make_private(needed)
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(part, os.path.join(folder, digest))
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise
    sync(folder)


def new_name() -> str:
    """Return a name that no other process uses."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def make_private(path: str) -> None:
    """Create a folder for its owner only, and those above it (`os.makedirs` opens those to all)."""
    if os.path.isdir(path):
        return
    make_private(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def sync(path: str) -> None:
    """Make a file, or the entries of a folder, durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: str) -> None:
    """Remove a folder and what is in it, as far as possible."""
    import shutil  # not at the top: a shim needs it on a failure only

    shutil.rmtree(path, ignore_errors=True)
