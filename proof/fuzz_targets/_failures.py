"""Targets: failure texts, rules and secrets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jobcore
from jobcore import Job, Status
from jobcore.jobfile import parse
from jobcore.ports import Evidence
from jobcore_aws import failure_rules
from jobcore_aws._dynamodb import _items
from jobcore_sqlite import _store as sqlite_store
from proof._source import Source

from ._values import SPEC, T0, jobs

__all__ = ["classify", "failure_reason", "rules", "secrets"]

RULES = failure_rules()


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
    if not isinstance(args, dict) or parse._unreadable(args):
        return  # no job file has such arguments
    try:
        spec = replace(SPEC, args=args, tags={})
    except ValueError:
        return  # no spec
    shown = jobcore.redact.redact_args(args)
    assert set(shown) == set(args)
    if isinstance(args.get("environment"), dict):
        assert set(shown["environment"].values()) <= {"***"}  # type: ignore[union-attr]
    for value in jobcore.redact.secret_values(spec):
        assert value not in jobcore.redact.redact(f"x {value} y", [value]) or "*" in value
