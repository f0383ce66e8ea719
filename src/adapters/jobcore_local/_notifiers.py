"""Messages on one machine: a file with all of them, a stream, the desktop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from jobcore import Notifier, Unavailable
from jobcore.ports import Message

from ._supervisor.files import sync_directory


class FileNotifier:
    """Appends each message to a file as a line of JSON, synced: the record of all messages."""

    def __init__(self, path: Path) -> None:
        """Append to *path*."""
        self.path = path

    def publish(self, message: Message) -> None:
        """
        Append the message.

        A crash or a full disk may leave a line that is cut off. The next call ends that line first,
        so that its own is whole. The message of the cut line was not acknowledged and comes again.

        Raises:
            Unavailable: the line was not written, or not in full.
        """
        line = json.dumps(
            {
                **message.data,
                "owner": message.owner,
                "subject": message.subject,
                "body": message.body,
            }
        )
        data = line.encode() + b"\n"
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    data = b"\n" + data
                while (
                    data
                ):  # on a disk that becomes full, a write takes a part and the next one fails
                    data = data[os.write(fd, data) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            if not size:
                sync_directory(os.path.dirname(self.path) or ".")
        except OSError as error:
            msg = f"{self.path}: {error.strerror}"
            raise Unavailable(msg) from None


class ConsoleNotifier:
    """Writes the subject of each message to a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to *stream*, or to standard error."""
        self.stream = stream

    def publish(self, message: Message) -> None:
        """Write one line, with escapes for characters that the stream's encoding does not have."""
        stream = self.stream or sys.stderr
        encoding = getattr(stream, "encoding", None) or "utf-8"
        subject = message.subject.encode(encoding, "backslashreplace").decode(encoding)
        print(subject, file=stream, flush=True)


class DesktopNotifier:
    """
    Shows each message on the desktop, if the machine has one.

    A message that could not be shown is no error, because delivery cannot be confirmed here. Use a
    `FileNotifier` beside it, which keeps every message.
    """

    def publish(self, message: Message) -> None:
        """Show the message."""
        command = self._command(message)
        if command is not None:
            subprocess.run(
                command, check=False, timeout=5, capture_output=True, stdin=subprocess.DEVNULL
            )

    def _command(self, message: Message) -> list[str] | None:
        if program := shutil.which("notify-send"):
            return [program, "--app-name=jobcore", "--", message.subject, message.body[:500]]
        if program := shutil.which("osascript"):
            script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
            return [program, "-e", script, message.subject, message.body[:500]]
        return None


class FanOut:
    """Publishes to several notifiers in order; an error ends the call, and the message comes again to all."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        """Publish to *notifiers*."""
        self.notifiers = tuple(notifiers)

    def publish(self, message: Message) -> None:
        """Publish to each."""
        for notifier in self.notifiers:
            notifier.publish(message)
