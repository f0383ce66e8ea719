"""A snapshot as a tar.gz, for a service that fetches the code of its trainings."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping

from ._errors import CodeError, printable
from ._files import hash_file
from ._manifest import Entry, object_path, read_manifest

__all__ = ["pack"]


def pack(
    store: str | os.PathLike[str], snapshot: str, more: Mapping[str, bytes] | None = None
) -> bytes:
    """
    Pack a snapshot; the bytes depend on its content only.

    Args:
        more: executable files to add, by path.

    Raises:
        CodeError: the snapshot is missing or damaged, or has a file of the name of one of *more*.
    """
    import gzip  # not at the top: the shims of trainings import this package
    import tarfile

    path = os.fspath(store)
    manifest = read_manifest(path, snapshot)
    more = more or {}
    names = {entry.path for entry in manifest.files} | {path for path, _ in manifest.links}
    if taken := sorted(names.intersection(more)):
        msg = f"{taken[0]}: jobcore adds a file of this name; choose another one"
        raise CodeError(msg)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:

        def add(
            name: str, kind: bytes, *, mode: int, target: str = "", content: bytes = b""
        ) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.size = kind, mode, target, len(content)
            archive.addfile(info, io.BytesIO(content))

        for folder in manifest.folders:
            add(folder, tarfile.DIRTYPE, mode=0o755)
        for entry in manifest.files:
            mode = 0o755 if entry.executable else 0o644
            add(entry.path, tarfile.REGTYPE, mode=mode, content=_content(path, entry))
        for name, content in sorted(more.items()):
            add(name, tarfile.REGTYPE, mode=0o755, content=content)
        for name, target in manifest.links:
            add(name, tarfile.SYMTYPE, mode=0o777, target=target)
    return gzip.compress(packed.getvalue(), mtime=0)


def _content(store: str, entry: Entry) -> bytes:
    parts: list[bytes] = []
    try:
        fd = os.open(object_path(store, entry.digest), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = -1
    if fd >= 0:
        try:
            if hash_file(fd, parts.append)[0] == entry.digest:
                return b"".join(parts)
        finally:
            os.close(fd)
    msg = f"snapshot: {printable(entry.path)} is damaged or missing in {store}"
    raise CodeError(msg)
