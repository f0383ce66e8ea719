"""The ports on one machine: local processes as trainings, console and desktop messages, the system clock."""

from ._check import Checker, check
from ._clock import SystemClock
from ._contract import inherited_environment
from ._environments import Environment, Environments, InstallError, InstallOptions
from ._failures import failure_rules
from ._metrics import metrics_in_log
from ._notifiers import ConsoleNotifier, DesktopNotifier, FanOut, FileNotifier
from ._pools import read_gpus, read_pools, write_pools
from ._python import Interpreter, find_python
from ._supervisor.message import error_message
from ._supervisor.mount import with_opt_ml
from ._trainer import LocalTrainer, code_path, environments_path
from ._wake import WakeSocket, poke

__all__ = [
    "Checker",
    "ConsoleNotifier",
    "DesktopNotifier",
    "Environment",
    "Environments",
    "FanOut",
    "FileNotifier",
    "InstallError",
    "InstallOptions",
    "Interpreter",
    "LocalTrainer",
    "SystemClock",
    "WakeSocket",
    "check",
    "code_path",
    "environments_path",
    "error_message",
    "failure_rules",
    "find_python",
    "inherited_environment",
    "metrics_in_log",
    "poke",
    "read_gpus",
    "read_pools",
    "with_opt_ml",
    "write_pools",
]
