"""`jobcore path`, `open` and `download`: where a job's model, output, log, checkpoints and code are."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import jobcore
from jobcore_client.errors import RequestError
from jobcore_client.logs import last_attempt
from jobcore_client.places import places

from ._app import common, complete_job
from ._errors import CONFLICT, FAILED, NOT_FOUND, CliError, exit_code
from ._render import print_json
from ._session import Session

KINDS = ("model", "output", "logs", "checkpoints", "code")
_ARCHIVES = ("model", "output", "code")  # on AWS each is a tar.gz


def _place(session: Session, job: jobcore.Job, kind: str, attempt: int | None) -> str:
    found = places(session, job, attempt).get("log" if kind == "logs" else kind)
    if found is None:  # code that was not frozen, or was uploaded
        source = job.spec.args.get("source_dir")
        if not isinstance(source, str):
            msg = f"job {job.job_id[:8]} has no code of its own; its image has it"
            raise CliError(msg, NOT_FOUND)
        return source
    return found


def _existing(session: Session, job: jobcore.Job, kind: str, attempt: int | None) -> Path:
    """
    Return a place on this machine.

    Raises:
        CliError: there is nothing there.
    """
    path = Path(_place(session, job, kind, attempt))
    if not path.exists():
        number = attempt or last_attempt(job)
        msg = f"attempt {number} of {job.job_id[:8]} has no {kind} (jobcore why {job.job_id[:8]})"
        raise CliError(msg, NOT_FOUND)
    return path


def _with_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option(
            "--attempt", type=click.IntRange(1), help="Which attempt; the last one if not given."
        ),
        click.argument("kind", type=click.Choice(KINDS), default="model", metavar="[WHAT]"),
        click.argument("job", shell_complete=complete_job),
    ):
        command = decorate(command)
    return command


@click.command("path")
@_with_arguments
@common
@click.pass_obj
def path_command(session: Session, /, job: str, kind: str, attempt: int | None) -> int:
    """
    Print where a job's model, output, logs, checkpoints or code are: a path, or an S3 URI on AWS.

    WHAT is model (default), output, logs, checkpoints or code. On AWS the log is the name of a
    stream of CloudWatch, and whether there is anything at the URI is not asked.
    """
    found = session.find_job(job)
    if session.is_aws:
        place = _place(session, found, kind, attempt)
    else:
        place = str(_existing(session, found, kind, attempt))
    if session.as_json:
        print_json({"id": found.job_id, "what": kind, "path": place})
    else:
        print(place)
    return 0


@click.command("open")
@_with_arguments
@common
@click.pass_obj
def open_command(session: Session, /, job: str, kind: str, attempt: int | None) -> int:
    """
    Open the folder of a job's model, output, checkpoints or code, or its log, on this machine.

    WHAT is model (default), output, logs, checkpoints or code.
    """
    found = session.find_job(job)
    if session.is_aws:
        place = _place(session, found, kind, attempt)
        msg = f"{place} is on AWS; jobcore download {found.job_id[:8]} {kind} copies it here"
        raise CliError(msg)
    path = _existing(session, found, kind, attempt)
    program = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if program is None:
        msg = f"there is no program here to open it with; it is {path}"
        raise CliError(msg)
    import subprocess

    done = subprocess.run(
        [program, str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        msg = f"{path} cannot be opened: {said}"
        raise CliError(msg, FAILED)
    return 0


@click.command("download")
@_with_arguments
@click.option("--to", type=click.Path(), help="The folder (or file, of a log) to make.")
@common
@click.pass_obj
def download_command(
    session: Session, /, job: str, kind: str, attempt: int | None, to: str | None
) -> int:
    """
    Copy a job's model, output, logs, checkpoints or code into a folder that does not exist yet.

    WHAT is model (default), output, logs, checkpoints or code. On AWS it is downloaded from S3, and
    archives are unpacked. The folder appears when it is whole.
    """
    found = session.find_job(job)
    target = Path(to or _default_target(found, kind)).expanduser().absolute()
    with _made_at_once(target) as part:
        if not session.is_aws:
            _copy(_existing(session, found, kind, attempt), part, kind)
        elif kind == "logs":
            _write_log(session, found, attempt, part)
        else:
            _download(_place(session, found, kind, attempt), part, kind)
    if session.as_json:
        print_json({"id": found.job_id, "what": kind, "path": str(target)})
    else:
        print(target)
    return 0


def _default_target(job: jobcore.Job, kind: str) -> str:
    name = f"{job.spec.name}-{job.job_id[:8]}"
    return f"{name}.log" if kind == "logs" else f"{name}-{kind}"


@contextmanager
def _made_at_once(target: Path) -> Iterator[Path]:
    """
    Give a place beside *target* to write to, and rename it when it is whole.

    Raises:
        CliError: *target* exists, or its folder does not.
    """
    taken = f"{target} exists; name another place with --to"
    if os.path.lexists(target):
        raise CliError(taken, CONFLICT)
    if not target.parent.is_dir():
        msg = f"{target.parent} is not a folder; make it first"
        raise CliError(msg)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        if os.path.lexists(target):  # made meanwhile
            raise CliError(taken, CONFLICT)
        part.rename(target)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _copy(source: Path, part: Path, kind: str) -> None:
    """Copy files and folders; links stay links, and pipes, sockets and devices are left out."""
    if not source.is_dir():
        shutil.copyfile(source, part)
        return
    if not any(source.iterdir()):
        msg = f"{source} is empty: the script has written no {kind}"
        raise CliError(msg, NOT_FOUND)

    def others(folder: str, names: list[str]) -> list[str]:
        paths = {name: Path(folder, name) for name in names}
        return [
            name
            for name, path in paths.items()
            if not (path.is_symlink() or path.is_file() or path.is_dir())
        ]

    shutil.copytree(source, part, symlinks=True, ignore=others)


def _write_log(session: Session, job: jobcore.Job, attempt: int | None, part: Path) -> None:
    from jobcore_client.aws import log_events

    name = jobcore.lifecycle.training_name(job.job_id, attempt or last_attempt(job))
    with part.open("w", encoding="utf-8") as file:
        for _, line in log_events(name):
            file.write(line.rstrip("\n") + "\n")


def _download(uri: str, part: Path, kind: str) -> None:
    """
    Download the objects at a URI, and unpack an archive.

    Raises:
        CliError: there is none, or S3 refuses it, or an archive holds paths outside of its folder.
    """
    from jobcore_client.data_fetch import download_data, list_data, s3_client

    if not uri.startswith("s3://"):
        msg = f"{uri} is not in S3"
        raise CliError(msg)
    client = s3_client()
    is_archive = kind in _ARCHIVES
    try:
        data = list_data(uri if is_archive else f"{uri}/", client)
        download_data(data, client, part, lambda _done, _of: None)
    except RequestError as error:
        msg = f"{uri}: {error}"
        raise CliError(msg, exit_code(error)) from None
    for path in part.rglob("*"):  # they are read-only, as jobs share what is fetched for them
        if path.is_file():
            path.chmod(0o644)
    if is_archive:
        _unpack(part)


def _unpack(folder: Path) -> None:
    """Unpack the one archive in a folder in its place; links and paths that lead out are refused."""
    import tarfile

    (archive,) = folder.iterdir()
    # A name that no member of the archive can have: the archive may hold one of its own name.
    packed = archive.rename(folder.with_name(f"{folder.name}.tar"))
    try:
        with tarfile.open(packed) as opened:
            opened.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError) as error:
        msg = f"the archive cannot be unpacked: {error}"
        raise CliError(msg, FAILED) from None
    finally:
        packed.unlink()
