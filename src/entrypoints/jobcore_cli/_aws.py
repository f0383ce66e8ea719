"""The parts of the command that are different on AWS: settings, places, logs, checks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

import jobcore
from jobcore.errors import InvalidSetting

from ._errors import NOT_FOUND, CliError
from ._variables import STACK

if TYPE_CHECKING:
    from jobcore_aws import AwsSettings

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@attrs.frozen(kw_only=True)
class _Names:
    """
    The names of a deployment's resources: the fields of [aws] that JOBCORE_CONFIG does not have.

    Attributes:
        stack: the stack that `jobcore deploy` created; default ``jobcore``. Its outputs name the
            rest, so that nothing else is needed.
        table: the table of jobs; then no stack is looked up.
        topic_arn: the ARN of the topic for messages.
        bucket: the bucket for large specs and for code.
    """

    stack: str | None = None
    table: str | None = None
    topic_arn: str | None = None
    bucket: str | None = None


#: The variables that go over the fields of `_Names`.
_VARIABLES = {
    "stack": STACK.name,
    "table": "JOBCORE_TABLE",
    "topic_arn": "JOBCORE_TOPIC_ARN",
    "bucket": "JOBCORE_BUCKET",
}


def read_settings(table: Mapping[str, Any], environ: Mapping[str, str]) -> AwsSettings:
    """
    Read the settings of a deployment: the environment, over the [aws] table of config.toml.

    If neither names a table, the settings of the stack that `jobcore deploy` created are read:
    ``JOBCORE_STACK``, or ``stack`` in [aws], or "jobcore".

    Raises:
        CliError: a setting is missing or wrong.
    """
    try:
        from jobcore_aws import settings_from
    except ImportError:
        raise _not_installed() from None
    from jobcore_config.reading import read

    config = {key: value for key, value in table.items() if key not in _VARIABLES}
    try:
        names = read(_Names, table, where="config.toml: aws", beside=config)
        given = {name: getattr(names, key) for key, name in _VARIABLES.items()}
        given = {name: value for name, value in given.items() if value is not None}
        given |= {k: v for k, v in environ.items() if k.startswith("JOBCORE_") and v}
        if "JOBCORE_TABLE" not in given:
            found = _of_stack(given.get(STACK.name, "jobcore"))
            if config:  # [aws] overrides the stack's configuration
                found.pop("JOBCORE_CONFIG", None)
            given = found | given
        return settings_from(given, config=config or None)
    except InvalidSetting as error:
        msg = f"{error}  (--backend aws: set it in the environment, or under [aws] in config.toml)"
        raise CliError(msg) from None


def _of_stack(name: str) -> dict[str, str]:
    """Read the outputs and parameters of a stack from CloudFormation."""
    from jobcore_aws import client

    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except Exception as error:
        msg = (
            f"--backend aws: no deployment: stack {name}: {error}  "
            "(jobcore deploy makes one; JOBCORE_STACK names another; JOBCORE_TABLE names a table)"
        )
        raise CliError(msg, NOT_FOUND) from None
    outputs = {o["OutputKey"]: str(o["OutputValue"]) for o in stack.get("Outputs", [])}
    given = {p["ParameterKey"]: str(p["ParameterValue"]) for p in stack.get("Parameters", [])}
    found = {
        "JOBCORE_TABLE": outputs.get("TableName", ""),
        "JOBCORE_TOPIC_ARN": outputs.get("TopicArn", ""),
        "JOBCORE_BUCKET": outputs.get("SpecBucketName", ""),
        "JOBCORE_CONFIG": given.get("Config", ""),
    }
    return {name: value for name, value in found.items() if value}


def _not_installed() -> CliError:
    return CliError("--backend aws needs boto3: pip install 'jobcore-scheduler[aws]'")


# --- places and logs --------------------------------------------------------------------


def places(settings: AwsSettings, job: jobcore.Job, name: str, attempt: int) -> dict[str, str]:
    """Return the places of log, model, output and checkpoints of a job's attempt."""
    output = settings.sagemaker.output.rstrip("/")
    return {
        "log": f"{LOG_GROUP}/{name}",
        "model": f"{output}/{job.job_id}/{attempt}/{name}/output/model.tar.gz",
        "output": f"{output}/{job.job_id}/{attempt}/{name}/output/output.tar.gz",
        "checkpoints": f"{output}/{job.job_id}/checkpoints",
    }


def log_events(name: str, *, since: int = 0, host: int | None = None) -> Iterator[tuple[int, str]]:
    """
    Read a training's output from CloudWatch Logs: (milliseconds since 1970, line).

    Args:
        name: of the training.
        since: in milliseconds since 1970.
        host: the number of the host; None for all.

    Raises:
        CliError: there is no output yet.
        Unavailable: CloudWatch did not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from jobcore_aws import client
    from jobcore_aws._errors import error_code

    logs = client("logs")
    stream = f"{name}/" if host is None else f"{name}/algo-{host}-"
    token: dict[str, str] = {}
    while True:
        try:
            page = logs.filter_log_events(
                logGroupName=LOG_GROUP, logStreamNamePrefix=stream, startTime=since, **token
            )
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                msg = f"training {name} has written nothing"
                raise CliError(msg, NOT_FOUND) from None
            raise jobcore.Unavailable(str(error)) from None
        except BotoCoreError as error:
            raise jobcore.Unavailable(str(error)) from None
        for event in page.get("events", []):
            # MiniStack answers with every stream of the group, whatever the prefix is.
            if not event["logStreamName"].startswith(stream):
                continue
            yield int(event["timestamp"]), str(event["message"])
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


# --- doctor -----------------------------------------------------------------------------


def check_deployment(settings: AwsSettings) -> dict[str, str]:
    """
    Check that the table and the topic exist, and that there is a role.

    Raises:
        CliError: the first problem.
    """
    from jobcore_aws import client

    found = {}
    try:
        table = client("dynamodb").describe_table(TableName=settings.table)["Table"]
        found["table"] = f"{settings.table} {table['TableStatus']}"
        if settings.topic_arn:
            client("sns").get_topic_attributes(TopicArn=settings.topic_arn)
            found["topic"] = settings.topic_arn
    except Exception as error:
        msg = f"{type(error).__name__}: {error}"
        raise CliError(msg) from None
    if not settings.sagemaker.roles:
        msg = "roles: none; JOBCORE_CONFIG has to name an execution role for trainings"
        raise CliError(msg)
    found["region"] = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "?"
    return found
