"""What is never taken into a snapshot, and the ignore files of a tree."""

from __future__ import annotations

import errno
import fnmatch
import itertools
import os
import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

from ._errors import CodeError
from ._ignore import IgnoreFile, parse

__all__ = ["NEVER_TAKEN", "Reason", "Rules"]


class Reason(NamedTuple):
    """Why an entry of a tree is left out."""

    text: str
    of_git: bool = False  # a rule of .gitignore, which does not hold for what git tracks


#: Names that are left out wherever they are, in any case of letters, whatever the ignore files say.
NEVER_TAKEN: dict[str, tuple[str, ...]] = {
    "may hold secrets": (
        ".env", ".env.*", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
        "*.kdbx", "*.ppk", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc",
        ".pgpass", ".htpasswd", ".npmrc", ".pypirc", ".git-credentials", "credentials",
        "credentials.json", "application_default_credentials.json", "client_secret*.json",
        "service-account*.json", "service_account*.json", "kaggle.json", ".aws", ".azure", ".docker",
        ".gcloud", ".gnupg", ".kube", ".ssh",
    ),
    "version control": (".git", ".hg", ".svn"),
    "made by tools": (
        "__pycache__", ".venv", "node_modules", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".tox", ".nox", ".ds_store",
    ),
}  # fmt: skip

_REASONS = tuple(map(Reason, NEVER_TAKEN))
# One group for each reason, so that most names are done with one match.
_NEVER = re.compile(
    "|".join(f"({'|'.join(map(fnmatch.translate, names))})" for names in NEVER_TAKEN.values())
)
_FILES = (".jobcoreignore", ".gitignore")  # the first goes over the second
_BYTES_MAX = 1 << 20  # of an ignore file
_PARENTS_MAX = 64


class _Placed(NamedTuple):
    """An ignore file, and how a path of the tree begins in terms of the file's folder."""

    file: IgnoreFile
    prefix: bytes  # the tree's path below the file's folder, for a file above the tree
    cut: int  # the length of the file's folder in the tree, for a file in the tree


class Rules(NamedTuple):
    """The ignore files that hold in one folder of a tree, the deepest first, by name."""

    files: tuple[tuple[_Placed, ...], ...] = ((), ())

    @classmethod
    def above(cls, root: str) -> Rules:
        """
        Read the ignore files above a tree, up to the top of its git repository.

        Raises:
            CodeError: one of them cannot be read.
        """
        folder = root
        parents: list[str] = []
        while not os.path.lexists(os.path.join(folder, ".git")):
            above = os.path.dirname(folder)
            if above == folder or len(parents) == _PARENTS_MAX:
                return cls()  # not in a repository
            parents.append(above)
            folder = above
        rules = cls()
        for parent in reversed(parents):
            prefix = os.fsencode(os.path.relpath(root, parent)) + b"/"
            rules = rules._with(parent, prefix, 0, _FILES)
        return rules

    def inside(self, root: str, folder: str, names: list[str]) -> Rules:
        """
        Add the ignore files of a folder of the tree.

        Args:
            folder: relative to *root*; "" is the root.
            names: of the entries of the folder.

        Raises:
            CodeError: one of them cannot be read.
        """
        if folder and ".git" in names:  # a repository of its own, such as a submodule
            return Rules((self.files[0], ()))._inside(root, folder, names)
        return self._inside(root, folder, names)

    def _inside(self, root: str, folder: str, names: list[str]) -> Rules:
        if not any(name in _FILES for name in names):
            return self
        cut = len(os.fsencode(folder)) + 1 if folder else 0
        return self._with(os.path.join(root, folder), b"", cut, names)

    def _with(self, folder: str, prefix: bytes, cut: int, names: Sequence[str]) -> Rules:
        stacks = []
        for stack, name in zip(self.files, _FILES, strict=True):
            content = _read(os.path.join(folder, name)) if name in names else None
            placed = () if content is None else (_Placed(parse(name, content), prefix, cut),)
            stacks.append((*placed, *stack))
        return Rules(tuple(stacks))

    def reason(self, path: str, *, is_folder: bool) -> Reason | None:
        """Return why an entry of the tree is left out; None if it is taken."""
        name = path.rpartition("/")[2].lower()
        if never := _NEVER.match(name):
            return _REASONS[(never.lastindex or 1) - 1]
        encoded = os.fsencode(path)
        for placed in itertools.chain.from_iterable(self.files):
            below = placed.prefix + encoded[placed.cut :]
            pattern = placed.file.decide(below, is_folder=is_folder)
            if pattern is not None:
                if pattern.includes:
                    return None
                name = placed.file.name
                return Reason(f"{name} line {pattern.line}", of_git=name == _FILES[1])
        return None


def _read(path: str) -> bytes | None:
    """Read an ignore file; None if it is no regular file (git follows no links here either)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise CodeError.of(path, error) from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > _BYTES_MAX:
            msg = f"{path}: larger than {_BYTES_MAX >> 20} MB; is it a list of patterns?"
            raise CodeError(msg)
        return os.read(fd, _BYTES_MAX)
    finally:
        os.close(fd)
