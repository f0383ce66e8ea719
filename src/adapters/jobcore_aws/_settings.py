"""What a deployment decides: pools, roles, images, places and rates; read from the environment.

A job file names roles, images and pools by alias. What an alias stands for is decided here, by
whoever deploys, so that no submitter can name an ARN, a subnet or a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from jobcore import Limits
from jobcore.jobfile import parse_duration

from ._pools import Market, Pool, pool_named

__all__ = ["AwsSettings", "InvalidSettings", "SageMakerSettings", "settings_from"]

RUN_AT_MOST_MAX = timedelta(days=28)  # MaxRuntimeInSeconds (service model)
PENDING_MIN, PENDING_MAX = timedelta(minutes=30), timedelta(days=28)  # MaxPendingTimeInSeconds
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\x00-\x1f]*)?")


class InvalidSettings(ValueError):
    """The settings cannot be used; the message names each field and what to do."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the problems, one line each."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class SageMakerSettings:
    """
    How trainings are made.

    Args:
        output: below this S3 URI a job has its models and checkpoints; needed for trainings.
        pools: by name: a `Pool`, or its slots where the name says the rest.
        roles: the ARN by alias; job files know the alias only. ``default``, or the only one there
            is, goes to jobs that name none.
        images: image URIs by alias; ``default`` goes to jobs that name none.
        any_image: whether a job file may name an image's URI itself.
        allowed_images: what such a URI may begin with; empty for anything (the role's permissions
            bound what can be pulled).
        allowed_inputs: the same for the S3 URIs of channels and code.
        subnets, security_groups: the VPC of every training; both or none.
        network_isolation: trainings reach nothing but their data, which SageMaker brings.
        encrypt_traffic: between the instances of one training.
        kms_key: for disks and output.
        volume_gb: the disk of each instance, unless the job file says.
        run_at_most: for jobs that do not say; *run_at_most_max* bounds every job.
        spot_wait: how long beyond its run time a spot training may take, waiting included.
        pending_at_most: how long SageMaker waits for accelerated capacity; 30 minutes to 28 days.
        input_mode: how channels are given: File, FastFile or Pipe.
        checkpoints: keep ``/opt/ml/checkpoints`` in S3, one place for all attempts of a job.
        local_code: for a sandbox that runs scripts: take code from a folder or an archive of its
            machine (``/…`` or ``file:///…``). SageMaker itself cannot.
        tags: put on every training.
        region, endpoint_url: None for what the environment says.
        create_rate, create_burst: CreateTrainingJob calls per second, and at once (the account's
            default is 1 per second and region).
        at_once: calls under way at once.
        describe_rate, list_rate: calls per second (ListTrainingJobs: 2, not adjustable).
        search_from: read with Search (some 30 names a call) when so many are asked for at once;
            None for never. The index lags, which only delays what is seen; what it lacks is described.
    """

    output: str = ""
    pools: Mapping[str, Pool] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    any_image: bool = True
    allowed_images: tuple[str, ...] = ()
    allowed_inputs: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_isolation: bool = True
    encrypt_traffic: bool = False
    kms_key: str | None = None
    volume_gb: int = 30
    run_at_most: timedelta = timedelta(days=1)
    run_at_most_max: timedelta = timedelta(days=5)
    spot_wait: timedelta = timedelta(hours=2)
    pending_at_most: timedelta = timedelta(hours=2)
    input_mode: str = "File"
    checkpoints: bool = True
    local_code: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    endpoint_url: str | None = None
    create_rate: float = 1.0
    create_burst: int = 1
    at_once: int = 16
    describe_rate: float = 20.0
    list_rate: float = 1.0
    search_from: int | None = 8

    def __post_init__(self) -> None:
        """Refuse what could not work for any job."""
        problems: list[str] = []
        pools = {}
        for name, given in dict[str, Any](self.pools).items():
            try:
                pools[name] = given if isinstance(given, Pool) else pool_named(name, slots=given)
            except ValueError as error:
                problems.append(f"pools.{name}: {error}")
        object.__setattr__(self, "pools", pools)
        problems += [f"{name}: {what}" for name, what, ok in self._checks() if not ok]
        for alias, arn in self.roles.items():
            if not _ROLE.fullmatch(arn):
                problems.append(f"roles.{alias}: expected the ARN of an IAM role, got {arn!r}")
        if problems:
            raise InvalidSettings(problems)
        object.__setattr__(self, "output", self.output.rstrip("/"))

    def _checks(self) -> list[tuple[str, str, bool]]:
        low, high = PENDING_MIN, PENDING_MAX
        zero = timedelta(0)
        positive = ("create_rate", "create_burst", "at_once", "describe_rate", "list_rate")
        return [
            (
                "output",
                f"expected s3://bucket/prefix, got {self.output!r}",
                not self.output or _S3.fullmatch(self.output) is not None,
            ),
            (
                "subnets",
                "give subnets and security_groups, or neither",
                bool(self.subnets) == bool(self.security_groups),
            ),
            (
                "input_mode",
                "File, FastFile or Pipe",
                self.input_mode in ("File", "FastFile", "Pipe"),
            ),
            ("pending_at_most", "30 minutes to 28 days", low <= self.pending_at_most <= high),
            ("run_at_most_max", "at most 28 days", zero < self.run_at_most_max <= RUN_AT_MOST_MAX),
            (
                "run_at_most",
                "expected more than 0 and at most run_at_most_max",
                zero < self.run_at_most <= self.run_at_most_max,
            ),
            ("spot_wait", "expected 0 or more", self.spot_wait >= zero),
            ("volume_gb", "expected at least 1", self.volume_gb >= 1),
            *((name, "expected more than 0", getattr(self, name) > 0) for name in positive),
        ]

    def regions(self, home: str | None = None) -> tuple[str | None, ...]:
        """List the regions of the pools; None stands for *home*, the deployment's own, and is first."""
        named = {pool.region for pool in self.pools.values()} or {None}
        here = named & {None, home or self.region}
        others = sorted(region for region in named - here if region is not None)
        return (*((None,) if here else ()), *others)


@dataclass(frozen=True, kw_only=True)
class AwsSettings:
    """
    Where a deployment keeps its things, and what it may use.

    A function is given what it needs: the notifier no roles, the stream's no table.
    """

    table: str = ""
    topic_arn: str = ""
    bucket: str | None = None
    sagemaker: SageMakerSettings = field(default_factory=SageMakerSettings)
    limits: Limits = Limits()


def settings_from(environ: Mapping[str, str]) -> AwsSettings:
    """
    Read the settings from environment variables.

    ``JOBCORE_TABLE``, ``JOBCORE_TOPIC_ARN`` and ``JOBCORE_BUCKET`` are names; ``JOBCORE_CONFIG``
    is a JSON object with the fields of `SageMakerSettings` and ``limits`` (see docs/reference/sagemaker.md).

    Raises:
        InvalidSettings: JOBCORE_CONFIG is malformed.
    """
    text = environ.get("JOBCORE_CONFIG") or "{}"
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidSettings([f"JOBCORE_CONFIG: not JSON: {error}"]) from None
    if not isinstance(document, dict):
        raise InvalidSettings(["JOBCORE_CONFIG: expected a JSON object"])
    read = _Reader(document)
    limits, values = read.limits("limits"), read.sagemaker()
    sagemaker = SageMakerSettings()
    try:
        sagemaker = SageMakerSettings(**values)
    except InvalidSettings as error:
        read.problems += error.problems
    if read.problems:
        raise InvalidSettings([f"JOBCORE_CONFIG: {problem}" for problem in read.problems])
    return AwsSettings(
        table=environ.get("JOBCORE_TABLE", ""),
        topic_arn=environ.get("JOBCORE_TOPIC_ARN", ""),
        bucket=environ.get("JOBCORE_BUCKET") or None,
        sagemaker=sagemaker,
        limits=limits,
    )


_DURATIONS = frozenset({"run_at_most", "run_at_most_max", "spot_wait", "pending_at_most"})
_TEXT_LISTS = frozenset({"allowed_images", "allowed_inputs", "subnets", "security_groups"})
_TEXT_MAPS = frozenset({"roles", "images", "tags"})
_NUMBERS = frozenset(
    {
        "volume_gb", "create_rate", "create_burst", "at_once", "describe_rate", "list_rate",
        "search_from",
    }
)  # fmt: skip
_FLAGS = frozenset(
    {"network_isolation", "encrypt_traffic", "checkpoints", "local_code", "any_image"}
)
_POOL_FIELDS = frozenset({"instance_type", "instance_types", "market", "region", "slots", "plan"})


class _Reader:
    """Turns decoded JSON into values, and collects what is wrong."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.problems: list[str] = []

    def wrong(self, field_name: str, message: str) -> None:
        self.problems.append(f"{field_name}: {message}")

    def sagemaker(self) -> dict[str, Any]:
        known = {f.name for f in fields(SageMakerSettings)}
        values: dict[str, Any] = {}
        for name, value in self.document.items():
            if name == "limits":
                continue
            if name not in known:
                self.wrong(name, f"unknown field; known: {', '.join(sorted(known | {'limits'}))}")
            elif value is None and name == "search_from":
                values[name] = None
            elif value is not None:
                try:
                    values[name] = self._value(name, value)
                except (ValueError, OverflowError) as error:
                    self.wrong(name, str(error))
        return values

    def _value(self, name: str, value: Any) -> Any:
        if name == "pools":
            return self._pools(value)
        if name in _DURATIONS:
            return parse_duration(value)
        if name in _TEXT_LISTS:
            if isinstance(value, list) and all(isinstance(item, str) for item in value):
                return tuple(value)
            wants = "a list of strings"
        elif name in _TEXT_MAPS:
            if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
                return dict(value)
            wants = "an object of strings"
        elif name in _NUMBERS:
            whole = name not in ("create_rate", "describe_rate", "list_rate")
            if isinstance(value, int if whole else int | float) and not isinstance(value, bool):
                return value
            wants = "a whole number" if whole else "a number"
        elif name in _FLAGS:
            if isinstance(value, bool):
                return value
            wants = "true or false"
        else:
            if isinstance(value, str):
                return value
            wants = "a string"
        msg = f"expected {wants}, got {value!r:.60}"
        raise ValueError(msg)

    def _pools(self, value: Any) -> dict[str, Pool]:
        if not isinstance(value, dict):
            msg = 'expected an object such as {"us-east-1/ml.g5.2xlarge/spot": 8}'
            raise ValueError(msg)
        pools = {}
        for name, entry in value.items():
            try:
                pools[name] = self._pool(name, entry)
            except ValueError as error:
                self.wrong(f"pools.{name}", str(error))
        return pools

    def _pool(self, name: str, entry: Any) -> Pool:
        if entry is None or (isinstance(entry, int) and not isinstance(entry, bool)):
            return pool_named(name, slots=entry)
        if not isinstance(entry, dict):
            msg = f"expected a number of slots, null, or an object, got {entry!r:.60}"
            raise ValueError(msg)
        if unknown := sorted(set(entry) - _POOL_FIELDS):
            msg = f"{unknown[0]}: unknown field; known: {', '.join(sorted(_POOL_FIELDS))}"
            raise ValueError(msg)
        slots = entry.get("slots")
        if slots is not None and (not isinstance(slots, int) or isinstance(slots, bool)):
            msg = f"slots: expected a whole number, got {slots!r:.60}"
            raise ValueError(msg)
        texts = {k: entry[k] for k in ("market", "region", "plan", "instance_type") if entry.get(k)}
        if not all(isinstance(v, str) for v in texts.values()):
            msg = "market, region, plan and instance_type are strings"
            raise ValueError(msg)
        one = texts.get("instance_type")
        kinds = [one] if one else entry.get("instance_types")
        if not kinds:
            return pool_named(name, slots=slots, plan=texts.get("plan"))
        if not isinstance(kinds, list) or not all(isinstance(k, str) for k in kinds):
            msg = "instance_types: expected a list of strings"
            raise ValueError(msg)
        market = texts.get("market", Market.ON_DEMAND)
        if market not in set(Market):
            msg = f"market: {market!r} is not one of {', '.join(Market)}"
            raise ValueError(msg)
        return Pool(
            name=name,
            instance_types=tuple(kinds),
            market=Market(market),
            region=texts.get("region"),
            slots=slots,
            plan=texts.get("plan"),
        )

    def limits(self, name: str) -> Limits:
        value = self.document.get(name)
        value = {} if value is None else value
        known = {f.name for f in fields(Limits)}
        if not isinstance(value, dict):
            self.wrong(name, "expected an object")
            return Limits()
        made: dict[str, Any] = {}
        for key, item in value.items():
            if key not in known:
                self.wrong(f"{name}.{key}", f"unknown field; known: {', '.join(sorted(known))}")
                continue
            try:
                made[key] = self._limit(key, item)
            except (ValueError, OverflowError) as error:
                self.wrong(f"{name}.{key}", str(error))
        return Limits(**made)

    def _limit(self, key: str, value: Any) -> Any:
        def weight(number: Any) -> float:
            if isinstance(number, int | float) and not isinstance(number, bool) and number > 0:
                return float(number)
            msg = f"expected a number above 0, got {number!r:.60}"
            raise ValueError(msg)

        def whole(number: Any) -> int:
            if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
                return number
            msg = f"expected a whole number, got {number!r:.60}"
            raise ValueError(msg)

        if key == "aging" or key.startswith("pool_backoff"):
            return parse_duration(value)
        if key == "share_weights":
            if not isinstance(value, dict):
                msg = "expected an object of share and weight"
                raise ValueError(msg)
            return {share: weight(number) for share, number in value.items()}
        if key in ("pools", "shares"):
            if not isinstance(value, dict):
                msg = "expected an object of whole numbers"
                raise ValueError(msg)
            return {name: whole(number) for name, number in value.items()}
        return None if value is None else whole(value)
