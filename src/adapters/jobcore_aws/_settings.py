"""The settings of a deployment: pools, roles, images, places and rates; read from the environment.

A job file names roles, images and pools by alias. The deployment defines the aliases, so that a
submitter cannot name an ARN, a subnet or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import attrs

from jobcore import Limits
from jobcore.errors import InvalidSetting
from jobcore_config.checks import (
    Wrong,
    above,
    at_least,
    between,
    collect,
    each,
    expect,
    matching,
    one_of,
    parse_json,
    problems_in,
    report_all,
    sized,
)

from ._pools import POOLS_MAX, Pool, pool_from, wrong_names

__all__ = ["AwsSettings", "SageMakerSettings", "settings_from"]

_NO_TIME = timedelta(0)
_RUN = timedelta(seconds=1), timedelta(days=28)  # MaxRuntimeInSeconds (service model)
_PENDING = timedelta(minutes=30), timedelta(days=28)  # MaxPendingTimeInSeconds (service model)
_ROLE = matching(
    r"arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", "the ARN of an IAM role"
)
_OUTPUT = matching(
    r"|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\x00-\x1f]*)?", "s3://bucket/prefix"
)


def _without_slash(text: str) -> str:
    return text.rstrip("/")


def _as_pools(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a pool of each entry; a wrong entry is left for the validator to refuse."""
    made = dict(given)
    for name, entry in given.items():
        try:
            made[name] = pool_from(name, entry)
        except ValueError:
            continue
    return made


def _read_pools(given: object, _: Any) -> Mapping[str, Pool]:
    return collect(expect(Mapping, given).items(), pool_from)


def _check_pools(instance: object, attribute: object, pools: Mapping[str, Any]) -> None:
    collect(pools.items(), pool_from)


@attrs.frozen(kw_only=True, field_transformer=report_all)
class SageMakerSettings:
    """
    The settings of trainings.

    Attributes:
        output: the S3 URI below which a job has its models and checkpoints; needed for trainings.
        pools: by name: a pool, or its slots if the name has the rest.
        pool_names: further names for job files, each for one to five pools, best first. So a
            deployment and a laptop can have names in common.
        roles: the ARN by alias; job files use the alias only. ``default``, or the only role there
            is, is the role of jobs that name none.
        images: image URIs by alias; ``default`` is the image of jobs that name none.
        any_image: whether a job file may name an image's URI itself.
        allowed_images: the prefixes (whole parts of the path) of allowed URIs; empty for any URI
            (the role's permissions limit the images that can be pulled).
        allowed_inputs: the same for the S3 URIs of channels and code.
        subnets, security_groups: the VPC of every training; give both, or neither.
        network_isolation: trainings have no network; SageMaker brings their data.
        encrypt_traffic: the traffic between the instances of one training is encrypted.
        kms_key: the key for disks and output.
        volume_gb: the disk of each instance in GB, unless the job file sets it.
        run_at_most: the longest run of a job that sets none.
        run_at_most_max: the longest run that a job may set.
        spot_wait: the longest time that a spot training may take beyond its run time, waiting
            included.
        pending_at_most: the longest wait of SageMaker for accelerated capacity.
        input_mode: how SageMaker brings the data of channels.
        checkpoints: jobs keep ``/opt/ml/checkpoints`` in S3, one place for all attempts of a job.
        local_code: for a sandbox that runs scripts: take code from a folder or an archive of its
            machine (``/…`` or ``file:///…``). SageMaker cannot do that.
        tags: the tags of every training.
        region, endpoint_url: those of SageMaker. Without them, those of boto3's own configuration.
        create_rate, create_burst: CreateTrainingJob calls per second, and at once, in each region
            (a new account's limit is 1 per second and region).
        at_once: the number of calls in flight.
        describe_rate, list_rate: calls per second (the limit of DescribeTrainingJob is not
            published; that of ListTrainingJobs is 2, and not adjustable).
        search_from: from this number of names on, use Search (about 30 names a call); None for
            never. Its index lags, which only delays a tick; names that it lacks are described.
    """

    output: str = attrs.field(default="", validator=_OUTPUT, converter=_without_slash)
    pools: Mapping[str, Pool] = attrs.field(
        factory=dict,
        validator=_check_pools,
        converter=_as_pools,
        metadata={"override": {"struct_hook": _read_pools}},
    )
    pool_names: Mapping[str, tuple[str, ...]] = attrs.field(
        factory=dict, validator=each(sized(1, POOLS_MAX, "pools"))
    )
    roles: Mapping[str, str] = attrs.field(factory=dict, validator=each(_ROLE))
    images: Mapping[str, str] = attrs.field(factory=dict)
    any_image: bool = True
    allowed_images: tuple[str, ...] = ()
    allowed_inputs: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_isolation: bool = True
    encrypt_traffic: bool = False
    kms_key: str | None = None
    volume_gb: int = attrs.field(default=30, validator=at_least(1))
    run_at_most: timedelta = attrs.field(default=timedelta(days=1), validator=between(*_RUN))
    run_at_most_max: timedelta = attrs.field(default=timedelta(days=5), validator=between(*_RUN))
    spot_wait: timedelta = attrs.field(default=timedelta(hours=2), validator=at_least(_NO_TIME))
    pending_at_most: timedelta = attrs.field(
        default=timedelta(hours=2), validator=between(*_PENDING)
    )
    input_mode: str = attrs.field(default="File", validator=one_of("File", "FastFile", "Pipe"))
    checkpoints: bool = True
    local_code: bool = False
    tags: Mapping[str, str] = attrs.field(factory=dict)
    region: str | None = None
    endpoint_url: str | None = None
    create_rate: float = attrs.field(default=1.0, validator=above(0))
    create_burst: int = attrs.field(default=1, validator=at_least(1))
    at_once: int = attrs.field(default=16, validator=at_least(1))
    describe_rate: float = attrs.field(default=20.0, validator=above(0))
    list_rate: float = attrs.field(default=1.0, validator=above(0))
    search_from: int | None = attrs.field(default=8, validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        """Refuse fields that contradict one another."""
        problems = list(wrong_names(self.pool_names, self.pools))
        if bool(self.subnets) != bool(self.security_groups):
            problems.append(("subnets", "give subnets and security_groups, or neither"))
        if self.run_at_most > self.run_at_most_max:
            wrong = Wrong("at most run_at_most_max", self.run_at_most)
            problems.append(("run_at_most", str(wrong)))
        if problems:
            raise InvalidSetting(problems)

    def regions(self, home: str | None = None) -> tuple[str | None, ...]:
        """List the regions of the pools; None stands for *home*, the deployment's own region, and is first."""
        named = {pool.region for pool in self.pools.values()} or {None}
        here = named & {None, home or self.region}
        others = sorted(region for region in named - here if region is not None)
        return (*((None,) if here else ()), *others)


@attrs.frozen(kw_only=True)
class AwsSettings:
    """
    The settings of a deployment: table, topic, bucket, trainings and limits.

    A Lambda function gets only the settings that it needs; the others have their defaults.

    Attributes:
        table: the name of the table of jobs.
        topic_arn: the ARN of the topic for messages.
        bucket: the name of the bucket for large specs and for code.
        sagemaker: the settings of trainings.
        limits: of the planner.
    """

    table: str = attrs.field(default="", metadata={"variable": "JOBCORE_TABLE"})
    topic_arn: str = attrs.field(default="", metadata={"variable": "JOBCORE_TOPIC_ARN"})
    bucket: str | None = attrs.field(default=None, metadata={"variable": "JOBCORE_BUCKET"})
    sagemaker: SageMakerSettings = attrs.field(factory=SageMakerSettings)
    limits: Limits = attrs.field(factory=Limits)


def settings_from(
    environ: Mapping[str, str], *, config: Mapping[str, Any] | None = None
) -> AwsSettings:
    """
    Read the settings from environment variables.

    ``JOBCORE_TABLE``, ``JOBCORE_TOPIC_ARN`` and ``JOBCORE_BUCKET`` are names; ``JOBCORE_CONFIG``
    is a JSON object with the fields of `SageMakerSettings` and ``limits`` (see docs/reference/sagemaker.md).

    Args:
        config: the same as JOBCORE_CONFIG, decoded; JOBCORE_CONFIG goes over it.

    Raises:
        InvalidSetting: with every problem of JOBCORE_CONFIG or of *config*.
    """
    text, where = environ.get("JOBCORE_CONFIG"), "JOBCORE_CONFIG"
    if text:
        config = parse_json(text, where=where)
    try:
        parts = {} if config is None or config == {} else _read(config)
    except ValueError as error:
        raise InvalidSetting(problems_in(error), where if text else "") from None
    variables = {f.name: f.metadata["variable"] for f in attrs.fields(AwsSettings) if f.metadata}
    names: dict[str, Any] = {
        name: environ[variable] for name, variable in variables.items() if environ.get(variable)
    }
    return AwsSettings(**names, **parts)


def _read(config: object) -> dict[str, Any]:
    """Read the two parts of the table, so that the problems of both are reported."""
    from jobcore_config.reading import read

    table = expect(Mapping, config)
    limits = table.get("limits")
    parts = collect(
        {"": table, "limits": {} if limits is None else limits}.items(),
        lambda at, part: (
            read(Limits, part) if at else read(SageMakerSettings, part, beside=["limits"])
        ),
    )
    for name in sorted(parts["limits"].pools.keys() & parts[""].pool_names.keys()):
        problem = "is a name of several pools; limit the pools"
        raise InvalidSetting([(f"limits.pools.{name}", problem)])
    return {"sagemaker": parts[""], "limits": parts["limits"]}
