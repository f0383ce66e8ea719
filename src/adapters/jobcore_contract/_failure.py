"""What the toolkit writes into ``/opt/ml/output/failure`` for a script that failed."""

from __future__ import annotations

from collections.abc import Sequence

_TRACEBACK = "Traceback (most recent call last):"
#: Lines after an exception that may still be of it: the C++ frames that torch adds are about 60.
#: After more lines the script went on, and the traceback was of something that it handled.
_LINES_AFTER_MAX = 100
_EXCEPTION_CHARS_MAX = 400
_CHARS_MAX = 500


def failure_text(argv: Sequence[str], exit_code: int, message: str) -> str:
    """
    Write the text for a script that ended with another exit code than 0.

    SageMaker shows its first 1024 characters as FailureReason. The toolkit itself ends with 1,
    whatever the script's exit code was. It writes nothing if the script has written the file.

    Args:
        argv: the script's command.
        exit_code: the script's exit code; minus the number of a signal that killed it.
        message: lines of the script's standard error, from the first that names an error.
    """
    lines = ["ExecuteUserScriptError:", f"ExitCode {exit_code}", f'ErrorMessage "{message}"']
    if exit_code == 137:
        lines.append('ExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"')
    return "\n".join([*lines, f'Command "{" ".join(argv)}"'])


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
