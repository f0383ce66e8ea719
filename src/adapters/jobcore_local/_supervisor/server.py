"""The fork server: one process for each manager, which gives every order to a shim of its own."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket

from .processes import load_libc
from .shim import Shim

SPARES = 4
SPARE_SECONDS = 0.002  # without an order, before a spare is forked


def serve(manager: socket.socket) -> None:
    """Pass each order of the manager to a shim, until the manager's socket closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps exited shims
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the manager
    load_libc()
    gc.disable()  # a collection would copy the pages that shims share with this process
    gc.freeze()
    spares: list[socket.socket] = []
    while True:
        # Orders come first; spares are forked when there is nothing else to do.
        if len(spares) < SPARES and not select.select([manager], [], [], SPARE_SECONDS)[0]:
            spares.append(fork_shim([manager, *spares]))
            continue
        size, fds, _, _ = socket.recv_fds(manager, 4, 1)
        if len(size) < 4 or not fds:
            return
        order = receive_exactly(manager, int.from_bytes(size, "big"))
        while True:
            try:
                with spares.pop() as shim:
                    socket.send_fds(shim, [size], fds)
                    shim.sendall(order)
                    break
            except (OSError, IndexError):  # no spare left, or it was killed
                spares.append(fork_shim([manager, *spares]))
        os.close(fds[0])


def fork_shim(server_sockets: list[socket.socket]) -> socket.socket:
    """
    Fork a shim that waits for its order; return the socket to send it by.

    Args:
        server_sockets: the server's own, which the shim closes.
    """
    to_shim, orders = socket.socketpair()
    if os.fork():
        orders.close()
        return to_shim
    code = 1
    try:
        for inherited in (to_shim, *server_sockets):
            inherited.close()
        os.setsid()
        os.umask(0o077)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        shim = Shim()
        size, fds, _, _ = socket.recv_fds(orders, 4, 1)
        if fds:
            data = receive_exactly(orders, int.from_bytes(size, "big"))
            orders.close()
            shim.run(json.loads(data), socket.socket(fileno=fds[0]))
        code = 0
    finally:
        os._exit(code)


def receive_exactly(source: socket.socket, size: int) -> bytes:
    """Read *size* bytes; fewer only at the end of the stream."""
    data = b""
    while len(data) < size and (more := source.recv(size - len(data))):
        data += more
    return data
