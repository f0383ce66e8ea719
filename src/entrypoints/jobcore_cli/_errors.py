"""The exit codes, and the error that has one."""

from __future__ import annotations

import errno

from jobcore_client.errors import JobsHeld, NotFound, Refused, RequestError, WaitTimeout

OK = 0
FAILED = 1  # a job failed, or something unexpected
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4  # refused: by the job's state, by a key of another job, by another manager
UNAVAILABLE = 5
TIMED_OUT = 6
INTERRUPTED = 130


class CliError(RequestError):
    """An error for the user: a message of one line, and the exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


#: The exit codes of the client's errors; that of any other is USAGE.
_CODES = {NotFound: NOT_FOUND, Refused: CONFLICT, JobsHeld: CONFLICT, WaitTimeout: TIMED_OUT}


def exit_code(error: RequestError) -> int:
    """Return the exit code of an error."""
    return error.code if isinstance(error, CliError) else _CODES.get(type(error), USAGE)


def os_error_words(error: OSError) -> str:
    """Write an error of the system: the file, what is wrong, and what to do if that is known."""
    if error.strerror is None:
        return str(error)
    hints = {
        errno.EROFS: "; choose another home (--home or JOBCORE_HOME)",
        errno.ENOSPC: "; free some space",
        errno.EDQUOT: "; free some space",
    }
    return f"{error.filename or 'I/O'}: {error.strerror}{hints.get(error.errno or 0, '')}"
