"""The environments of one home.

    <id>/         an environment, at the place that its commands have written into them
    <id>.json     its record; written last, so an environment without one is not whole
    <id>.lock     held while it is made, by the installer's processes, too

An id is a hash of what decides about the content, see `_key`. If nothing had to be installed there is
a record only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from jobcore_code import CodeStore, Pruned, lay_out
from jobcore_local._supervisor.files import replace_durably, try_lock

from ._base import Base, look_at
from ._installer import find_installer, install
from ._key import environment_key, read_requirements
from ._layers import create, finish, python_of, show_base_to_uv

__all__ = ["Environment", "Environments", "InstallOptions"]

#: PyTorch for CUDA is 3 GB; at 2 MB a second it takes 25 minutes.
INSTALL_SECONDS_MAX = 3600.0
_ID = re.compile(r"[0-9a-f]{32}")


class Environment(NamedTuple):
    """
    The environment of a job.

    Attributes:
        id: None if the interpreter has all packages already.
        installed: the packages that were installed, as ``name==version``.
        is_new: whether they were installed now.
        seconds: the time that took.
    """

    id: str | None
    installed: list[str]
    is_new: bool = False
    seconds: float = 0.0


def _nothing(_: str) -> None:
    """Ignore a line."""


class InstallOptions(NamedTuple):
    """
    How packages are installed.

    Attributes:
        inherited: the variables that scripts get, see `inherited_environment`.
        environ: the variables that the installer gets.
        say: called with what happens, before something that takes time.
        progress: called with each line that the installer prints, without secrets.
        seconds_max: the longest time that the installer gets.
    """

    inherited: Mapping[str, str]
    environ: Mapping[str, str]
    say: Callable[[str], None] = _nothing
    progress: Callable[[str], None] = _nothing
    seconds_max: float = INSTALL_SECONDS_MAX


class Environments:
    """
    The environments of one home; several processes may use them at the same time.

    Args:
        path: their folder; created with the first one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Use *path*; nothing is read or written."""
        self.path = os.path.realpath(path)

    def folder(self, environment: str) -> str:
        """Return the folder of an environment."""
        return os.path.join(self.path, environment)

    def python(self, environment: str) -> str:
        """Return the interpreter of an environment."""
        return python_of(self.folder(environment))

    def problem(self, environment: str) -> str | None:
        """Return why an environment cannot be used; None if it can. Its packages are not read."""
        folder = self.folder(environment)
        python = self.python(environment)
        if not os.path.isdir(folder):
            return f"its environment {folder} was removed"
        if self._record(environment) is None:
            return f"its environment {folder} is incomplete"
        if not os.access(python, os.X_OK):
            return f"its environment {folder} is damaged: {python} cannot be executed"
        return None

    # --- making ---------------------------------------------------------------------

    def prepare(
        self, python: str, store: CodeStore, snapshot: str, options: InstallOptions
    ) -> Environment | None:
        """
        Install the requirements.txt of a snapshot, unless that was done before.

        A prune may remove the environment until a job needs it, so call this inside
        `CodeStore.in_use`.

        Args:
            python: the interpreter that has to run the job. Its own packages are not changed.

        Returns:
            None if the snapshot has no requirements.

        Raises:
            BadInput: they cannot be installed; nothing is left of the attempt.
            CodeError: the snapshot is damaged or missing.
            OSError: the disk is full, or cannot be written.
        """
        requirements = read_requirements(store, snapshot)
        if requirements is None:
            return None
        base = look_at(python, options.inherited)
        key = environment_key(base, requirements, snapshot)
        if (known := self._known(key)) is not None:
            return known
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        with self._lock(key, options.say) as lock:
            if (known := self._known(key)) is not None:
                return known
            begun = time.monotonic()
            self._remove(key)
            try:
                keeps_code = requirements.is_local  # it may be what is installed (``-e .``)
                code = store.path, snapshot
                installed = self._make(key, base, code, options, lock, keeps_code=keeps_code)
                if not installed:
                    self._remove(key)
                _sync_all(self.path)
                self._write_record(key, base, requirements.digests, installed)
            except BaseException:
                self._remove(key)
                raise
            seconds = time.monotonic() - begun
            is_needed = key if installed else None
            return Environment(is_needed, installed, is_new=True, seconds=seconds)

    def _make(
        self,
        key: str,
        base: Base,
        code: tuple[str, str],
        options: InstallOptions,
        lock: int,
        *,
        keeps_code: bool,
    ) -> list[str]:
        """Make an environment; return what was installed into it."""
        folder = self.folder(key)
        create(base, folder, options.inherited)
        installer = find_installer(folder, options.environ)
        options.say(f"installing with {installer.name} into {folder}, on top of {base.executable}")
        if installer.name == "uv":
            show_base_to_uv(base, folder, options.inherited)
        place = os.path.join(folder, "code")
        lay_out(*code, place)
        install(
            installer,
            place,
            options.environ,
            lock=lock,
            seconds_max=options.seconds_max,
            progress=options.progress,
        )
        if not keeps_code:
            shutil.rmtree(place)
        return finish(folder, options.inherited)

    def _known(self, key: str) -> Environment | None:
        record = self._record(key)
        if record is None or (record["installed"] and self.problem(key)):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._record_path(key))  # a prune goes by the last use
        installed = record["installed"]
        return Environment(key if installed else None, installed)

    def _record_path(self, key: str) -> str:
        return os.path.join(self.path, f"{key}.json")

    def _record(self, key: str) -> dict[str, Any] | None:
        """Read the record of an environment; None if there is none, or it is damaged."""
        with contextlib.suppress(OSError, ValueError):
            with open(self._record_path(key), "rb") as file:
                record = json.load(file)
            if isinstance(record, dict) and isinstance(record.get("installed"), list):
                return record
        return None

    def _write_record(
        self, key: str, base: Base, digests: Mapping[str, str], installed: list[str]
    ) -> None:
        record = {
            "version": 1,
            "python": base.executable,
            "python_version": base.version,
            "files": dict(digests),
            "installed": installed,
        }
        replace_durably(self._record_path(key), record)

    @contextlib.contextmanager
    def _lock(self, key: str, say: Callable[[str], None]) -> Iterator[int]:
        fd = self._open_lock(key)
        try:
            if not try_lock(fd):
                say("waiting for another process that installs the same")
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def _open_lock(self, key: str) -> int:
        place = os.path.join(self.path, f"{key}.lock")
        return os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _remove(self, key: str) -> None:
        """Remove an environment and its record."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._record_path(key))
        shutil.rmtree(self.folder(key), ignore_errors=True)

    # --- looking after them ---------------------------------------------------------

    def ids(self) -> list[str]:
        """List the environments, incomplete ones and records of nothing included."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        return sorted({n.partition(".")[0] for n in names if _ID.fullmatch(n.partition(".")[0])})

    def check(self) -> tuple[int, list[str]]:
        """Return the number of environments, and a line for each that cannot be used."""
        present = [key for key in self.ids() if os.path.isdir(self.folder(key))]
        return len(present), [why for key in present if (why := self.problem(key))]

    def prune(
        self, needed: Collection[str], *, used_before: float, dry_run: bool = False
    ) -> Pruned:
        """
        Remove the environments that no job needs, and what is left of those that were not finished.

        Call it inside `CodeStore.alone`.

        Args:
            needed: ids of environments that are kept.
            used_before: seconds since 1970; an environment that was used later is kept too.
            dry_run: remove nothing.
        """
        removed = kept = size = 0
        for key in self.ids():
            is_one = os.path.isdir(self.folder(key))
            fd = self._open_lock(key)
            try:
                # An installer whose jobcore was killed may still be at work.
                if key in needed or not try_lock(fd) or not self._is_old(key, used_before):
                    kept += is_one
                    continue
                removed += is_one
                size += _bytes_of(self.folder(key))
                if not dry_run:
                    self._remove(key)
                    os.unlink(os.path.join(self.path, f"{key}.lock"))
            finally:
                os.close(fd)
        return Pruned(removed, kept, size)

    def _is_old(self, key: str, used_before: float) -> bool:
        if self._record(key) is None:
            return True
        return os.stat(self._record_path(key)).st_mtime < used_before


def _sync_all(folder: str) -> None:
    """Write everything of a folder's file system to the disk: thousands of files, before the record."""
    import ctypes  # not at the top: a manager has no use for it

    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(fd)
    except (OSError, AttributeError):  # not Linux
        os.sync()
    finally:
        os.close(fd)


def _bytes_of(folder: str) -> int:
    """Add up what a removal frees: files that uv shares with its cache stay there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            found = os.lstat(os.path.join(place, name))
            total += found.st_size if found.st_nlink == 1 else 0
    return total
