"""
Lambda's Runtime API, as much of it as one execution environment needs, and a function in it.

The function runs under the real runtime client (`awslambdaric`), the same that is in Lambda's
images: one process, one invocation at a time, killed when its time is over.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from patience import SECONDS

ACCOUNT, REGION = "123456789012", "us-east-1"


@dataclass
class Outcome:
    """What came of an invocation: *error* as Lambda's answer has it, or None."""

    payload: Any
    error: dict[str, Any] | None
    seconds: float


@dataclass
class _Work:
    event: Any
    request_id: str
    deadline_ms: int
    done: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for an answer's head and body

    def log_message(self, *_: object) -> None:
        pass

    @property
    def environment(self) -> Environment:
        return self.server.environment  # type: ignore[attr-defined]

    def do_GET(self) -> None:  # noqa: N802
        work = self.environment.next_work()
        if work is None:
            self.close_connection = True
            return
        body = json.dumps(work.event).encode()
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.environment.name}"
        self._answer(
            200,
            body,
            {
                "Lambda-Runtime-Aws-Request-Id": work.request_id,
                "Lambda-Runtime-Deadline-Ms": str(work.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": arn,
                "Lambda-Runtime-Trace-Id": "Root=1-0-0",
                "Content-Type": "application/json",  # without it the native client crashes
            },
        )

    def do_POST(self) -> None:  # noqa: N802
        body = self._body()
        what = self.path.rsplit("/", 1)[-1]
        if "/init/error" in self.path:
            what = "init"
        self.environment.report(what, body)
        self._answer(202, b"{}", {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Environment:
    """
    An execution environment of one function.

    Args:
        handler: ``module.function``.
        environ: the function's variables.
        path: folders for the function's modules, in front of the installed ones.
    """

    def __init__(self, handler: str, *, environ: Mapping[str, str], path: Path) -> None:
        self.handler = handler
        self.name = handler.split(".", maxsplit=1)[0]
        self.environ = dict(environ)
        self.path = path
        self.output = path / f"{handler}.log"
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: queue.Queue[_Work | None] = queue.Queue()
        self._current: _Work | None = None
        self._init_error: bytes | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.environment = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._waiting.put(None)
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any, *, timeout: float = SECONDS) -> Outcome:
        """Invoke the function; a process that died, or was killed, is started anew."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        began = time.monotonic()
        work = _Work(event, f"request-{time.monotonic_ns()}", int((time.time() + timeout) * 1000))
        self._current = work
        self._waiting.put(work)
        while True:
            try:
                what, body = work.done.get(timeout=0.02)
                break
            except queue.Empty:
                spent = time.monotonic() - began
                if spent >= timeout:
                    self._kill()
                    text = f"Task timed out after {timeout:.2f} seconds"
                    return Outcome(None, {"errorMessage": text}, spent)
                if self._process is not None and self._process.poll() is not None:
                    code = self._process.returncode
                    error = json.loads(self._init_error or b"{}") or {
                        "errorType": "Runtime.ExitError",
                        "errorMessage": f"exit status {code}",
                    }
                    self._drain()
                    return Outcome(None, error, spent)
        payload = json.loads(body) if body else None
        if what == "response":
            return Outcome(payload, None, time.monotonic() - began)
        return Outcome(None, payload, time.monotonic() - began)

    def lines(self) -> list[dict[str, Any]]:
        """Read the JSON lines that the function wrote."""
        text = self.output.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    # --- the Runtime API's side -------------------------------------------------------

    def next_work(self) -> _Work | None:
        return self._waiting.get()

    def report(self, what: str, body: bytes) -> None:
        if what == "init":
            self._init_error = body
        elif self._current is not None:
            self._current.done.put((what, body))

    # --- the process ------------------------------------------------------------------

    def _start(self) -> None:
        self.starts += 1
        self._init_error = None
        self._drain()
        host = f"127.0.0.1:{self._server.server_address[1]}"
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.path),
            "AWS_LAMBDA_RUNTIME_API": host,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "LAMBDA_TASK_ROOT": str(self.path),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        } | self.environ
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", self.handler],
                env=environ,
                cwd=self.path,
                stdout=output,
                stderr=output,
            )

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _drain(self) -> None:
        while not self._waiting.empty():
            self._waiting.get_nowait()
