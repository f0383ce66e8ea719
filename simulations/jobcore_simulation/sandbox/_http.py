"""SageMaker's JSON 1.1 protocol on ``POST /``, and the sandbox's controls below ``/_sandbox/``."""

from __future__ import annotations

import json
import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jobcore_simulation._texts import Refused

from ._answers import ConnectionCut, Denied
from ._control import Control, NotFound
from ._sandbox import Sandbox
from ._validation import Malformed

__all__ = ["HttpServer"]

_BODY_BYTES_MAX = 8 << 20
_HOSTS = ("127.0.0.1", "localhost")
_AMZ_JSON = "application/x-amz-json-1.1"
_CONTROLS = "/_sandbox/"


class HttpServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `serve_forever` answers."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, sandbox: Sandbox, control: Control) -> None:
        """
        Bind the port.

        Args:
            port: 0: a free one.
            sandbox: answers the calls of the service.
            control: answers the calls below ``/_sandbox/``.
        """
        super().__init__(("127.0.0.1", port), _Handler)
        self.sandbox = sandbox
        self.control = control
        self._open: set[socket.socket] = set()
        self.resets: set[socket.socket] = set()  # connections to end with a reset

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection as open, and handle it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._open.discard(request)
        if request in self.resets:
            self.resets.discard(request)
            self.close_request(request)  # without shutdown(), which would end it orderly
            return
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the port, and the connections that clients keep alive."""
        super().server_close()
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing when a client has closed its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    @property
    def _http(self) -> HttpServer:
        assert isinstance(self.server, HttpServer)
        return self.server

    def do_POST(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        try:
            body = self._body()
            self._check_host()
            if self.path.startswith(_CONTROLS):
                self._control(body)
                return
            if self.command != "POST":
                raise Denied(404, "UnknownOperationException", "The service answers POST only")
            get = self.headers.get
            answer = self._http.sandbox.answer(
                get("X-Amz-Target", ""), get("Authorization", ""), body
            )
            self._send(200, answer, _AMZ_JSON)
        except ConnectionCut as cut:
            self._cut(reset=cut.reset)
        except Denied as denied:
            self._error(denied.status, denied.code, denied.text)
        except Refused as refused:
            self._error(400, refused.code, refused.text)
        except Malformed as malformed:
            self._error(400, "SerializationException", str(malformed))

    def _body(self) -> bytes:
        try:
            size = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            size = -1
        if not 0 <= size <= _BODY_BYTES_MAX or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Denied(413, "RequestEntityTooLarge", "The request body is too large")
        return self.rfile.read(size)

    def _check_host(self) -> None:
        """Refuse requests that a web page in a browser could send: a foreign Host, or any Origin."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in _HOSTS or "Origin" in self.headers:
            raise Denied(403, "AccessDeniedException", "The sandbox answers this machine only")

    def _control(self, body: bytes) -> None:
        status, answer = 200, b""
        try:
            document = json.loads(body) if body else None
            path = self.path.removeprefix(_CONTROLS)
            reply = self._http.control.handle(self.command, path, document)
            answer = json.dumps(reply).encode()
        except NotFound as error:
            status, answer = 404, json.dumps({"error": str(error)}).encode()
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            status, answer = 400, json.dumps({"error": str(error)}).encode()
        self._send(status, answer, "application/json")

    def _error(self, status: int, code: str, text: str) -> None:
        body = json.dumps({"__type": code, "message": text, "Message": text}).encode()
        self._send(status, body, _AMZ_JSON)

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("x-amzn-RequestId", self._http.sandbox.request_id())
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _cut(self, *, reset: bool) -> None:
        """End the connection without an answer: orderly, or with a reset."""
        self.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)  # close() then sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._http.resets.add(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Print nothing: `Sandbox.log` has it."""
