"""The check of a job for AWS before its submission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobcore import Placement, Spec
from jobcore.errors import Problem
from jobcore.scheduling import limit_problems

from ._dynamodb import check_item_size
from ._settings import AwsSettings
from ._validate import validate_request

__all__ = ["check"]

#: SageMaker ends a training so long after StopTrainingJob, and offers no other time
#: (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html).
STOP_GRACE_SECONDS = 120

#: The arguments of a job that a request is made of, or refuses by itself, with a script and without
#: one. Any other is refused, so that none is dropped without a word.
_USED = frozenset(
    {
        "image", "role", "hyperparameters", "arguments", "environment", "channels", "volume_gb",
        "sagemaker", "metrics",
        "code", "data",  # snapshot, and origin of channels, for display
    }
)  # fmt: skip
_USED_BY_SCRIPTS = _USED | {"script", "source_dir", "flags"}
_NOT_HERE = {
    "python": "the image has its Python; leave it out, or write it under [backend.local]",
    "flags": "there is no script to have them; write the container's own into arguments",
    "source_dir": "there is no script to run from it; name one as script, or leave it out",
}


def check(
    spec: Spec,
    settings: AwsSettings,
    *,
    shape: Any = None,
    quotas: Mapping[str, int] | None = None,
) -> list[Problem]:
    """
    Check a job against SageMaker's limits, the deployment's pools, limits and allow-lists, and the table's item size.

    Entry points call it before they submit a job; without it SageMaker would refuse the job at its
    launch, perhaps hours later, or the job would wait for ever. A pool without slots is no problem:
    it is closed for a while.

    Args:
        shape: botocore's input shape of CreateTrainingJob; loaded if not given.
        quotas: the account's quota of a pool, where one is known (`jobcore.scheduling.known_quotas`).

    Returns:
        The problems, by the job file's fields; none if the job can be submitted.
    """
    lines = [
        line.partition(": ") for line in validate_request(settings.sagemaker, spec, shape=shape)
    ]
    problems = [Problem(field, message) for field, _, message in lines]
    return [
        *_unused(spec.args),
        *_too_many(spec.placements, settings, quotas or {}),
        *limit_problems(spec, settings.limits),
        *problems,
        *check_item_size(spec, bucket=settings.bucket),
    ]


def _unused(args: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what a job gives and no request is made of."""
    used = _USED_BY_SCRIPTS if args.get("script") else _USED
    for name in sorted(args.keys() - used - {"stop_grace_seconds"}):
        yield Problem(name, _NOT_HERE.get(name, "of no use on SageMaker; leave it out"))
    grace = args.get("stop_grace_seconds", STOP_GRACE_SECONDS)
    if grace != STOP_GRACE_SECONDS:
        message = f"SageMaker ends a training {STOP_GRACE_SECONDS} s after a stop, got {grace:g} s; leave it out, or write it under [backend.local]"
        yield Problem("stop_grace", message)


def _too_many(
    placements: tuple[Placement, ...], settings: AwsSettings, quotas: Mapping[str, int]
) -> Iterator[Problem]:
    """Find the pools that can never give as many instances as a job asks for."""
    for place in placements:
        pool = settings.sagemaker.pools.get(place.pool)
        if pool is None:  # validate_request reports it
            continue
        if pool.slots and place.count > pool.slots:
            message = (
                f"pool {place.pool!r} has {pool.slots} instances, got a count of {place.count}"
            )
            yield Problem("pools", message)
        elif place.pool in quotas and place.count > quotas[place.pool]:
            message = (
                f"the account's quota for pool {place.pool!r} is {quotas[place.pool]}, got a count of "
                f"{place.count}; ask for fewer, or for a higher quota"
            )
            yield Problem("pools", message)
