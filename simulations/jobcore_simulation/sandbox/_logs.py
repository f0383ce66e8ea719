"""The output of scripts that really run, in the emulated CloudWatch Logs, where SageMaker has it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ._clients import client_of

__all__ = ["LOG_GROUP", "Logs"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
#: Limits of PutLogEvents are 10,000 events and 1,048,576 bytes, with 26 for each event.
_EVENTS_MAX = 1_000
_LINE_BYTES_MAX = 1_000
#: Of what a script has written since the last call the end is sent, so that no training waits for its log.
_BEHIND_BYTES_MAX = 4 << 20


class Logs:
    """
    The logs of trainings at an endpoint.

    A failure of the emulator loses lines of a log and ends no training.
    """

    def __init__(self, endpoint: str, region: str, account: str) -> None:
        """Make the client; nothing is written yet."""
        self._client: Any = client_of("logs", endpoint, region, account)

    def stream(self, training: str, file: Path) -> Stream:
        """Begin the log stream of a run of a training, whose output is written to *file*."""
        name = f"{training}/algo-1-{time.time_ns() // 1_000_000}"
        with suppress(*_faults()):  # it exists
            self._client.create_log_group(logGroupName=LOG_GROUP)
        with suppress(*_faults()):
            self._client.create_log_stream(logGroupName=LOG_GROUP, logStreamName=name)
        return Stream(self._client, name, file)


class Stream:
    """The log of one run."""

    def __init__(self, client: Any, name: str, file: Path) -> None:
        self._client = client
        self._name = name
        self._file = file.open("rb")

    def send(self, *, last: bool = False) -> None:
        """Send the lines that are new since the last call; a line without an end waits for the last call."""
        behind = os.fstat(self._file.fileno()).st_size - self._file.tell()
        if behind > _BEHIND_BYTES_MAX:
            self._file.seek(behind - _BEHIND_BYTES_MAX, os.SEEK_CUR)
        for lines in _groups(self._file, last=last):
            now = time.time_ns() // 1_000_000
            with suppress(*_faults()):
                self._client.put_log_events(
                    logGroupName=LOG_GROUP,
                    logStreamName=self._name,
                    logEvents=[{"timestamp": now, "message": line} for line in lines],
                )

    def close(self) -> None:
        """Send the rest."""
        self.send(last=True)
        self._file.close()


def _groups(file: BinaryIO, *, last: bool) -> Iterator[list[str]]:
    """Read lines that are not blank, which CloudWatch refuses, in groups that fit one call."""
    lines: list[str] = []
    while raw := file.readline(_LINE_BYTES_MAX):
        if not raw.endswith(b"\n") and len(raw) < _LINE_BYTES_MAX and not last:
            file.seek(-len(raw), os.SEEK_CUR)
            break
        if line := raw.decode("utf-8", "replace").rstrip("\r\n"):
            lines.append(line)
        if len(lines) == _EVENTS_MAX:
            yield lines
            lines = []
    if lines:
        yield lines


def _faults() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError
