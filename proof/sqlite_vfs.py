"""A layer under the very SQLite library that `sqlite3` uses: it writes down, and may refuse, each change.

SQLite lets a program put a virtual file system (VFS) of its own in the place of the system's. This
one is the system's own with a few entries replaced, so that locks, shared memory and reads are
the real ones; it is registered by ctypes in the library that the standard `sqlite3` module has
loaded. The store under test is therefore the shipped one on the shipped library, unchanged.

The structures are SQLite's public C interface (https://www.sqlite.org/c3ref/vfs.html).
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Op", "WatchedDisk", "is_available", "reseed_sqlite"]

_OPEN_CREATE = 0x4
_JOURNALS = (
    0x800 | 0x80000
)  # SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL: a first sync covers the folder

_int, _ptr, _i64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
_Open = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _ptr, _int, ctypes.POINTER(_int))
_Delete = ctypes.CFUNCTYPE(_int, _ptr, ctypes.c_char_p, _int)
_Randomness = ctypes.CFUNCTYPE(_int, _ptr, _int, _ptr)
_Close = ctypes.CFUNCTYPE(_int, _ptr)
_Write = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _int, _i64)
_Truncate = ctypes.CFUNCTYPE(_int, _ptr, _i64)
_Sync = ctypes.CFUNCTYPE(_int, _ptr, _int)
_ShmMap = ctypes.CFUNCTYPE(_int, _ptr, _int, _int, _int, ctypes.POINTER(_ptr))


class _Vfs(ctypes.Structure):
    """A sqlite3_vfs, version 3."""

    _fields_ = (
        *[("iVersion", _int), ("szOsFile", _int), ("mxPathname", _int), ("pNext", _ptr)],
        *[("zName", ctypes.c_char_p), ("pAppData", _ptr)],
        *[("xOpen", _ptr), ("xDelete", _ptr), ("xAccess", _ptr), ("xFullPathname", _ptr)],
        *[("xDlOpen", _ptr), ("xDlError", _ptr), ("xDlSym", _ptr), ("xDlClose", _ptr)],
        *[("xRandomness", _ptr), ("xSleep", _ptr), ("xCurrentTime", _ptr), ("xLastError", _ptr)],
        *[("xCurrentTimeInt64", _ptr)],
        *[("xSetSystemCall", _ptr), ("xGetSystemCall", _ptr), ("xNextSystemCall", _ptr)],
    )


class _Methods(ctypes.Structure):
    """A sqlite3_io_methods, version 3."""

    _fields_ = (
        *[("iVersion", _int), ("xClose", _ptr), ("xRead", _ptr), ("xWrite", _ptr)],
        *[("xTruncate", _ptr), ("xSync", _ptr), ("xFileSize", _ptr), ("xLock", _ptr)],
        *[("xUnlock", _ptr), ("xCheckReservedLock", _ptr), ("xFileControl", _ptr)],
        *[("xSectorSize", _ptr), ("xDeviceCharacteristics", _ptr), ("xShmMap", _ptr)],
        *[("xShmLock", _ptr), ("xShmBarrier", _ptr), ("xShmUnmap", _ptr)],
        *[("xFetch", _ptr), ("xUnfetch", _ptr)],
    )


class Op(NamedTuple):
    """
    One change that SQLite asked of the disk.

    *kind* is create, write, truncate, sync, delete, sync_folder or shm (shared memory grows: no
    disk holds it, but a full one refuses it). *at* is the offset of a write, the size after a
    truncate. A *failed* one was answered by an error; of a failed write the first half is there.
    """

    kind: str
    name: str
    at: int = 0
    data: bytes = b""
    failed: bool = False


Refuse = Callable[[Op], int]
"""Asked before each change: an SQLite error code to refuse it with, 0 to let it be."""


class WatchedDisk:
    """
    Watches the SQLite files of one folder, for connections that are opened while it is `active`.

    Args:
        folder: others are left alone.
        refuse: which changes fail.
    """

    def __init__(self, folder: Path, refuse: Refuse | None = None) -> None:
        self.folder = os.path.realpath(folder)
        self.log: list[Op] = []
        self.refuse = refuse
        self.troubles: list[BaseException] = []

    @contextmanager
    def active(self) -> Iterator[WatchedDisk]:
        """Be the file system that `sqlite3.connect` uses."""
        layer = _layer()
        layer.disks.append(self)
        layer.make_default()
        try:
            yield self
        finally:
            layer.restore_default()
            layer.disks.remove(self)
        if self.troubles:
            raise self.troubles[0]

    def _ask(self, op: Op) -> int:
        """Note the change; give the error that it fails with, or 0."""
        code = self.refuse(op) if self.refuse is not None else 0
        if code and op.kind == "write":
            half = len(op.data) // 2
            self.log.append(op._replace(data=op.data[:half], failed=True))
        elif op.kind != "shm":
            self.log.append(op._replace(failed=bool(code)))
        return code


class _Layer:
    """The file system that is registered in the library; one for the process, for ever."""

    def __init__(self) -> None:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
        library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), _int]
        library.sqlite3_randomness.argtypes = [_int, _ptr]
        library.sqlite3_randomness.restype = None
        self.library = library
        self.disks: list[WatchedDisk] = []
        self.chance = random.Random(0)  # noqa: S311  (not a secret)
        self._below = library.sqlite3_vfs_find(None)
        below = self._below.contents
        self._files: dict[int, tuple[WatchedDisk, str, int, _Methods]] = {}
        self._tables: dict[int, _Methods] = {}
        self._synced_folder: set[int] = set()
        self._open_below = _Open(below.xOpen)
        self._delete_below = _Delete(below.xDelete)
        self.vfs = _Vfs.from_buffer_copy(below)
        self.vfs.zName = b"jobcore-proof"
        # Kept for ever: connections may outlive whoever opened them.
        self._kept = (
            _Open(self._open),
            _Delete(self._delete),
            _Randomness(self._randomness),
            _Close(self._close),
            _Write(self._write),
            _Truncate(self._truncate),
            _Sync(self._sync),
            _ShmMap(self._shm_map),
        )
        self.vfs.xOpen, self.vfs.xDelete, self.vfs.xRandomness = map(_address, self._kept[:3])

    def make_default(self) -> None:
        self.library.sqlite3_vfs_register(ctypes.byref(self.vfs), 1)

    def restore_default(self) -> None:
        self.library.sqlite3_vfs_register(self._below, 1)

    def _disk_of(self, path: str) -> WatchedDisk | None:
        folder = os.path.dirname(path)
        return next((disk for disk in reversed(self.disks) if disk.folder == folder), None)

    # --- the entries that are replaced. None may raise: C cannot catch it. -----------------

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: object) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        disk = self._disk_of(path) if path else None
        if disk is None:
            return self._open_below(vfs, name, file, flags, out)
        base = os.path.basename(path)
        if flags & _OPEN_CREATE and not os.path.exists(path):
            code = self._safely(disk, lambda: disk._ask(Op("create", base)))
            if code:
                _pointer_at(file).value = None  # SQLite closes what has methods
                return code
        code = self._open_below(vfs, name, file, flags, out)
        if code == 0:
            table = _pointer_at(file)
            if table.value not in self._tables:
                self._tables[table.value] = self._replaced(table.value)
            below = _Methods.from_address(table.value)
            self._files[file] = (disk, base, flags, below)
            self._synced_folder.discard(file)
            table.value = ctypes.addressof(self._tables[table.value])
        return code

    def _replaced(self, table: int) -> _Methods:
        mine = _Methods.from_buffer_copy(_Methods.from_address(table))
        mine.iVersion = min(mine.iVersion, 2)  # no memory-mapped pages
        mine.xClose, mine.xWrite, mine.xTruncate, mine.xSync, mine.xShmMap = map(
            _address, self._kept[3:]
        )
        return mine

    def _close(self, file: int) -> int:
        *_, below = self._files.pop(file)
        return _Close(below.xClose)(file)

    def _write(self, file: int, data: int, size: int, at: int) -> int:
        disk, name, _, below = self._files[file]
        op = Op("write", name, at, ctypes.string_at(data, size))
        code = self._safely(disk, lambda: disk._ask(op))
        done = _Write(below.xWrite)(file, data, size // 2 if code else size, at)
        return code or done

    def _truncate(self, file: int, size: int) -> int:
        disk, name, _, below = self._files[file]
        code = self._safely(disk, lambda: disk._ask(Op("truncate", name, size)))
        return code or _Truncate(below.xTruncate)(file, size)

    def _sync(self, file: int, flags: int) -> int:
        disk, name, opened, below = self._files[file]
        code = self._safely(disk, lambda: disk._ask(Op("sync", name)))
        if not code:
            code = _Sync(below.xSync)(file, flags)
            # What the system's own layer does: with the first sync of a journal, its folder's.
            if opened & _JOURNALS and opened & _OPEN_CREATE and file not in self._synced_folder:
                self._synced_folder.add(file)
                disk.log.append(Op("sync_folder", ""))
        return code

    def _shm_map(self, file: int, region: int, size: int, extend: int, out: object) -> int:
        disk, name, _, below = self._files[file]
        if extend:
            code = self._safely(disk, lambda: disk._ask(Op("shm", name)))
            if code:
                return code
        return _ShmMap(below.xShmMap)(file, region, size, extend, out)

    def _delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        path = os.fsdecode(name)
        disk = self._disk_of(path)
        if disk is None or not os.path.exists(path):
            return self._delete_below(vfs, name, sync_folder)
        op = Op("delete", os.path.basename(path))
        code = self._safely(disk, lambda: disk._ask(op)) or self._delete_below(
            vfs, name, sync_folder
        )
        if not code and sync_folder:
            disk.log.append(Op("sync_folder", ""))
        return code

    def _randomness(self, vfs: int, size: int, out: int) -> int:
        ctypes.memmove(out, self.chance.randbytes(size), size)
        return size

    @staticmethod
    def _safely(disk: WatchedDisk, ask: Callable[[], int]) -> int:
        try:
            return ask()
        except BaseException as error:
            disk.troubles.append(error)
            return sqlite3.SQLITE_INTERNAL


def _address(function: object) -> int | None:
    return ctypes.cast(function, _ptr).value  # type: ignore[arg-type]


def _pointer_at(address: int) -> ctypes.c_void_p:
    return _ptr.from_address(address)


_found: list[_Layer] = []


def _layer() -> _Layer:
    if not _found:
        _found.append(_Layer())
    return _found[0]


def is_available() -> bool:
    """Tell whether the library that `sqlite3` uses can be reached: not where it is linked in hidden."""
    try:
        _layer()
    except (AttributeError, OSError):
        return False
    return True


def reseed_sqlite(seed: int) -> None:
    """Let what SQLite draws next (the salts of its log) follow from *seed*, so that a run repeats."""
    layer = _layer()
    layer.chance.seed(seed)
    layer.make_default()
    layer.library.sqlite3_randomness(0, None)  # forget; the next draw asks the default layer
    layer.library.sqlite3_randomness(1, ctypes.create_string_buffer(1))
    layer.restore_default()
