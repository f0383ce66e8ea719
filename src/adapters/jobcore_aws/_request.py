"""From a launch to a CreateTrainingJob request: a pure function of the job and the settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from jobcore import LaunchRequest, Spec, job_id_from_token, training_name

from ._settings import Pool, SageMakerSettings, parse_pool

#: The tags of every training of ours; IAM conditions and the reaper rest on the first.
MANAGED = "jobcore:managed"
#: What Describe gives back (it gives no tags): whose a training is.
JOB_ID, ATTEMPT, SPEC_HASH = "JOBCORE_JOB_ID", "JOBCORE_ATTEMPT", "JOBCORE_SPEC_HASH"
#: Members that a job's own ``sagemaker`` table cannot set.
RESERVED = frozenset(
    {
        "CheckpointConfig", "EnableManagedSpotTraining", "EnableNetworkIsolation", "Environment",
        "OutputDataConfig", "RoleArn", "Tags", "TrainingJobName", "VpcConfig",
    }
)  # fmt: skip
#: Instance families with accelerators: MaxPendingTimeInSeconds is for them alone.
_ACCELERATED = ("ml.p", "ml.g", "ml.trn", "ml.inf")
_RUN_SECONDS_MAX = 28 * 24 * 3600
_SPOT_WAIT_FACTOR = 2


class BadRequest(ValueError):  # noqa: N818  (a condition; reads well in `except`)
    """The job cannot become a request; the text names the field of the job file."""


def build_request(request: LaunchRequest, settings: SageMakerSettings) -> dict[str, Any]:
    """
    Make the parameters of CreateTrainingJob.

    Raises:
        BadRequest: the job names what the settings do not have.
    """
    args = request.args
    pool = _pool(request.placement.pool, settings)
    seconds = request.run_at_most or settings.run_at_most
    output = settings.output.rstrip("/")
    made: dict[str, Any] = {
        "TrainingJobName": request.name,
        "RoleArn": _alias("role", args.get("role", "default"), settings.roles),
        "AlgorithmSpecification": {
            "TrainingImage": _image(args.get("image"), settings),
            "TrainingInputMode": "File",
        },
        "HyperParameters": _hyperparameters(args, pool),
        # One folder for each attempt, so that none writes over another's model ...
        "OutputDataConfig": {"S3OutputPath": f"{output}/{request.job_id}/{request.attempt}"},
        # ... and one for all checkpoints of a job, so that an attempt goes on from the last.
        "CheckpointConfig": {"S3Uri": f"{output}/{request.job_id}/checkpoints"},
        "ResourceConfig": {
            "InstanceType": pool.instance_type,
            "InstanceCount": request.placement.count,
            "VolumeSizeInGB": settings.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _seconds(seconds)},
        "Environment": {
            **_texts(args, "environment"),
            JOB_ID: request.job_id,
            ATTEMPT: str(request.attempt),
            SPEC_HASH: request.spec_hash,
        },
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in {
                **settings.tags,
                MANAGED: "true",
                "jobcore:job-id": request.job_id,
                "jobcore:attempt": str(request.attempt),
                "jobcore:spec-hash": request.spec_hash,
            }.items()
        ],
    }
    if channels := _texts(args, "channels"):
        made["InputDataConfig"] = [_channel(name, uri) for name, uri in channels.items()]
    if pool.market == "spot":
        made["EnableManagedSpotTraining"] = True
        wait = min(seconds * _SPOT_WAIT_FACTOR, timedelta(seconds=_RUN_SECONDS_MAX))
        made["StoppingCondition"]["MaxWaitTimeInSeconds"] = max(_seconds(wait), _seconds(seconds))
    elif settings.pending_at_most and pool.instance_type.startswith(_ACCELERATED):
        made["StoppingCondition"]["MaxPendingTimeInSeconds"] = _seconds(settings.pending_at_most)
    if settings.network_isolation:
        made["EnableNetworkIsolation"] = True
    if settings.subnets:
        made["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    if settings.kms_key:
        made["OutputDataConfig"]["KmsKeyId"] = settings.kms_key
        made["ResourceConfig"]["VolumeKmsKeyId"] = settings.kms_key
    return _with_own(made, args.get("sagemaker"), pool)


def validate_request(settings: SageMakerSettings, spec: Spec, *, shape: Any = None) -> list[str]:
    """
    Say what SageMaker, or the settings, would have against a job: "field: what is wrong".

    Every placement is tried. What is found here would otherwise be told hours later.

    Args:
        shape: botocore's input shape of CreateTrainingJob; loaded if not given.
    """
    from ._shapes import problems_of

    shape = shape or create_shape()
    found: dict[str, None] = {}
    job_id = job_id_from_token("validate", spec.name)
    for placement in spec.placements:
        request = LaunchRequest(
            name=training_name(job_id, 1),
            job_id=job_id,
            attempt=1,
            spec_hash="0" * 32,
            placement=placement,
            args=spec.args,
            run_at_most=spec.clocks.run_at_most,
        )
        try:
            made = build_request(request, settings)
        except BadRequest as error:
            found[str(error)] = None
            continue
        objections = list(problems_of(shape, made))
        for path, value, constraint in objections:
            field = _field(path)
            secret = field.startswith(("environment", "hyperparameters"))
            shown = "" if secret else f", got {str(value)[:60]!r}"
            found[f"{field}: {constraint[:200]}{shown}"] = None
        for text in () if objections else _service_rules(made):
            found[text] = None
    return list(found)


def create_shape() -> Any:
    """Load botocore's input shape of CreateTrainingJob, without a client."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    return model.operation_model("CreateTrainingJob").input_shape


# --- parts ------------------------------------------------------------------------------


def _pool(name: str, settings: SageMakerSettings) -> Pool:
    if settings.pools and name not in settings.pools:
        known = ", ".join(sorted(settings.pools)[:5])
        msg = f"pools: {name!r} is not a pool of this deployment; it has {known}"
        raise BadRequest(msg)
    try:
        return parse_pool(name)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _alias(field: str, alias: object, known: Mapping[str, str]) -> str:
    if not isinstance(alias, str) or alias not in known:
        names = ", ".join(sorted(known)) or "none"
        msg = f"{field}: {alias!r} is not known to this deployment; it has {names}"
        raise BadRequest(msg)
    return known[alias]


def _image(image: object, settings: SageMakerSettings) -> str:
    name = "default" if image is None else str(image)
    if name in settings.images:
        return settings.images[name]
    if image is None or not settings.any_image:
        return _alias("image", name, settings.images)
    return name


def _hyperparameters(args: Mapping[str, Any], pool: Pool) -> dict[str, str]:
    """
    Write hyperparameters as the SageMaker training toolkit reads them: each as JSON text.

    Source: sagemaker-training, `params.py` and `mapping.py`.
    """
    own = args.get("hyperparameters", {})
    made = {name: _text(value) for name, value in own.items()} if isinstance(own, dict) else {}
    script = args.get("script")
    if script is not None:
        made["sagemaker_program"] = json.dumps(str(script))
        made["sagemaker_region"] = json.dumps(pool.region)
        source = args.get("source_dir")
        if source is not None:
            made["sagemaker_submit_directory"] = json.dumps(str(source))
    return made


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _texts(args: Mapping[str, Any], field: str) -> dict[str, str]:
    value = args.get(field, {})
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, Mapping) else {}


def _channel(name: str, uri: str) -> dict[str, Any]:
    if not uri.startswith("s3://"):
        msg = f"channels.{name}: expected s3://bucket/prefix, got {uri!r}"
        raise BadRequest(msg)
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _seconds(delta: timedelta) -> int:
    return max(1, int(delta.total_seconds()))


def _with_own(made: dict[str, Any], own: object, pool: Pool) -> dict[str, Any]:
    """Lay the job's own ``sagemaker`` table over the request, but for what it cannot set."""
    own = {} if own is None else own
    if not isinstance(own, Mapping):
        msg = "sagemaker: expected a table of CreateTrainingJob members"
        raise BadRequest(msg)
    if taken := sorted(RESERVED & set(own)):
        msg = f"sagemaker.{taken[0]}: set by the deployment; leave it out"
        raise BadRequest(msg)
    merged = dict(made)
    for name, value in own.items():
        if isinstance(merged.get(name), dict):
            if not isinstance(value, Mapping):
                msg = f"sagemaker.{name}: expected a table, got {type(value).__name__}"
                raise BadRequest(msg)
            merged[name] = {**merged[name], **value}
        else:
            merged[name] = value
    resources = merged["ResourceConfig"]
    if resources.get("InstancePreferences"):
        resources.pop("InstanceType", None)  # the service takes one or the other
    if pool.market == "plan" and not resources.get("TrainingPlanArn"):
        msg = "sagemaker.ResourceConfig.TrainingPlanArn: missing; a plan's pool needs it"
        raise BadRequest(msg)
    return merged


def _service_rules(made: Mapping[str, Any]) -> Sequence[str]:
    """
    Check what the model does not say.

    Source: the descriptions of the members in botocore's model of SageMaker, 2017-07-24.
    """
    found = []
    stopping, resources = made["StoppingCondition"], made["ResourceConfig"]
    spot = bool(made.get("EnableManagedSpotTraining"))
    run, wait = stopping.get("MaxRuntimeInSeconds", 86400), stopping.get("MaxWaitTimeInSeconds")
    if run > _RUN_SECONDS_MAX:
        found.append("clocks.run_at_most: at most 28 days on SageMaker")
    if wait is not None and not spot and "RetryStrategy" not in made:
        found.append("sagemaker.StoppingCondition.MaxWaitTimeInSeconds: for spot pools only")
    if wait is not None and wait < run:
        found.append("sagemaker.StoppingCondition.MaxWaitTimeInSeconds: less than the run time")
    if resources.get("InstancePreferences") and (spot or resources.get("InstanceGroups")):
        found.append(
            "sagemaker.ResourceConfig.InstancePreferences: not with spot or InstanceGroups"
        )
    if resources.get("InstanceCount", 1) > 20:
        found.append("pools: at most 20 instances for one training")
    return found


_FIELDS = {
    "hyperParameters": "hyperparameters",
    "environment": "environment",
    "inputDataConfig": "channels",
    "roleArn": "role",
    "algorithmSpecification.trainingImage": "image",
    "resourceConfig.instanceType": "pools",
    "resourceConfig.instanceCount": "pools",
    "stoppingCondition.maxRuntimeInSeconds": "clocks.run_at_most",
    "outputDataConfig": "output",
}


def _field(path: str) -> str:
    """Name the job file's field that a member of the request comes from."""
    for prefix, field in _FIELDS.items():
        if path == prefix or path.startswith(f"{prefix}."):
            rest = path[len(prefix) :].removesuffix(".member").removesuffix(".key")
            return field + rest if field in ("hyperparameters", "environment") else field
    return f"sagemaker.{path}"
