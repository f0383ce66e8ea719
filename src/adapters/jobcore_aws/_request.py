"""CreateTrainingJob requests from launch requests and settings: pure functions.

Script mode follows the public SageMaker training toolkit (see `jobcore_contract`): it reads every
hyperparameter as JSON, the script's name from ``sagemaker_program``, and the place of the code (a
tar.gz) from ``sagemaker_submit_directory``. A job without a script runs its image as it is, and
gets hyperparameters as plain text, as SageMaker's own algorithms expect them.

The identity of a training (job, attempt, spec) is recorded in its environment variables, because
DescribeTrainingJob returns the environment and not the tags. The tags repeat it for policies and
cost reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jobcore_contract
from jobcore.jobfile import metric_regexes
from jobcore.lifecycle import Json, is_job_id
from jobcore.ports import LaunchRequest
from jobcore_contract import OPT_ML, BadInput

from ._members import channel_of, is_within, plain, present, seconds, tag_text
from ._pools import Pool
from ._settings import SageMakerSettings

__all__ = ["BadRequest", "Identity", "build_request", "identity_of", "pool_of"]

Identity = tuple[str | None, int | None, str | None]

CODE_CHANNEL = "code"
CHECKPOINTS = f"{OPT_ML}/checkpoints"
TO_STOP_SECONDS = (
    60  # run time of a training that is created only to be stopped, if the stop is lost
)
_RESERVED_ENVIRONMENT = (*jobcore_contract.RESERVED_ENVIRONMENT, "AWS_")

# The members of the request that a job file may set under ``sagemaker``; None: all of its parts. The
# deployment decides on roles, tags, output places, networks, keys and instance types. Remote
# debugging is left out because it is a shell, and rules of debugger and profiler because they start
# further jobs with images of their own.
_RAW: Mapping[str, frozenset[str] | None] = {
    "AlgorithmSpecification": frozenset(
        {
            "TrainingInputMode", "MetricDefinitions", "EnableSageMakerMetricsTimeSeries",
            "ContainerEntrypoint", "ContainerArguments", "AlgorithmName",
        }
    ),
    "InputDataConfig": None,
    "OutputDataConfig": frozenset({"CompressionType"}),
    "ResourceConfig": frozenset({"VolumeSizeInGB", "KeepAlivePeriodInSeconds"}),
    "StoppingCondition": frozenset({"MaxWaitTimeInSeconds", "MaxPendingTimeInSeconds"}),
    "CheckpointConfig": frozenset({"LocalPath"}),
    "RetryStrategy": None,
    "EnableNetworkIsolation": None,
    "EnableInterContainerTrafficEncryption": None,
    "DebugHookConfig": None,
    "TensorBoardOutputConfig": None,
    "ProfilerConfig": None,
    "ExperimentConfig": None,
    "InfraCheckConfig": None,
}  # fmt: skip
_ONLY_TRUE = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")


class BadRequest(ValueError):  # noqa: N818  (a condition; reads well in `except`)
    """A job for which no request can be made; *problems* name the job file's fields."""

    def __init__(self, problems: list[str]) -> None:
        """Store the problems, one line each."""
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("; ".join(self.problems))


def pool_of(name: str, settings: SageMakerSettings) -> Pool:
    """
    Find a pool by its name.

    Raises:
        BadRequest: the deployment has no such pool.
    """
    if name not in settings.pools:
        known = ", ".join(sorted({*settings.pool_names, *settings.pools})) or "none"
        raise BadRequest([f"pools: there is no pool {name!r}; there are: {known}"])
    return settings.pools[name]


def build_request(request: LaunchRequest, settings: SageMakerSettings) -> dict[str, Any]:
    """
    Make the CreateTrainingJob request of a launch.

    Raises:
        BadRequest: with all problems but those of the service's own limits (see
            `validate_request`).
    """
    return _Builder(request, settings).build()


def identity_of(description: Mapping[str, Any]) -> Identity:
    """Read job id, attempt and spec hash from a description; all None if jobcore did not create the training."""
    environment = description.get("Environment") or {}
    job_id = environment.get("JOBCORE_JOB_ID")
    attempt = environment.get("JOBCORE_ATTEMPT", "")
    spec_hash = environment.get("JOBCORE_SPEC_HASH")
    if not isinstance(job_id, str) or not is_job_id(job_id) or not spec_hash:
        return None, None, None
    if not (attempt.isascii() and attempt.isdigit() and len(attempt) <= 9):
        return None, None, None
    return job_id, int(attempt), str(spec_hash)


class _Builder:
    """Builds one request and collects its problems."""

    def __init__(self, request: LaunchRequest, settings: SageMakerSettings) -> None:
        self.request = request
        self.settings = settings
        self.pool = pool_of(request.placement.pool, settings)
        self.problems: list[str] = []
        self.args = request.args
        self.isolated = settings.network_isolation or (
            self._table("sagemaker").get("EnableNetworkIsolation") is True
        )
        self.is_script = bool(self.args.get("script"))

    def build(self) -> dict[str, Any]:
        settings = self.settings
        if not settings.output:
            self.wrong("output", "the deployment has no place for models; set it in its settings")
        channels = self._channels()
        made: dict[str, Any] = {
            "TrainingJobName": self.request.name,
            "RoleArn": self._role(),
            "AlgorithmSpecification": self._algorithm(channels),
            "HyperParameters": self._hyperparameters(channels),
            "InputDataConfig": channels,
            "OutputDataConfig": present(
                S3OutputPath=f"{self._job_prefix()}/{self.request.attempt}",
                KmsKeyId=settings.kms_key,
            ),
            "ResourceConfig": self._resources(),
            "StoppingCondition": self._stopping(),
            "EnableNetworkIsolation": self.isolated,
            "EnableInterContainerTrafficEncryption": settings.encrypt_traffic,
            "EnableManagedSpotTraining": self.pool.is_spot,
            "Environment": self._environment(channels),
            "Tags": self._tags(),
        }
        if settings.subnets:
            made["VpcConfig"] = {
                "SecurityGroupIds": list(settings.security_groups),
                "Subnets": list(settings.subnets),
            }
        if settings.checkpoints:
            made["CheckpointConfig"] = {
                "S3Uri": f"{self._job_prefix()}/checkpoints",
                "LocalPath": CHECKPOINTS,
            }
        self._merge(made)
        for member in ("InputDataConfig", "HyperParameters"):
            if not made[member]:
                del made[member]
        if self.problems:
            raise BadRequest(self.problems)
        return made

    def wrong(self, field: str, message: str) -> None:
        self.problems.append(f"{field}: {message}")

    def _table(self, field: str) -> Mapping[str, Json]:
        value = self.args.get(field)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self.wrong(field, f"expected a table, got {type(value).__name__}")
        return {}

    def _job_prefix(self) -> str:
        """Return the S3 prefix of the job's output and checkpoints."""
        return f"{self.settings.output}/{self.request.job_id}"

    def _role(self) -> str:
        roles = self.settings.roles
        only = next(iter(roles)) if len(roles) == 1 else None
        alias = self.args.get("role") or ("default" if "default" in roles else only)
        if isinstance(alias, str) and alias in roles:
            return roles[alias]
        known = ", ".join(sorted(roles)) or "none"
        if alias is None:
            self.wrong("role", f"missing; name one of: {known}")
        else:
            self.wrong("role", f"there is no role {alias!r}; name one of: {known}")
        return ""

    def _algorithm(self, channels: list[dict[str, Any]]) -> dict[str, Any]:
        mode: dict[str, Any] = {"TrainingInputMode": self.settings.input_mode}
        raw = self._table("sagemaker").get("AlgorithmSpecification")
        if definitions := self._metric_definitions(raw):
            mode["MetricDefinitions"] = definitions
        if not self.is_script and (arguments := self._arguments(channels)):
            mode["ContainerArguments"] = arguments
            if isinstance(raw, dict) and "ContainerArguments" in raw:
                self.wrong("arguments", "give either arguments or ContainerArguments, not both")
        if isinstance(raw, dict) and raw.get("AlgorithmName"):
            if self.args.get("image"):
                self.wrong("image", "give either an image or AlgorithmName, not both")
            return mode
        return {"TrainingImage": self._image(), **mode}

    def _metric_definitions(self, raw: object) -> list[dict[str, str]]:
        """Make the definitions by which the service finds metrics in the log, its only source of them."""
        given = self._table("metrics")
        regexes = metric_regexes(self.args)
        for name in sorted(given.keys() - regexes.keys()):
            message = "has no regex, and SageMaker finds metrics in the log only; give it one"
            self.wrong(f"metrics.{name}", message)
        if given and isinstance(raw, dict) and "MetricDefinitions" in raw:
            self.wrong("metrics", "give either metrics or MetricDefinitions, not both")
        return [{"Name": name, "Regex": regex} for name, regex in regexes.items()]

    def _image(self) -> str:
        named = self.args.get("image") or self.settings.images.get("default")
        if not isinstance(named, str):
            known = ", ".join(sorted(self.settings.images)) or "none"
            self.wrong("image", f"missing; name an image's URI or one of: {known}")
            return ""
        if named in self.settings.images:
            return self.settings.images[named]
        if "/" not in named and ":" not in named:
            known = ", ".join(sorted(self.settings.images)) or "none"
            self.wrong("image", f"there is no image {named!r}; name a URI or one of: {known}")
        elif self.args.get("image") and not (
            self.settings.any_image and is_within(named, self.settings.allowed_images)
        ):
            self.wrong("image", f"{named!r} is not allowed here; ask for an alias of it")
        return named

    def _hyperparameters(self, channels: list[dict[str, Any]]) -> dict[str, str]:
        given = self._expanded("hyperparameters", channels)
        if not self.is_script:
            return {key: plain(value) for key, value in given.items()}
        for name in sorted(jobcore_contract.RESERVED_HYPERPARAMETERS.intersection(given)):
            self.wrong(f"hyperparameters.{name}", "reserved; choose another name")
        script = str(self.args.get("script"))
        program = jobcore_contract.starter_program(script) if self._needs_starter() else script
        try:
            jobcore_contract.check_entry_point(script)
        except BadInput as error:
            self.wrong(error.field, error.message)
        return jobcore_contract.hyperparameter_texts(
            given,
            script=program,
            training=self.request.name,
            # Without a place the script is in the image, in /opt/ml/code.
            code=self._code(channels) if self.args.get("source_dir") else None,
            region=self.pool.region or self.settings.region or None,
        )

    def _arguments(self, channels: list[dict[str, Any]]) -> list[str]:
        """Read the arguments of the script, or of the container if there is none."""
        given = self.args.get("arguments") or []
        try:
            words = jobcore_contract.expand("arguments", given, self._folders(channels))
        except BadInput as error:
            self.wrong(error.field, error.message)
            return []
        return list(map(str, words))

    def _needs_starter(self) -> str | None:
        """Name the field of a script's job that the toolkit has no equal for; None if there is none."""
        fields = ("arguments", "flags") if self.is_script else ()
        return next((field for field in fields if self.args.get(field)), None)

    def _starter(self, channels: list[dict[str, Any]]) -> dict[str, str]:
        """Make the variables of the environment that give a script its arguments; none without any."""
        field = self._needs_starter()
        if field is None:
            return {}
        uri = str(self.args.get("source_dir", "the image"))
        if uri.rsplit("/", 1)[-1] != jobcore_contract.STARTED_ARCHIVE:
            message = (
                "SageMaker passes hyperparameters only, so the script needs a starter beside it, which is "
                f"added to a local source_dir at submit and is not in {uri}; name a local source_dir"
            )
            self.wrong(field, message)
        given = self.args.get("flags")
        flags = [str(flag) for flag in given] if isinstance(given, list) else []
        switched_on = [name for name, value in self._table("hyperparameters").items() if value]
        try:
            return jobcore_contract.starter_environment(
                str(self.args["script"]), self._arguments(channels), switched_on, flags
            )
        except BadInput as error:
            self.wrong(field, error.message)
            return {}

    def _expanded(self, field: str, channels: list[dict[str, Any]]) -> dict[str, Any]:
        """Read a table whose texts may name folders of the container, such as ``${SM_MODEL_DIR}``."""
        folders = self._folders(channels)
        expanded = {}
        for name, value in self._table(field).items():
            try:
                expanded[name] = jobcore_contract.expand(f"{field}.{name}", value, folders)
            except BadInput as error:
                self.wrong(error.field, error.message)
        return expanded

    def _folders(self, channels: list[dict[str, Any]]) -> dict[str, str]:
        names = {str(channel["ChannelName"]) for channel in channels}
        raw = self._table("sagemaker").get("InputDataConfig")
        for channel in raw if isinstance(raw, list) else ():
            if isinstance(channel, dict):
                names.add(str(channel.get("ChannelName")))
        return jobcore_contract.places(OPT_ML, sorted(names), self._checkpoints())

    def _checkpoints(self) -> str | None:
        """Return the container's folder of checkpoints; None if the deployment keeps none."""
        if not self.settings.checkpoints:
            return None
        raw = self._table("sagemaker").get("CheckpointConfig")
        path = raw.get("LocalPath") if isinstance(raw, dict) else None
        return path if isinstance(path, str) else CHECKPOINTS

    def _code(self, channels: list[dict[str, Any]]) -> str:
        """Return the place of the code; an isolated training cannot download it, so it becomes a channel."""
        uri = self.args.get("source_dir")
        if self.settings.local_code and str(uri).startswith(("/", "file:///")):
            return str(uri)
        if not isinstance(uri, str) or not uri.startswith("s3://"):
            expected = "the S3 URI of a tar.gz with the script; SageMaker cannot read local folders"
            self.wrong("source_dir", f"expected {expected} (got {uri!r})")
            return ""
        if not uri.endswith(".tar.gz"):
            self.wrong("source_dir", f"expected a .tar.gz, got {uri!r}")
        self._check_input("source_dir", uri)
        if not self.isolated:
            return uri
        if any(item["ChannelName"] == CODE_CHANNEL for item in channels):
            self.wrong("channels.code", "reserved for the job's code; choose another name")
        channels.append(channel_of(CODE_CHANNEL, uri))
        return f"{OPT_ML}/input/data/{CODE_CHANNEL}/{uri.rsplit('/', 1)[-1]}"

    def _channels(self) -> list[dict[str, Any]]:
        channels = []
        for name, uri in self._table("channels").items():
            if not isinstance(uri, str) or not uri.startswith("s3://"):
                self.wrong(f"channels.{name}", f"expected an S3 URI, got {uri!r}")
                continue
            self._check_input(f"channels.{name}", uri)
            channels.append(channel_of(name, uri))
        return channels

    def _check_input(self, field: str, uri: str) -> None:
        if not is_within(uri, self.settings.allowed_inputs):
            allowed = ", ".join(self.settings.allowed_inputs)
            self.wrong(field, f"{uri} is not allowed here; allowed: {allowed}")

    def _resources(self) -> dict[str, Any]:
        pool, count = self.pool, self.request.placement.count
        volume = self.args.get("volume_gb", self.settings.volume_gb)
        made = present(
            VolumeSizeInGB=volume,
            VolumeKmsKeyId=self.settings.kms_key,
        )
        if len(pool.instance_types) == 1:
            made |= {"InstanceType": pool.instance_types[0], "InstanceCount": count}
            return made | present(TrainingPlanArn=pool.plan)
        plans = present(TrainingPlanArns=[pool.plan] if pool.plan else None)
        made["InstancePreferences"] = [
            {"InstanceType": kind, "InstanceCount": count, **plans} for kind in pool.instance_types
        ]
        return made

    def _stopping(self) -> dict[str, int]:
        settings = self.settings
        limit = self.request.run_at_most or settings.run_at_most
        if limit > settings.run_at_most_max:
            self.wrong(
                "clocks.run_at_most",
                f"{limit!s}; at most {settings.run_at_most_max!s} is allowed here",
            )
        run = TO_STOP_SECONDS if self.request.to_stop else seconds(limit)
        made = {"MaxRuntimeInSeconds": run}
        if self.pool.is_spot:
            made["MaxWaitTimeInSeconds"] = run + seconds(settings.spot_wait)
        elif self.pool.is_accelerated:
            made["MaxPendingTimeInSeconds"] = seconds(settings.pending_at_most)
        return made

    def _environment(self, channels: list[dict[str, Any]]) -> dict[str, str]:
        environment = {}
        for name, value in self._expanded("environment", channels).items():
            if name.startswith(_RESERVED_ENVIRONMENT):
                self.wrong(f"environment.{name}", "reserved; choose another name")
            elif not isinstance(value, str):
                self.wrong(f"environment.{name}", "expected a string")
            else:
                environment[name] = value
        if checkpoints := self._checkpoints():
            environment["SM_CHECKPOINT_DIR"] = checkpoints  # the local trainer sets it, too
        return environment | {
            **self._starter(channels),
            "JOBCORE_JOB_ID": self.request.job_id,
            "JOBCORE_ATTEMPT": str(self.request.attempt),
            "JOBCORE_SPEC_HASH": self.request.spec_hash,
        }

    def _tags(self) -> list[dict[str, str]]:
        request = self.request
        tags: dict[str, str] = {}
        for key, value in request.tags.items():
            if key.casefold().startswith(("aws:", "jobcore:")):
                self.wrong(f"tags.{key}", "reserved; choose another name")
            tags[key] = value
        tags |= self.settings.tags
        tags |= {
            "jobcore:managed": "true",
            "jobcore:job-id": request.job_id,
            "jobcore:attempt": str(request.attempt),
            "jobcore:spec-hash": request.spec_hash,
        }
        if request.owner:
            tags["jobcore:owner"] = tag_text(request.owner)
        if request.group:
            tags["jobcore:group"] = tag_text(request.group)
        return [{"Key": key, "Value": value} for key, value in tags.items()]

    # --- the job file's table `sagemaker` -------------------------------------------------

    def _merge(self, made: dict[str, Any]) -> None:
        for member, value in self._table("sagemaker").items():
            where = f"sagemaker.{member}"
            if member not in _RAW:
                self.wrong(where, "not yours to set; the deployment or another field decides it")
                continue
            allowed = _RAW[member]
            if member in _ONLY_TRUE:
                if value is not True:
                    self.wrong(where, "can only be switched on")
                made[member] = True
            elif member == "InputDataConfig":
                self._merge_channels(made, value)
            elif allowed is None:
                made[member] = value
            elif not isinstance(value, dict):
                self.wrong(where, "expected a table")
            else:
                for key in sorted(set(value) - allowed):
                    self.wrong(f"{where}.{key}", "not yours to set; the deployment decides it")
                made.setdefault(member, {}).update({k: v for k, v in value.items() if k in allowed})
            self._check_places(where, value)

    def _merge_channels(self, made: dict[str, Any], value: Json) -> None:
        """Add channels, or replace those of the same name."""
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.wrong("sagemaker.InputDataConfig", "expected a list of tables")
            return
        more = [item for item in value if isinstance(item, dict)]
        names = {str(item.get("ChannelName")) for item in more}
        if CODE_CHANNEL in names and self.isolated and self.is_script:
            self.wrong("sagemaker.InputDataConfig", "the channel 'code' is the job's code")
        kept = [item for item in made["InputDataConfig"] if item["ChannelName"] not in names]
        made["InputDataConfig"] = kept + more

    def _check_places(self, where: str, value: Json) -> None:
        """Refuse places and resources that the deployment does not allow, at any depth."""
        if isinstance(value, dict):
            for key, item in value.items():
                self._check_places(f"{where}.{key}", item)
        elif isinstance(value, list):
            for item in value:
                self._check_places(where, item)
        elif isinstance(value, str):
            self._check_place(where, value)

    def _check_place(self, where: str, value: str) -> None:
        if value.startswith("arn:"):
            if not where.endswith(".AlgorithmName"):
                self.wrong(where, "an ARN is the deployment's to give")
        elif value.startswith(("s3://", "https://")):
            if ".InputDataConfig" in where:
                self._check_input(where, value)
            elif not value.startswith(f"{self.settings.output}/"):
                self.wrong(where, f"expected a place below {self.settings.output}/")
        elif where.endswith(".FileSystemId"):
            self._check_input(where, value)
