"""The digests of a source folder's files, so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._files import new_name
from ._manifest import is_id
from ._scan import File, Tree

__all__ = ["Cache"]

# A file that was written twice within one step of the file system's clock looks unchanged. FAT's
# steps are the longest: 2 s (https://learn.microsoft.com/windows/win32/sysinfo/file-times).
_SETTLED_NS = 2_000_000_000


class Cache:
    """
    The digests of one folder's files by device, inode, size and times, and its last snapshot.

    It is a hint. Where it is missing or damaged, files are read.
    """

    def __init__(self, path: str, document: Mapping[str, Any], now: int) -> None:
        self._path = path
        self._digests: Mapping[str, str] = document.get("digests", {})
        self._tree = document.get("tree")
        self._snapshot = document.get("snapshot")
        self._now = now

    @classmethod
    def read(cls, store: str, folder: str) -> Cache:
        """Read the cache of a folder."""
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
        path = os.path.join(store, "cache", f"{name}.json")
        document: Mapping[str, Any] = {}
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
            total, _, content = file.read().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() == total:
                document = json.loads(content)
        return cls(path, document, time.time_ns())

    def snapshot(self, tree: Tree) -> str | None:
        """Return the last snapshot of the folder if nothing has changed since; else None."""
        same = is_id(self._snapshot) and self._tree == _fingerprint(tree)
        return self._snapshot if same else None

    def digest(self, file: File) -> str | None:
        """Return the digest of a file that is unchanged; None if it has to be read."""
        found = self._digests.get(_key(file))
        return found if is_id(found) else None

    def write(self, tree: Tree, digests: Sequence[str | None], snapshot: str) -> None:
        """
        Replace the cache of the folder.

        Files that were changed a moment before are left out, and with them the snapshot.
        """
        settled = self._now - _SETTLED_NS
        known = {
            _key(file): digest
            for file, digest in zip(tree.files, digests, strict=True)
            if file.identity[2] < settled and file.identity[3] < settled
        }
        document: dict[str, Any] = {"digests": known}
        if all(_key(file) in known for file in tree.files):
            document |= {"tree": _fingerprint(tree), "snapshot": snapshot}
        content = json.dumps(document).encode()
        part = f"{self._path}.{new_name()}"
        try:
            with open(part, "xb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            os.replace(part, self._path)
        except OSError:  # the snapshot does not need it
            with contextlib.suppress(OSError):
                os.unlink(part)


def _fingerprint(tree: Tree) -> str:
    """Hash the names and identities of all that a snapshot takes; no file is read."""
    return hashlib.sha256(repr((tree.folders, tree.files, tree.links)).encode()).hexdigest()


def _key(file: File) -> str:
    return f"{file.size}:{':'.join(map(str, file.identity))}"
