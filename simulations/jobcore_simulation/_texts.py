"""The service's texts: error codes, messages of errors and of statuses.

They were collected from users' reports and public code, not from the service itself;
docs/reference/sandbox.md names the source of each.
"""

from __future__ import annotations

IN_USE = "ResourceInUse"
LIMIT_EXCEEDED = "ResourceLimitExceeded"
INVALID = "ValidationException"

ACROSS_TRAININGS = "Number of instances across training jobs"
INSTANCES_PER_TRAINING = "Instances per training job"

CAPACITY_ERROR = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
SHORT_OF_INSTANCES = "Insufficient capacity error from EC2 while launching instances, retrying!"
PREPARING = "Preparing the instances for training"
PENDING_TOO_LONG = "Training job times out waiting for capacity"
MESSAGES = {
    "Starting": "Starting the training job",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Interrupted": "The job stopped because the managed spot training instances were interrupted.",
    "MaxRuntimeExceeded": "The job stopped because it exceeded the maximum allowed runtime.",
    "MaxWaitTimeExceeded": "The job stopped because it exceeded the maximum allowed wait time.",
}

_LIMIT = (
    "The account-level service limit '{quota}' is {limit} Instances, with current utilization of "
    "{used} Instances and a request delta of {delta} Instances. Please use AWS Service Quotas to "
    "request an increase for this quota. If AWS Service Quotas is not available, contact AWS "
    "support to request an increase for this quota."
)


class Refused(Exception):  # noqa: N818  (an answer, not a bug)
    """The service refuses a call; *code* and *text* are in its words."""

    def __init__(self, code: str, text: str) -> None:
        """Keep the code and the text."""
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def over_limit(quota: str, limit: int, used: int, delta: int) -> Refused:
    """Make the refusal for a full quota."""
    text = _LIMIT.format(quota=quota, limit=limit, used=used, delta=delta)
    return Refused(LIMIT_EXCEEDED, text)


def not_available(instance_type: str) -> Refused:
    """Make the refusal for an instance type that the region does not have."""
    text = f"The requested resource training-job/{instance_type} is not available in this region"
    return Refused(LIMIT_EXCEEDED, text)


def name_taken(arn: str) -> Refused:
    """Make the refusal for a training name that exists."""
    text = (
        "Training job names must be unique within an AWS account and region, and a training job "
        f"with this name already exists ({arn})"
    )
    return Refused(IN_USE, text)


def wrong_status(status: str, code: str = INVALID) -> Refused:
    """Make the refusal to stop, or to delete, a training in this status."""
    text = f"The request was rejected because the training job is in status {status}."
    return Refused(code, text)
