"""Errors of the system are told with the file, and with what to do."""

from __future__ import annotations

import errno
import os

import pytest

from jobcore_cli._errors import os_error_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/home/ada/jobs/code"),
         "/home/ada/jobs/code: Read-only file system; choose another home (--home or JOBCORE_HOME)"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a"),
         "/a: No space left on device; free some space"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a"), "/a: Permission denied"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "I/O: Input/output error"),
        (TimeoutError("no answer"), "no answer"),
    ],
)  # fmt: skip
def test_words(error: OSError, words: str) -> None:
    assert os_error_words(error) == words
