"""A sandbox that listens: HTTP, the passing of time, and scripts, in threads of this process."""

from __future__ import annotations

import threading
from typing import Self

from ._config import SandboxConfig
from ._control import Control
from ._http import HttpServer
from ._sandbox import Sandbox
from ._scripts import ScriptRunner

__all__ = ["Server", "serve"]


class Server(Sandbox):
    """
    A running sandbox.

    Attributes:
        url: its address, on 127.0.0.1.
        port: the port of the url.
        control: answers the calls below ``/_sandbox/``.
        scripts: runs training scripts; None if the configuration has no folder for them.
    """

    def __init__(self, config: SandboxConfig, *, port: int = 0) -> None:
        super().__init__(config)
        self.scripts = ScriptRunner(self, config.run_scripts) if config.run_scripts else None
        self.control = Control(self)
        self._http = HttpServer(port, self, self.control)
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.05,), name="sandbox-http"),
            threading.Thread(target=self._pass_time, name="sandbox-time"),
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End: no further answers, and the scripts that run are killed."""
        if self.closing.is_set():
            return
        self.closing.set()
        self.wake.set()
        self._http.shutdown()
        self._http.server_close()
        if self.scripts is not None:
            self.scripts.close()
        for thread in self._threads:
            thread.join(timeout=5)
        self._sink.close()

    def _pass_time(self) -> None:
        """Advance the worlds between calls."""
        while not self.closing.is_set():
            self.wake.clear()
            if not self.clock.manual:
                self.service.advance()
            self.wake.wait(self.clock.wait_for(self.service.next_event_at()))


def serve(config: SandboxConfig | None = None, *, port: int = 0) -> Server:
    """
    Start a sandbox on 127.0.0.1, in threads of this process.

    Args:
        port: 0: a free one.

    Returns:
        The server; close it (it is a context manager).
    """
    return Server(config or SandboxConfig(), port=port)
