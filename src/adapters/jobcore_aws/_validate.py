"""Checks of CreateTrainingJob requests against the service's limits, before they are made.

botocore checks types, required members and minima only. A name that is too long would be refused at
the launch, hours after the submission. This module checks the whole request against botocore's model
of the service, with maxima, patterns and enumerations, and then against rules that only the
documentation of the members has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jobcore import Spec, job_id_from_bytes
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest
from jobcore.redact import redact

from ._pools import POOLS_MAX, is_accelerated
from ._request import BadRequest, build_request
from ._settings import SageMakerSettings

if TYPE_CHECKING:
    from botocore.model import Shape

__all__ = ["check_request", "create_shape", "validate_request"]

_RUN_SECONDS_MAX = 28 * 86400
_SIZES = {"string": "characters", "map": "entries", "list": "entries", "structure": "members"}
# The field of the job file (or of the deployment's settings) for a member of the request.
_FIELDS = (
    ("AlgorithmSpecification.TrainingImage", "image"),
    ("AlgorithmSpecification.ContainerArguments", "arguments"),
    ("AlgorithmSpecification.MetricDefinitions", "metrics"),
    ("HyperParameters", "hyperparameters"),
    ("Environment", "environment"),
    ("InputDataConfig", "channels"),
    ("StoppingCondition.MaxRuntimeInSeconds", "clocks.run_at_most"),
    ("ResourceConfig.VolumeSizeInGB", "volume_gb"),
    ("ResourceConfig.InstanceCount", "pools"),
    ("ResourceConfig.InstanceType", "pools"),
    ("ResourceConfig.InstancePreferences", "pools"),
    ("ResourceConfig.TrainingPlanArn", "pools"),
    ("Tags", "tags"),
    ("RoleArn", "role"),
    ("OutputDataConfig.S3OutputPath", "output of the deployment"),
    ("CheckpointConfig.S3Uri", "output of the deployment"),
    ("VpcConfig", "subnets and security_groups of the deployment"),
)
# These may hold secrets; their values are never quoted.
_SECRET = (".HyperParameters", ".Environment", ".AlgorithmSpecification.ContainerArguments")
# The model has patterns of Java. Python has these character classes under other names.
_JAVA_CLASSES = {
    r"\p{L}": "\\w",  # the model uses it with \p{N} and _ only, which \w includes
    r"\p{N}": "\\w",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{Alnum}": "a-zA-Z0-9",
}


def validate_request(settings: SageMakerSettings, spec: Spec, *, shape: Any = None) -> list[str]:
    """
    Check a job against SageMaker's limits and the deployment's settings, in each of its pools.

    Args:
        shape: botocore's input shape of CreateTrainingJob; loaded if not given.

    Returns:
        One line for each problem: the job file's field, a colon, the problem and how to correct it.
        Empty if the job can be submitted.
    """
    job_id = job_id_from_bytes(b"\xff" * 16)
    problems: dict[str, None] = {}
    if len(spec.placements) > POOLS_MAX:
        problems[f"pools: expected at most {POOLS_MAX} pools, got {len(spec.placements)}"] = None
    for placement in spec.placements:
        request = LaunchRequest(
            name=training_name(job_id, 999_999_999),  # as long as one can be
            job_id=job_id,
            attempt=999_999_999,
            spec_hash="f" * 64,
            placement=placement,
            args=spec.args,
            run_at_most=spec.clocks.run_at_most,
            owner=spec.owner,
            group=spec.group,
            tags=spec.tags,
        )
        try:
            found = check_request(build_request(request, settings), shape=shape)
        except BadRequest as error:
            found = list(error.problems)
        problems |= dict.fromkeys(found)
    return list(problems)


def check_request(request: Mapping[str, Any], *, shape: Any = None) -> list[str]:
    """
    Check a CreateTrainingJob request against the service's limits.

    Returns:
        One line for each problem, naming the job file's field where one can be told.
    """
    problems = [
        f"{_field(path)}: {message}"
        for path, message in _against_model("", request, shape or create_shape())
    ]
    if not problems:  # the rules rely on the types
        problems = [f"{_field(path)}: {message}" for path, message in _against_rules(request)]
    return list(dict.fromkeys(problems))


def _field(path: str) -> str:
    """Name the job file's field for a member of the request."""
    path = path.lstrip(".")
    for member, field in _FIELDS:
        rest = path[len(member) :]
        if path.startswith(member) and (not rest or rest[0] in ".["):
            named = member in ("HyperParameters", "Environment") and rest.startswith(".")
            return field + rest[:41] if named else field
    return f"sagemaker.{path}" if path else "sagemaker"


# --- the model --------------------------------------------------------------------------


@lru_cache(maxsize=1)
def create_shape() -> Shape:
    """Load the service's model (4 MB of JSON, 70 ms), once."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"))
    shape = model.operation_model("CreateTrainingJob").input_shape
    assert shape is not None
    return shape


_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (Mapping,),
    "map": (Mapping,),
    "list": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}


def _against_model(path: str, value: Any, shape: Shape) -> Iterator[tuple[str, str]]:
    """Check a value against its shape, recursively."""
    kind = shape.type_name
    expected = _PYTHON_TYPES.get(kind)
    if expected is not None and not _is_of(value, expected, kind):
        yield path, f"expected {_article(kind)}, got {type(value).__name__}"
        return
    yield from _measured(path, value, shape)
    if kind == "structure":
        yield from _members(path, value, shape)
    elif kind == "list":
        for number, item in enumerate(value):
            yield from _against_model(f"{path}[{number}]", item, shape.member)  # type: ignore[attr-defined]
    elif kind == "map":
        for key, item in value.items():
            yield from _against_model(f"{path}.{key}", key, shape.key)  # type: ignore[attr-defined]
            yield from _against_model(f"{path}.{key}", item, shape.value)  # type: ignore[attr-defined]


def _is_of(value: Any, expected: tuple[type, ...], kind: str) -> bool:
    if isinstance(value, bool):  # a bool is an int in Python
        return kind == "boolean"
    return isinstance(value, expected)


def _members(path: str, value: Mapping[str, Any], shape: Shape) -> Iterator[tuple[str, str]]:
    known = shape.members  # type: ignore[attr-defined]
    for name in shape.metadata.get("required", ()):
        if name not in value:
            yield f"{path}.{name}", "missing"
    for name, item in value.items():
        if name in known:
            yield from _against_model(f"{path}.{name}", item, known[name])
        else:
            yield f"{path}.{name}", f"there is no such member; known: {', '.join(sorted(known))}"


def _measured(path: str, value: Any, shape: Shape) -> Iterator[tuple[str, str]]:
    """Check a value against minimum, maximum, pattern and enumeration."""
    limits = shape.metadata
    low, high = limits.get("min"), limits.get("max")
    unit = _SIZES.get(shape.type_name)
    size = len(value) if unit else value
    unit = f" {unit}" if unit else ""
    if isinstance(size, int | float) and not isinstance(size, bool):
        if low is not None and size < low:
            yield path, f"{size}{unit}; at least {low} needed"
        if high is not None and size > high:
            yield path, f"{size:,}{unit}; at most {high:,} allowed"
    if shape.type_name != "string":
        return
    enumeration = limits.get("enum")
    is_secret = path.startswith(_SECRET) or redact(value) != value
    shown = "the value" if is_secret else f"{value!r:.80}"
    if enumeration and value not in enumeration:
        known = f"one of {', '.join(enumeration)}" if len(enumeration) <= 8 else "a known one"
        yield path, f"{shown} is not {known}"
    pattern = limits.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield path, f"{shown} does not match {pattern}"


def _article(kind: str) -> str:
    names = {"structure": "a table", "map": "a table", "list": "a list", "string": "a string"}
    return names.get(kind, "true or false" if kind == "boolean" else "a number")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


# --- rules that the model does not have -------------------------------------------------


def _against_rules(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Check a request against the rules in the documentation of its members."""
    for name in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if name not in request:  # the model makes them optional for serverless jobs only
            yield name, "missing"
    yield from _algorithm_rules(request.get("AlgorithmSpecification", {}))
    yield from _resource_rules(request)
    yield from _time_rules(request)
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", ())]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "InputDataConfig", f"there are two channels {name!r}"
    keys = [tag["Key"] for tag in request.get("Tags", ())]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield "Tags", f"{key!r} is given twice"
    for key in keys:
        if key.casefold().startswith("aws:"):
            yield "Tags", f"{key!r}: names that begin with aws: are reserved"


def _algorithm_rules(algorithm: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    path = "AlgorithmSpecification.TrainingImage"
    given = [name for name in ("TrainingImage", "AlgorithmName") if algorithm.get(name)]
    if not given:
        yield path, "missing"
    if len(given) == 2:
        yield path, "give either an image or AlgorithmName, not both"


def _resource_rules(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    resources = request.get("ResourceConfig", {})
    preferences = resources.get("InstancePreferences", ())
    groups = resources.get("InstanceGroups", ())
    ways = [bool(resources.get("InstanceType")), bool(preferences), bool(groups)]
    path = "ResourceConfig.InstanceType"
    if sum(ways) != 1:
        yield path, "exactly one of InstanceType, InstancePreferences and InstanceGroups is needed"
    if resources.get("InstanceType") and resources.get("InstanceCount", 0) < 1:
        yield "ResourceConfig.InstanceCount", "at least 1 needed"
    if preferences:
        path = "ResourceConfig.InstancePreferences"
        if request.get("EnableManagedSpotTraining"):
            yield path, "several instance types are not possible on spot"
        if resources.get("InstancePlacementConfig"):
            yield path, "not possible together with InstancePlacementConfig"
        counted = [bool(entry.get("InstanceCount")) for entry in preferences]
        if any(counted) and not all(counted):
            yield path, "give a count for all of the instance types or for none"
        kinds = [entry.get("InstanceType") for entry in preferences]
        if len(set(kinds)) < len(kinds):
            yield path, "an instance type is named twice"
    if resources.get("VolumeSizeInGB") == 0:
        yield "ResourceConfig.VolumeSizeInGB", "at least 1 needed"


def _time_rules(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    times = request.get("StoppingCondition", {})
    run, wait = times.get("MaxRuntimeInSeconds"), times.get("MaxWaitTimeInSeconds")
    path = "StoppingCondition.MaxRuntimeInSeconds"
    if run is not None and run > _RUN_SECONDS_MAX:
        yield path, f"{timedelta(seconds=run)}; at most 28 days"
    path = "StoppingCondition.MaxWaitTimeInSeconds"
    is_spot = request.get("EnableManagedSpotTraining", False)
    if is_spot and wait is None:
        yield path, "needed on spot"
    if wait is not None:
        if not is_spot and "RetryStrategy" not in request:
            yield path, "only for spot pools (or with RetryStrategy)"
        if run is not None and wait < run:
            yield path, f"{wait} s is less than the run time of {run} s"
    path = "StoppingCondition.MaxPendingTimeInSeconds"
    if "MaxPendingTimeInSeconds" in times and not any(
        map(is_accelerated, _instance_types(request))
    ):
        yield path, "has no effect on instance types without accelerators; leave it out"


def _instance_types(request: Mapping[str, Any]) -> list[str]:
    resources = request.get("ResourceConfig", {})
    entries = [*resources.get("InstancePreferences", ()), *resources.get("InstanceGroups", ())]
    return [entry["InstanceType"] for entry in [resources, *entries] if entry.get("InstanceType")]
