"""Targets: HTTP and other events of the Lambda functions, and cursors of lists."""

from __future__ import annotations

import atexit
import io
import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import jobcore
from jobcore import Spec, Status
from jobcore_aws._dynamodb import _listing
from jobcore_lambda import _http, _wiring, monitor, notify, stream, submit
from jobcore_lambda._wiring import Wiring
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier
from jobcore_sqlite import _store as sqlite_store
from proof._source import Source

from ._values import ACCOUNT, FILE, JOB_ID, SPEC, T0

__all__ = ["Context", "FuzzWiring", "api", "cursor", "direct", "events", "http_event"]


_ = _http  # loaded by the handler at its first event; here, so that a fuzzer can instrument it


class FuzzWiring(Wiring):
    """Every port in memory, and the service's limits of a spec as the description of the API has them."""

    _lambda = sagemaker = None

    def __init__(self) -> None:
        super().__init__({"JOBCORE_STACK": "fuzz", "JOBCORE_ACCOUNT": ACCOUNT})
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.trainer = MemoryTrainer(clock=self.clock, slots={"cpu": 4})
        self.notifier = RecordingNotifier()
        self.limits = jobcore.Limits()
        self.launches_together = 1

    def check(self, spec: Spec) -> list[jobcore.errors.Problem]:
        tables = (
            ("hyperparameters", spec.args.get("hyperparameters"), 100, 256, None),
            ("environment", spec.args.get("environment"), 100, 512, 512),
            ("channels", spec.args.get("channels"), 20, 64, None),
            ("tags", dict(spec.tags), 45, 128, 256),
        )
        wrong = [field for field, *bounds in tables if _is_too_large(*bounds)]
        if len(spec.placements) > 5:
            wrong.append("pools")
        return [jobcore.errors.Problem(field, "too large") for field in wrong]

    def nudge(self, tick: str, payload: Mapping[str, Any]) -> None:
        assert json.dumps(payload)


def _is_too_large(table: Any, entries: int, name_chars: int, value_chars: int | None) -> bool:
    if not isinstance(table, dict):
        return False
    return len(table) > entries or any(
        len(name) > name_chars or (value_chars is not None and len(str(value)) > value_chars)
        for name, value in table.items()
    )


@dataclass
class Context:
    """The part of Lambda's context that the functions use."""

    aws_request_id: str = "r"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


STATUSES = frozenset({200, 201, 400, 403, 404, 405, 409, 413})
_PATHS = (
    "/jobs", "/jobs/{id}", "/jobs/{id}/stop", "/jobs/{id}/hold", "/jobs/{id}/release", "/jobs/{id}/x", "/",
    "/jobs/", "/jobs/{id}/", "/jobs/../jobs", "/jobs/%2e%2e",
)  # fmt: skip
_ARNS = (
    f"arn:aws:iam::{ACCOUNT}:user/ada", f"arn:aws:sts::{ACCOUNT}:assumed-role/Team/x", "", "arn:aws:iam::1:user/x",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_x/ada", f"arn:aws:iam::{ACCOUNT}:root",
)  # fmt: skip


def _called(handler: Callable[[Any, Any], Any], event: Any, wired: FuzzWiring) -> tuple[Any, str]:
    out = io.StringIO()
    _wiring.use(wired)
    try:
        with redirect_stdout(out):
            return handler(event, Context()), out.getvalue()
    finally:
        _wiring.use(None)


def _with_a_job() -> tuple[FuzzWiring, str]:
    wired = FuzzWiring()
    spec = replace(SPEC, clocks=jobcore.Clocks())
    job = jobcore.new_job(JOB_ID, spec, now=wired.clock.now())
    wired.store.add([job])
    return wired, job.job_id


def api(data: bytes) -> None:
    source = Source(data)
    wired, job_id = _with_a_job()
    method = source.one_of(("POST", "GET", "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"))
    path = source.one_of(_PATHS) if source.below(4) else "/" + source.text(60).replace("\udcff", "")
    path = path.replace("{id}", job_id if source.flag() else source.text(30))
    body: Any = None
    if method != "GET" or source.below(8) == 0:
        document = {"jobs": [{**FILE}], "token": "t", "group": "g", "reason": "because"}
        del document["jobs"][0]["sweep"]
        body = json.dumps(source.changed(document)) if source.below(4) else source.text(200)
    encoded = source.below(4) == 0
    if encoded and body is not None:
        body = b64encode(body.encode("utf-8", "surrogatepass")).decode()
        body = body[: len(body) - source.below(2)]
    arn = source.one_of(_ARNS) if source.below(4) else source.text(60)
    query = {
        source.one_of(("status", "limit", "cursor", "group", "name", "x")): source.one_of(
            ("New", "Failed,Stopped", "10", "0", "1e9", "x" * 3000)
        )
        if source.flag()
        else source.text(60)
        for _ in range(source.below(4))
    }
    event = http_event(method, path, body, arn=arn, query=query, encoded=encoded)
    before = wired.store.get([job_id])[job_id]
    answer, log = _called(submit.handler, event, wired)
    status = answer["statusCode"]
    assert status in STATUSES, (status, answer["body"], log)
    document = json.loads(answer["body"])
    assert isinstance(document, dict)
    assert ("error" in document) == (status >= 400)
    for line in log.splitlines():
        assert isinstance(json.loads(line), dict)
    jobs_after = wired.store.find(jobcore.ports.JobQuery(limit=1000)).jobs
    if status >= 400:
        assert [job.job_id for job in jobs_after] == [job_id]
    if not arn.endswith(":user/ada"):
        assert wired.store.get([job_id])[job_id] == before  # nobody else's to change


def http_event(
    method: str,
    path: str,
    body: str | None,
    *,
    arn: str | None,
    query: Mapping[str, str],
    encoded: bool = False,
) -> dict[str, Any]:
    """Make the event that API Gateway sends for a signed request (payload format 2.0)."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": ACCOUNT,
            "stage": "$default",
            "requestId": "r",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1"},
        },
        "isBase64Encoded": encoded,
    }
    if arn is not None:
        event["requestContext"]["authorizer"] = {"iam": {"userArn": arn, "accountId": ACCOUNT}}
    if query:
        event["queryStringParameters"] = dict(query)
    if body is not None:
        event["body"] = body
    return event


def direct(data: bytes) -> None:
    source = Source(data)
    wired, _ = _with_a_job()
    file = {k: v for k, v in FILE.items() if k != "sweep"}
    event = source.changed({"jobs": [file], "token": "t"}) if source.below(4) else source.value(3)
    if isinstance(event, dict):
        event.pop("requestContext", None)
    # A function gets values that Lambda has decoded from JSON.
    event = json.loads(json.dumps(event))
    answer, log = _called(submit.handler, event, wired)
    assert ("ids" in answer) != ("error" in answer)
    assert json.dumps(answer)
    for line in log.splitlines():
        json.loads(line)


def cursor(data: bytes) -> None:
    source = Source(data)
    store, key, job_id = MemoryStore(), "0000000000", JOB_ID
    text = source.text(100)
    if source.flag():
        number = source.number()
        text = f"{number:.0f}" if source.flag() and abs(number) < 1e300 else text
        text = f"{text}/{job_id if source.flag() else source.text(70)}"
    if source.flag():
        text = key + text
    store.add([jobcore.new_job(JOB_ID, SPEC, now=T0)])
    for find in (store.find, _file_store().find):
        try:
            page = find(jobcore.ports.JobQuery(cursor=text, limit=1))
        except ValueError as error:
            assert "cursor" in str(error)
        else:
            assert len(page.jobs) <= 1
    try:
        assert len(_listing._key(text)) > 18
    except ValueError as error:
        assert "cursor" in str(error)


@cache
def _file_store() -> sqlite_store.SqliteStore:
    folder = mkdtemp(prefix="jobcore-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = sqlite_store.SqliteStore(Path(folder) / "jobs.db")
    atexit.register(store.close)
    store.add([jobcore.new_job(JOB_ID, SPEC, now=T0)])
    return store


def events(data: bytes) -> None:
    source = Source(data)
    wired, job_id = _with_a_job()
    name = jobcore.lifecycle.training_name(job_id, 1)
    change = {
        "version": "0", "detail-type": "SageMaker Training Job State Change", "source": "aws.sagemaker",
        "detail": {"TrainingJobName": name, "TrainingJobStatus": "Completed"},
    }  # fmt: skip
    record = {
        "eventID": "1",
        "dynamodb": {
            "SequenceNumber": "7",
            "NewImage": {
                "JobId": {"S": job_id},
                "JobStatus": {"S": "Failed"},
                "_notify": {"S": "1"},
            },
            "OldImage": {"JobStatus": {"S": "New"}},
        },
    }
    kind = source.below(4)
    event: Any = source.changed(
        (
            change,
            {"Records": [{"body": json.dumps(source.changed(change))}, {"body": "{"}]},
            {"Records": [record, record]},
            {"job_ids": [job_id, "x"]},
        )[kind]
    )
    if kind == 2:
        if not isinstance(event, dict) or not isinstance(event.get("Records", []), list):
            return  # Lambda's own envelope of a batch is given
        answer, _ = _called(stream.handler, event, wired)
        assert isinstance(answer["batchItemFailures"], list)
        return
    if kind == 3 and not isinstance(event, dict):
        return
    handler = notify.handler if kind == 3 else monitor.handler
    answer, log = _called(handler, event, wired)
    assert json.dumps(answer)
    for line in log.splitlines():
        json.loads(line)
    assert wired.store.get([job_id])[job_id].status is Status.NEW  # an event is a hint, no status
