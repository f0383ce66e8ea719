"""
A proxy before an AWS stand-in that loses replies, resets connections and throttles, as told.

A late reply is for clients that are `late_replies.impatient`.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from late_replies import LATE
from patience import SECONDS

KINDS = ("late-reply", "reset-after", "fail-after", "throttle", "reset-before")


@dataclass
class Rule:
    """Befalls the next *times* requests whose operation is *operation*."""

    operation: str
    kind: str
    times: int = 1
    hits: int = 0


class FaultyProxy:
    """Forwards HTTP requests to *upstream*; `rules` say what goes wrong."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urllib.parse.urlsplit(upstream)
        self.rules: list[Rule] = []
        self.calls: list[str] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def struck(self, operation: str) -> str:
        with self._lock:
            self.calls.append(operation)
            for rule in self.rules:
                if rule.operation == operation and rule.hits < rule.times:
                    rule.hits += 1
                    return rule.kind
        return ""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: ClassVar[Any] = None
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # and headers and body together, or each reply costs 40 ms
    wbufsize = 1 << 16

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.proxy.struck(self._operation(body))
        if kind == "throttle":
            text = b'{"__type":"ThrottlingException","message":"Rate exceeded"}'
            if b"Action=" in body:
                text = (
                    b"<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>"
                    b"<Message>Rate exceeded</Message></Error></ErrorResponse>"
                )
            self._send(400, text, {})
            return
        if kind == "reset-before":
            self._reset()
            return
        status, answer, headers = self._forward(body)
        if kind == "reset-after":
            self._reset()
        elif kind == "fail-after":
            self._send(500, b'{"__type":"InternalServerError","message":"it broke"}', {})
        else:
            late = {LATE: "1"} if kind == "late-reply" else {}
            self._send(status, answer, headers | late)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST

    def _operation(self, body: bytes) -> str:
        target = self.headers.get("X-Amz-Target", "")
        if target:
            return target.rpartition(".")[2]
        fields = urllib.parse.parse_qs(body.decode("utf-8", "replace"))
        return fields.get("Action", [f"{self.command} {self.path}"])[0]

    def _forward(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        upstream = self.proxy.upstream
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=SECONDS)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in (
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "date",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # nobody waits any more

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()
