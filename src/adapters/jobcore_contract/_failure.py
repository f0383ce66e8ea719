"""What the toolkit writes into ``/opt/ml/output/failure`` for a script that failed."""

from __future__ import annotations

from collections.abc import Sequence


def failure_text(
    argv: Sequence[str], exit_code: int, message: str, *, kind: str = "ExecuteUserScriptError"
) -> str:
    """
    Write the text for a script, or an installation, that ended with another exit code than 0.

    SageMaker shows its first 1024 characters as FailureReason. The toolkit itself ends with 1,
    whatever the script's exit code was. It writes nothing if the script has written the file.

    Args:
        argv: the script's command.
        exit_code: the script's exit code; minus the number of a signal that killed it.
        message: lines of the script's standard error, from the first that names an error.
        kind: the name of the toolkit's error.
    """
    lines = [f"{kind}:", f"ExitCode {exit_code}", f'ErrorMessage "{message}"']
    if exit_code == 137:
        lines.append('ExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"')
    return "\n".join([*lines, f'Command "{" ".join(argv)}"'])
