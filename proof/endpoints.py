"""The HTTP API against its description: ``python -m proof.endpoints [--examples N]``.

`docs/reference/openapi.yaml` says what the API takes and answers. schemathesis makes requests of it, right
ones and wrong ones, and the submit function answers them in this process, behind a WSGI
application that does what API Gateway does: it turns a request into an event of payload 2.0,
with the caller that the Authorization header names.

Checked of every answer: no status of 500 or above, only declared statuses, the declared content
type and schema; what the description forbids is refused; without a caller nothing is answered.
Besides: every other method on every path is 404, as it is at API Gateway. The sandbox's server,
whose protocol is SageMaker's and has no such description, gets raw requests over a socket.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import jobcore

from .fuzz_targets._functions import Context, FuzzWiring, http_event
from .fuzz_targets._values import ACCOUNT

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTION = ROOT / "docs" / "reference" / "openapi.yaml"
EXAMPLES = 300
MISSING = """\
schemathesis is not installed here, and nothing was checked. Install it with:
python -m pip install schemathesis"""
_REASONS = {
    200: "OK", 201: "Created", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
    413: "Content Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
ADA = "ada"
OWNER = "user/ada"


class Gateway:
    """
    The API as a WSGI application.

    Attributes:
        answers: how often each status was given.
        wired: what the function works with; `fresh` puts a new one in its place.
    """

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.fresh()

    def fresh(self) -> str:
        """Begin anew with one job, and give its id."""
        self.wired = FuzzWiring()
        spec = jobcore.parse_job({"image": "trainer", "name": "first", "share": ADA}, owner=OWNER)
        job_id = jobcore.job_id_from_token(OWNER, "first")
        self.wired.store.add([jobcore.new_job(job_id, spec, now=self.wired.clock.now())])
        return job_id

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        from urllib.parse import parse_qs

        from jobcore_lambda import _wiring, submit

        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        caller = environ.get("HTTP_AUTHORIZATION")
        query = {
            # API Gateway puts what is given several times together with commas.
            name: ",".join(values)
            for name, values in parse_qs(
                environ.get("QUERY_STRING", ""), keep_blank_values=True
            ).items()
        }
        path = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
        event = http_event(
            environ["REQUEST_METHOD"],
            path,
            body.decode("utf-8", "replace") if body else None,
            arn=f"arn:aws:iam::{ACCOUNT}:user/{caller}" if caller else None,
            query=query,
        )
        _wiring.use(self.wired)
        try:
            with redirect_stdout(StringIO()):
                answer = submit.handler(event, Context())
        finally:
            _wiring.use(None)
        status = int(answer["statusCode"])
        self.answers[status] += 1
        start(f"{status} {_REASONS.get(status, 'Unknown')}", list(answer["headers"].items()))
        return [answer["body"].encode()]


def description() -> dict[str, Any]:
    """Read the description."""
    import yaml

    document: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text("utf-8"))
    return document


def run(examples: int) -> tuple[int, list[str]]:
    """Make *examples* requests of each operation, right and wrong; give how many, and what is wrong."""
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import (
        content_type_conformance,
        negative_data_rejection,
        not_a_server_error,
        positive_data_acceptance,
        response_schema_conformance,
        status_code_conformance,
    )
    from schemathesis.core.failures import FailureGroup

    gateway = Gateway()
    schema = schemathesis.openapi.from_dict(description())
    schema.app = gateway
    found: list[str] = []
    common = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            right = mode is GenerationMode.POSITIVE
            checks = list(common)
            if not right:
                checks.append(negative_data_rejection)
            elif (
                operation.method == "get"
            ):  # a body has rules beyond a schema: 1.0 is no whole number
                checks.append(positive_data_acceptance)

            strategy = operation.as_strategy(generation_mode=mode)
            ask = _asking(gateway, strategy, checks, examples, right=right)
            try:
                ask()
            except (Exception, FailureGroup) as error:
                found.append(f"{operation.label} ({mode.value}): {_said(error)}")
    found += _without_a_caller(gateway)
    found += _other_methods(gateway)
    total = sum(gateway.answers.values())
    print(", ".join(f"{status}: {n:,}" for status, n in sorted(gateway.answers.items())))
    return total, found


def _asking(
    gateway: Gateway, strategy: Any, checks: list[Any], examples: int, *, right: bool
) -> Callable[[], None]:
    """Make the property: each request of *strategy* gets an answer that passes *checks*."""
    from hypothesis import HealthCheck, Phase, given, settings

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(strategy)
    def ask(case: Any) -> None:
        job_id = gateway.fresh()
        if right and case.path_parameters:
            case.path_parameters["id"] = job_id
        response = case.call(headers={"Authorization": ADA})
        case.validate_response(response, checks=checks)

    return ask


def _said(error: BaseException) -> str:
    parts = [str(error), *(str(part) for part in getattr(error, "exceptions", ()))]
    return "\n".join(parts)


def _client(gateway: Gateway) -> Any:
    from werkzeug.test import Client

    return Client(gateway)


_PATHS = ("/jobs", "/jobs/{id}", "/jobs/{id}/stop", "/jobs/{id}/hold", "/jobs/{id}/release")


def _without_a_caller(gateway: Gateway) -> list[str]:
    """Whoever has not signed is answered 403, whatever the route and the body, and changes nothing."""
    wrong = []
    client = _client(gateway)
    for path in _PATHS:
        for method in ("GET", "POST"):
            job_id = gateway.fresh()
            before = gateway.wired.store.get([job_id])[job_id]
            answer = client.open(path.format(id=job_id), method=method, data=json.dumps({}))
            if answer.status_code not in (403, 404) or b"first" in answer.data:
                wrong.append(f"{method} {path} without a caller: {answer.status_code}")
            if gateway.wired.store.get([job_id])[job_id] != before:
                wrong.append(f"{method} {path} without a caller changed the job")
    return wrong


def _other_methods(gateway: Gateway) -> list[str]:
    """A method that is not in the description does not exist, and changes nothing."""
    wrong = []
    client = _client(gateway)
    allowed = {("/jobs", "GET"), ("/jobs", "POST"), ("/jobs/{id}", "GET")}
    allowed |= {(path, "POST") for path in _PATHS[2:]}
    for path in _PATHS:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "LOCK"):
            if (path, method) in allowed:
                continue
            job_id = gateway.fresh()
            before = gateway.wired.store.get([job_id])[job_id]
            headers = {"Authorization": ADA}
            answer = client.open(path.format(id=job_id), method=method, headers=headers)
            if answer.status_code != 404:
                wrong.append(f"{method} {path}: {answer.status_code}, expected 404")
            if gateway.wired.store.get([job_id])[job_id] != before:
                wrong.append(f"{method} {path} changed the job")
    return wrong


def sandbox(examples: int) -> tuple[int, list[str]]:
    """
    Send the sandbox's server raw requests over a socket: well formed ones, and changed bytes.

    Each gets a status below 500 (and JSON, if it was undamaged), or, where it is no HTTP, a refusal and the end of the
    connection; and afterwards the server still answers.
    """
    from random import Random

    from jobcore_simulation.sandbox import SandboxConfig, serve

    random = Random(1)
    answers: Counter[int] = Counter()
    wrong: list[str] = []
    with serve(SandboxConfig(manual=True, start=0.0)) as server:
        for _ in range(examples):
            raw, damaged = _raw(random, server.port)
            status, body = _exchange(server.port, raw)
            answers[status] += 1
            if status >= 500 and status not in (501, 505):  # no such method, no such HTTP version
                wrong.append(f"sandbox: {status} to {raw[:300]!r}")
            if body and not damaged and status < 500:  # else more answers may follow the first
                try:
                    json.loads(body)
                except ValueError:
                    wrong.append(f"sandbox: no JSON in the answer to {raw[:300]!r}")
        status, _ = _exchange(server.port, _request(server.port, "GET", "/_sandbox/state", b"", []))
        if status != 200:
            wrong.append(f"sandbox: {status} to a good request after all these")
    print("sandbox: " + ", ".join(f"{s or 'closed'}: {n:,}" for s, n in sorted(answers.items())))
    return sum(answers.values()), wrong


_SIGNED = "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sagemaker/aws4_request"


def _raw(random: Any, port: int) -> tuple[bytes, bool]:
    """Make the bytes of one request; every second one is damaged somewhere, and says so."""
    operation = random.choice(("ListTrainingJobs", "Search", "DescribeTrainingJob", "X", ""))
    body = random.choice(
        (b"{}", b"", b"[]", b"{", b"\xff", b'{"TrainingJobName": "a"}', b"[" * 5000)
    )
    method = random.choice(("POST", "POST", "GET", "DELETE", "PUT", "HEAD"))
    path = random.choice(("/", "/_sandbox/state", "/_sandbox/script", "/_sandbox/x", "/x", "/%00"))
    headers = [f"X-Amz-Target: SageMaker.{operation}", _SIGNED]
    if random.random() < 0.2:
        headers.append("Origin: http://evil.example")
    raw = bytearray(_request(port, method, path, body, headers))
    damaged = random.random() < 0.5
    for _ in range(random.randint(1, 6) if damaged else 0):
        raw[random.randrange(len(raw))] = random.randrange(256)
    return bytes(raw), damaged


def _request(port: int, method: str, path: str, body: bytes, headers: list[str]) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        *headers,
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _exchange(port: int, raw: bytes) -> tuple[int, bytes]:
    """Send a request and read its answer; status 0 for a connection that ends without one."""
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=600) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), body


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.endpoints", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, help="of each operation, right and wrong ones"
    )
    options = parser.parse_args()
    try:
        import schemathesis  # noqa: F401
    except ImportError:
        print(MISSING, file=sys.stderr)
        return 2
    begun = time.process_time()
    total, found = run(options.examples)
    asked, wrong = sandbox(10 * options.examples)
    total, found = total + asked, found + wrong
    for text in found:
        print(f"WRONG  {text}\n")
    print(f"{total:,} requests, {len(found)} findings, {time.process_time() - begun:.0f} s CPU")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
