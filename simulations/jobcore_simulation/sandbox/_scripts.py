"""Trainings whose script runs, as a process of this machine by SageMaker's training contract.

A request names the script as for the SageMaker training toolkit, by the hyperparameters
``sagemaker_program`` and ``sagemaker_submit_directory``. The latter is a folder or a .tar.gz on this
machine (a path or a file:// URL) below `SandboxConfig.run_scripts`, or a .tar.gz in the emulated S3.
Each run has a copy of it. What the script is started with is in `jobcore_contract`.
Channels and checkpoints are read from that S3; the model and checkpoints are written to it.
``requirements.txt`` is installed into an environment on top of the sandbox's own interpreter.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobcore_code import CodeStore
from jobcore_contract import (
    FOLDERS,
    check_code,
    failure_text,
    installs_requirements,
    is_package,
    start,
)
from jobcore_local import (
    Environments,
    InstallError,
    InstallOptions,
    error_message,
    metrics_in_log,
    with_opt_ml,
)
from jobcore_simulation._training import Training

from ._containers import checkpoint_folder, container_of
from ._logs import Logs
from ._s3 import Files
from ._sandbox import Sandbox
from ._views import model_artifacts

__all__ = ["ScriptRunner", "program_of"]

_FAILURE_CHARS_MAX = 1024
_CHANNELS = "/opt/ml/input/data/"  # a training without network reads its code from a channel
_IN_S3 = ("s3://", _CHANNELS)
_OWN = ("sagemaker_program", "sagemaker_submit_directory")
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_INSTALL = ("python", "-m", "pip", "install", "-r", "requirements.txt")  # as the toolkit calls it
_OFFLINE = {
    "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "UV_OFFLINE": "1", "UV_NO_CONFIG": "1",
}  # fmt: skip
_LOG_SECONDS = 1.0  # from one sending of a script's output to the next
_TOOLKIT_EXIT_CODE = 1  # of the toolkit, for any exit code of the script


class _BadInput(ValueError):  # noqa: N818  (a condition)
    """The script cannot be run, for the reason in the text."""


def program_of(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Find the script and its code (a path or an s3:// URI); None: the request names none."""
    given = document.get("HyperParameters", {})
    if not all(given.get(name) for name in _OWN):
        return None
    program, source = (_plain(given[name]) for name in _OWN)
    source = source.removeprefix("file://")
    return (program, source) if source.startswith(("/", "s3://")) else None


class ScriptRunner:
    """Runs scripts below *root*, each while its training is in the phase Training."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self._sandbox = sandbox
        self._root = root.resolve()
        config = sandbox.config
        endpoint = config.aws_endpoint
        self._s3 = Files(endpoint, config.region, config.account) if endpoint else None
        self._logs = Logs(endpoint, config.region, config.account) if endpoint else None
        self._home = tempfile.TemporaryDirectory(prefix="jobcore-sandbox-")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._made = 0
        # Listeners may not block, so a thread acts on the changes of status.
        self._turns: queue.SimpleQueue[tuple[Training, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sandbox-scripts", daemon=True)
        self._thread.start()
        sandbox.service.is_open_ended = self._is_ours
        sandbox.service.listeners.append(lambda t: self._turns.put((t, t.secondary)))

    def close(self) -> None:
        """Kill the scripts that run, and remove their files."""
        self._turns.put(None)
        self._thread.join(timeout=5)
        with self._lock:
            for process in self._processes.values():
                _signal(process, signal.SIGKILL)
        self._home.cleanup()

    def _is_ours(self, document: Mapping[str, Any]) -> bool:
        found = program_of(document)
        return found is not None and (self._s3 is not None or not found[1].startswith(_IN_S3))

    def _work(self) -> None:
        while (turn := self._turns.get()) is not None:
            training, secondary = turn
            with self._lock:
                process = self._processes.get(id(training))
            if secondary == "Training" and self._is_ours(training.request.document):
                threading.Thread(target=self._run, args=(training,), daemon=True).start()
            elif process is not None and secondary == "Stopping":
                _signal(process, signal.SIGTERM)
            elif process is not None:
                _signal(process, signal.SIGKILL)

    def _run(self, training: Training) -> None:
        """Run the script, and report its end to the world."""
        with self._lock:
            self._made += 1
            folder = Path(self._home.name) / str(self._made)
        run = training.interrupted, training.retried
        try:
            argv, environment = self._prepare(training, folder)
            process = self._launch(training, folder, argv, environment)
        except InstallError as error:
            said = "\n".join(error.lines) or error.message
            text = failure_text(_INSTALL, 1, said, kind="InstallRequirementsError")
            self._finish(training, _reason(text))
            return
        except Exception as error:  # code, channels, S3: any fault here means it cannot run
            self._finish(training, f"ClientError: the script cannot be run: {error}")
            return
        code = self._wait(training, process, folder / "log")
        with self._lock:
            if self._processes.get(id(training)) is process:
                del self._processes[id(training)]
        if run != (training.interrupted, training.retried):
            return  # killed by an interruption; the next run reports the end of the training
        failure = "" if code == 0 else _failure(folder, argv, code)
        found = metrics_in_log(folder / "log", _regexes(training.request.document))
        training.metrics = {metric.name: metric.final for metric in found}
        try:
            self._keep(training, folder / "ml")
        except Exception as error:
            failure = failure or f"ClientError: Artifact upload failed: {error}"
        self._finish(training, failure)

    def _wait(self, training: Training, process: subprocess.Popen[bytes], log: Path) -> int:
        """Wait for the script's end, and send its output to CloudWatch meanwhile."""
        if self._logs is None:
            return process.wait()
        stream = self._logs.stream(training.name, log)
        while True:
            try:
                code = process.wait(_LOG_SECONDS)
            except subprocess.TimeoutExpired:
                stream.send()
            else:
                stream.close()
                return code

    def _keep(self, training: Training, ml: Path) -> None:
        """Write the model, other results and the checkpoints to S3."""
        if self._s3 is None or self._sandbox.closing.is_set():
            return
        model = model_artifacts(training)
        self._s3.put_archive(ml / "model", model, ml / "model.tar.gz")
        output = f"{model.rpartition('/')[0]}/output.tar.gz"
        self._s3.put_archive(ml / "output/data", output, ml / "output.tar.gz")
        checkpoints = training.request.document.get("CheckpointConfig")
        if checkpoints:
            self._s3.put_all(checkpoint_folder(training.request.document, ml), checkpoints["S3Uri"])

    def _prepare(self, training: Training, folder: Path) -> tuple[list[str], dict[str, str]]:
        """Fetch code and data; return the command and the environment that the script is started with."""
        document = training.request.document
        found = program_of(document)
        assert found is not None
        program, source = found
        ml = folder / "ml"
        for name in FOLDERS:
            (ml / name).mkdir(parents=True, exist_ok=True)
        self._fetch_inputs(document, ml)
        code = self._code(source, folder)
        script = (code / program).resolve()
        package = is_package(str(code), program)
        is_module = package and not program.endswith(".py")
        if not script.is_relative_to(code) or not (is_module or script.is_file()):
            msg = f"{program} is not in {source}"
            raise _BadInput(msg)
        region, instance_type, _ = (training.selected or training.request.pools[0][0]).split("/")
        python, layer = self._interpreter(document, code, program)
        container = container_of(
            document,
            name=training.name,
            arn=self._sandbox.service.regions[region].arn + training.name,
            instance_type=instance_type,
            base=str(ml),
            inherited={**_inherited(), **layer},
        )
        started = start(container, str(code))
        check_code(str(code), started.script)
        for path, text in container.files().items():
            Path(path).write_text(text, encoding="utf-8")
        if (executable := started.executable(package=package)) is not None:
            (code / executable).chmod(0o777)  # as the toolkit does; the folder is private
        return started.command(python, package=package), started.environment

    def _interpreter(
        self, document: Mapping[str, Any], code: Path, program: str
    ) -> tuple[str, dict[str, str]]:
        """
        Return the interpreter of a script, and the variables that put its environment in front.

        Raises:
            InstallError: the packages of requirements.txt cannot be installed.
        """
        if not installs_requirements(program, os.listdir(code)):
            return sys.executable, {}
        environ = dict(os.environ)
        if (
            document.get("EnableNetworkIsolation") is True
        ):  # neither an index nor folders of this machine
            own = ("PIP_", "UV_")
            environ = {n: v for n, v in environ.items() if not n.startswith(own)} | _OFFLINE
        store = CodeStore(Path(self._home.name) / "code", durable=False)
        environments = Environments(Path(self._home.name) / "environments")
        made = environments.prepare(
            sys.executable, store, store.take(code).id, InstallOptions(_inherited(), environ)
        )
        if made is None or made.id is None:
            return sys.executable, {}
        folder = environments.folder(made.id)
        path = f"{folder}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return environments.python(made.id), {"PATH": path, "VIRTUAL_ENV": folder}

    def _launch(
        self, training: Training, folder: Path, argv: list[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        mounted = with_opt_ml(
            argv,
            environment,
            code=str(folder / "ml/code"),
            folder=str(folder / "ml"),
            note=str(folder / "no-opt-ml"),
        )
        with (folder / "log").open("wb") as log, self._lock:
            if training.secondary != "Training" or self._sandbox.closing.is_set():
                msg = "it was stopped before it began"
                raise _BadInput(msg)
            process = self._processes[id(training)] = subprocess.Popen(
                mounted or argv,
                cwd=folder / "ml/code",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process

    def _fetch_inputs(self, document: Mapping[str, Any], ml: Path) -> None:
        for channel in document.get("InputDataConfig", ()):
            folder = ml / "input/data" / channel["ChannelName"]
            folder.mkdir()
            uri = channel["DataSource"].get("S3DataSource", {}).get("S3Uri", "")
            if self._s3 is not None and uri.startswith("s3://"):
                self._s3.fetch_all(uri, folder)
        checkpoints = document.get("CheckpointConfig")
        if checkpoints:
            local = checkpoint_folder(document, ml)
            local.mkdir(parents=True, exist_ok=True)
            if self._s3 is not None:
                self._s3.fetch_all(checkpoints["S3Uri"].rstrip("/") + "/", local)

    def _code(self, place: str, folder: Path) -> Path:
        """Copy the code into the folder that stands for /opt/ml/code."""
        target = folder / "ml/code"
        if place.startswith("s3://"):
            assert self._s3 is not None
            source = folder / "code.tar.gz"
            self._s3.fetch(place, source)
            return _unpacked(source, target)
        if place.startswith(_CHANNELS):
            return _unpacked(folder / "ml/input/data" / place.removeprefix(_CHANNELS), target)
        source = Path(place).resolve()
        if not source.is_relative_to(self._root):
            msg = f"{source} is not below {self._root}"
            raise _BadInput(msg)
        if source.is_dir():
            shutil.copytree(source, target, ignore_dangling_symlinks=True)
            return target.resolve()
        return _unpacked(source, target)

    def _finish(self, training: Training, failure: str) -> None:
        region = training.request.pools[0][0].split("/")[0]
        self._sandbox.finish(region, training, failure)


def _regexes(document: Mapping[str, Any]) -> dict[str, str]:
    definitions = document.get("AlgorithmSpecification", {}).get("MetricDefinitions", ())
    return {definition["Name"]: definition["Regex"] for definition in definitions}


def _unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder.resolve()


def _inherited() -> dict[str, str]:
    """Make the environment that scripts inherit; ``python`` is the sandbox's, as it is the image's on AWS."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = os.path.dirname(sys.executable)
    path = f"{own}{os.pathsep}{passed.get('PATH', os.defpath)}"
    return {"PYTHONUNBUFFERED": "1", **passed, "PATH": path}


def _failure(folder: Path, argv: list[str], code: int) -> str:
    written = folder / "ml/output/failure"
    said = written.read_text("utf-8", "replace") if written.is_file() else ""
    return _reason(said or failure_text(argv, code, error_message(_output(folder / "log"))))


def _reason(said: str) -> str:
    return f"AlgorithmError: {said[:_FAILURE_CHARS_MAX]}, exit code: {_TOOLKIT_EXIT_CODE}"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return


def _output(log: Path) -> str:
    return log.read_text("utf-8", "replace") if log.is_file() else ""


def _plain(text: str) -> str:
    """Undo the toolkit's JSON quotes, if there are any."""
    value = _value(text)
    return value if isinstance(value, str) else text


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
