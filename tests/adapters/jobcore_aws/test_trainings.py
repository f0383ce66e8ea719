"""What SageMaker says of a training, as the port and the classifier read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from jobcore import FailureClass, classify
from jobcore.lifecycle import Retryable
from jobcore.metrics import METRICS_MAX, Metric
from jobcore.ports import Evidence, TrainingState
from jobcore_aws import failure_rules
from jobcore_aws._errors import evidence_of, is_refusal, is_throttle
from jobcore_aws._trainings import training_of

AT = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
STARTED = {"TrainingStartTime": AT}
ENDED = {"TrainingEndTime": AT + timedelta(hours=1)}


def described(status: str, secondary: str = "", **members: Any) -> dict[str, Any]:
    phases = members.pop("phases", ())
    transitions = [{"Status": phase, "StatusMessage": text} for phase, text in phases]
    return {
        "TrainingJobName": "jc-x-1",
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "SecondaryStatusTransitions": transitions,
        **members,
    }


@pytest.mark.parametrize(
    ("status", "secondary", "members", "expected"),
    [
        ("InProgress", "Pending", {}, TrainingState.PENDING),
        ("InProgress", "Starting", {}, TrainingState.PENDING),
        ("InProgress", "Downloading", STARTED, TrainingState.PENDING),
        ("InProgress", "Training", STARTED, TrainingState.RUNNING),
        ("InProgress", "Uploading", STARTED, TrainingState.RUNNING),
        ("InProgress", "Interrupted", STARTED, TrainingState.RUNNING),
        ("InProgress", "Dreaming", {}, TrainingState.PENDING),
        ("InProgress", "Dreaming", STARTED, TrainingState.RUNNING),
        ("InProgress", "", {}, TrainingState.PENDING),
        ("Stopping", "Stopping", STARTED, TrainingState.STOPPING),
        ("Completed", "Completed", STARTED | ENDED, TrainingState.COMPLETED),
        ("Failed", "Failed", STARTED | ENDED, TrainingState.FAILED),
        ("Stopped", "Stopped", STARTED | ENDED, TrainingState.STOPPED),
        ("Stopped", "MaxRuntimeExceeded", STARTED | ENDED, TrainingState.STOPPED),
        ("Queued", "", {}, TrainingState.PENDING),
        ("Resuming", "Training", STARTED, TrainingState.RUNNING),
    ],
)
def test_states(
    status: str, secondary: str, members: dict[str, Any], expected: TrainingState
) -> None:
    training = training_of(described(status, secondary, **members))
    assert training is not None
    assert training.state is expected
    if status not in ("Queued", "Resuming"):
        assert training.detail == (secondary or status)
    else:
        assert training.detail.startswith(status)


@pytest.mark.parametrize("status", ["Deleting", "Vanished"])
def test_what_is_over_in_an_unknown_way_says_nothing(status: str) -> None:
    assert training_of(described(status, "", **STARTED, **ENDED)) is None


def test_times_are_told_in_utc() -> None:
    training = training_of(described("Completed", "Completed", **STARTED, **ENDED))
    assert training is not None
    assert training.started_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert training.started_at.tzinfo is UTC
    assert training.ended_at == datetime(2026, 1, 1, 11, tzinfo=UTC)
    assert training.evidence is None


def test_a_failure_without_times_is_read_too() -> None:
    training = training_of(described("Failed", "Failed", FailureReason="CapacityError: none"))
    assert training is not None
    assert training.started_at is None
    assert training.evidence == Evidence(
        where="describe", status="Failed", secondary_status="Failed", text="CapacityError: none"
    )


@given(
    st.text(max_size=8),
    st.text(max_size=8),
    st.lists(st.fixed_dictionaries({}, optional={"Status": st.text(max_size=8)}), max_size=3),
    st.booleans(),
)
def test_no_answer_makes_it_raise(
    status: str, secondary: str, transitions: list[dict[str, str]], started: bool
) -> None:
    document = described(status, secondary, **(STARTED if started else {}))
    training = training_of(document | {"SecondaryStatusTransitions": transitions})
    assert training is None or not training.state.is_terminal or status in training.state


@pytest.mark.parametrize(
    ("secondary", "phases", "expected"),
    [
        ("Starting", ["Starting"], TrainingState.PENDING),
        ("Pending", ["Starting", "Pending"], TrainingState.PENDING),
        ("Starting", ["Pending", "Starting"], TrainingState.RUNNING),
        ("Downloading", ["Starting", "Pending", "Downloading"], TrainingState.RUNNING),
        ("Pending", ["Pending", "Starting", "Pending"], TrainingState.PENDING),
    ],
)
def test_a_training_that_was_pending_and_is_no_more_has_its_instances(
    secondary, phases, expected
) -> None:
    document = described("InProgress", secondary, phases=[(phase, "") for phase in phases])
    training = training_of(document)
    assert training is not None
    assert training.state is expected
    assert training.started_at is None


# --- evidence, and the class that it is given ---------------------------------------------

WAIT = ("Pending", "Training job waiting for capacity")
START = ("Starting", "Starting the training job")
RUN = ("Training", "Training image download completed. Training in progress.")
STOP = ("Stopping", "Stopping the training job")
CAPACITY, USER, TIMEOUT = (
    FailureClass.CAPACITY,
    FailureClass.STOPPED_BY_USER,
    FailureClass.TIMEOUT,
)

ENDINGS: list[tuple[str, dict[str, Any], FailureClass, Retryable]] = [
    (
        "given up while it waited, whatever the service calls that",
        described("Stopped", "SomethingNew", phases=[START, WAIT, ("Stopped", "no words for it")]),
        CAPACITY,
        Retryable.YES,
    ),
    (
        "given up while it waited, by way of Stopping",
        described("Stopped", "Stopped", phases=[WAIT, STOP, ("Stopped", "Training job stopped")]),
        CAPACITY,
        Retryable.YES,
    ),
    (
        "given up while it waited, with a text",
        described(
            "Stopped",
            "Stopped",
            phases=[("Stopped", "Training job times out waiting for capacity")],
        ),
        CAPACITY,
        Retryable.YES,
    ),
    (
        "spot that never came",
        described("Stopped", "MaxWaitTimeExceeded", phases=[START]),
        CAPACITY,
        Retryable.YES,
    ),
    (
        "spot that came and went until the time was over",
        described("Stopped", "MaxWaitTimeExceeded", phases=[START, RUN], **STARTED),
        TIMEOUT,
        Retryable.LIMITED,
    ),
    (
        "stopped by somebody while it ran, though it had waited before",
        described("Stopped", "Stopped", phases=[WAIT, START, RUN, STOP], **STARTED),
        USER,
        Retryable.NO,
    ),
    (
        "stopped by somebody before it ran, not waiting",
        described("Stopped", "Stopped", phases=[START, STOP]),
        USER,
        Retryable.NO,
    ),
    (
        "out of time",
        described("Stopped", "MaxRuntimeExceeded", phases=[START, RUN], **STARTED),
        TIMEOUT,
        Retryable.NO,
    ),
    (
        "no capacity, told at once",
        described(
            "Failed",
            "Failed",
            FailureReason="CapacityError: Unable to provision requested ML compute capacity. "
            "Please retry using a different ML instance type.",
        ),
        CAPACITY,
        Retryable.YES,
    ),
    (
        "the service's fault",
        described(
            "Failed",
            "Failed",
            FailureReason="InternalServerError: We encountered an internal error.  Please try again.",
        ),
        FailureClass.SERVICE_INTERNAL,
        Retryable.YES,
    ),
    (
        "the user's code, whatever it says",
        described(
            "Failed",
            "Failed",
            FailureReason='AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage "ValueError: '
            'CapacityError is a word", exit code: 1',
        ),
        FailureClass.ALGORITHM,
        Retryable.NO,
    ),
    (
        "data that is not there",
        described(
            "Failed",
            "Failed",
            FailureReason='ClientError: Data download failed:No S3 objects found under S3 URL "s3://x"',
        ),
        FailureClass.DATA_ACCESS,
        Retryable.NO,
    ),
    (
        "failed without a reason",
        described("Failed", "Failed"),
        FailureClass.UNKNOWN,
        Retryable.LIMITED,
    ),
]


@pytest.mark.parametrize(
    ("description", "expected", "retryable"),
    [row[1:] for row in ENDINGS],
    ids=[row[0] for row in ENDINGS],
)
def test_endings_are_classified(
    description: dict[str, Any], expected: FailureClass, retryable: Retryable
) -> None:
    training = training_of(description)
    assert training is not None
    assert training.evidence is not None
    failure = classify(training.evidence, failure_rules())
    assert (failure.failure_class, failure.retryable) == (expected, retryable), failure.rule


def test_a_reason_wins_over_what_the_last_transition_says() -> None:
    training = training_of(
        described("Failed", "Failed", FailureReason="ClientError: x", phases=[("Failed", "y")])
    )
    assert training is not None
    assert training.evidence is not None
    assert training.evidence.text == "ClientError: x"


# --- what an error says of a call ---------------------------------------------------------


def answered(code: str, text: str = "", status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "CreateTrainingJob")


QUOTA = (
    "The account-level service limit 'ml.g5.2xlarge for training job usage' is {} Instances, with "
    "current utilization of {} Instances and a request delta of 1 Instances. Please use AWS Service "
    "Quotas to request an increase for this quota."
)
REFUSALS: list[tuple[ClientError, FailureClass, Retryable]] = [
    (answered("ResourceLimitExceeded", QUOTA.format(1, 1)), FailureClass.QUOTA, Retryable.YES),
    (answered("ResourceLimitExceeded", QUOTA.format(0, 0)), FailureClass.QUOTA, Retryable.NO),
    (
        answered(
            "ResourceLimitExceeded",
            "The requested resource training-job/ml.p2.xlarge is not available in this region",
        ),
        FailureClass.BAD_INPUT,
        Retryable.NO,
    ),
    (answered("ThrottlingException", "Rate exceeded"), FailureClass.THROTTLE, Retryable.YES),
    (
        answered("ValidationException", "1 validation error detected: Value 'x' at 'y' failed"),
        FailureClass.BAD_INPUT,
        Retryable.NO,
    ),
    (
        answered("ValidationException", "No S3 objects found under S3 URL s3://x given in input"),
        FailureClass.DATA_ACCESS,
        Retryable.NO,
    ),
    (
        answered("ValidationException", "Could not assume role arn:aws:iam::1:role/x."),
        FailureClass.PERMISSION,
        Retryable.LIMITED,
    ),
    (
        answered("AccessDeniedException", "User: x is not authorized to perform: iam:PassRole"),
        FailureClass.PERMISSION,
        Retryable.NO,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("error", "expected", "retryable"), REFUSALS, ids=lambda v: str(v)[:60])
def test_refusals_are_certain_and_classified(
    error: ClientError, expected: FailureClass, retryable: Retryable
) -> None:
    assert is_refusal(error)
    failure = classify(evidence_of(error, "create"), failure_rules())
    assert (failure.failure_class, failure.retryable) == (expected, retryable), failure.rule


def test_botocores_own_refusal_is_one() -> None:
    error = ParamValidationError(report="Unknown parameter in input: X")
    assert is_refusal(error)
    failure = classify(evidence_of(error, "create"), failure_rules())
    assert failure.failure_class is FailureClass.BAD_INPUT


URL = "https://api.sagemaker.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    "error",
    [
        answered("InternalFailure", status=500),
        answered("ServiceUnavailable", status=503),
        answered("ThrottlingException", status=503),
        answered("RequestTimeout", status=400),
        answered("x", status=408),
        answered("x", status=0),
        answered("ExpiredTokenException"),
        answered("UnrecognizedClientException"),
        answered("InvalidSignatureException", status=403),
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        EndpointConnectionError(endpoint_url=URL),
        NoCredentialsError(),
        OSError("boom"),
    ],
    ids=lambda e: str(e)[:60],
)
def test_everything_else_is_unclear(error: Exception) -> None:
    """It was perhaps applied, or it says something about the caller and nothing about the job."""
    assert not is_refusal(error)


def test_throttles_are_known_by_their_code() -> None:
    assert is_throttle(answered("ThrottlingException"))
    assert not is_throttle(answered("ResourceLimitExceeded"))


def final(name: object, value: object) -> dict[str, Any]:
    return {"MetricName": name, "Value": value, "Timestamp": AT}


def test_the_last_value_of_each_metric_is_read() -> None:
    items = [final("loss", 0.25), final("acc", 1), final("odd\n", 1.0), final("nan", float("nan"))]
    found = training_of(described("Completed", FinalMetricDataList=[*items, {}]))
    assert found is not None
    assert found.metrics == (Metric(name="loss", final=0.25), Metric(name="acc", final=1))
    many = [final(f"m{n}", 1.0) for n in range(METRICS_MAX + 5)]
    found = training_of(described("Failed", FinalMetricDataList=many, **STARTED, **ENDED))
    assert found is not None
    assert len(found.metrics) == METRICS_MAX


def test_a_training_that_runs_has_no_metrics_yet() -> None:
    found = training_of(described("InProgress", "Training", FinalMetricDataList=[final("a", 1.0)]))
    assert found is not None
    assert found.metrics == ()
