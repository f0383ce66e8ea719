"""SageMaker's training contract with folders of this machine: environment, arguments, files of a script.

`jobcore_contract` has the contract itself. The folder ``ml/`` of a training stands for /opt/ml in the
container of its first host, and ``hosts/algo-2/ml/`` for that of its second. The hosts share the
folders of the model and of other results, because SageMaker puts those of all hosts into one archive.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobcore_contract
from jobcore.ports import LaunchRequest
from jobcore_code import environment_id, snapshot_id
from jobcore_contract import RESERVED_ENVIRONMENT, RESERVED_HYPERPARAMETERS, BadInput, Container

from ._environments import Environments
from ._python import python_environment, with_layer

__all__ = [
    "BadInput", "MissingInput", "Prepared", "host_folder", "inherited_environment", "prepare",
]  # fmt: skip

# The variables of the manager's environment that a script needs to run. It does not get the others:
# they may hold secrets, and a training that depends on them would not run anywhere else.
#: Where the user's folders, the machine's libraries and the network are. Not tokens and keys: a job
#: that needs them names them in its `environment`.
INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "CONDA_PREFIX", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
INHERITED_PREFIXES = (
    "LC_", "XDG_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "CUDA_", "NVIDIA_",
)  # fmt: skip
_INSTANCE_TYPE = "local"  # as the toolkit calls it outside of SageMaker
_NETWORK = "lo"
_SHARED = ("model", "output/data")  # by all hosts of a training


class MissingInput(BadInput):
    """A file or folder of a job does not exist on this machine; it may exist later."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """
    A host of a request in the terms of this machine: command, working directory, environment, folders, files, links.

    *script* is relative to *cwd*. *package_argv* takes the place of *argv* if *cwd* has a package,
    which the shim looks up.
    """

    script: str
    argv: list[str]
    package_argv: list[str]
    cwd: str
    environment: dict[str, str]
    folders: list[str]
    files: dict[str, str]
    links: dict[str, str]


def host_folder(directory: Path | str, host: int) -> str:
    """Return the folder of a host below the training's own; they are one for the first host."""
    return str(directory) if host == 1 else f"{directory}/hosts/{jobcore_contract.host_name(host)}"


def prepare(
    request: LaunchRequest,
    directory: Path,
    checkpoints: Path,
    inherited: Mapping[str, str],
    environments: Environments | None = None,
    *,
    host: int = 1,
    gpus: int = 0,
) -> Prepared:
    """
    Determine the command, environment and files of one host of a training; nothing is written.

    Args:
        directory: the training's own folder.
        checkpoints: the folder that all attempts of its job share.
        inherited: variables of the manager's environment, see `inherited_environment`.
        environments: those of the home; None if the job names none.
        host, gpus: its number, from 1 to the placement's count, and how many GPUs it has.

    Raises:
        BadInput: a value cannot work; a `MissingInput` if a file or folder does not exist.
    """
    args = request.args
    script = _script_name(args)
    ml = f"{host_folder(directory, host)}/ml"
    given = _mapping(args, "channels")
    folders = jobcore_contract.places(ml, given, str(checkpoints))
    hyperparameters = _hyperparameters(args, folders)
    python, active = _active(args, inherited, environments)
    environment = _environment(request, folders, active)
    source = _find_source(args, script, os.path.dirname(ml))
    own_folders, shared = _own_folders(directory, host)
    in_channels, links = _channels(ml, given)
    container = Container(
        base=ml,
        hyperparameters=jobcore_contract.hyperparameter_texts(
            hyperparameters, script=script, training=request.name, code=source
        ),
        channels={name: jobcore_contract.channel_config() for name in given},
        resources=_resources(request.placement.count, host),
        environment=environment if gpus else {"CUDA_VISIBLE_DEVICES": "", **environment},
        cpus=os.cpu_count() or 1,
        gpus=gpus,
    )
    started = _start(args, folders, container, source)
    # The kernel's limit on the size of arguments and environment is left to the exec.
    return Prepared(
        script=script,
        argv=started.command(python, package=False),
        package_argv=started.command(python, package=True),
        cwd=source,
        folders=[*own_folders, *in_channels, str(checkpoints)],
        files=container.files(),
        links={**shared, **links, f"{ml}/checkpoints": str(checkpoints)},
        environment=started.environment,
    )


def _resources(count: int, host: int) -> dict[str, Any]:
    return jobcore_contract.resource_config(
        _INSTANCE_TYPE, network=_NETWORK, count=count, host=host
    )


def _own_folders(directory: Path, host: int) -> tuple[list[str], dict[str, str]]:
    """Return the folders of a host, parents first, and its links to those of the first that it shares."""
    folder = host_folder(directory, host)
    names = [name for name in jobcore_contract.FOLDERS if host == 1 or name not in _SHARED]
    folders = [f"{folder}/ml/{name}" if name else f"{folder}/ml" for name in names]
    if host == 1:
        return folders, {}
    links = {f"{folder}/ml/{name}": f"{directory}/ml/{name}" for name in _SHARED}
    return [os.path.dirname(folder), folder, *folders], links


def _start(
    args: Mapping[str, Any], folders: Mapping[str, str], container: Container, source: str
) -> jobcore_contract.Start:
    words = jobcore_contract.expand("arguments", _list(args, "arguments"), folders)
    return jobcore_contract.start(
        container, source, arguments=[*map(str, words)], flags=_list(args, "flags")
    )


def _environment(
    request: LaunchRequest, folders: Mapping[str, str], inherited: Mapping[str, str]
) -> dict[str, str]:
    """Make the environment that a container would have before the toolkit adds to it."""
    own = {}
    for name, value in _mapping(request.args, "environment").items():
        field = f"environment.{name}"
        if name.startswith(RESERVED_ENVIRONMENT):
            raise BadInput(field=field, message="reserved; choose another name")
        own[name] = str(jobcore_contract.expand(field, value, folders))
    return {
        **inherited,
        "PYTHONUNBUFFERED": "1",
        **own,
        "TRAINING_JOB_NAME": request.name,
        "JOBCORE_TRAINING": request.name,
        "JOBCORE_JOB_ID": request.job_id,
        "JOBCORE_ATTEMPT": str(request.attempt),
        "SM_CHECKPOINT_DIR": folders["SM_CHECKPOINT_DIR"],
    }


def inherited_environment() -> dict[str, str]:
    """Return the variables of this process's environment that scripts get."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }


# --- values of the request --------------------------------------------------------------


def _script_name(args: Mapping[str, Any]) -> str:
    script = args.get("script")
    if not isinstance(script, str) or not script:
        raise BadInput(field="script", message="missing; a local training needs one")
    jobcore_contract.check_entry_point(script)
    return script


def _hyperparameters(args: Mapping[str, Any], folders: Mapping[str, str]) -> Mapping[str, Any]:
    given = _mapping(args, "hyperparameters")
    for name in sorted(RESERVED_HYPERPARAMETERS.intersection(given)):
        raise BadInput(field=f"hyperparameters.{name}", message="reserved; choose another name")
    expanded: Mapping[str, Any] = jobcore_contract.expand("hyperparameters", given, folders)
    return expanded


def _find_source(args: Mapping[str, Any], script: str, folder: str) -> str:
    """Find the folder that the script runs in; *folder* is the host's."""
    if snapshot_id(args) is not None:  # laid out by the shim
        return f"{folder}/code"
    source = os.path.expanduser(str(args.get("source_dir", ".")))
    if not os.path.isdir(source):
        raise MissingInput(field="source_dir", message=f"{source} is not a folder on this machine")
    source = os.path.realpath(source)
    path = os.path.join(source, script)
    is_module = not script.endswith(".py") and jobcore_contract.is_package(source, script)
    if not is_module and not os.path.isfile(path):
        raise MissingInput(field="script", message=f"{path} does not exist")
    jobcore_contract.check_code(source, script)
    return source


def _active(
    args: Mapping[str, Any], inherited: Mapping[str, str], environments: Environments | None
) -> tuple[str, dict[str, str]]:
    """Return the interpreter of a job, and *inherited* as it is when its environments are active."""
    python = str(args.get("python") or sys.executable)
    active = python_environment(args.get("python"), inherited)
    name = environment_id(args)
    if name is None or environments is None:
        return shutil.which(python) or python, active
    problem = environments.problem(name)
    if problem is None and not os.path.exists(python):
        problem = f"{python}, which its environment builds on, does not exist"
    if problem is not None:
        message = f"{problem}; retry the job, or submit it again, to install the packages again"
        raise MissingInput(field="requirements.txt", message=message)
    return environments.python(name), with_layer(environments.folder(name), active)


def _channels(ml: str, given: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the folders and the links of the channels; one that is a file is a folder with the file."""
    folders, links = [], {}
    for name, where in given.items():
        path, place = _channel(name, str(where)), f"{ml}/input/data/{name}"
        if path.is_file():
            folders.append(place)
            place += f"/{os.path.basename(str(where))}"
        links[place] = str(path)
    return folders, links


def _channel(name: str, where: str) -> Path:
    path = os.path.expanduser(
        where.removeprefix("file://")
    )  # Path.expanduser raises for an unknown user
    if not os.path.exists(path):
        raise MissingInput(
            field=f"channels.{name}", message=f"{where} does not exist on this machine"
        )
    return Path(path).resolve()


def _mapping(args: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = args.get(field, {})
    if not isinstance(value, Mapping):
        raise BadInput(field=field, message=f"expected a table, got {type(value).__name__}")
    return value


def _list(args: Mapping[str, Any], field: str) -> list[Any]:
    value = args.get(field, [])
    if not isinstance(value, list):
        raise BadInput(field=field, message=f"expected a list, got {type(value).__name__}")
    return value
