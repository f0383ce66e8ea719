"""The key of an environment: a hash of all that decides what is installed into it."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from jobcore_code import CodeStore, Entry

from ._base import Base

__all__ = ["Requirements", "environment_key", "read_requirements"]

REQUIREMENTS = "requirements.txt"
# uv reads the indexes of a project from these.
_CONFIGURATION = ("pyproject.toml", "uv.toml")
_MARK = b"tool.uv"

# Lines that install the same from whatever folder they are read. All others are taken to depend on
# the code, so that a form that is not known here costs an installation, and is never a wrong hit.
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?=[^-\s]))(\S.*)")
_NAMED = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^]]*\])?\s*(?:[<>=!~;(]|--|$)[^/\\$]*")
_FROM_URL = re.compile(r"(?:[A-Za-z0-9][\w.-]*\s*(?:\[[^]]*\])?\s*@\s*)?(?:git\+)?https?://.*")
_OPTION = re.compile(
    r"(?:-i|--index-url|--extra-index-url|--no-index|--pre|--prefer-binary|--no-binary"
    r"|--only-binary|--require-hashes|--trusted-host)(?:[\s=].*)?"
    r"|(?:-f|--find-links)[\s=]*(?:https?://|/).*"
)
_ARCHIVES = (".whl", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")


class Requirements(NamedTuple):
    """
    What a snapshot's requirements.txt installs.

    Attributes:
        digests: of the files that it consists of, and of uv's configuration, by their paths.
        is_local: it may install something of the code itself (``-e .``, ``./wheels/a.whl``).
    """

    digests: Mapping[str, str]
    is_local: bool


def read_requirements(store: CodeStore, snapshot: str) -> Requirements | None:
    """
    Read the requirements of a snapshot; None if it has none.

    Raises:
        CodeError: the snapshot, or a file of it, is damaged or missing.
    """
    manifest = store.manifest(snapshot)
    files = {entry.path: entry for entry in manifest.files}
    if any(path == REQUIREMENTS for path, _ in manifest.links):
        return Requirements({}, is_local=True)
    if REQUIREMENTS not in files:
        return None
    digests: dict[str, str] = {}
    is_local = False
    lines = 0
    pending = [REQUIREMENTS]
    while pending:
        path = pending.pop()
        entry = files.get(path)
        if entry is None:  # outside of the code, a URL, a link, or missing
            is_local = True
        elif path not in digests:
            digests[path] = entry.digest
            for line in _lines(store.read(entry)):
                lines += 1
                if found := _INCLUDE.fullmatch(line):
                    pending.append(_beside(path, found[1]))
                else:
                    is_local = is_local or not _is_plain(line)
    if not lines:
        return None
    return Requirements(digests | _configuration(store, files), is_local)


def environment_key(base: Base, requirements: Requirements, snapshot: str) -> str:
    """
    Return the id of an environment: 32 hexadecimal digits.

    It depends on the interpreter and the packages that it has, because they decide what is missing.
    """
    facts = [
        1,  # the layout of an environment
        base.executable,
        base.version,
        base.sites,
        base.packages(),
        sorted(requirements.digests.items()),
        snapshot if requirements.is_local else None,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _lines(content: bytes) -> Iterator[str]:
    """Iterate over the lines that are not empty; only their ASCII characters matter here."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    text = re.sub(r"\\\r?\n", " ", text)
    for line in text.splitlines():
        if found := re.sub(r"(?:^|\s)#.*", "", line).strip():
            yield found


def _is_plain(line: str) -> bool:
    """Check whether a line means the same without the folder of the code."""
    name = line.partition(";")[0].partition(" --")[0].strip().lower()
    if _NAMED.fullmatch(line) or _OPTION.fullmatch(line):
        return not name.endswith(_ARCHIVES)
    return _FROM_URL.fullmatch(line) is not None


def _beside(path: str, named: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), named.strip("\"'")))


def _configuration(store: CodeStore, files: Mapping[str, Entry]) -> dict[str, str]:
    found = (files[name] for name in _CONFIGURATION if name in files)
    return {
        entry.path: entry.digest
        for entry in found
        if entry.path == "uv.toml" or _MARK in store.read(entry)
    }
