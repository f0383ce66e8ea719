"""The toolkit's part: from a container to the command and the environment of the script.

After ``environment.py``, ``mapping.py`` and ``params.py`` of ``sagemaker-training``. Where that
package looks at the machine (CPUs, GPUs), `Container` says what it would find.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._container import OPT_ML, Container
from ._entry_point import check_entry_point, command_of
from ._errors import BadInput
from ._places import places

# Hyperparameters that are for the toolkit: these, and all that begin with "sagemaker_".
_FOR_TOOLKIT = ("_tuning_objective_metric", "default_user_module_name")
_KNOWN_TO_TOOLKIT = frozenset(
    {
        "sagemaker_program", "sagemaker_submit_directory", "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_region", "sagemaker_container_log_level", "sagemaker_job_name",
        "sagemaker_s3_output", *_FOR_TOOLKIT,
    }
)  # fmt: skip
# Each of them asks for a distributed training, in the group of instances that the container is in.
_DISTRIBUTIONS = (
    "sagemaker_mpi_enabled", "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled", "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled", "sagemaker_torch_distributed_enabled",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Start:
    """
    How a script is started.

    Attributes:
        script: the entry point, relative to its code.
        arguments: of the script.
        environment: all of it.
    """

    script: str
    arguments: list[str]
    environment: dict[str, str]

    def command(self, python: str, *, package: bool) -> list[str]:
        """
        Write the command; its working directory is the folder of the code.

        Args:
            python: the interpreter.
            package: whether the code is a package, see `is_package`.
        """
        return command_of(self.script, self.arguments, python, package=package)

    def executable(self, *, package: bool) -> str | None:
        """Return the file, relative to the code, that has to be executable; None if there is none."""
        is_python = self.script.endswith(".py") or (package and not self.script.endswith(".sh"))
        return None if is_python else self.script


def start(
    container: Container,
    code: str,
    *,
    arguments: Sequence[str] = (),
    flags: Collection[str] = (),
) -> Start:
    """
    Determine what the toolkit starts a script with.

    Args:
        container: what the toolkit finds.
        code: the folder with the script's code, ``/opt/ml/code`` on SageMaker; it is not read.
        arguments: further arguments after the hyperparameters, which the toolkit does not have.
        flags: the hyperparameters that are arguments without a value if they are true, and none if
            they are false, which the toolkit does not have either.

    Raises:
        BadInput: the toolkit could not start the script, or only together with others.
    """
    read = {name: _read(text) for name, text in container.hyperparameters.items()}
    for_toolkit = {
        name: value
        for name, value in read.items()
        if name.startswith("sagemaker_") or name in _FOR_TOOLKIT
    }
    given = {name: value for name, value in read.items() if name not in for_toolkit}
    _check(for_toolkit, given)
    script = container.environment.get("SAGEMAKER_PROGRAM") or for_toolkit.get("sagemaker_program")
    if not isinstance(script, str):
        raise BadInput(field="script", message="missing; name the script to start")
    check_entry_point(script)
    words = [*_arguments(given, flags), *arguments]
    return Start(
        script=script,
        arguments=words,
        environment=_environment(container, code, script, for_toolkit, given, words),
    )


def _check(for_toolkit: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    wrong = dict.fromkeys(
        (name for name in given if "=" in name),
        "a variable of the environment cannot have a name with =",
    )
    if for_toolkit.get("sagemaker_mpi_enabled"):
        message = "starts the script with mpirun, which is for SageMaker only; remove it"
        wrong["sagemaker_mpi_enabled"] = message
    if not isinstance(for_toolkit.get("sagemaker_distribution_instance_groups", []), list):
        wrong["sagemaker_distribution_instance_groups"] = "expected a list of names"
    if not isinstance(for_toolkit.get("sagemaker_job_name", ""), str):
        wrong["sagemaker_job_name"] = "expected a text"
    if not isinstance(for_toolkit.get("sagemaker_region") or "", str):
        wrong["sagemaker_region"] = "expected a text"
    for name, message in wrong.items():
        raise BadInput(field=f"hyperparameters.{name}", message=message)


def _environment(
    container: Container,
    code: str,
    script: str,
    for_toolkit: Mapping[str, Any],
    given: Mapping[str, Any],
    words: Sequence[str],
) -> dict[str, str]:
    inherited = container.environment
    described = _training_env(container, code, script, for_toolkit, given)
    as_variables = {
        name: value for name, value in described.items() if name not in _ONLY_IN_TRAINING_ENV
    }
    values = {
        **as_variables,
        "hps": given,
        "framework_params": described["additional_framework_parameters"],
        "channels": sorted(container.channels),
        "training_env": described,
        "user_args": words,
        **{f"channel_{name}": path for name, path in described["channel_input_dirs"].items()},
        **{f"hp_{name}": value for name, value in given.items()},
    }
    if described["topology"]:
        values["topology"] = described["topology"]
    path = [code, *filter(None, [inherited.get("PYTHONPATH")])]
    moved = {"SAGEMAKER_BASE_DIR": container.base} if container.base != OPT_ML else {}
    return {
        **inherited,
        **moved,
        "CURRENT_HOST": described["current_host"],
        "SAGEMAKER_JOB_NAME": for_toolkit.get("sagemaker_job_name", ""),
        "SAGEMAKER_REGION": for_toolkit.get("sagemaker_region") or "",
        **{f"SM_{name.upper()}": _variable(value) for name, value in values.items()},
        "PYTHONPATH": ":".join(path),
    }


# Parts of SM_TRAINING_ENV that have no variable of their own.
_ONLY_IN_TRAINING_ENV = (
    "additional_framework_parameters", "channel_input_dirs", "distribution_hosts", "hyperparameters",
    "is_master", "is_modelparallel_enabled", "is_smddpmprun_installed", "is_smddprun_installed",
    "job_name", "master_hostname", "topology",
)  # fmt: skip


def _training_env(
    container: Container,
    code: str,
    script: str,
    for_toolkit: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe the training as the toolkit does, in one table."""
    base, resources = container.base, container.resources
    folders = places(base, ())
    extra = {k: v for k, v in for_toolkit.items() if k not in _KNOWN_TO_TOOLKIT}
    mp_parameters = container.environment.get("SM_HP_MP_PARAMETERS")
    return {
        "additional_framework_parameters": extra,
        "channel_input_dirs": {name: f"{base}/input/data/{name}" for name in container.channels},
        **_cluster(resources, extra),
        "framework_module": container.environment.get("SAGEMAKER_TRAINING_MODULE"),
        "hyperparameters": dict(given),
        "input_data_config": container.channels,
        **{name.removeprefix("SM_").lower(): path for name, path in folders.items()},
        "is_modelparallel_enabled": mp_parameters and mp_parameters != "{}",
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": container.environment.get("TRAINING_JOB_NAME"),
        "log_level": for_toolkit.get("sagemaker_container_log_level", 20),
        "module_dir": str(for_toolkit.get("sagemaker_submit_directory", code)),
        "module_name": script.removesuffix(".py"),
        "network_interface_name": resources.get("network_interface_name", "eth0"),
        "num_cpus": container.cpus,
        "num_gpus": container.gpus,
        "num_neurons": 0,
        "resource_config": resources,
        "topology": resources.get("topology", []),
        "user_entry_point": script,
    }


def _cluster(resources: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the hosts, and which of them take part in a distributed training."""
    groups = {group["instance_group_name"]: group for group in resources.get("instance_groups", [])}
    current = resources.get("current_group_name", "homogeneousCluster")
    hosts = resources["hosts"]
    distributed = extra.get(
        "sagemaker_distribution_instance_groups",
        [current] if any(extra.get(name) for name in _DISTRIBUTIONS) else [],
    )
    taking_part = [
        host for name, group in groups.items() if name in distributed for host in group["hosts"]
    ]
    if not groups:
        taking_part = list(hosts)
    master = (taking_part or hosts)[0]
    return {
        "current_host": resources["current_host"],
        "current_instance_group": current,
        "current_instance_group_hosts": groups.get(current, {}).get("hosts", []),
        "current_instance_type": resources.get("current_instance_type", "local"),
        "distribution_hosts": taking_part,
        "distribution_instance_groups": distributed,
        "hosts": hosts,
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "is_hetero": len(groups) > 1,
        "is_master": resources["current_host"] == master,
        "master_hostname": master,
    }


def _read(text: str) -> Any:
    """Read a hyperparameter: JSON, or the text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _arguments(given: Mapping[str, Any], flags: Collection[str]) -> list[str]:
    """Write hyperparameters as arguments, by name: ``--name value``, and ``-n value`` for one letter."""
    words = []
    for name in sorted(given):
        dashes = "--" if len(name) > 1 else "-" if name else ""
        if name not in flags:
            words += [f"{dashes}{name}", _argument(given[name])]
        elif given[name] is True:
            words.append(f"{dashes}{name}")
    return words


def _argument(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={item}" for name, item in sorted(value.items()))
    return str(value)


_compact = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _variable(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return _compact(value)
