"""Arguments beside hyperparameters on SageMaker, where the training toolkit passes none.

A job with arguments takes a starter along with its code (``start_with_arguments.py``). The toolkit
starts that instead of the script, and it starts the script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ._errors import BadInput

#: The name of a code archive that has a starter in it. A request can tell no other way.
STARTED_ARCHIVE = "sourcedir-arguments.tar.gz"

# setuptools refuses a second module beside a setup.py that names none, unless it begins so
# (setuptools.discovery.FlatLayoutModuleFinder).
_NAME = "_start_with_arguments"
_PART_CHARS = 512  # of a value of Environment (service model)
_PARTS_MAX = 40  # of the 100 entries that Environment may have (service model)
# With each of these hyperparameters the toolkit starts the script by mpirun, torchrun or the like.
_LAUNCHERS = (
    "sagemaker_mpi_enabled", "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled", "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_torch_distributed_enabled",
)  # fmt: skip


def starter_program(script: str) -> str:
    """Name the entry point that starts *script*; of the same kind, as the toolkit tells it by the name."""
    return _NAME + next((end for end in (".py", ".sh") if script.endswith(end)), "")


def starter_files(script: str) -> dict[str, bytes]:
    """Return the executable files that the code of a job with arguments needs beside its own."""
    content = Path(__file__).with_name("start_with_arguments.py").read_bytes()
    # A script without an ending is a module if the code is a package, and else a command.
    return dict.fromkeys((f"{_NAME}.py", starter_program(script)), content)


def starter_environment(
    script: str,
    arguments: Sequence[str],
    hyperparameters: Sequence[str],
    flags: Sequence[str] = (),
) -> dict[str, str]:
    """
    Make the variables that tell the starter what to start.

    Args:
        hyperparameters: the names of those that are switched on.
        flags: the names of those that are arguments without a value, see `start`.

    Raises:
        BadInput: the arguments are too long, or the script is started by another program.
    """
    for name in _LAUNCHERS:
        if name in hyperparameters:
            message = f"not together with the hyperparameter {name}, which starts the script by another program"
            raise BadInput(field="arguments", message=message)
    text = json.dumps([script, list(arguments), list(flags)])
    parts = [text[at : at + _PART_CHARS] for at in range(0, len(text), _PART_CHARS)]
    if len(parts) > _PARTS_MAX:
        message = (
            f"{len(text):,} bytes as JSON; SageMaker takes {_PARTS_MAX * _PART_CHARS:,} at most "
            "(put large values into a file of a channel)"
        )
        raise BadInput(field="arguments", message=message)
    return {f"JOBCORE_START_{number}": part for number, part in enumerate(parts)}
