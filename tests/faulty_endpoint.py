"""An HTTP endpoint in front of another one that answers late, cuts answers off, refuses, or leaves parts out."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from late_replies import LATE
from patience import SECONDS


@dataclass
class Rule:
    """
    What to do to the next request of an operation.

    Args:
        operation: as in X-Amz-Target ("PutItem"), or method and first word of the path ("PUT s3").
        fault: one of
            "late", "reset", "500": the request is applied, and the answer is late (for clients that
            are `late_replies.impatient`), lost, or an error;
            "reset before": it is not applied, and there is no answer;
            "garbage": it is not applied, and the answer is a page of some proxy;
            "half": half of the keys of a BatchGetItem are left unprocessed;
            "none": all of them are; any other word: refused with that error code.
        times: for how many requests.
        when: only for requests whose body has this.
        meanwhile: called when the request was applied, before it is answered.
    """

    operation: str
    fault: str
    times: int = 1
    when: str = ""
    meanwhile: Callable[[], object] | None = None


@dataclass
class FaultyEndpoint:
    """A server on a free port of this machine; `close` it."""

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)
    frozen: bool = False  # whether queries are answered as they were before
    answers: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do(self) -> None:
                endpoint._serve(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do  # noqa: N815

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that has gone away is what this is for

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, operation: str, fault: str, **rule: object) -> None:
        with self._lock:
            self.rules.append(Rule(operation, fault, **rule))

    def _rule(self, operation: str, body: bytes) -> Rule | None:
        with self._lock:
            self.seen.append(operation)
            for rule in self.rules:
                if rule.operation == operation and rule.times and rule.when.encode() in body:
                    rule.times -= 1
                    self.fired.append(rule.fault)
                    return rule
        return None

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        target = request.headers.get("X-Amz-Target", "")
        operation = target.rpartition(".")[2] or f"{request.command} s3"
        rule = self._rule(operation, body)
        if operation == "Query" and self.frozen and body in self.answers:
            return _answer(request, 200, self.answers[body])
        fault = rule.fault if rule else ""
        if fault == "reset before":
            return _hang_up(request)
        if fault == "garbage":
            return _answer(request, 200, b"<html>Please log in</html>", ours=False)
        if fault in {"half", "none"}:
            return _answer(request, 200, self._partly(request, body, fault))
        if fault not in {"", "late", "reset", "500"}:
            status = 500 if fault.startswith("Internal") else 400
            error = {"__type": f"com.amazonaws.dynamodb.v20120810#{fault}", "message": "so it is"}
            return _answer(request, status, json.dumps(error).encode())
        status, content = self._forward(request, body)
        if operation == "Query":
            self.answers[body] = content
        if rule and rule.meanwhile:
            rule.meanwhile()
        if fault == "reset":
            return _hang_up(request)
        if fault == "500":
            status, content = 500, b'{"__type": "InternalServerError", "message": "so it is"}'
        return _answer(request, status, content, late=fault == "late")

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        there = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(there.hostname, there.port, timeout=SECONDS)
        try:
            headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _partly(self, request: BaseHTTPRequestHandler, body: bytes, fault: str) -> bytes:
        """Answer as a throttled BatchGetItem does: read some of the keys, give back the others."""
        asked = json.loads(body)["RequestItems"]
        ((table, wanted),) = asked.items()
        keys = wanted["Keys"]
        done = keys[: len(keys) // 2] if fault == "half" else []
        answer: dict = {"Responses": {table: []}, "UnprocessedKeys": {}}
        if done:
            part = json.dumps({"RequestItems": {table: {**wanted, "Keys": done}}}).encode()
            answer = json.loads(self._forward(request, part)[1])
        answer["UnprocessedKeys"] = {table: {**wanted, "Keys": keys[len(done) :]}}
        return json.dumps(answer).encode()


def _hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


def _answer(
    request: BaseHTTPRequestHandler,
    status: int,
    content: bytes,
    *,
    ours: bool = True,
    late: bool = False,
) -> None:
    request.send_response(status)
    if ours:
        request.send_header("x-amzn-RequestId", "1")
    if late:
        request.send_header(LATE, "1")
    request.send_header("Content-Type", "application/x-amz-json-1.0")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
