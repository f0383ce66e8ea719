"""The HTTP server: SageMaker's JSON 1.1 protocol on ``POST /``, the sandbox's own controls beside it."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar, Self

from jobcore_simulation._texts import Refused
from jobcore_simulation._training import Script, Training
from jobcore_simulation._world import World

from ._clock import SandboxClock
from ._config import SandboxConfig
from ._control import Control, NotFound
from ._events import EventSink
from ._limits import Bucket, Fault, FaultKind
from ._scripts import ScriptRunner
from ._service import OPERATIONS, Service
from ._validation import Malformed

__all__ = ["Server", "serve"]

_BODY_BYTES_MAX = 8 << 20
_CALLS_KEPT = 100_000
_TARGET = "SageMaker."
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z]{2}(?:-[a-z]+)+-\d)/sagemaker/aws4_request")
_HOSTS = ("127.0.0.1", "localhost")
_INTERNAL = "The request processing has failed because of an unknown error, exception or failure."
_NO_JSON = "The request body is not a JSON object"
_TOO_DEEP = "The request body is nested too deeply"
_AMZ_JSON = "application/x-amz-json-1.1"


class _Cut(Exception):  # noqa: N818  (no answer: the connection ends)
    def __init__(self, *, reset: bool) -> None:
        self.reset = reset


class _Denied(Exception):  # noqa: N818  (an answer)
    def __init__(self, status: int, code: str, text: str) -> None:
        self.status, self.code, self.text = status, code, text


class Server:
    """
    A running sandbox.

    Attributes:
        url: where it listens, on 127.0.0.1.
        faults: what will go wrong; a list to append to.
        calls: how often each operation was called, throttled and faulty calls included.
        log: the calls in order: (operation, training's name, outcome).
    """

    def __init__(self, config: SandboxConfig, *, port: int = 0) -> None:
        self.config = config
        self.clock = SandboxClock(start=config.start, speed=config.speed, manual=config.manual)
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.log: deque[tuple[str, str, str]] = deque(maxlen=_CALLS_KEPT)
        self.latency = config.latency
        self.buckets: dict[str, Bucket] = {}
        self.set_rates(config.rates)
        self._sink = EventSink(
            on_event=config.on_event,
            endpoint=config.events_endpoint,
            region=config.region,
            lost=config.events_lost,
            twice=config.events_twice,
        )
        self.service = Service(config, self.clock.now, self._sink.put)
        self.service.region(config.region)
        self._faults_lock = threading.Lock()
        self._requests = count(1)
        self._wake = threading.Event()
        self.closing = threading.Event()
        self.scripts = ScriptRunner(self, config.run_scripts) if config.run_scripts else None
        self._http = _HttpServer(("127.0.0.1", port), _Handler)
        self._http.sandbox = self
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.control = Control(self)
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.05,), name="sandbox-http"),
            threading.Thread(target=self._tick, name="sandbox-time"),
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def world(self) -> World:
        """The world of the configured region. Hold `Service.lock` when time is not manual."""
        return self.service.region(self.config.region).world

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The EventBridge events so far, delivered or not."""
        return list(self._sink.events)

    @property
    def events_undelivered(self) -> int:
        """How many events the endpoint did not take."""
        return self._sink.undelivered

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        self.clock.skip(seconds)
        self.service.advance()
        self._wake.set()

    def script(self, script: Script) -> None:
        """Say what becomes of trainings yet to come, before what was said until now."""
        with self.service.lock:
            for region in self.service.regions.values():
                region.world.add_script(script)

    def fault(self, kind: FaultKind | str, **settings: Any) -> Fault:
        """Put a fault in store."""
        fault = Fault(kind=FaultKind(kind), **settings)
        with self._faults_lock:
            self.faults.append(fault)
        return fault

    def set_rates(self, rates: Mapping[str, tuple[float, float]]) -> None:
        """Limit operations to (calls per second, burst); those not named are not limited."""
        self.buckets = {name: Bucket(rate, burst) for name, (rate, burst) in rates.items()}

    def close(self) -> None:
        """End: no further answers, and the scripts that run are killed."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._wake.set()
        self._http.shutdown()
        self._http.server_close()
        if self.scripts is not None:
            self.scripts.close()
        for thread in self._threads:
            thread.join(timeout=5)
        self._sink.close()

    # --- a call ---------------------------------------------------------------------------

    def answer(self, target: str, authorization: str, body: bytes) -> bytes:
        """
        Answer a call of the service.

        Raises:
            Refused, _Denied: with an error. Malformed: with SerializationException.
            _Cut: with nothing at all.
        """
        operation = target.removeprefix(_TARGET)
        if not target.startswith(_TARGET) or operation not in OPERATIONS:
            raise _Denied(400, "UnknownOperationException", f"The sandbox has no {target[:100]!r}")
        scope = _SCOPE.search(authorization)
        if scope is None:
            raise _Denied(
                403, "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        try:
            request = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise Malformed(_NO_JSON) from None
        if not isinstance(request, dict):
            raise Malformed(_NO_JSON)
        name = str(request.get("TrainingJobName") or request.get("ResourceArn") or "")
        name = name.rpartition("/")[2]
        self.calls[operation] += 1
        outcome = "no reply"
        try:
            answer = self._carry_out(operation, scope[1], request, name)
            outcome = "ok"
        except Refused as error:
            outcome = error.code
            raise
        except _Denied as error:
            outcome = error.code
            raise
        except Malformed:
            outcome = "SerializationException"
            raise
        finally:
            self.log.append((operation, name, outcome))
        return b"" if answer is None else json.dumps(answer, separators=(",", ":")).encode()

    def _carry_out(
        self, operation: str, region: str, request: dict[str, Any], name: str
    ) -> dict[str, Any] | None:
        if self.latency:
            self.closing.wait(self.latency)
        fault = self._fault(operation, name)
        if fault is not None:
            self._strike_before(fault)
        bucket = self.buckets.get(operation)
        if bucket is not None:
            with self._faults_lock:
                allowed = bucket.take(self.clock.real())
            if not allowed:
                raise _throttled()
        try:
            answer = self.service.call(operation, region, request)
        except RecursionError:
            raise Malformed(_TOO_DEEP) from None
        self._wake.set()
        if fault is not None:
            self._strike_after(fault)
        return answer

    def _fault(self, operation: str, name: str) -> Fault | None:
        with self._faults_lock:
            return next((f for f in self.faults if f.strikes(operation, name)), None)

    def _strike_before(self, fault: Fault) -> None:
        if fault.kind is FaultKind.THROTTLE:
            raise _throttled()
        if fault.kind is FaultKind.ERROR:
            raise _Denied(fault.status, fault.code, fault.text)
        if fault.kind is FaultKind.FAIL_BEFORE:
            raise _Denied(500, "InternalFailure", _INTERNAL)
        if fault.kind is FaultKind.RESET_BEFORE:
            raise _Cut(reset=True)
        if fault.kind is FaultKind.LATE_APPLY:
            self.closing.wait(fault.seconds)

    def _strike_after(self, fault: Fault) -> None:
        if fault.kind is FaultKind.FAIL_AFTER:
            raise _Denied(500, "InternalFailure", _INTERNAL)
        if fault.kind in {FaultKind.RESET_AFTER, FaultKind.LOSE_REPLY}:
            raise _Cut(reset=fault.kind is FaultKind.RESET_AFTER)
        if fault.kind is FaultKind.LATE_REPLY:
            self.closing.wait(fault.seconds)

    def request_id(self) -> str:
        """Make the id of an answer."""
        return f"00000000-0000-4000-8000-{next(self._requests):012x}"

    # --- time -----------------------------------------------------------------------------

    def _tick(self) -> None:
        """Let the worlds go on when nobody calls."""
        while not self.closing.is_set():
            self._wake.clear()
            if not self.clock.manual:
                self.service.advance()
            self._wake.wait(self.clock.wait_for(self.service.next_event_at()))

    def finish(self, region: str, training: Training, failure: str) -> None:
        """End the training phase of a training that runs a script."""
        with self.service.lock:
            world = self.service.region(region).world
            world.finish(max(self.clock.now(), world.now), training, failure=failure)
        self._wake.set()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    sandbox: Server

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()
        self._resets: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        if request in self._resets:
            self._resets.discard(request)
            self.close_request(request)  # without the orderly end that shutdown() would be
            return
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in tuple(self._open):  # clients keep theirs alive
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _HttpServer
    _controls: ClassVar[str] = "/_sandbox/"

    def do_POST(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        sandbox = self.server.sandbox
        try:
            body = self._body()
            self._check_host()
            if self.path.startswith(self._controls):
                self._control(body)
                return
            if self.command != "POST":
                raise _Denied(404, "UnknownOperationException", "The service answers POST only")
            get = self.headers.get
            answer = sandbox.answer(get("X-Amz-Target", ""), get("Authorization", ""), body)
            self._send(200, answer, _AMZ_JSON)
        except _Cut as cut:
            self._cut(reset=cut.reset)
        except _Denied as denied:
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
            raise _Denied(413, "RequestEntityTooLarge", "The request body is too large")
        return self.rfile.read(size)

    def _check_host(self) -> None:
        """Refuse what a web page in a browser could send: a foreign Host, or any Origin."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in _HOSTS or "Origin" in self.headers:
            raise _Denied(403, "AccessDeniedException", "The sandbox answers this machine only")

    def _control(self, body: bytes) -> None:
        status, answer = 200, b""
        try:
            document = json.loads(body) if body else None
            path = self.path.removeprefix(self._controls)
            reply = self.server.sandbox.control.handle(self.command, path, document)
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
        self.send_header("x-amzn-RequestId", self.server.sandbox.request_id())
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
            self.server._resets.add(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing: `Server.log` has it."""


def _throttled() -> _Denied:
    return _Denied(400, "ThrottlingException", "Rate exceeded")


def serve(config: SandboxConfig | None = None, *, port: int = 0) -> Server:
    """
    Start a sandbox on 127.0.0.1, in threads of this process.

    Args:
        port: 0: a free one.

    Returns:
        The server; close it (it is a context manager).
    """
    return Server(config or SandboxConfig(), port=port)
