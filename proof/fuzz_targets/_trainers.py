"""Targets: requests and answers of SageMaker, and the training contract of the laptop."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import jobcore
from jobcore import Spec
from jobcore.metrics import decode_metrics, wrong_metrics
from jobcore_aws import (
    Pool,
    SageMakerSettings,
    SageMakerTrainer,
    failure_rules,
    validate_request,
)
from jobcore_aws._request import BadRequest, build_request
from jobcore_aws._trainings import training_of
from jobcore_local._contract import BadInput, prepare
from jobcore_local._supervisor.metrics import Reader
from proof._source import Source

from ._values import ACCOUNT, FILE, JOB_ID, T0, spec_of

__all__ = ["describe", "describe_open", "local_contract", "metrics", "sagemaker_request"]


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
    "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.5, "Timestamp": T0}],
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
        jobcore.classify(found.evidence, failure_rules())


def describe_open(data: bytes) -> None:
    """Read a description that has the types of the service's model, with any words, without an error."""
    source = Source(data)
    words = ("InProgress", "Completed", "Failed", "Stopping", "Stopped", "Deleting", "Pending", "Training",
             "Starting", "Interrupted", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Restarting")  # fmt: skip

    def word() -> str:
        return source.one_of(words) if source.below(4) else source.text()

    description: dict[str, Any] = {"TrainingJobName": f"jc-{source.below(10)}"}  # never empty
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


def metrics(data: bytes) -> None:
    """Read what a script left: any bytes in one of the files, or in the log."""
    names = ("metrics.json", "metrics.jsonl", "log")
    which, content = (data[0] % len(names), data[1:]) if data else (0, b"")
    with TemporaryDirectory() as folder:
        Path(folder, names[which]).write_bytes(content)
        reader = Reader(seconds=5.0)
        rows = reader.read(folder, str(Path(folder, "log")), {"loss": "([0-9.a-z+-]+)"})
    assert wrong_metrics(decode_metrics(json.loads(json.dumps(rows)))) is None
    assert all("\n" not in note for note in reader.notes), reader.notes


def sagemaker_request(data: bytes) -> None:
    source = Source(data)
    file = source.changed(FILE | {"image": "torch", "sagemaker": {}, "arguments": []})
    if not isinstance(file, dict):
        return
    file.pop("sweep", None)
    spec = spec_of(file)
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
    spec = spec_of(file)
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
