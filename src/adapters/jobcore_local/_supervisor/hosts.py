"""A host of a training: one process of its script, with folders, code and output of its own."""

from __future__ import annotations

import errno
import os
from typing import Any

from jobcore_code import CodeError, lay_out

from . import OPT_ML_NOTE
from .files import read_tail
from .message import error_message, explained
from .mount import has_opt_ml, is_code_with_opt_ml, with_mounts
from .processes import IS_LINUX
from .spawn import spawn_script

FULL = (errno.ENOSPC, errno.EDQUOT)
#: In a message of a script that could not find another host by its name, in Python and in PyTorch.
_NAME_NOT_FOUND = ("gaierror", "gai error", "algo-")


class Host:
    """
    One of the processes that a training starts; most trainings have one host.

    Args:
        order: what the manager prepared for this host.
        names: the file in which all hosts of the training have addresses; "" if there is one host.
    """

    def __init__(self, order: dict[str, Any], names: str) -> None:
        self.order = order
        self.names = names
        self.name: str = order["name"]
        self.pid = 0  # until it is started
        self.status: int | None = None  # of the script, as waitpid gives it
        self.mounts = False  # the host's folder on /opt/ml, for the script alone
        self._has_places = False  # whether the code names /opt/ml or the folder that stands for it

    @property
    def is_running(self) -> bool:
        """Whether the script was started and has not ended."""
        return self.pid != 0 and self.status is None

    def path(self, name: str) -> str:
        """Return the path of a file of the host."""
        return os.path.join(self.order["folder"], name)

    def create_files(self) -> None:
        """Create the folders, files and links that the script expects."""
        for folder in self.order["folders"]:
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                pass
        for path, text in self.order["files"].items():
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        for path, target in self.order["links"].items():
            os.symlink(target, path)

    def lay_out_code(self) -> str:
        """Create the folder that the script runs in, if it is not the source folder; return what is wrong, or ""."""
        code = self.order["code"]
        if code is None:
            return ""
        try:
            lay_out(
                code["store"],
                code["snapshot"],
                code["target"],
                source=code["source"],
                look=self._look,
            )
        except CodeError as error:
            return f"LocalBadInput: {error}"
        except OSError as error:
            hint = "; free some space" if error.errno in FULL else ""
            return f"InternalError: {error.filename or code['target']}: {error.strerror}{hint}"
        return ""

    def _look(self, path: str, content: bytes) -> None:
        if not self._has_places:
            self._has_places = is_code_with_opt_ml(path, content)

    def spawn(self, devices: list[int] | None) -> None:
        """
        Start the script's process; raise the error of its exec.

        Args:
            devices: the GPUs that the script may use; None: those of its environment.
        """
        argv = self._command()
        environment = dict(self.order["environment"])
        if devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, devices))
        log = os.open(
            self.path("output.log"),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
        try:
            os.chdir(self.order["cwd"])  # posix_spawn has no argument for it
            self.pid = spawn_script(argv, environment, log)
        finally:
            os.close(log)

    def _command(self) -> list[str]:
        """
        Determine the command by the files of the code, as SageMaker's training toolkit does.

        A script that is started by itself is made executable for all that may read it.
        """
        cwd, name = self.order["cwd"], self.order["script"]
        script = os.path.join(cwd, name)
        argv: list[str] = self.order["argv"]
        if os.path.exists(os.path.join(cwd, "setup.py")):
            argv = self.order["package_argv"]
        if argv[0] == "/bin/sh" and not os.access(script, os.X_OK):
            mode = os.stat(script).st_mode & 0o777
            os.chmod(script, mode | (mode & 0o444) >> 2)
        values = [*argv, *self.order["environment"].values()]
        has_places = self._has_places or is_code_with_opt_ml(script) or has_opt_ml(values)
        self.mounts = IS_LINUX and has_places
        if has_places:  # most code does not, and a link costs more than the search
            os.symlink(cwd, self.path("ml/code"))
        if not self.mounts and not (self.names and IS_LINUX):
            return argv
        return with_mounts(
            argv,
            folder=self.path("ml") if self.mounts else "",
            names=self.names,
            note=self.path(OPT_ML_NOTE),
        )

    def failure(self, code: int) -> tuple[str, str]:
        """
        Read why the script failed, in the form of SageMaker's training toolkit.

        Args:
            code: the script's exit code.

        Returns:
            The text, and a hint that explains it, or "".
        """
        text = read_tail(self.path("ml/output/failure"), head=True)
        if not text.strip():
            message = error_message(read_tail(self.path("output.log")))
            program, code_folder = self.order["argv"][0], self.order["cwd"]
            message = explained(message, program=program, code=code_folder)
            text = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{message}"'
        return text, self._opt_ml_hint(text) or self._names_hint(text)

    def _opt_ml_hint(self, text: str) -> str:
        """Explain a failure that names /opt/ml, where the script could not have that folder."""
        if "/opt/ml" not in text or os.path.isdir("/opt/ml"):
            return ""
        note = read_tail(self.path(OPT_ML_NOTE), head=True)
        if self.mounts and not note:
            return ""
        why = f"could not be mounted on this machine: {note}" if note else "is another folder here"
        return f". /opt/ml {why}; take folders from SM_MODEL_DIR and the like"

    def _names_hint(self, text: str) -> str:
        """Explain a failure to find another host, where the names of hosts could not be given."""
        if not self.names or not any(sign in text for sign in _NAME_NOT_FOUND):
            return ""
        note = read_tail(self.path(OPT_ML_NOTE), head=True)
        if IS_LINUX and not note:
            return ""
        why = f" ({note})" if note else ""
        return f". Names of hosts do not resolve on this machine{why}; all hosts are at 127.0.0.1"


def write_names(path: str, names: list[str]) -> None:
    """Write a copy of /etc/hosts in which the hosts of a training are this machine."""
    try:
        with open("/etc/hosts", "rb") as file:
            known = file.read()
    except OSError:
        known = b""
    with open(path, "wb") as file:
        file.write(known + b"\n")
        file.write("".join(f"127.0.0.1 {name}\n" for name in names).encode())
