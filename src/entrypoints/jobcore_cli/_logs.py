"""`jobcore logs`: the output of a script, byte for byte."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import BinaryIO

import click

import jobcore

from ._app import common, complete_job
from ._errors import NOT_FOUND, CliError
from ._render import owner_note, print_json
from ._session import Session

_CHUNK = 1 << 16
_CLOUD_SECONDS = 2.0


@click.command("logs")
@click.argument("job", shell_complete=complete_job)
@click.option("-f", "--follow", is_flag=True, help="Continue until the job is over.")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt; the last one if not given.")
@click.option("--tail", type=click.IntRange(0), metavar="LINES", help="Only the last lines.")
@click.option(
    "--host", type=click.IntRange(1), help="The number of the host, if its job has several."
)
@common
@click.pass_obj
def logs_command(
    session: Session,
    /,
    job: str,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    host: int | None,
) -> int:
    """Print a job's standard output and error, in one stream."""
    found = session.find_job(job)
    if note := owner_note(found, session.owner_name):
        print(f"jobcore: {found.job_id}{note}", file=sys.stderr)
    number = attempt or _last_attempt(found)
    if session.is_aws:
        return _cloud_logs(session, found, number, follow=follow, tail=tail, host=host)
    path = _path(session, found, number, host)
    if session.as_json:
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else None
        document = {
            "id": found.job_id,
            "owner": found.spec.owner,
            "attempt": number,
            "path": str(path),
            "text": text,
        }
        print_json(document)
        return 0
    if not path.exists() and not follow:
        msg = f"attempt {number} of {found.job_id[:8]} has written nothing (jobcore why {found.job_id[:8]})"
        raise CliError(msg, NOT_FOUND)
    if host is None and (hosts := _count_hosts(found, number)) > 1:
        print(f"jobcore: host 1 of {hosts}; --host shows another", file=sys.stderr)
    out = sys.stdout.buffer
    if follow:
        fixed = attempt is not None
        _follow(session, found, number, fixed=fixed, tail=tail, host=host, out=out)
    else:
        with path.open("rb") as file:
            _skip_to_tail(file, tail)
            while chunk := file.read(_CHUNK):
                out.write(chunk)
    out.flush()
    return 0


def _cloud_logs(
    session: Session,
    job: jobcore.Job,
    number: int,
    *,
    follow: bool,
    tail: int | None,
    host: int | None,
) -> int:
    """Print an attempt's log from CloudWatch, which is some seconds behind; without a host, of all."""
    from ._aws import log_events

    name = jobcore.lifecycle.training_name(job.job_id, number)
    if session.as_json:
        text = "\n".join(line for _, line in log_events(name, host=host))
        document = {"id": job.job_id, "owner": job.spec.owner, "attempt": number}
        print_json({**document, "path": name, "text": text})
        return 0
    since, seen = 0, set[tuple[int, str]]()
    while True:
        is_over = not follow or _attempt_is_over(session, job.job_id, number)
        try:
            events = list(log_events(name, since=since, host=host))
        except CliError:
            if is_over:
                raise
            events = []
        new = [event for event in events if event not in seen]
        for at, line in new[len(new) - tail :] if tail is not None and not seen else new:
            sys.stdout.write(line.rstrip("\n") + "\n")
            since = max(since, at)
        sys.stdout.flush()
        seen |= set(new)
        if is_over:
            return 0
        time.sleep(_CLOUD_SECONDS)


def _last_attempt(job: jobcore.Job) -> int:
    """Return the number of the last attempt that may have output."""
    if job.current is None and job.attempts:
        return job.attempts[-1].number
    return job.attempt_number


def _count_hosts(job: jobcore.Job, number: int) -> int:
    """Return how many hosts an attempt has; 1 if there is no such attempt."""
    attempts = [*job.attempts, *([job.current] if job.current is not None else [])]
    return next((one.placement.count for one in attempts if one.number == number), 1)


def _path(session: Session, job: jobcore.Job, number: int, host: int | None) -> Path:
    name = jobcore.lifecycle.training_name(job.job_id, number)
    return session.local_trainer.log_path(name, host or 1)


def _skip_to_tail(file: BinaryIO, lines: int | None) -> None:
    """Move to the beginning of the last *lines* lines, reading from the end."""
    if lines is None:
        return
    end = file.seek(0, 2)
    position, newlines = end, 0
    while position > 0:
        size = min(_CHUNK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        if position + size == end and block.endswith(b"\n"):
            block = block[:-1]  # the newline that ends the last line
        for index in range(len(block) - 1, -1, -1):
            if block[index] == 0x0A:
                newlines += 1
                if newlines >= max(lines, 1):
                    file.seek(position + index + 1 if lines else end)
                    return
    file.seek(0 if lines else end)


def _follow(
    session: Session,
    job: jobcore.Job,
    number: int,
    *,
    fixed: bool,
    tail: int | None,
    host: int | None,
    out: BinaryIO,
) -> None:
    while True:
        # Check for the end before the file is read to its end, or the last lines may be lost.
        is_over = _attempt_is_over(session, job.job_id, number)
        path = _path(session, job, number, host)
        if path.exists():
            with path.open("rb") as file:
                _skip_to_tail(file, tail)
                while True:
                    while chunk := file.read(_CHUNK):
                        out.write(chunk)
                    out.flush()
                    if is_over:
                        break
                    time.sleep(0.1)
                    is_over = _attempt_is_over(session, job.job_id, number)
        elif not is_over:
            time.sleep(0.1)
            continue
        now = session.store.get([job.job_id])[job.job_id]
        following = _last_attempt(now)
        if fixed or (now.status.is_terminal and following == number):
            return
        if following == number:
            following = number + 1
        out.write(f"--- attempt {following} ---\n".encode())
        number, tail = following, None


def _attempt_is_over(session: Session, job_id: str, number: int) -> bool:
    job = session.store.get([job_id])[job_id]
    return job.status.is_terminal or job.attempt_number > number
