"""
The training contract: what a script is started with, as SageMaker's training toolkit does it.

The laptop's trainer and the sandbox start scripts with this package. So a script sees the same
arguments, environment and files as on SageMaker, where the package ``sagemaker-training``
(https://github.com/aws/sagemaker-training-toolkit) of the image starts it. The tests compare the two
field by field.

SageMaker gives a container some files in ``/opt/ml/input/config`` and an environment: a `Container`.
`start` makes of it what the toolkit makes: the command and the environment of the script. The
folder that stands for ``/opt/ml`` may be anywhere.
"""

from __future__ import annotations

from ._channels import path_in_channel
from ._container import (
    FOLDERS,
    OPT_ML,
    RESERVED_ENVIRONMENT,
    RESERVED_HYPERPARAMETERS,
    Container,
    channel_config,
    host_name,
    hyperparameter_texts,
    resource_config,
)
from ._entry_point import check_code, check_entry_point, installs_requirements, is_package
from ._errors import BadInput
from ._failure import failure_text
from ._places import expand, places, relocate
from ._start import Start, start
from ._starter import STARTED_ARCHIVE, starter_environment, starter_files, starter_program

__all__ = [
    "FOLDERS",
    "OPT_ML",
    "RESERVED_ENVIRONMENT",
    "RESERVED_HYPERPARAMETERS",
    "STARTED_ARCHIVE",
    "BadInput",
    "Container",
    "Start",
    "channel_config",
    "check_code",
    "check_entry_point",
    "expand",
    "failure_text",
    "host_name",
    "hyperparameter_texts",
    "installs_requirements",
    "is_package",
    "path_in_channel",
    "places",
    "relocate",
    "resource_config",
    "start",
    "starter_environment",
    "starter_files",
    "starter_program",
]
