"""The hint to the manager that a training has started or ended."""

from __future__ import annotations

import socket


def poke(path: str | None) -> bool:
    """Send one byte to the manager's wake socket; False, and no error, if no manager listens."""
    if not path:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wake:
        wake.setblocking(False)  # noqa: FBT003  (the standard library's signature)
        try:
            wake.sendto(b"\0", path)
        except BlockingIOError:  # the manager has not read earlier hints yet
            return True
        except OSError:
            return False
    return True
