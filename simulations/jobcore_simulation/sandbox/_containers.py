"""The container of a training as SageMaker sets it up from a CreateTrainingJob request.

The sandbox has no /opt/ml. So that path is replaced in hyperparameters and environment by the folder
that stands for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobcore_contract import (
    OPT_ML,
    Container,
    channel_config,
    relocate,
    resource_config,
)

__all__ = ["checkpoint_folder", "container_of"]

_CHANNEL_MEMBERS = ("ContentType", "RecordWrapperType")  # repeated in inputdataconfig.json


def container_of(
    document: Mapping[str, Any],
    *,
    name: str,
    arn: str,
    instance_type: str,
    base: str,
    inherited: Mapping[str, str],
) -> Container:
    """
    Set up the container of a request on the first of its hosts.

    Args:
        name, arn: of the training.
        base: the folder that stands for /opt/ml.
        inherited: variables that a container's image would set.
    """
    given = document.get("HyperParameters", {})
    environment = document.get("Environment", {})
    return Container(
        base=base,
        hyperparameters={key: relocate(str(text), base) for key, text in given.items()},
        channels=_channels(document),
        resources=resource_config(instance_type),
        environment={
            **inherited,
            **{key: relocate(str(text), base) for key, text in environment.items()},
            "TRAINING_JOB_NAME": name,
            "TRAINING_JOB_ARN": arn,
        },
        cpus=os.cpu_count() or 1,
    )


def checkpoint_folder(document: Mapping[str, Any], ml: Path) -> Path:
    """
    Find the folder of checkpoints below *ml*.

    Raises:
        ValueError: the request names a folder that is not below /opt/ml.
    """
    path = document.get("CheckpointConfig", {}).get("LocalPath", f"{OPT_ML}/checkpoints")
    folder = Path(relocate(path, str(ml))).resolve()
    if not folder.is_relative_to(ml.resolve()):
        msg = f"CheckpointConfig.LocalPath: {path} is not below {OPT_ML}"
        raise ValueError(msg)
    return folder


def _channels(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    mode = document.get("AlgorithmSpecification", {}).get("TrainingInputMode", "File")
    configs = {}
    for channel in document.get("InputDataConfig", ()):
        members = {name: channel[name] for name in _CHANNEL_MEMBERS if name in channel}
        s3 = channel["DataSource"].get("S3DataSource", {})
        if "S3DataDistributionType" in s3:
            members["S3DistributionType"] = s3["S3DataDistributionType"]
        configs[channel["ChannelName"]] = channel_config(channel.get("InputMode", mode), **members)
    return configs
