"""What SageMaker gives to a container: the files of ``/opt/ml/input/config``, and an environment.

The files are described at
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The folder that SageMaker mounts into a container.
OPT_ML = "/opt/ml"
#: The folders below ``/opt/ml`` that exist when a script starts, parents first.
FOLDERS = ("", "input", "input/config", "input/data", "model", "output", "output/data")
#: Hyperparameters that name the script, its code and its training; a job cannot set them itself.
RESERVED_HYPERPARAMETERS = frozenset(
    {
        "sagemaker_program", "sagemaker_submit_directory", "sagemaker_job_name", "sagemaker_region",
    }
)  # fmt: skip
#: Variables that begin so are SageMaker's, the toolkit's and jobcore's; a job cannot set them itself.
RESERVED_ENVIRONMENT = ("SM_", "JOBCORE_", "SAGEMAKER_", "TRAINING_JOB_")

_LOG_LEVEL = 20  # logging.INFO, the toolkit's default
_NETWORK = "eth0"
_GROUP = "homogeneousCluster"  # SageMaker's name of the only group of instances


@dataclass(frozen=True, kw_only=True)
class Container:
    """
    A container before the toolkit starts in it.

    Attributes:
        base: the folder that stands for ``/opt/ml``.
        hyperparameters: of the CreateTrainingJob request; each value is a text, of JSON if it can be
            read as such.
        channels: the contents of ``inputdataconfig.json``, see `channel_config`.
        resources: the contents of ``resourceconfig.json``, see `resource_config`.
        environment: of the container's first process.
        cpus, gpus: how many the script may use.
    """

    base: str
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Mapping[str, str]]
    resources: Mapping[str, Any]
    environment: Mapping[str, str]
    cpus: int
    gpus: int = 0

    def files(self) -> dict[str, str]:
        """Write the configuration files: their text by path."""
        contents = {
            "hyperparameters": self.hyperparameters,
            "inputdataconfig": self.channels,
            "resourceconfig": self.resources,
        }
        return {
            f"{self.base}/input/config/{name}.json": json.dumps(content)
            for name, content in contents.items()
        }


def hyperparameter_texts(
    given: Mapping[str, Any],
    *,
    script: str,
    training: str,
    code: str | None = None,
    region: str | None = None,
) -> dict[str, str]:
    """
    Write a job's hyperparameters as a CreateTrainingJob request has them for the toolkit.

    Args:
        given: the job's own, values of JSON.
        script: the entry point, relative to its code.
        training: the name of the training.
        code: the place of the code; None: it is in the image, in ``/opt/ml/code``.
        region: the AWS region; None if there is none.
    """
    own: dict[str, Any] = {
        "sagemaker_program": script,
        "sagemaker_container_log_level": _LOG_LEVEL,
        "sagemaker_job_name": training,
    }
    if code is not None:
        own["sagemaker_submit_directory"] = code
    if region is not None:
        own["sagemaker_region"] = region
    return {name: json.dumps(value) for name, value in {**own, **given}.items()}


def channel_config(mode: str = "File", **members: str) -> dict[str, str]:
    """Make the entry of a channel in ``inputdataconfig.json``."""
    return {
        "TrainingInputMode": mode,
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
        **members,
    }


def host_name(number: int) -> str:
    """Return SageMaker's name of a training's host; the first is number 1."""
    return f"algo-{number}"


def resource_config(
    instance_type: str, *, network: str = _NETWORK, count: int = 1, host: int = 1
) -> dict[str, Any]:
    """
    Make the contents of ``resourceconfig.json`` for one host.

    Args:
        instance_type: of all hosts.
        network: the name of the network interface.
        count: how many hosts there are; SageMaker sorts their names lexicographically.
        host: the number of this one, from 1.
    """
    hosts = sorted(map(host_name, range(1, count + 1)))
    return {
        "current_group_name": _GROUP,
        "current_host": host_name(host),
        "current_instance_type": instance_type,
        "hosts": hosts,
        "instance_groups": [
            {"hosts": hosts, "instance_group_name": _GROUP, "instance_type": instance_type}
        ],
        "network_interface_name": network,
    }
