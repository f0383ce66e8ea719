"""A hint to the manager that a job or a training changed: one datagram on a socket in its home.

Nothing depends on it: a manager that misses a hint begins its next pass half a second later.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from ._supervisor.wake import poke as _poke


def poke(path: Path | str) -> bool:
    """Wake the manager that listens at *path*; if none does, it is no error, and the answer is False."""
    return _poke(os.fspath(path))


class WakeSocket:
    """
    The manager's end of the socket.

    The socket file of a killed manager is replaced.

    Raises:
        OSError: the socket cannot be made, such as for a path of more than about 100 characters.
    """

    def __init__(self, path: Path | str) -> None:
        """Listen at *path*."""
        self.path = os.fspath(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003  (the standard library's signature)
        self._socket.bind(self.path)

    def fileno(self) -> int:
        """Return the file descriptor, to wait for it with select."""
        return self._socket.fileno()

    def wait(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for a hint; False if none came. Hints that have queued up count as one."""
        ready, _, _ = select.select([self._socket], [], [], timeout)
        if not ready:
            return False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
        return True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.close()
