"""A training as DescribeTrainingJob, ListTrainingJobs, Search and EventBridge show it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jobcore_simulation._training import Training

__all__ = ["describe", "event", "summary"]

# Members of the request that a description repeats.
_REPEATED = (
    "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig",
    "VpcConfig", "StoppingCondition", "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "CheckpointConfig",
    "DebugHookConfig", "ExperimentConfig", "DebugRuleConfigurations", "TensorBoardOutputConfig",
    "ProfilerConfig", "ProfilerRuleConfigurations", "Environment", "RetryStrategy",
    "RemoteDebugConfig", "InfraCheckConfig", "MlflowConfig", "ModelPackageConfig",
)  # fmt: skip
_FLAGS = (
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)
_TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime", "LastModifiedTime")


def describe(training: Training, arn: str) -> dict[str, Any]:
    """Describe a training; times are seconds since the epoch, as on the wire."""
    document = training.request.document
    shown: dict[str, Any] = {
        "TrainingJobName": training.name,
        "TrainingJobArn": arn,
        "TrainingJobStatus": training.status,
        "SecondaryStatus": training.secondary,
        "ModelArtifacts": {"S3ModelArtifacts": model_artifacts(training)},
        "ResourceConfig": _resources(training),
        **dict.fromkeys(_FLAGS, False),
        **{name: document[name] for name in _REPEATED if name in document},
        "CreationTime": _seconds(training.created_at),
        "LastModifiedTime": _seconds(training.modified_at),
        "SecondaryStatusTransitions": [
            {
                "Status": t.status,
                "StartTime": _seconds(t.start),
                **({} if t.end is None else {"EndTime": _seconds(t.end)}),
                "StatusMessage": t.message,
            }
            for t in training.transitions
        ],
    }
    scripted = training.fate.metrics if training.status == "Completed" else {}
    if (metrics := training.metrics or scripted) and training.ended_at is not None:
        shown["FinalMetricDataList"] = [
            {"MetricName": name, "Value": value, "Timestamp": _seconds(training.ended_at)}
            for name, value in metrics.items()
        ]
    if training.failure_reason:
        shown["FailureReason"] = training.failure_reason
    if training.started_at is not None:
        shown["TrainingStartTime"] = _seconds(training.started_at)
    if training.ended_at is not None:
        shown["TrainingEndTime"] = _seconds(training.ended_at)
        if training.started_at is not None:
            shown["TrainingTimeInSeconds"] = max(1, round(training.ended_at - training.started_at))
            shown["BillableTimeInSeconds"] = max(1, round(training.busy))
    return shown


def summary(training: Training, arn: str) -> dict[str, Any]:
    """Show a training as an entry of ListTrainingJobs: without the failure reason."""
    shown = {
        "TrainingJobName": training.name,
        "TrainingJobArn": arn,
        "CreationTime": _seconds(training.created_at),
        "LastModifiedTime": _seconds(training.modified_at),
        "TrainingJobStatus": training.status,
        "SecondaryStatus": training.secondary,
    }
    if training.ended_at is not None:
        shown["TrainingEndTime"] = _seconds(training.ended_at)
    return shown


def event(
    training: Training, arn: str, tags: Mapping[str, str], *, at: float, region: str, account: str
) -> dict[str, Any]:
    """Make the EventBridge event of a status change: times are milliseconds in text, tags a map."""
    detail = describe(training, arn)
    for name in _TIMES:
        if name in detail:
            detail[name] = _milliseconds(detail[name])
    detail["SecondaryStatusTransitions"] = [
        {k: _milliseconds(v) if k.endswith("Time") else v for k, v in t.items()}
        for t in detail["SecondaryStatusTransitions"]
    ]
    detail["Tags"] = dict(tags)
    seed = f"{arn} {training.created_at} {len(training.transitions)}"
    digest = hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()
    return {
        "version": "0",
        "id": "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])),
        "detail-type": "SageMaker Training Job State Change",
        "source": "aws.sagemaker",
        "account": account,
        "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [arn],
        "detail": detail,
    }


def model_artifacts(training: Training) -> str:
    """Return the S3 URI of the model."""
    where = str(training.request.document["OutputDataConfig"]["S3OutputPath"]).rstrip("/")
    return f"{where}/{training.name}/output/model.tar.gz"


def _resources(training: Training) -> dict[str, Any]:
    resources = dict(training.request.document["ResourceConfig"])
    if "InstancePreferences" in resources and training.selected is not None:
        resources["SelectedInstanceType"] = training.selected.split("/")[1]
        resources["SelectedInstanceCount"] = training.count
    return resources


def _seconds(time: float) -> float:
    return round(time, 3)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
