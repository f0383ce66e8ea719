"""The manifest of a snapshot: its entries as JSON, in one way only, so that its hash is its id."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from ._errors import CodeError

__all__ = ["Entry", "Manifest", "is_id", "manifest_path", "object_path", "read_manifest"]

_VERSION = 1
_DIGITS = frozenset("0123456789abcdef")


class Entry(NamedTuple):
    """A file of a snapshot."""

    path: str
    executable: bool
    size: int
    digest: str  # SHA-256, 64 hexadecimal digits


class Manifest(NamedTuple):
    """The entries of a snapshot, each list sorted by path, which is relative and has no ``..``."""

    folders: Sequence[str]
    files: Sequence[Entry]
    links: Sequence[tuple[str, str]]

    def encode(self) -> bytes:
        """Write it; names that are not UTF-8 as lone surrogates, as `os.fsdecode` has them."""
        document = {
            "version": _VERSION,
            "folders": list(self.folders),
            "files": [[e.path, int(e.executable), e.size, e.digest] for e in self.files],
            "links": [list(link) for link in self.links],
        }
        return json.dumps(document, separators=(",", ":")).encode("ascii")


def is_id(text: object) -> bool:
    """Check whether *text* has the form of a snapshot's id, which is that of a digest."""
    return isinstance(text, str) and len(text) == 64 and _DIGITS.issuperset(text)


def manifest_path(store: str, snapshot: str) -> str:
    """Return the place of a snapshot's manifest."""
    return os.path.join(store, "trees", f"{snapshot}.json")


def object_path(store: str, digest: str) -> str:
    """Return the place of a file's content."""
    return os.path.join(store, "objects", digest[:2], digest)


def read_manifest(store: str, snapshot: str) -> Manifest:
    """
    Read and check a manifest.

    Raises:
        CodeError: there is no such snapshot, or its manifest is damaged.
    """
    again = "submit the job again"
    if not is_id(snapshot):
        msg = f"snapshot: {str(snapshot)[:80]!r} is no id of a snapshot; {again}"
        raise CodeError(msg)
    try:
        with open(manifest_path(store, snapshot), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        msg = f"snapshot: {snapshot[:12]} is not in {store}; {again}"
        raise CodeError(msg) from None
    if hashlib.sha256(content).hexdigest() != snapshot:
        msg = f"snapshot: {snapshot[:12]} in {store} is damaged (its manifest); {again}"
        raise CodeError(msg)
    return _decode(json.loads(content))


def _decode(document: Any) -> Manifest:
    if document["version"] != _VERSION:
        msg = f"snapshot: made by a later release of jobcore (version {document['version']})"
        raise CodeError(msg)
    files = [Entry(path, bool(x), size, digest) for path, x, size, digest in document["files"]]
    links = [(path, target) for path, target in document["links"]]
    manifest = Manifest(document["folders"], files, links)
    names = [*manifest.folders, *(e.path for e in files), *(path for path, _ in links)]
    for name in names:  # of a manifest that another program wrote
        if name.startswith("/") or (".." in name and ".." in name.split("/")):
            msg = f"snapshot: {name!r} is not a path in a folder"
            raise CodeError(msg)
    return manifest
