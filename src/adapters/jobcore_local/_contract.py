"""SageMaker's training contract with folders of this machine: environment, arguments, files of a script.

Names and meanings are those of the public SageMaker training toolkit
(https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md).
The folder ``ml/`` of a training stands for /opt/ml in a container.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobcore.ports import LaunchRequest

from ._pools import is_gpu_pool

# The variables of the manager's environment that a script needs to run. It does not get the others:
# they may hold secrets, and a training that depends on them would not run anywhere else.
_INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "CONDA_PREFIX", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "XDG_RUNTIME_DIR",
)  # fmt: skip
_HOST = "algo-1"
_NETWORK = "lo"
_FOLDERS = ("", "input", "input/config", "input/data", "model", "output", "output/data")
_INHERITED_PREFIXES = ("LC_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "CUDA_", "NVIDIA_")


class BadInput(ValueError):  # noqa: N818  (a condition; reads well in `except`)
    """A request that cannot run on this machine; the text names the field and the reason."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request in the terms of this machine: command, working directory, environment, folders, files, links."""

    argv: list[str]
    cwd: str
    environment: dict[str, str]
    folders: list[str]
    files: dict[str, str]
    links: dict[str, str]


def prepare(
    request: LaunchRequest, directory: Path, checkpoints: Path, inherited: Mapping[str, str]
) -> Prepared:
    """
    Determine the command, environment and files of a training; nothing is written.

    Args:
        directory: the training's own folder.
        checkpoints: the folder that all attempts of its job share.
        inherited: variables of the manager's environment, see `inherited_environment`.

    Raises:
        BadInput: the script, its folder or a channel does not exist.
    """
    args = request.args
    source, script = _find_script(args, directory)
    hyperparameters = _mapping(args, "hyperparameters")
    channels = {
        name: _channel(name, str(where)) for name, where in _mapping(args, "channels").items()
    }
    ml = f"{directory}/ml"
    config = {
        "hyperparameters": {k: _text(v) for k, v in hyperparameters.items()},
        "inputdataconfig": {name: {"TrainingInputMode": "File"} for name in channels},
        "resourceconfig": {
            "current_host": _HOST,
            "hosts": [_HOST],
            "network_interface_name": _NETWORK,
        },
    }
    user_arguments = [*_arguments(hyperparameters), *map(str, _list(args, "arguments"))]
    environment = {
        **inherited,
        **_identity(request),
        **_folders(ml, checkpoints, channels),
        **_machine(request),
        **_script_variables(source, script),
        **_hyperparameter_variables(hyperparameters),
        "SM_USER_ARGS": json.dumps(user_arguments),
        "SM_INPUT_DATA_CONFIG": json.dumps(config["inputdataconfig"]),
        "SM_RESOURCE_CONFIG": json.dumps(config["resourceconfig"]),
    }
    environment["SM_TRAINING_ENV"] = json.dumps(_training_env(environment, hyperparameters))
    environment |= {
        name: str(value)
        for name, value in _mapping(args, "environment").items()
        if not name.startswith(("SM_", "JOBCORE_"))
    }
    # The kernel's limit on the size of arguments and environment is left to the exec.
    return Prepared(
        argv=[*_interpreter(script, args), *user_arguments],
        cwd=source,
        folders=[
            *(f"{ml}/{folder}" if folder else ml for folder in _FOLDERS),
            str(checkpoints),
        ],
        files={f"{ml}/input/config/{name}.json": json.dumps(data) for name, data in config.items()},
        links={f"{ml}/input/data/{name}": str(path) for name, path in channels.items()},
        environment={k: v for k, v in environment.items() if "\0" not in v and "=" not in k},
    )


# --- environment variables --------------------------------------------------------------


def _identity(request: LaunchRequest) -> dict[str, str]:
    return {
        "TRAINING_JOB_NAME": request.name,
        "JOBCORE_TRAINING": request.name,
        "JOBCORE_JOB_ID": request.job_id,
        "JOBCORE_ATTEMPT": str(request.attempt),
        "PYTHONUNBUFFERED": "1",
    }


def _folders(ml: str, checkpoints: Path, channels: Mapping[str, Path]) -> dict[str, str]:
    folders = {
        "SM_MODEL_DIR": f"{ml}/model",
        "SM_INPUT_DIR": f"{ml}/input",
        "SM_INPUT_CONFIG_DIR": f"{ml}/input/config",
        "SM_OUTPUT_DIR": f"{ml}/output",
        "SM_OUTPUT_DATA_DIR": f"{ml}/output/data",
        "SM_CHECKPOINT_DIR": str(checkpoints),
        "SM_CHANNELS": json.dumps(sorted(channels)),
    }
    for name in channels:
        folders[f"SM_CHANNEL_{name.upper()}"] = f"{ml}/input/data/{name}"
    return folders


def _machine(request: LaunchRequest) -> dict[str, str]:
    gpus = request.placement.count if is_gpu_pool(request.placement.pool) else 0
    machine = {
        "SM_CURRENT_HOST": _HOST,
        "SM_HOSTS": json.dumps([_HOST]),
        "SM_NETWORK_INTERFACE_NAME": _NETWORK,
        "SM_NUM_GPUS": str(gpus),
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_NUM_NEURONS": "0",
        "SM_LOG_LEVEL": "20",
        "SM_CURRENT_INSTANCE_TYPE": "local",
    }
    return machine if gpus else {**machine, "CUDA_VISIBLE_DEVICES": ""}


def _script_variables(source: str, script: str) -> dict[str, str]:
    return {
        "SM_MODULE_NAME": os.path.splitext(os.path.basename(script))[0],
        "SM_MODULE_DIR": source,
        "SM_USER_ENTRY_POINT": os.path.basename(script),
    }


def _hyperparameter_variables(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    variables = {f"SM_HP_{name.upper()}": _text(value) for name, value in hyperparameters.items()}
    return {"SM_HPS": json.dumps(hyperparameters, sort_keys=True), **variables}


# --- values of the request --------------------------------------------------------------


def snapshot_of(args: Mapping[str, Any]) -> str | None:
    """Return the id of the snapshot of a job's code; None if it runs from its source folder."""
    code = args.get("code")
    snapshot = code.get("snapshot") if isinstance(code, Mapping) else None
    return snapshot if isinstance(snapshot, str) else None


def _find_script(args: Mapping[str, Any], directory: Path) -> tuple[str, str]:
    """Find the folder that the script runs in, and the script's path."""
    script = args.get("script")
    if not isinstance(script, str) or not script:
        msg = "script: missing; a local training needs one"
        raise BadInput(msg)
    if snapshot_of(args) is not None:  # laid out by the shim
        source = f"{directory}/code"
        return source, os.path.join(source, script)
    source = os.path.expanduser(str(args.get("source_dir", ".")))
    if not os.path.isdir(source):
        msg = f"source_dir: {source} is not a folder on this machine"
        raise BadInput(msg)
    source = os.path.realpath(source)
    path = os.path.join(source, script)
    if not os.path.isfile(path):
        msg = f"script: {path} does not exist"
        raise BadInput(msg)
    return source, path


def _interpreter(script: str, args: Mapping[str, Any]) -> list[str]:
    if script.endswith(".py"):
        python = str(args.get("python") or sys.executable)
        return [shutil.which(python) or python, script]
    if script.endswith(".sh"):
        return [shutil.which("sh") or "/bin/sh", script]
    return [script]


def _channel(name: str, where: str) -> Path:
    path = os.path.expanduser(
        where.removeprefix("file://")
    )  # Path.expanduser raises for an unknown user
    if not os.path.exists(path):
        msg = f"channels.{name}: {where} does not exist on this machine"
        raise BadInput(msg)
    return Path(path).resolve()


def _mapping(args: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = args.get(field, {})
    if not isinstance(value, Mapping):
        msg = f"{field}: expected a table, got {type(value).__name__}"
        raise BadInput(msg)
    return value


def _list(args: Mapping[str, Any], field: str) -> list[Any]:
    value = args.get(field, [])
    if not isinstance(value, list):
        msg = f"{field}: expected a list, got {type(value).__name__}"
        raise BadInput(msg)
    return value


def inherited_environment() -> dict[str, str]:
    """Return the variables of this process's environment that scripts get."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def _text(value: object) -> str:
    """Write a hyperparameter as the toolkit does: text as it is, tables and lists as JSON, others by str()."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return str(value)


def _arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Write the hyperparameters as command-line arguments, sorted: ``--name value``, ``-n value``."""
    arguments = []
    for name in sorted(hyperparameters):
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", _text(hyperparameters[name])]
    return arguments


def _training_env(
    environment: Mapping[str, str], hyperparameters: Mapping[str, Any]
) -> dict[str, Any]:
    folders = {
        name.removeprefix("SM_").lower(): value
        for name, value in environment.items()
        if name.startswith("SM_") and name.endswith("_DIR")
    }
    return {
        **folders,
        "job_name": environment["TRAINING_JOB_NAME"],
        "hyperparameters": dict(hyperparameters),
        "num_gpus": int(environment["SM_NUM_GPUS"]),
        "num_cpus": int(environment["SM_NUM_CPUS"]),
        "current_host": environment["SM_CURRENT_HOST"],
        "hosts": json.loads(environment["SM_HOSTS"]),
        "user_entry_point": environment["SM_USER_ENTRY_POINT"],
        "module_name": environment["SM_MODULE_NAME"],
    }
