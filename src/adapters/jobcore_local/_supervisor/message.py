"""The lines of a script's output that tell why it failed, for people and for the failure rules."""

from __future__ import annotations

import os
from collections.abc import Sequence

_TRACEBACK = "Traceback (most recent call last):"
#: Lines after an exception that may still be of it: the C++ frames that torch adds are about 60.
#: After more lines the script went on, and the traceback was of something that it handled.
_LINES_AFTER_MAX = 100
_EXCEPTION_CHARS_MAX = 400
_CHARS_MAX = 500


def error_message(output: str) -> str:
    """
    Return the lines of a script's output that tell why it failed, at most 500 characters.

    That is the exception of the last traceback, where the output ends with one, and the last line
    that is not blank. The last line alone is often the end of a long message: of a C++ stack
    (XGBoost), or advice (``Compile with TORCH_USE_CUDA_DSA ...`` after an error of CUDA).

    Args:
        output: the end of the script's output.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if not lines:
        return ""
    last = lines[-1].strip()
    at = _last_exception(lines)
    if at is None or at == len(lines) - 1:
        return last[:_CHARS_MAX]
    exception = lines[at].strip()[:_EXCEPTION_CHARS_MAX]
    if lines[-1][:1].isspace():  # a part of the exception's own text
        return exception
    return f"{exception}\n{last}"[:_CHARS_MAX]


def _last_exception(lines: Sequence[str]) -> int | None:
    """Find the line that names the exception of the last traceback; None if it is too far above."""
    for start in range(len(lines) - 1, -1, -1):
        prefix, found, _ = lines[start].partition(_TRACEBACK)
        if found:
            break
    else:
        return None
    for at in range(start + 1, len(lines)):  # frames are indented, below what each line begins with
        text = lines[at].removeprefix(prefix)  # such as "[rank0]: ", of torchrun
        if not text[:1].isspace():
            return at if len(lines) - at <= _LINES_AFTER_MAX else None
    return None


def explained(message: str, *, program: str, code: str) -> str:
    """
    Add to an error message what the script could not know: where a module or a file is missing.

    Args:
        program: the program that was started, such as an interpreter.
        code: the script's working directory. Paths below it are written relative to it, so that the
            folder of the attempt does not fill the message.
    """
    message = message.replace(f"{code}/", "")
    line, separator, rest = message.partition("\n")
    line = line.rstrip()
    if line.startswith("ModuleNotFoundError:") and "python" in os.path.basename(program):
        line += f" (not installed in {program})"
    elif line.startswith("FileNotFoundError: ") and _is_missing(line, code):
        line += " (not in the code taken at submit)"
    return line + separator + rest


def _is_missing(line: str, code: str) -> bool:
    """Tell whether a message names a path below the working directory, or beside it, that is missing."""
    path = line.partition("'")[2].rpartition("'")[0]
    if not path and line.endswith(" not found."):  # of NumPy, which does not quote
        path = line.partition(": ")[2].removesuffix(" not found.")
    return bool(path) and not os.path.isabs(path) and not os.path.lexists(os.path.join(code, path))
