"""The packages of jobs at submit: a snapshot's requirements.txt, installed on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobcore_code import Tree, snapshot_id
from jobcore_contract import BadInput, installs_requirements

from .errors import RequestError
from .snapshots import code_store

if TYPE_CHECKING:
    from jobcore_local import Environment, Environments

    from .session import Session

_FILE = "requirements.txt"
_NAMED_MAX = 5  # packages


def environments(session: Session) -> Environments:
    """Return the environments of this machine's home."""
    from jobcore_local import Environments, environments_path

    return Environments(environments_path(session.home_path))


class Packages:
    """
    The environments of one command's jobs, each prepared once.

    Attributes:
        would: what a dry run would do, in words.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[
            tuple[str, str, str], Environment | None
        ] = {}  # by what `_prepare` is given
        self.would: list[str] = []

    def look(self, tree: Tree, script: str, python: str) -> None:
        """Note what `add` would do, for a dry run; nothing is installed."""
        text = f"would install {_FILE} on top of {python}, unless that was done before"
        if installs_requirements(script, _names(tree)) and text not in self.would:
            self.would.append(text)

    def add(self, code: Mapping[str, Any], script: str, python: str) -> dict[str, Any]:
        """
        Install the requirements.txt of a job's code, unless that was done before.

        Args:
            code: the job's argument ``code``.

        Returns:
            The argument, with the environment that the job has to run in.

        Raises:
            RequestError: it cannot be installed.
        """
        added = {name: value for name, value in code.items() if name != "environment"}
        environment = self._prepare(str(code["snapshot"]), script, python)
        if environment is not None and environment.id is not None:
            added["environment"] = environment.id
        return added

    def renewed(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """
        Install the requirements.txt of a stored job again, if that is needed.

        Returns:
            The job's arguments.

        Raises:
            RequestError: it cannot be installed.
        """
        script, python = args.get("script"), args.get("python") or sys.executable
        if self._session.is_aws or snapshot_id(args) is None or not isinstance(script, str):
            return dict(args)
        return {**args, "code": self.add(args["code"], script, str(python))}

    def _prepare(self, snapshot: str, script: str, python: str) -> Environment | None:
        key = snapshot, script, python
        if key not in self._known:
            self._known[key] = self._install(snapshot, script, python)
        return self._known[key]

    def _install(self, snapshot: str, script: str, python: str) -> Environment | None:
        store = code_store(self._session)
        manifest = store.manifest(snapshot)
        names = {*(entry.path for entry in manifest.files), *(path for path, _ in manifest.links)}
        if not installs_requirements(script, names):
            return None
        from jobcore_local import InstallError, InstallOptions, inherited_environment

        said, shown = self._said, self._shown
        options = InstallOptions(inherited_environment(), os.environ, said, shown)
        try:
            environment = environments(self._session).prepare(python, store, snapshot, options)
        except BadInput as error:
            self._session.show("")
            if isinstance(error, InstallError):
                for line in error.lines:
                    self._session.say(f"  {line}")
            raise RequestError(str(error)) from None
        self._session.show("")
        if environment is not None:
            self._said(_done(environment, python))
        return environment

    def _said(self, text: str) -> None:
        self._session.say(f"{_FILE}: {text}")

    def _shown(self, line: str) -> None:
        self._session.show(f"  {line}" if line else "")

    def documents(self) -> list[dict[str, Any]]:
        """Write what was installed as JSON data."""
        return [
            {
                "python": python,
                "environment": environment.id,
                "installed": environment.installed,
                "new": environment.is_new,
                "seconds": round(environment.seconds, 3),
            }
            for (_, _, python), environment in self._known.items()
            if environment is not None
        ]


def _done(environment: Environment, python: str) -> str:
    count = len(environment.installed)
    if not count:
        return f"{python} has all of it; nothing to install"
    packages = f"{count} package{'s' if count != 1 else ''}"
    named = ", ".join(environment.installed[:_NAMED_MAX])
    named += f" and {count - _NAMED_MAX} more" if count > _NAMED_MAX else ""
    if environment.is_new:
        return f"installed {packages} in {environment.seconds:.0f} s ({named})"
    return f"{packages} as installed before ({named})"


def _names(tree: Tree) -> set[str]:
    return {*(file.path for file in tree.files), *(link.path for link in tree.links)}


def note_on_script(tree: Tree, script: str) -> str | None:
    """Write a note on a requirements.txt that is not installed because of the script's kind."""
    names = _names(tree)
    if _FILE not in names or installs_requirements(script, names):
        return None
    return (
        f"{_FILE} is not installed for {script}: SageMaker's training toolkit, and this command, "
        "install it for Python scripts and packages only"
    )


def note_on_aws(
    session: Session, document: Mapping[str, Any], script: str, tree: Tree
) -> str | None:
    """Write a note on a requirements.txt that SageMaker cannot, or will not, install."""
    names = _names(tree)
    if not installs_requirements(script, names):
        return note_on_script(tree, script)
    own = document.get("sagemaker")
    if session.aws.sagemaker.network_isolation:
        where = "the deployment's setting network_isolation"
    elif isinstance(own, Mapping) and own.get("EnableNetworkIsolation") is True:
        where = "sagemaker.EnableNetworkIsolation of the job file"
    else:
        return None
    return (
        f"{_FILE}: trainings have no network ({where}), so nothing can be downloaded; the training "
        "fails unless the image, or a folder of wheels in the code, has all of it"
    )
