"""What a deployment allows and uses: read from the environment of a function or a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from jobcore import Limits, parse_duration

MARKETS = ("on-demand", "spot", "plan")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,128}")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SageMakerSettings:
    """
    What trainings may use.

    Submitters name aliases; what they stand for is said here alone, so that no job can take a role,
    a network or a key that its deployment was not given.

    Args:
        pools: region/instance type/market -> size in slots; None where only the service knows it.
        roles: alias -> ARN of an execution role; "default" is used where a job names none.
        images: alias -> image URI.
        any_image: whether a job may name an image URI itself.
        output: where models and checkpoints go (``s3://bucket/prefix``).
        subnets, security_groups: the network of trainings; none for SageMaker's own.
        kms_key: encrypts volumes and output.
        network_isolation: trainings cannot reach any network.
        volume_gb, run_at_most: where a job says nothing.
        pending_at_most: how long SageMaker may keep a training of an accelerated type waiting
            for capacity; 30 minutes to 28 days; None for as long as it likes.
        create_rate: CreateTrainingJob calls per second; SageMaker's default quota is 1.
        at_once: calls under way at once.
        tags: further tags on every training.
    """

    pools: Mapping[str, int | None] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    any_image: bool = True
    output: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""
    network_isolation: bool = False
    volume_gb: int = 30
    run_at_most: timedelta = timedelta(days=1)
    pending_at_most: timedelta | None = None
    create_rate: float = 1.0
    at_once: int = 16
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """
        Check what can be checked without a call.

        Raises:
            ValueError: it names the field.
        """
        for alias, arn in self.roles.items():
            if not _ROLE.fullmatch(arn):
                msg = f"roles.{alias}: expected the ARN of an IAM role, got {arn!r}"
                raise ValueError(msg)
        if self.output and not _S3.fullmatch(self.output):
            msg = f"output: expected s3://bucket/prefix, got {self.output!r}"
            raise ValueError(msg)
        for name in self.pools:
            parse_pool(name)
        if self.create_rate <= 0 or self.at_once < 1:
            msg = "create_rate, at_once: expected more than 0"
            raise ValueError(msg)
        if bool(self.subnets) != bool(self.security_groups):
            msg = "subnets, security_groups: give both or neither"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Pool:
    """One source of capacity; *region* is "" for the client's."""

    region: str
    instance_type: str
    market: str


def parse_pool(name: str) -> Pool:
    """
    Read a pool's name: ``[region/]instance type[/market]``.

    Raises:
        ValueError: it is not one.
    """
    parts = name.split("/")
    market = parts.pop() if parts[-1] in MARKETS else "on-demand"
    instance_type = parts.pop() if parts else ""
    region = parts.pop() if parts else ""
    if parts or not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", instance_type):
        msg = (
            f"pool: expected region/instance type/market such as "
            f"us-east-1/ml.g5.xlarge/spot, got {name!r}"
        )
        raise ValueError(msg)
    return Pool(region, instance_type, market)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSettings:
    """Where a deployment keeps its things, and what it may use."""

    table: str
    topic_arn: str = ""
    bucket: str | None = None
    sagemaker: SageMakerSettings = field(default_factory=SageMakerSettings)
    limits: Limits = field(default_factory=Limits)


def settings_from(environ: Mapping[str, str]) -> AwsSettings:
    """
    Read a deployment's settings from environment variables.

    ``JOBCORE_TABLE``, ``JOBCORE_TOPIC_ARN``, ``JOBCORE_BUCKET``, and ``JOBCORE_CONFIG``: JSON with
    the fields of `SageMakerSettings`, and ``limits`` with those of `jobcore.Limits`. Durations are
    written as in job files.

    Raises:
        ValueError: it names the variable or the field, and what is wrong.
    """
    table = environ.get("JOBCORE_TABLE", "")
    if not table:
        msg = "JOBCORE_TABLE: missing; name the DynamoDB table of the deployment"
        raise ValueError(msg)
    try:
        config = json.loads(environ.get("JOBCORE_CONFIG") or "{}")
    except ValueError as error:
        msg = f"JOBCORE_CONFIG: not JSON: {error}"
        raise ValueError(msg) from None
    if not isinstance(config, dict):
        msg = "JOBCORE_CONFIG: expected a JSON object"
        raise ValueError(msg)
    limits = _read(Limits, config.pop("limits", {}), "limits.")
    return AwsSettings(
        table=table,
        topic_arn=environ.get("JOBCORE_TOPIC_ARN", ""),
        bucket=environ.get("JOBCORE_BUCKET") or None,
        sagemaker=_read(SageMakerSettings, config, ""),
        limits=limits,
    )


_DURATIONS = {"run_at_most", "pending_at_most", "pool_backoff", "pool_backoff_max"}
_TUPLES = {"subnets", "security_groups"}


def _read(kind: Any, document: Any, prefix: str) -> Any:
    if not isinstance(document, dict):
        msg = f"JOBCORE_CONFIG: {prefix.rstrip('.')}: expected an object"
        raise ValueError(msg)
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(document) - known):
        msg = f"JOBCORE_CONFIG: {prefix}{unknown[0]}: unknown; known: {', '.join(sorted(known))}"
        raise ValueError(msg)
    values = dict(document)
    try:
        for name in _DURATIONS & set(values):
            values[name] = None if values[name] is None else parse_duration(values[name])
        for name in _TUPLES & set(values):
            values[name] = tuple(values[name])
        return kind(**values)
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"JOBCORE_CONFIG: {prefix}{error}"
        raise ValueError(msg) from None
