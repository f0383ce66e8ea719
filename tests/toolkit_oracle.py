"""SageMaker's training toolkit (the package sagemaker-training), run on this machine to compare with.

`make test` sets it up in .venv-toolkit. This module does for it what SageMaker does: it writes the
files of /opt/ml/input/config (the folder is named by SAGEMAKER_BASE_DIR) and sets the environment of
the container, both from a CreateTrainingJob request.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / ".venv-toolkit"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:training-job/"
#: The script of the comparison writes what it was started with into this file; on another host than
#: algo-1, into one with the host's name after it.
PROBE_FILE = "PROBE_FILE"

PROBE = """\
import json, os, sys
seen = {"argv": sys.argv, "environment": dict(os.environ), "cwd": os.getcwd(), "path": sys.path,
        "files": {}}
base = os.path.dirname(os.environ["SM_MODEL_DIR"])
for name in os.listdir(base + "/input/config"):
    with open(base + "/input/config/" + name) as file:
        seen["files"][name] = json.load(file)
seen["folders"] = [x for x in ("model", "output", "output/data", "input/data", "checkpoints")
                   if os.path.isdir(os.path.join(base, x))]
host = os.environ["SM_CURRENT_HOST"].replace("algo-1", "")
with open(os.environ["PROBE_FILE"] + host, "w") as file:
    json.dump(seen, file)
"""

# The toolkit's process, without the part that starts a script: one line of JSON for each request.
_SERVER = """\
import json, os, sys
from sagemaker_training import environment, params, process
config = environment.input_config_dir
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if "name" in asked:
            process.validate_entry_point(asked["name"])
            answer = {}
        else:
            for name, content in asked["files"].items():
                with open(os.path.join(config, name), "w") as file:
                    json.dump(content, file)
            env = environment.Environment()
            words = env.to_cmd_args()
            runner = process.ProcessRunner(env.user_entry_point, words, {}, 1)
            answer = {"environment": env.to_env_vars(), "command": runner._create_command()}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
"""


# In place of pip: what it was called with.
_PIP = """\
import os, sys
with open(os.path.join(os.path.dirname(__file__), "calls of pip"), "a") as file:
    print(*sys.argv[1:], file=file)
"""


@dataclass(frozen=True)
class Outcome:
    """What a script saw (None if it was not started), the failure file, the exit code, the output."""

    seen: dict[str, Any] | None
    failure: str
    exit_code: int
    output: str


def need_toolkit() -> None:
    """Skip the test if the toolkit is not there."""
    if not (FOLDER / ".installed").exists():
        pytest.skip(f"no {FOLDER.name} (SageMaker's training toolkit): run make test")


def probe_of(probe_file: Path, host: str) -> Path:
    """Return the file that the script of the comparison writes on a host."""
    return probe_file.with_name(probe_file.name + host.replace("algo-1", ""))


def container_files(request: Mapping[str, Any], host: str = "algo-1") -> dict[str, Any]:
    """
    Make the files of /opt/ml/input/config as SageMaker writes them for one host.

    Their forms are from
    https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    and from logs of trainings, such as
    https://github.com/aws-samples/amazon-sagemaker-script-mode/issues/11.
    """
    kind = request["ResourceConfig"]["InstanceType"]
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    count = request["ResourceConfig"]["InstanceCount"]
    hosts = sorted(f"algo-{number}" for number in range(1, count + 1))
    group = {
        "instance_group_name": "homogeneousCluster",
        "instance_type": kind,
        "hosts": hosts,
    }
    return {
        "hyperparameters.json": request.get("HyperParameters", {}),
        "inputdataconfig.json": {
            channel["ChannelName"]: {
                "TrainingInputMode": mode,
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for channel in request.get("InputDataConfig", [])
        },
        "resourceconfig.json": {
            "current_group_name": "homogeneousCluster",
            "current_host": host,
            "current_instance_type": kind,
            "hosts": hosts,
            "instance_groups": [group],
            "network_interface_name": "eth0",
        },
    }


def make_folders(base: Path, request: Mapping[str, Any], host: str = "algo-1") -> None:
    """Make what SageMaker mounts at /opt/ml."""
    for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        (base / name).mkdir(parents=True)
    for name, content in container_files(request, host).items():
        (base / "input/config" / name).write_text(json.dumps(content))
    for channel in request.get("InputDataConfig", []):
        (base / "input/data" / channel["ChannelName"]).mkdir()


def train(
    request: Mapping[str, Any], base: Path, probe_file: Path, host: str = "algo-1"
) -> Outcome:
    """Run the toolkit's command ``train`` in the container of a request on one host."""
    make_folders(base, request, host)
    environment = _environment(base, request.get("Environment", {})) | {
        "TRAINING_JOB_NAME": request["TrainingJobName"],
        "TRAINING_JOB_ARN": ARN + request["TrainingJobName"],
        PROBE_FILE: str(probe_file),
    }
    command = [sys.executable, "-m", "sagemaker_training.cli.train"]
    done = subprocess.run(
        command, env=environment, cwd=base, check=False, capture_output=True, timeout=80
    )
    failure, probe = base / "output/failure", probe_of(probe_file, host)
    return Outcome(
        seen=json.loads(probe.read_text()) if probe.exists() else None,
        failure=failure.read_text() if failure.exists() else "",
        exit_code=done.returncode,
        output=(done.stdout + done.stderr).decode(errors="replace"),
    )


class Server:
    """A process that answers what the toolkit makes of a container, without starting a script."""

    def __init__(self, base: Path, request: Mapping[str, Any]) -> None:
        self.base = base
        make_folders(base, request)
        (base / "code").mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            env=_environment(base, {"TRAINING_JOB_NAME": request["TrainingJobName"]}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=60)


def calls_of_pip(base: Path) -> list[str]:
    """Return what the toolkit of a training in *base* has called pip with."""
    calls = base.parent / "stubs" / "calls of pip"
    return calls.read_text().splitlines() if calls.exists() else []


def _environment(base: Path, given: Mapping[str, str]) -> dict[str, str]:
    stubs = base.parent / "stubs"
    stubs.mkdir(exist_ok=True)
    (stubs / "pip.py").write_text(_PIP)  # the real one would install into this environment
    (stubs / "gethostname.py").write_text("")  # in C; mpirun alone needs it
    path = [given.get("PYTHONPATH"), str(stubs), str(FOLDER), *map(str, FOLDER.glob("*/src"))]
    return {
        "PATH": os.environ["PATH"],
        **given,
        "PYTHONPATH": ":".join(filter(None, path)),
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_STUDIO_LOCAL_MODE": "true",  # or it waits until the name algo-1 can be resolved
    }
