"""The container that the sandbox sets up for a request: what SageMaker would put into its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobcore_simulation.sandbox._containers import checkpoint_folder, container_of


def channel(name: str, **members: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://b", **members.pop("s3", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **members}


def container(**document: Any) -> Any:
    return container_of(
        document,
        name="a",
        arn="arn:a",
        instance_type="ml.m5.large",
        base="/b",
        inherited={"X": "1"},
    )


def test_channels_are_described_as_sagemaker_does() -> None:
    made = container(
        AlgorithmSpecification={"TrainingInputMode": "FastFile"},
        InputDataConfig=[
            channel("plain"),
            channel(
                "all",
                ContentType="text/csv",
                InputMode="Pipe",
                RecordWrapperType="RecordIO",
                s3={"S3DataDistributionType": "ShardedByS3Key"},
            ),
        ],
    )
    assert made.channels == {
        "plain": {
            "TrainingInputMode": "FastFile",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
        "all": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "ShardedByS3Key",
            "RecordWrapperType": "RecordIO",
            "ContentType": "text/csv",
        },
    }


def test_paths_below_opt_ml_are_those_of_the_container() -> None:
    made = container(
        HyperParameters={"a": '"/opt/ml/model"', "b": "/opt/ml", "c": "s3://x/opt/ml"},
        Environment={
            "SM_CHECKPOINT_DIR": "/opt/ml/checkpoints",
            "X": "2",
            "TRAINING_JOB_NAME": "b",
        },
    )
    assert made.hyperparameters == {"a": '"/b/model"', "b": "/b", "c": "s3://x/opt/ml"}
    assert made.environment == {
        "X": "2",
        "SM_CHECKPOINT_DIR": "/b/checkpoints",
        "TRAINING_JOB_NAME": "a",
        "TRAINING_JOB_ARN": "arn:a",
    }


def test_checkpoints_have_the_folder_that_the_request_names(tmp_path: Path) -> None:
    assert checkpoint_folder({}, tmp_path) == tmp_path / "checkpoints"
    named = {"CheckpointConfig": {"LocalPath": "/opt/ml/saved/here"}}
    assert checkpoint_folder(named, tmp_path) == tmp_path / "saved/here"


@pytest.mark.parametrize("path", ["/tmp/x", "/opt/ml/../x", "/opt/mlx"])
def test_checkpoints_stay_in_the_container(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="is not below /opt/ml"):
        checkpoint_folder({"CheckpointConfig": {"LocalPath": path}}, tmp_path)
