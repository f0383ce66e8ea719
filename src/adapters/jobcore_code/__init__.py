"""
Snapshots of source folders: code is frozen when its job is submitted.

A snapshot is the content of a folder without what is ignored and what may hold secrets. Its id is a
hash of that content. `CodeStore` keeps snapshots in the home of one machine, each file's content once.
The standard library is enough, and only a little of it is imported: the shims of trainings lay
snapshots out (`lay_out`).
"""

from ._args import environment_id, snapshot_id
from ._errors import CodeError
from ._git import GitState, git_state
from ._layout import lay_out
from ._manifest import Entry, Manifest
from ._pack import pack
from ._rules import NEVER_TAKEN
from ._scan import BYTES_MAX, FILES_MAX, File, Link, Tree, scan
from ._store import CodeStore, Pruned, Snapshot

__all__ = [
    "BYTES_MAX",
    "FILES_MAX",
    "NEVER_TAKEN",
    "CodeError",
    "CodeStore",
    "Entry",
    "File",
    "GitState",
    "Link",
    "Manifest",
    "Pruned",
    "Snapshot",
    "Tree",
    "environment_id",
    "git_state",
    "lay_out",
    "pack",
    "scan",
    "snapshot_id",
]
