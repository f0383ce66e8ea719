"""The check of a job for AWS before its submission."""

from __future__ import annotations

from typing import Any

from jobcore import Spec
from jobcore.errors import Problem

from ._dynamodb import check_item_size
from ._settings import AwsSettings
from ._validate import validate_request

__all__ = ["check"]


def check(spec: Spec, settings: AwsSettings, *, shape: Any = None) -> list[Problem]:
    """
    Check a job against SageMaker's limits, the deployment's allow-lists and the table's item size.

    Entry points call it before they submit a job; without it SageMaker would refuse the job at its
    launch, perhaps hours later.

    Args:
        shape: botocore's input shape of CreateTrainingJob; loaded if not given.

    Returns:
        One problem for each field of the job file that is wrong; none if the job can be submitted.
    """
    lines = [
        line.partition(": ") for line in validate_request(settings.sagemaker, spec, shape=shape)
    ]
    problems = [Problem(field, message) for field, _, message in lines]
    return [*problems, *check_item_size(spec, bucket=settings.bucket)]
