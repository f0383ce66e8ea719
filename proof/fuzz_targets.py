"""What is fuzzed: for each parser a function of bytes, and its oracle.

A target returns for every input. What a parser may raise is caught here; whatever else comes
out, an `AssertionError` of a broken invariant included, is a finding. `proof.fuzz` runs the
targets guided by coverage, and the tests run the same functions on a fixed set of inputs.
"""

# ruff: noqa: PT017  (what an error says is part of an oracle)

from __future__ import annotations

import atexit
import io
import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

import jobcore
from jobcore import CorruptRecord, InvalidJob, Job, Placement, Spec, Status, _jobfile
from jobcore.ports import Evidence
from jobcore_aws import (
    Pool,
    SageMakerSettings,
    SageMakerTrainer,
    failure_rules,
    validate_request,
)
from jobcore_aws._dynamodb import _items, _listing
from jobcore_aws._dynamodb._specs import Specs
from jobcore_aws._request import BadRequest, build_request
from jobcore_aws._sns import publish_request
from jobcore_aws._trainings import training_of
from jobcore_cli._errors import CliError
from jobcore_cli._jobfiles import localise, read_document
from jobcore_lambda import _http, _wiring, monitor, notify, stream, submit
from jobcore_lambda._wiring import Wiring
from jobcore_local._contract import BadInput, prepare
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier
from jobcore_simulation._texts import Refused
from jobcore_simulation.sandbox import _config, _server
from jobcore_simulation.sandbox._control import Control, NotFound
from jobcore_simulation.sandbox._service import OPERATIONS, Service
from jobcore_simulation.sandbox._validation import Malformed
from jobcore_simulation.simulator import _scenario, _traces
from jobcore_sqlite import _store as sqlite_store

from ._source import Source, toml

__all__ = ["TARGETS", "Target"]

_ = _http  # loaded by the handler at its first event; here, so that a fuzzer can instrument it

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = "123456789012"
JOB_ID = jobcore.job_id_from_bytes(b"\x11" * 16)
RULES = failure_rules()


@dataclass(frozen=True, slots=True)
class Target:
    """
    One parser under test.

    Args:
        run: returns for every input; anything raised is a finding.
        oracle: what is allowed and what holds, in words.
        seeds: inputs to begin with.
        weight: its part of the executions, against 1 for the others.
    """

    run: Callable[[bytes], None]
    oracle: str
    seeds: tuple[bytes, ...] = (b"", b"\x00" * 16, bytes(range(64)), b"\x01\x02" * 40, b"\xff" * 48)
    weight: float = 1.0


# --- valid documents, to be changed ------------------------------------------------------------

FILE: dict[str, Any] = {
    "name": "digits", "script": "train.py", "image": "trainer", "pools": ["cpu", {"pool": "gpu", "count": 2}],
    "hyperparameters": {"lr": 0.1, "layers": [1, 2], "opt": {"name": "adam"}},
    "environment": {"LEVEL": "debug"}, "channels": {"train": "s3://data/train"}, "arguments": ["--fast"],
    "tags": {"team": "vision"}, "share": "vision", "group": "g", "priority": 3, "stop_grace": "2m",
    "volume_gb": 30, "retry": {"capacity": 3, "backoff": "30s", "backoff_max": 3600},
    "clocks": {"wait_at_most": "1d", "run_at_most": "1h30m", "finish_by": "2026-12-01T08:00:00+01:00"},
    "sagemaker": {"StoppingCondition": {"MaxWaitTimeInSeconds": 90000}, "DebugHookConfig": {"S3OutputPath": "s3://m/j/x"}},
    "sweep": {"grid": {"lr": [0.1, 0.2]}, "list": [{"lr": 1}]},
}  # fmt: skip
SPEC = Spec(
    name="digits", owner="user/ada", placements=(Placement("cpu"), Placement("gpu", 2)),
    args={"script": "train.py", "image": "torch", "hyperparameters": {"lr": 0.1}, "environment": {"A": "b"}},
    share="vision", group="g", priority=3, tags={"team": "vision"},
    retry=jobcore.RetryPolicy(budgets={jobcore.FailureClass.CAPACITY: 3}),
    clocks=jobcore.Clocks(run_at_most=timedelta(hours=1), finish_by=T0),
)  # fmt: skip
FAILURE = jobcore.Failure(
    failure_class=jobcore.FailureClass.ALGORITHM, scope=jobcore.lifecycle.Scope.JOB,
    retryable=jobcore.lifecycle.Retryable.NO, rule="a rule", text="AlgorithmError: exit code 1",
)  # fmt: skip


@cache
def jobs() -> tuple[Job, ...]:
    """Give a job in each of the nine states, with a history."""
    job = jobcore.new_job(JOB_ID, SPEC, now=T0)
    found = [job]

    def after(job: Job, *events: Any) -> Job:
        for event in events:
            step = jobcore.step(job, event, now=T0)
            assert step.changed, (job.status, event, step.ignored, step.refused)
            job = step.job
            found.append(job)
        return job

    seen = jobcore.TrainingSeen(attempt=1, running=True, detail="Training")
    ended = jobcore.TrainingEnded(attempt=1, outcome=Status.FAILED, failure=FAILURE)
    done = jobcore.TrainingEnded(attempt=1, outcome=Status.COMPLETED)
    running = after(
        job,
        jobcore.LaunchDecided(attempt=1, placement=Placement("cpu")),
        jobcore.LaunchAccepted(attempt=1, placement=Placement("cpu")),
        seen,
    )
    after(running, ended)
    after(running, done)
    after(
        running,
        jobcore.StopRequested(by="user/ada"),
        jobcore.TrainingEnded(attempt=1, outcome=Status.STOPPED, failure=FAILURE),
    )
    after(job, jobcore.HoldRequested(by="user/ada", reason="wait"))
    assert {job.status for job in found} == set(Status)
    return tuple(found)


# --- job files ---------------------------------------------------------------------------------


class _Bytes:
    """A file that is nowhere: what `read_document` and the readers of traces need of a path."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.suffix, self._content = name, Path(name).suffix, content

    def read_bytes(self) -> bytes:
        return self._content

    def is_dir(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.name


def job_file_text(data: bytes) -> None:
    source = Source(data)
    suffix = source.one_of((".toml", ".yaml", ".json"))
    if source.flag():
        text = json.dumps(source.changed(FILE)) if suffix != ".toml" else toml(source.changed(FILE))
        raw = text.encode("utf-8", "surrogatepass")
    else:
        raw = source.rest()
    try:
        document = read_document(_Bytes(f"job{suffix}", raw))  # type: ignore[arg-type]
    except CliError as error:
        assert "\n" not in str(error), str(error)
        return
    _job_file(document)


def job_file_table(data: bytes) -> None:
    _job_file(Source(data, local=True).changed(FILE))


def _job_file(document: object) -> None:
    if isinstance(document, dict):
        try:
            document = localise(document, Path(gettempdir()) / "job.toml")
        except CliError:
            document.pop("script", None)
    spec = _spec_of(document)
    sweep = document.get("sweep") if isinstance(document, Mapping) else None
    if isinstance(sweep, Mapping) and isinstance(sweep.get("grid", {}), Mapping):
        points = sweep.get("list", [])
        try:
            rows = jobcore.jobfile.expand_sweep(
                sweep.get("grid", {}), points if isinstance(points, list) else ()
            )
        except InvalidJob as error:
            _check_problems(error)
        else:
            assert 1 <= len(rows) <= 10_000
    if spec is None:
        return
    assert jobcore.jobfile.validate(spec) == []
    text = json.dumps(jobcore.lifecycle.encode_spec(spec))
    again = jobcore.lifecycle.decode_spec(json.loads(text))
    assert jobcore.lifecycle.spec_hash(again) == jobcore.lifecycle.spec_hash(spec)
    assert json.dumps(jobcore.lifecycle.encode_spec(again)) == text
    job = jobcore.new_job(JOB_ID, spec, now=T0)
    assert json.dumps(jobcore.lifecycle.encode_job(job))
    assert json.dumps(_items.job_item(job, 4))
    decided = jobcore.LaunchDecided(attempt=1, placement=spec.placements[0])
    for event in (jobcore.TimePassed(), decided):
        job = jobcore.step(job, event, now=T0).job
        _check_job(job)


def _spec_of(document: object) -> Spec | None:
    try:
        return jobcore.parse_job(document, owner="ada")
    except InvalidJob as error:
        _check_problems(error)
        return None


def _check_problems(error: InvalidJob) -> None:
    assert error.problems
    assert all(problem.message for problem in error.problems)


# --- names -------------------------------------------------------------------------------------


def names(data: bytes) -> None:
    source = Source(data)
    text, other, number = source.text(80), source.text(80), source.number()
    assert jobcore.lifecycle.is_job_id(text) == (
        len(text) == 26 and set(text) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    )
    if (parsed := jobcore.lifecycle.parse_training_name(text)) is not None:
        assert jobcore.lifecycle.training_name(*parsed) == text
    job_id = jobcore.job_id_from_token(text, other)
    assert jobcore.lifecycle.is_job_id(job_id)
    assert (jobcore.job_id_from_token(other, text) == job_id) == (text == other)
    raw = source.bytes(20)
    try:
        assert jobcore.lifecycle.is_job_id(jobcore.job_id_from_bytes(raw))
        assert len(raw) == 16
    except ValueError:
        assert len(raw) != 16
    try:
        attempt = int(number)
        name = jobcore.lifecycle.training_name(text if source.flag() else job_id, attempt)
    except (ValueError, OverflowError):
        return
    assert len(name) <= 39
    assert jobcore.lifecycle.parse_training_name(name) == (name[3:29], attempt)
    assert 0 <= jobcore.lifecycle.hash_fraction(text, attempt) < 1


# --- stored records ----------------------------------------------------------------------------


def record_sqlite(data: bytes) -> None:
    source = Source(data)
    job = source.one_of(jobs())
    record: Any = source.changed(jobcore.lifecycle.encode_job(job))
    spec: Any = source.changed(jobcore.lifecycle.encode_spec(job.spec))
    texts = [json.dumps(d).encode() for d in (record, spec)]
    if source.below(8) == 0:
        texts[source.below(2)] = source.rest()
    try:
        found = sqlite_store._decode(job.job_id, 1, *texts)
    except CorruptRecord as error:
        assert error.job_id == job.job_id
        return
    _check_job(found)


def item_dynamodb(data: bytes) -> None:
    source = Source(data)
    job = source.one_of(jobs())
    specs = Specs(None, "bucket" if source.flag() else None, 1)
    item = source.changed(_items.job_item(job, 4)) if source.flag() else _encoded(source, job)
    spec_item = source.changed(specs.item(job))
    for document, key in (
        (item, _items.job_key(job.job_id)),
        (spec_item, _items.spec_key(job.job_id)),
    ):
        if not isinstance(document, dict):
            return  # DynamoDB gives tables
        document.update(key)
    spec_item.pop("JobArgsAt", None)  # S3 is no parser
    try:
        found = _items.job_of(item, specs.read(job.job_id, spec_item))
    except CorruptRecord as error:
        assert error.job_id == job.job_id
        return
    _check_job(found)


def _encoded(source: Source, job: Job) -> dict[str, Any]:
    """Give an item whose attribute values are well formed, whatever they say."""
    record = source.changed(jobcore.lifecycle.encode_job(job))
    item = _items.job_item(job, 4)
    if isinstance(record, dict):
        own = {k: v for k, v in item.items() if k.startswith("_")}
        try:
            return own | {str(k): _items._value(v) for k, v in record.items()}
        except RecursionError:  # DynamoDB itself takes 32 levels
            return item
    return item


def _check_job(job: Job) -> None:
    """A job that was read can be used: it is written as it was, looked at, and told of."""
    document = jobcore.lifecycle.encode_job(job)
    text = json.dumps(document)
    again = jobcore.lifecycle.decode_job(json.loads(text), job.spec, version=job.version)
    assert json.dumps(jobcore.lifecycle.encode_job(again)) == text
    for tick in jobcore.lifecycle.Tick:
        jobcore.lifecycle.due_at(job, tick)
    for entry in job.outbox:
        jobcore.messages.message_for(job, entry)
    for event in (jobcore.TimePassed(), jobcore.StopRequested(by="ada")):
        jobcore.step(job, event, now=T0)
    jobcore.owed(job)


def pool_state(data: bytes) -> None:
    source = Source(data)
    state = jobcore.lifecycle.PoolState(name="cpu", version=2)
    item = {"pk": {"S": "#pools"}, "sk": {"S": "cpu"}, "_version": {"N": "2"}}
    changed = source.changed(_items.pool_attributes(state))
    if isinstance(changed, dict):
        found = _items.pool_of(changed | item)
        assert found.name == "cpu"


# --- failures ----------------------------------------------------------------------------------

_REASONS = (
    "AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage \"ValueError: x\" Command \"python train.py --lr 0.1\"",
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type.",
    ("An error occurred (ResourceLimitExceeded) when calling the CreateTrainingJob operation: The account-level service limit "
    "'ml.p4d.24xlarge for spot training job usage' is 2 Instances, with current utilization of 3 Instances and a request "
    "delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota."),
    "ClientError: Data download failed: S3 key x: AccessDenied", "InternalServerError: We encountered an internal error.",
    "operation error SageMaker: CreateTrainingJob, https response error StatusCode: 400, RequestID: 1, api error ValidationException: x",
    "Rate exceeded (Service: AmazonSageMaker; Status Code: 400; Error Code: ThrottlingException; Request ID: 1)",
    "sagemaker job failed because error for training job x: failed. reason: clienterror: clienterror: ",
    "Traceback (most recent call last): torch.cuda.OutOfMemoryError: CUDA out of memory",
)  # fmt: skip
_CODES = (
    None,
    "",
    "ValidationException",
    "ResourceLimitExceeded",
    "ClientError",
    "ThrottlingException",
)


def _evidence(source: Source) -> Evidence:
    text = source.one_of(_REASONS) if source.flag() else ""
    for _ in range(source.below(4)):
        cut = source.below(len(text) + 1)
        more = source.text(200) if source.flag() else source.one_of(_REASONS)
        text = text[:cut] + more * source.one_of((1, 1, 3, 40)) + text[cut:]
    return Evidence(
        where=source.one_of(("create", "describe")),
        error_code=source.one_of(_CODES) if source.flag() else source.text(),
        status=source.one_of((None, "Failed", "Stopped")) if source.flag() else source.text(),
        secondary_status=source.one_of((None, "Failed", "MaxRuntimeExceeded", "Pending")),
        text=text,
    )


def classify(data: bytes) -> None:
    evidence = _evidence(Source(data))
    failure = jobcore.classify(evidence, RULES)
    assert failure.text == evidence.text[:1024] or len(failure.text) <= 1024
    assert len(failure.headline) <= 200
    assert "\n" not in failure.headline
    assert failure == jobcore.classify(evidence, RULES)
    normal = jobcore.failures.normalise(evidence.text, RULES)
    assert len(normal) <= 2048
    quota = jobcore.failures.find_quota(evidence.text, RULES)
    assert quota is None or min(quota.limit, quota.used, quota.requested) >= 0


def rules(data: bytes) -> None:
    source = Source(data, local=True)
    document: dict[str, Any] = {
        "fragments": {"memory": ["out of memory", "oom"]},
        "reading": {"wrappers": ["job failed because "], "codes": ["(?P<code>[a-z]+): "],
                    "not_codes": ["error"], "own_words": ["traceback"], "preamble": ["line"],
                    "quotas": ["(?P<limit>\\d+) (?P<used>\\d+) (?P<requested>\\d+)"]},
        "rule": [
            {"name": "a", "class": "oom", "scope": "job", "retry": "no", "where": "describe",
             "codes": ["X"], "statuses": ["Failed"], "own": False, "pattern": "cuda {{memory}}",
             "error": ["x", "y"], "quota_fits": True},
            {"use": "training: failed"},
            {"name": "b", "class": "unknown"},
        ],
    }  # fmt: skip
    try:
        found = jobcore.failures.parse_rules(source.changed(document), RULES)
    except ValueError:
        return
    for text in ("job failed because CUDA out of memory", "traceback X: 1 2 3"):
        jobcore.classify(Evidence(where="describe", text=text), found)


def failure_reason(data: bytes) -> None:
    """From a reason of any length and any characters into a stored item, and back."""
    evidence = _evidence(Source(data))
    failure = jobcore.classify(evidence, RULES)
    running = next(job for job in jobs() if job.status is Status.IN_PROGRESS)
    event = jobcore.TrainingEnded(attempt=1, outcome=Status.FAILED, failure=failure)
    job = jobcore.step(running, event, now=T0).job
    assert len(json.dumps(jobcore.lifecycle.encode_job(job))) < 100_000
    item = _items.job_item(job, 4)
    assert _items.item_size(item) < _items.ITEM_BYTES_MAX
    assert json.dumps(item, ensure_ascii=False).encode()  # no lone surrogates are left
    found = _items.job_of(item, job.spec)
    assert _clean(jobcore.lifecycle.encode_job(found)) == _clean(jobcore.lifecycle.encode_job(job))
    row = sqlite_store._decode(job.job_id, 1, *_row(job))
    assert _joined(jobcore.lifecycle.encode_job(row)) == _joined(jobcore.lifecycle.encode_job(job))


def _row(job: Job) -> tuple[bytes, bytes]:
    texts = (
        json.dumps(jobcore.lifecycle.encode_job(job)),
        json.dumps(jobcore.lifecycle.encode_spec(job.spec)),
    )
    return texts[0].encode(), texts[1].encode()


def _joined(document: Any) -> str:
    """Write JSON data; two lone surrogates side by side are one character, as JSON reads them."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clean(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def secrets(data: bytes) -> None:
    source = Source(data)
    values = [source.text(30) or "abcdef" for _ in range(source.below(3))]
    names = ("password", "--api-key", "HF_TOKEN", "lr", "token", "secret_arn", "'client_secret'")
    parts = [source.text(60)]
    for value in values:
        parts += [source.one_of(names), source.one_of(("=", ": ", " ", '": "', "=>")), value]
        parts.append(source.text(40))
    text = "".join(parts) * source.one_of((1, 1, 1, 200))
    told = jobcore.redact.redact(text, [v for v in values if len(v) >= 6])
    assert len(told) <= 8_000 + 3 * 8_000
    for value in values:
        assert len(value) < 6 or "*" in value or value not in told
    args = source.changed({"environment": {"A": "x"}, "hyperparameters": {"api_key": "k", "lr": 0.1},
                           "arguments": ["--token", "x"]})  # fmt: skip
    if not isinstance(args, dict) or _jobfile._unreadable(args):
        return  # no job file has such arguments
    shown = jobcore.redact.redact_args(args)
    assert set(shown) == set(args)
    if isinstance(args.get("environment"), dict):
        assert set(shown["environment"].values()) <= {"***"}  # type: ignore[union-attr]
    spec = replace(SPEC, args=args, tags={})
    for value in jobcore.redact.secret_values(spec):
        assert value not in jobcore.redact.redact(f"x {value} y", [value]) or "*" in value


# --- messages ----------------------------------------------------------------------------------


def sns(data: bytes) -> None:
    source = Source(data)
    job = source.one_of(jobs())
    document = jobcore.lifecycle.encode_spec(job.spec)
    document |= {"name": source.text(300) or "x", "owner": source.text(300) or "x"}
    document["group"] = source.text(100)
    spec = jobcore.lifecycle.decode_spec(document)
    job = jobcore.lifecycle.decode_job(jobcore.lifecycle.encode_job(job), spec, version=1)
    reason = source.text(400) * source.one_of((1, 1, 10, 3000))
    entry = jobcore.lifecycle.OutboxEntry(
        event_id=f"{job.job_id}:{source.text(20)}", status=job.status, at=T0, reason=reason
    )
    message = jobcore.messages.message_for(job, entry)
    assert len(message.subject) <= 99
    assert message.subject.isascii()
    assert message.subject.isprintable()
    assert json.dumps(message.data)
    request = publish_request(f"arn:aws:sns:us-east-1:{ACCOUNT}:t", message)
    subject = request["Subject"]
    assert 1 <= len(subject) <= 99
    assert subject.isascii()
    assert subject.isprintable()
    assert subject[0] != " "
    size = len(request["Message"].encode())
    for name, value in request["MessageAttributes"].items():
        assert value["StringValue"]
        size += len(name) + len(value["DataType"]) + len(value["StringValue"].encode())
    assert size <= 256 * 1024, size
    assert len(request["MessageAttributes"]) <= 10
    texts = json.loads(request["Message"])
    assert set(texts) == {"default", "email", "sms"}
    assert json.loads(texts["default"])["event_id"]


# --- functions ---------------------------------------------------------------------------------


class FuzzWiring(Wiring):
    """Every port in memory, and the real check of a spec against SageMaker's model."""

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
        return []

    def nudge(self, tick: str, payload: Mapping[str, Any]) -> None:
        assert json.dumps(payload)


@dataclass
class Context:
    """What the functions need of Lambda's context."""

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
    # Lambda gives what it has decoded from JSON, so that is what a function can be given.
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


# --- SageMaker ---------------------------------------------------------------------------------

SETTINGS = SageMakerSettings(
    output="s3://models/jobcore",
    pools={
        "cpu": Pool(name="cpu", instance_types=("ml.m5.large",), slots=2),
        "gpu": Pool(name="gpu", instance_types=("ml.p3.2xlarge", "ml.p3.8xlarge"), slots=4),
    },
    roles={"train": f"arn:aws:iam::{ACCOUNT}:role/training"},
    images={"torch": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/train:1", "trainer": "a.b/c:1"},
    region="us-east-1",
    describe_rate=1e9,
    at_once=1,
    search_from=None,
)
DESCRIPTION: dict[str, Any] = {
    "TrainingJobName": jobcore.lifecycle.training_name(JOB_ID, 1),
    "TrainingJobStatus": "Failed",
    "SecondaryStatus": "Failed",
    "FailureReason": "AlgorithmError: exit code 1",
    "Environment": {
        "JOBCORE_JOB_ID": JOB_ID,
        "JOBCORE_ATTEMPT": "1",
        "JOBCORE_SPEC_HASH": "5" * 64,
    },
    "SecondaryStatusTransitions": [
        {"Status": "Starting", "StatusMessage": "x"},
        {"Status": "Pending"},
    ],
    "TrainingStartTime": T0,
    "TrainingEndTime": T0,
}
_OVER = {"Completed", "Failed", "Stopped"}


class _Client:
    """A client whose every answer is the one that it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def describe_training_job(self, **_: Any) -> Any:
        return self.answer


def describe(data: bytes) -> None:
    source = Source(data, local=True)
    name = DESCRIPTION["TrainingJobName"]
    description = source.changed(DESCRIPTION)
    trainer = SageMakerTrainer(SETTINGS, clients=lambda region: _Client(description))  # type: ignore[arg-type,return-value]
    try:
        found = trainer.describe([name])[name]
    except jobcore.Unavailable:
        return  # no information, which is never a status
    assert found is not None  # the service did not say that it does not know the training
    status = description.get("TrainingJobStatus") if isinstance(description, dict) else None
    assert found.state.is_terminal <= (status in _OVER), (found, status)
    if found.evidence is not None:
        jobcore.classify(found.evidence, RULES)


def describe_open(data: bytes) -> None:
    """What the model promises of types, with any words: must be read without an error."""
    source = Source(data)
    words = ("InProgress", "Completed", "Failed", "Stopping", "Stopped", "Deleting", "Pending", "Training",
             "Starting", "Interrupted", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Restarting")  # fmt: skip

    def word() -> str:
        return source.one_of(words) if source.below(4) else source.text()

    description: dict[str, Any] = {"TrainingJobName": source.text()}
    if source.below(8):
        description["TrainingJobStatus"] = word()
    if source.below(8):
        description["SecondaryStatus"] = word()
    if source.flag():
        description["FailureReason"] = source.text(400)
    if source.flag():
        keys = ("JOBCORE_JOB_ID", "JOBCORE_ATTEMPT", "JOBCORE_SPEC_HASH")
        description["Environment"] = {key: source.text() for key in keys if source.flag()}
    if source.flag():
        description["SecondaryStatusTransitions"] = [
            {"Status": word(), "StatusMessage": source.text()} for _ in range(source.below(4))
        ]
    for field in ("TrainingStartTime", "TrainingEndTime"):
        if source.flag():
            description[field] = T0
    found = training_of(description)
    if found is not None:
        assert found.state.is_terminal <= (description.get("TrainingJobStatus") in _OVER)


def sagemaker_request(data: bytes) -> None:
    source = Source(data)
    file = source.changed(FILE | {"image": "torch", "sagemaker": {}, "arguments": []})
    if not isinstance(file, dict):
        return
    file.pop("sweep", None)
    spec = _spec_of(file)
    if spec is None:
        return
    problems = validate_request(SETTINGS, spec)
    assert all(": " in problem for problem in problems), problems
    try:
        made = [build_request(r, SETTINGS) for r in _requests(spec)]
    except BadRequest:
        assert problems
        return
    for request in made:
        assert request["RoleArn"] in SETTINGS.roles.values()
        if not problems:
            assert json.dumps(request)


def _requests(spec: Spec) -> list[jobcore.ports.LaunchRequest]:
    return [
        jobcore.ports.LaunchRequest(
            name=jobcore.lifecycle.training_name(JOB_ID, 1),
            job_id=JOB_ID,
            attempt=1,
            spec_hash=jobcore.lifecycle.spec_hash(spec),
            placement=placement,
            args=spec.args,
            run_at_most=spec.clocks.run_at_most,
            owner=spec.owner,
            group=spec.group,
            tags=spec.tags,
        )
        for placement in spec.placements
    ]


def local_contract(data: bytes) -> None:
    source = Source(data)
    file = source.changed(FILE | {"channels": {"train": gettempdir()}, "source_dir": "."})
    if not isinstance(file, dict):
        return
    file.pop("sweep", None)
    spec = _spec_of(file)
    if spec is None:
        return
    args = dict(spec.args)
    if source.below(4):
        args |= {"source_dir": str(Path(__file__).parent), "script": Path(__file__).name}
    for request in _requests(Spec(name="x", owner="x", placements=spec.placements, args=args)):
        try:
            ready = prepare(request, Path("/d"), Path("/c"), {"PATH": "/bin"})
        except BadInput as error:
            assert ": " in str(error)
            continue
        assert all("\0" not in v and "=" not in k for k, v in ready.environment.items())
        assert all(isinstance(word, str) for word in ready.argv)
        assert ready.environment["JOBCORE_JOB_ID"] == JOB_ID
        assert all(path.startswith(("/d/", "/c")) for path in [*ready.folders, *ready.files])


# --- simulator ---------------------------------------------------------------------------------

SCENARIO: dict[str, Any] = {
    "title": "t", "horizon": 86400.0, "clock_jump": [3600.0, -7200.0],
    "jobs": {"count": 20, "shares": 2, "run": [600.0, 0.5], "sizes": {"1": 0.9, "2": 0.1}, "pools": ["a"], "fails": 0.1},
    "pool": [{"name": "a", "capacity": [[0.0, 2], [60.0, 0]], "flips": [60.0, 60.0], "quota": 4, "spot": True},
             {"name": "b", "capacity": 3}],
    "provider": {"rate": 2.0, "burst": 20, "start_up": [90.0, 240.0], "listens": True},
    "outage": [{"port": "store", "begins": 10, "ends": 20}],
}  # fmt: skip


def scenario(data: bytes) -> None:
    source = Source(data)
    if source.below(4):
        text = toml(source.changed(SCENARIO))
    else:
        text = source.rest().decode("utf-8", "replace")
    try:
        found = _scenario.parse(text, "x")
    except ValueError as error:
        assert str(error).startswith("scenario x: "), error
        return
    assert found.pools
    assert all(isinstance(pool.name, str) for pool in found.pools)


_CSV = (
    b"trace_id,t_s,available\na,0,1\na,60,0\nb,0,4\n",
    b"submit_s,duration_s,gpus,user\n0,60,8,ada\n5,30,,\n",
)


def traces(data: bytes) -> None:
    source = Source(data)
    kind = source.below(4)
    if kind == 0:
        changed = source.changed({"metadata": {"gap_seconds": 300}, "data": [1, 0, 2, 2]})
        raw = json.dumps(changed).encode()
    else:
        raw = _CSV[kind % 2]
        for _ in range(source.below(5)):
            cut = source.below(len(raw) + 1)
            raw = raw[:cut] + source.bytes(12) + raw[cut + source.below(4) :]
        if kind == 3:
            raw = source.rest()
    path: Any = _Bytes(source.one_of(("t.csv", "t.json", "t.csv.gz")), raw)
    for read in (
        lambda: _traces.capacity_from([path]),
        lambda: _traces.work_from(path),
        lambda: _traces.scenario_from([path], None),
        lambda: _traces.scenario_from([_good_trace()], path),
    ):
        try:
            read()
        except ValueError as error:
            assert path.name in str(error), error


def _good_trace() -> Any:
    return _Bytes("good.csv", _CSV[0])


# --- the sandbox -------------------------------------------------------------------------------

CREATE: dict[str, Any] = {
    "TrainingJobName": "jc-x-1", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/training",
    "AlgorithmSpecification": {"TrainingImage": "a/b:1", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    "HyperParameters": {"lr": "1"}, "Environment": {"A": "b"}, "Tags": [{"Key": "k", "Value": "v"}],
    "InputDataConfig": [{"ChannelName": "c", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/i"}}}],
}  # fmt: skip
_ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/jc-x-1"
_WIRE: Mapping[str, Any] = {
    "CreateTrainingJob": CREATE,
    "DescribeTrainingJob": {"TrainingJobName": "jc-x-1"},
    "StopTrainingJob": {"TrainingJobName": "jc-x-1"},
    "DeleteTrainingJob": {"TrainingJobName": "jc-x-1"},
    "ListTrainingJobs": {"NameContains": "jc", "MaxResults": 1, "SortBy": "Name", "NextToken": "WyItTmFtZSIsMV0="},
    "Search": {
        "Resource": "TrainingJob", "MaxResults": 1, "SortBy": "CreationTime",
        "SearchExpression": {"Filters": [
            {"Name": "TrainingJobName", "Operator": "In", "Value": "jc-x-1,b"},
            {"Name": "CreationTime", "Operator": "GreaterThan", "Value": "2026-01-01T00:00:00Z"},
            {"Name": "Tags.k", "Operator": "Exists"}], "Operator": "Or"},
    },
    "AddTags": {"ResourceArn": _ARN, "Tags": [{"Key": "a", "Value": "b"}]},
    "ListTags": {"ResourceArn": _ARN},
    "DeleteTags": {"ResourceArn": _ARN, "TagKeys": ["a"]},
}  # fmt: skip
_AUTH = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sagemaker/aws4_request"


@cache
def _sandbox() -> Any:
    """Make a server that does not listen: what answers a call, without threads and sockets."""
    server: Any = object.__new__(_server.Server)
    server.config = _config.SandboxConfig(manual=True, start=0.0, account=ACCOUNT)
    server.clock = _server.SandboxClock(start=0.0, speed=1.0, manual=True)
    server.faults, server.calls, server.log = [], _server.Counter(), _server.deque(maxlen=10)
    server.latency, server.buckets = 0.0, {}
    server._faults_lock, server._wake = _server.threading.Lock(), _server.threading.Event()
    server.closing = _server.threading.Event()
    server._sink = _server.EventSink(on_event=None, endpoint=None, region="us-east-1")
    server.service = Service(server.config, server.clock.now, server._sink.put)
    server.control = Control(server)
    return server


def _fresh_sandbox() -> Any:
    server = _sandbox()
    server.service.regions.clear()
    server.service.region("us-east-1")
    server.clock = _server.SandboxClock(start=0.0, speed=1.0, manual=True)
    server.service.now = server.clock.now
    server.faults.clear()
    server.buckets, server.latency = {}, 0.0
    server.calls.clear()
    return server


def sandbox_wire(data: bytes) -> None:
    source = Source(data)
    server = _fresh_sandbox()
    calls = [("CreateTrainingJob", CREATE)] if source.flag() else []
    for _ in range(1 + source.below(3)):
        operation = source.one_of(OPERATIONS)
        calls.append((operation, source.changed(_WIRE[operation])))
    for operation, request in calls:
        target = f"SageMaker.{operation}" if source.below(16) else source.text()
        body = json.dumps(request).encode() if source.below(8) else source.bytes(100)
        try:
            answer = server.answer(target, _AUTH if source.below(16) else source.text(), body)
        except (Refused, Malformed, _server._Denied) as error:
            assert str(error) is not None
        else:
            assert answer == b"" or isinstance(json.loads(answer), dict)


_CONTROLS: Sequence[tuple[str, str, Any]] = (
    ("POST", "script", [{"name": "*", "training": [1, 2], "failure": "x", "where": {"Tags.k": "v"}}]),
    ("POST", "pools", {"ml.m5.large": {"quota": 2, "capacity": [[0, 1], [60, 0]], "shortage": "wait"}}),
    ("POST", "faults", [{"kind": "throttle", "operation": "Search", "count": 2}]),
    ("POST", "settings", {"rates": {"Search": [1.0, 2]}}),
    ("POST", "advance", {"seconds": 60}),
    ("POST", "advance", {"to_next_event": True}),
    ("GET", "state", None), ("GET", "trainings", None), ("GET", "faults", None), ("GET", "calls", None),
)  # fmt: skip


def sandbox_control(data: bytes) -> None:
    source = Source(data)
    server = _fresh_sandbox()
    for _ in range(1 + source.below(4)):
        method, path, document = source.one_of(_CONTROLS)
        changed = source.changed(document)
        if isinstance(changed, dict):
            changed.pop("latency", None)  # waits for as long as it is told
        if not source.below(16):
            path = source.text(20)
        try:
            json.dumps(server.control.handle(method, path, changed))
        except (NotFound, ValueError, TypeError, KeyError):
            continue
    # Whatever was asked of it, it still answers: a refused control has left nothing behind.
    json.dumps(server.control.handle("GET", "state", None))
    server.faults.clear()
    server.buckets = {}
    try:
        server.answer("SageMaker.CreateTrainingJob", _AUTH, json.dumps(CREATE).encode())
    except Refused:
        return


TARGETS: Mapping[str, Target] = {
    "job-file-text": Target(job_file_text, "text of TOML, YAML or JSON: a spec that survives its encoding, CliError of one line, or InvalidJob", (b"\x00\x00name='x'\nscript='a'", b"\x01\x00a: &a [1]\nb: *a", b"\x02\x00{}"), weight=0.6),
    "job-file-table": Target(job_file_table, "decoded data: a spec that is valid and survives its encoding, or InvalidJob with problems; a sweep of 1 to 10,000", weight=0.6),
    "names": Target(names, "ids and training names: round trip, at most 39 characters, safe alphabet, or ValueError", weight=2),
    "record-sqlite": Target(record_sqlite, "stored record and spec: a job that can be encoded, stepped and told of, or CorruptRecord", weight=1.5),
    "item-dynamodb": Target(item_dynamodb, "stored items: the same", weight=0.8),
    "pool-state": Target(pool_state, "a pool's item: a state, whatever it holds", weight=1.5),
    "classify": Target(classify, "any evidence: one failure of at most 1,024 characters, the same twice; a quota or None", weight=1.5),
    "rules": Target(rules, "rule tables: rules that can be used, or ValueError", weight=1.5),
    "failure-reason": Target(failure_reason, "any reason: an item under 400 KB without lone surrogates, that reads back the same", weight=0.6),
    "secrets": Target(secrets, "any text and arguments: no known value is left, the environment shows names only"),
    "sns": Target(sns, "any texts: subject of 1-99 printable ASCII, at most 256 KB, JSON for machines, at most 10 attributes"),
    "api": Target(api, "HTTP events: a declared status (never 5xx) and a JSON object; nothing changed by a refusal or by somebody else", weight=0.6),
    "direct": Target(direct, "direct invocations: ids or an error, as JSON", weight=0.6),
    "cursor": Target(cursor, "cursors, on three stores: a page, or ValueError that says so", weight=0.5),
    "events": Target(events, "EventBridge, queue, stream and hint events: an answer, and never a change of status"),
    "describe": Target(describe, "DescribeTrainingJob answers: a training, or Unavailable; over only if TrainingJobStatus says so", weight=1.5),
    "describe-open": Target(describe_open, "answers of the model's types with any words: never an error", weight=2),
    "sagemaker-request": Target(sagemaker_request, "specs: problems that name fields, or a request with an allow-listed role", weight=0.3),
    "local-contract": Target(local_contract, "specs: something to run with a legal environment, or BadInput", weight=0.5),
    "scenario": Target(scenario, "scenario files: a scenario, or ValueError that names the scenario", weight=0.8),
    "traces": Target(traces, "CSV, gzip and SkyPilot JSON: traces, or ValueError that names the file"),
    "sandbox-wire": Target(sandbox_wire, "JSON 1.1 calls: an object, a refusal or a SerializationException", weight=0.4),
    "sandbox-control": Target(sandbox_control, "controls: an answer or one of their errors; the sandbox answers afterwards", weight=0.4),
}  # fmt: skip
