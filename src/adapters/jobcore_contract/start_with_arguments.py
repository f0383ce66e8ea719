#!/bin/sh
""""command -v python3 >/dev/null && exec python3 -- "$0" "$@" # """
""""exec python -- "$0" "$@" # """
# For a shell the two lines above start Python; for Python, which may be as old as 3.6, they are texts.
#
# Starts a training script with arguments that SageMaker's training toolkit cannot pass. The toolkit
# makes arguments of hyperparameters only, each a name and a value, flags too. So it starts this file, which lies
# beside the script, with those; this file starts the script as the toolkit would have, with the further
# arguments after them, and changes the variables of the environment in which the toolkit names what it
# started. The variables JOBCORE_START_0, ... hold the script and the arguments as JSON, cut into pieces.
import json
import os
import shlex
import sys
from typing import Dict, List

PARTS = b"JOBCORE_START_"


def main() -> None:
    # In bytes, as Python 3.6 decodes to ASCII where the image sets no locale.
    environment = {name: value for name, value in os.environb.items() if not name.startswith(PARTS)}
    count = len(os.environb) - len(environment)
    parts = [os.environb[PARTS + str(number).encode("ascii")] for number in range(count)]
    script, further, flags = json.loads(b"".join(parts).decode("ascii"))
    words = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]
    arguments = with_flags(words, flags) + further
    environment.update(described(script, arguments, environment))
    command = command_of(script, arguments)
    sys.stdout.flush()
    # The process stays the same, so signals and the exit code are the script's.
    os.execve(
        command[0], [word.encode("utf-8", "surrogateescape") for word in command], environment
    )


def with_flags(words: List[str], flags: List[str]) -> List[str]:
    """Take the values of flags out of the hyperparameters' arguments: names and values by turns."""
    names = {("--" if len(flag) > 1 else "-") + flag for flag in flags}
    kept = []  # type: List[str]
    for name, value in zip(words[::2], words[1::2]):
        if name not in names:
            kept += [name, value]
        elif value == "True":
            kept.append(name)
    return kept


def described(script: str, arguments: List[str], given: Dict[bytes, bytes]) -> Dict[bytes, bytes]:
    module = script[: -len(".py")] if script.endswith(".py") else script
    training = json.loads(given[b"SM_TRAINING_ENV"].decode("utf-8"))
    training.update(module_name=module, user_entry_point=script)
    values = {
        "SM_USER_ENTRY_POINT": script,
        "SM_MODULE_NAME": module,
        "SM_USER_ARGS": as_json(arguments),
        "SM_TRAINING_ENV": as_json(training),
    }
    return {name.encode("ascii"): value.encode("utf-8") for name, value in values.items()}


def as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def command_of(script: str, arguments: List[str]) -> List[str]:
    if not script.endswith(".sh") and os.path.exists("setup.py"):
        module = script[: -len(".py")] if script.endswith(".py") else script
        return [sys.executable, "-m", module] + arguments
    if script.endswith(".py"):
        return [sys.executable, "--", script] + arguments
    os.chmod(script, 0o777)
    line = " ".join(shlex.quote(word) for word in [script] + arguments)
    return ["/bin/sh", "-c", "./" + line]


if __name__ == "__main__":
    main()
