"""Checks of CreateTrainingJob beyond botocore's model, and the translation of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobcore_simulation._pools import pool_name
from jobcore_simulation._texts import INVALID, Refused
from jobcore_simulation._training import TrainingRequest

from ._validation import refusal

__all__ = ["check_create", "check_tags", "request_for"]

Document = Mapping[str, Any]

RUNTIME_SECONDS_MAX = 28 * 86400
RUNTIME_SECONDS = 86400
_ORDINARY = ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition")


def check_create(document: Document) -> None:
    """
    Check a request beyond the model, as the service does.

    Raises:
        Refused: members are missing, or exclude each other.
    """
    if text := next(_objections(document), None):
        raise Refused(INVALID, text)


def check_tags(tags: Sequence[Document]) -> None:
    """
    Check tags: no key twice, none that begins with ``aws:``.

    Raises:
        Refused: one of them is not allowed.
    """
    if text := next(_tag_objections(tags), None):
        raise Refused(INVALID, text)


def _objections(document: Document) -> Iterator[str]:
    """List the objections; the service answers with the first."""
    if "ServerlessJobConfig" in document:
        yield "The sandbox has no serverless training jobs"
    missing = [name for name in _ORDINARY if document.get(name) is None]
    if missing:
        null = "Value null at '{}' failed to satisfy constraint: Member must not be null"
        problems = [null.format(name[0].lower() + name[1:]) for name in missing]
        yield refusal(problems)
        return
    algorithm = document["AlgorithmSpecification"]
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        yield "You must specify either TrainingImage or AlgorithmName, and not both"
    yield from _resource_objections(
        document["ResourceConfig"], spot=bool(document.get("EnableManagedSpotTraining"))
    )
    yield from _time_objections(document)
    channels = [channel["ChannelName"] for channel in document.get("InputDataConfig", ())]
    if len(set(channels)) < len(channels):
        yield "Channel names must be unique within a training job"
    yield from _tag_objections(document.get("Tags", ()))


def _tag_objections(tags: Sequence[Document]) -> Iterator[str]:
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        yield "Duplicate tag keys found. Tag keys must be unique."
    if any(key.lower().startswith("aws:") for key in keys):
        yield "Tag keys that begin with 'aws:' are reserved for AWS use"


def _resource_objections(resources: Document, *, spot: bool) -> Iterator[str]:
    if resources.get("InstancePreferences"):
        yield from _preference_objections(resources, spot=spot)
    elif groups := resources.get("InstanceGroups"):
        if resources.get("InstanceType") or resources.get("InstanceCount"):
            yield "InstanceGroups cannot be used with InstanceType and InstanceCount"
        if len({group["InstanceType"] for group in groups}) > 1:
            yield "The sandbox has no instance groups of different types"
    else:
        if not resources.get("InstanceType"):
            yield "ResourceConfig must have InstanceType or InstancePreferences"
        if not resources.get("InstanceCount"):
            yield "InstanceCount must be at least 1"
    if spot and resources.get("KeepAlivePeriodInSeconds"):
        yield "Warm pools cannot be used with managed spot training"


def _preference_objections(resources: Document, *, spot: bool) -> Iterator[str]:
    others = ("InstanceType", "InstanceGroups", "InstancePlacementConfig")
    if clash := [name for name in others if resources.get(name)]:
        yield f"InstancePreferences cannot be used together with {', '.join(clash)}"
    if spot:
        yield "InstancePreferences cannot be used with managed spot training"
    preferences = resources["InstancePreferences"]
    counted = [preference.get("InstanceCount") is not None for preference in preferences]
    if any(counted) and not all(counted):
        yield "InstanceCount must be given for all InstancePreferences, or for none"
    if any(counted) and resources.get("InstanceCount") is not None:
        yield "InstanceCount must not be given beside counts in InstancePreferences"
    if not any(counted) and not resources.get("InstanceCount"):
        yield "InstanceCount must be given in InstancePreferences or ResourceConfig"


def _time_objections(document: Document) -> Iterator[str]:
    stopping = document["StoppingCondition"]
    runtime = stopping.get("MaxRuntimeInSeconds", RUNTIME_SECONDS)
    wait = stopping.get("MaxWaitTimeInSeconds")
    spot = bool(document.get("EnableManagedSpotTraining"))
    if runtime > RUNTIME_SECONDS_MAX:
        yield f"MaxRuntimeInSeconds must not be more than {RUNTIME_SECONDS_MAX}"
    if spot and wait is None:
        yield "MaxWaitTimeInSeconds must be specified for managed spot training"
    if wait is not None and not spot and "RetryStrategy" not in document:
        yield "MaxWaitTimeInSeconds can only be used with managed spot training"
    if wait is not None and wait < runtime:
        yield (
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            f"MaxRuntimeInSeconds ({runtime})"
        )


def request_for(document: Document, region: str, *, open_ended: bool = False) -> TrainingRequest:
    """Translate a checked CreateTrainingJob request for the world."""
    resources = document["ResourceConfig"]
    stopping = document["StoppingCondition"]
    retry = document.get("RetryStrategy", {})
    return TrainingRequest(
        name=document["TrainingJobName"],
        pools=tuple(
            _pools(resources, region, spot=bool(document.get("EnableManagedSpotTraining")))
        ),
        max_runtime=stopping.get("MaxRuntimeInSeconds", RUNTIME_SECONDS),
        max_wait=stopping.get("MaxWaitTimeInSeconds"),
        max_pending=stopping.get("MaxPendingTimeInSeconds"),
        retries=retry.get("MaximumRetryAttempts", 0),
        checkpoints="CheckpointConfig" in document,
        labels=_labels(document),
        open_ended=open_ended,
        document=document,
    )


def _pools(resources: Document, region: str, *, spot: bool) -> list[tuple[str, int]]:
    planned = bool(resources.get("TrainingPlanArn"))
    market = "plan" if planned else "spot" if spot else "on-demand"
    if preferences := resources.get("InstancePreferences"):
        pools: dict[str, int] = {}
        for preference in preferences:
            own = "plan" if preference.get("TrainingPlanArns") else market
            count = preference.get("InstanceCount") or resources["InstanceCount"]
            pools.setdefault(pool_name(region, preference["InstanceType"], own), count)
        return list(pools.items())
    if groups := resources.get("InstanceGroups"):
        count = sum(group["InstanceCount"] for group in groups)
        return [(pool_name(region, groups[0]["InstanceType"], market), count)]
    return [(pool_name(region, resources["InstanceType"], market), resources["InstanceCount"])]


def _labels(document: Document) -> dict[str, str]:
    labels = {f"Tags.{tag['Key']}": tag["Value"] for tag in document.get("Tags", ())}
    for table in ("HyperParameters", "Environment"):
        labels |= {f"{table}.{key}": value for key, value in document.get(table, {}).items()}
    image = document["AlgorithmSpecification"].get("TrainingImage")
    return labels | ({"TrainingImage": image} if image else {})
