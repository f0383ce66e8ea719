"""The layout of a snapshot as a folder; the shim of a training does it, so this imports little."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from functools import partial

from ._errors import CodeError, printable
from ._files import copy_checked, put, remove_tree
from ._manifest import Entry, object_path, read_manifest

__all__ = ["lay_out"]


def lay_out(
    store: str,
    snapshot: str,
    target: str,
    *,
    source: str | None = None,
    look: Callable[[str, bytes], None] | None = None,
) -> None:
    """
    Create a folder with the content of a snapshot; nothing in it is shared with the store.

    Every file is checked against its hash. A damaged or missing object is replaced if the source
    folder still has the same content.

    Args:
        store: the folder of the code store.
        snapshot: its id.
        target: the folder to create; files are created with the caller's umask.
        source: the folder that the snapshot was taken of, which may be gone.
        look: called with the path and the content of each file of less than 1 MB, as it is copied.

    Raises:
        CodeError: the snapshot is missing or damaged; there is no *target*.
        OSError: *target* exists, or cannot be written (a full disk); it is removed.
    """
    manifest = read_manifest(store, snapshot)
    os.mkdir(target, 0o755)
    try:
        for folder in manifest.folders:
            os.mkdir(os.path.join(target, folder), 0o755)
        for entry in manifest.files:
            _lay_out_file(store, entry, target, source, look)
        for path, place in manifest.links:  # last, so that no file is written through one
            os.symlink(place, os.path.join(target, path))
    except BaseException:
        remove_tree(target)
        raise


def _lay_out_file(
    store: str,
    entry: Entry,
    target: str,
    source: str | None,
    look: Callable[[str, bytes], None] | None,
) -> None:
    see = partial(look, entry.path) if look is not None else None
    place = os.path.join(target, entry.path)
    mode = 0o755 if entry.executable else 0o644
    if copy_checked(object_path(store, entry.digest), place, entry.digest, mode=mode, see=see):
        return
    if source is not None and _mend(store, entry, os.path.join(source, entry.path)):
        os.unlink(place)
        if copy_checked(object_path(store, entry.digest), place, entry.digest, mode=mode, see=see):
            return
    msg = (
        f"snapshot: {printable(entry.path)} is damaged or missing in {store}; submit the job again "
        "from a folder that has it"
    )
    raise CodeError(msg)


def _mend(store: str, entry: Entry, path: str) -> bool:
    """Replace a damaged object by the file of the source folder; False if that is not the same."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if os.fstat(fd).st_size != entry.size:
                return False
            content = file.read(entry.size + 1)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    if hashlib.sha256(content).hexdigest() != entry.digest:
        return False
    put(store, entry.digest, content)
    return True
