"""The digests of a source folder's files, so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence

from ._files import new_name
from ._manifest import is_id
from ._scan import File

__all__ = ["Cache"]

# A file that was written twice within one step of the file system's clock looks unchanged. FAT's
# steps are the longest: 2 s (https://learn.microsoft.com/windows/win32/sysinfo/file-times).
_SETTLED_NS = 2_000_000_000


class Cache:
    """
    The digests of one folder's files by device, inode, size and times.

    It is a hint. Where it is missing or damaged, files are read.
    """

    def __init__(self, path: str, digests: Mapping[str, str], now: int) -> None:
        self._path = path
        self._digests = digests
        self._now = now

    @classmethod
    def read(cls, store: str, folder: str) -> Cache:
        """Read the cache of a folder."""
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
        path = os.path.join(store, "cache", f"{name}.json")
        digests: Mapping[str, str] = {}
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
            total, _, content = file.read().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() == total:
                digests = json.loads(content)
        return cls(path, digests, time.time_ns())

    def digest(self, file: File) -> str | None:
        """Return the digest of a file that is unchanged; None if it has to be read."""
        found = self._digests.get(_key(file))
        return found if is_id(found) else None

    def write(self, files: Sequence[File], digests: Sequence[str | None]) -> None:
        """
        Replace the cache of the folder.

        Files that were changed a moment before are left out. So is the whole cache if it is as it was.
        """
        settled = self._now - _SETTLED_NS
        known = {
            _key(file): digest
            for file, digest in zip(files, digests, strict=True)
            if file.identity[2] < settled and file.identity[3] < settled
        }
        if known == self._digests:
            return
        content = json.dumps(known).encode()
        part = f"{self._path}.{new_name()}"
        try:
            with open(part, "xb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            os.replace(part, self._path)
        except OSError:  # the snapshot does not need it
            with contextlib.suppress(OSError):
                os.unlink(part)


def _key(file: File) -> str:
    return f"{file.size}:{':'.join(map(str, file.identity))}"
