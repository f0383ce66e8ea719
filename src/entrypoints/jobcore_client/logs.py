"""The output of a training: from its file on this machine, or from CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import jobcore

from .errors import NotFound
from .session import Session

_CHUNK = 1 << 16
_CLOUD_SECONDS = 2.0


def last_attempt(job: jobcore.Job) -> int:
    """Return the number of the last attempt that may have output."""
    if job.current is None and job.attempts:
        return job.attempts[-1].number
    return job.attempt_number


def count_hosts(job: jobcore.Job, number: int) -> int:
    """Return how many hosts an attempt has; 1 if there is no such attempt."""
    attempts = [*job.attempts, *([job.current] if job.current is not None else [])]
    return next((one.placement.count for one in attempts if one.number == number), 1)


def log_path(session: Session, job: jobcore.Job, number: int, host: int | None = None) -> Path:
    """Return the path of the output of an attempt's host (the first if not given) on this machine."""
    name = jobcore.lifecycle.training_name(job.job_id, number)
    return session.local_trainer.log_path(name, host or 1)


def read_log(
    session: Session,
    job: jobcore.Job,
    *,
    tail: int | None,
    follow: bool,
    attempt: int | None,
    host: int | None,
) -> Iterator[bytes]:
    """
    Read a job's standard output and error in pieces.

    Args:
        tail: begin with the last lines, so many of them; None for all.
        follow: go on until the job is over; a line ``--- attempt N ---`` begins another attempt.
        attempt: the number of the only attempt to read; None for the last one.
        host: the number of the host; None for the first, and on AWS for all.

    Raises:
        NotFound: there is no output (with *follow* that is waited for).
        Unavailable: CloudWatch or the store did not answer.
    """
    number = attempt or last_attempt(job)
    if session.is_aws:
        yield from _cloud_log(session, job, number, follow=follow, tail=tail, host=host)
    elif follow:
        fixed = attempt is not None
        yield from _follow(session, job, number, fixed=fixed, tail=tail, host=host)
    else:
        path = log_path(session, job, number, host)
        if not path.exists():
            short = job.job_id[:8]
            msg = f"attempt {number} of {short} has written nothing (jobcore why {short})"
            raise NotFound(msg)
        with path.open("rb") as file:
            _skip_to_tail(file, tail)
            while chunk := file.read(_CHUNK):
                yield chunk


def lines_of(chunks: Iterator[bytes]) -> Iterator[str]:
    """Split pieces of output into lines, without their ends."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").removesuffix("\r")
    if rest:
        yield rest.decode("utf-8", "replace")


def _cloud_log(
    session: Session,
    job: jobcore.Job,
    number: int,
    *,
    follow: bool,
    tail: int | None,
    host: int | None,
) -> Iterator[bytes]:
    """Read an attempt's log from CloudWatch, which is some seconds behind; without a host, of all."""
    from .aws import log_events

    name = jobcore.lifecycle.training_name(job.job_id, number)
    since, seen = 0, set[tuple[int, str]]()
    while True:
        is_over = not follow or _attempt_is_over(session, job.job_id, number)
        try:
            events = list(log_events(name, since=since, host=host))
        except NotFound:
            if is_over:
                raise
            events = []
        new = [event for event in events if event not in seen]
        for at, line in new[len(new) - tail :] if tail is not None and not seen else new:
            yield (line.rstrip("\n") + "\n").encode()
            since = max(since, at)
        seen |= set(new)
        if is_over:
            return
        time.sleep(_CLOUD_SECONDS)


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
) -> Iterator[bytes]:
    while True:
        # Check for the end before the file is read to its end, or the last lines may be lost.
        is_over = _attempt_is_over(session, job.job_id, number)
        path = log_path(session, job, number, host)
        if path.exists():
            with path.open("rb") as file:
                _skip_to_tail(file, tail)
                while True:
                    while chunk := file.read(_CHUNK):
                        yield chunk
                    if is_over:
                        break
                    time.sleep(0.1)
                    is_over = _attempt_is_over(session, job.job_id, number)
        elif not is_over:
            time.sleep(0.1)
            continue
        now = session.store.get([job.job_id])[job.job_id]
        following = last_attempt(now)
        if fixed or (now.status.is_terminal and following == number):
            return
        if following == number:
            following = number + 1
        yield f"--- attempt {following} ---\n".encode()
        number, tail = following, None


def _attempt_is_over(session: Session, job_id: str, number: int) -> bool:
    job = session.store.get([job_id])[job_id]
    return job.status.is_terminal or job.attempt_number > number
