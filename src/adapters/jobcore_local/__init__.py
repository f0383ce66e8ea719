"""The ports on one machine: local processes as trainings, console and desktop messages, the system clock."""

from ._clock import SystemClock
from ._notifiers import ConsoleNotifier, DesktopNotifier, FanOut, FileNotifier
from ._pools import read_pools, write_pools
from ._trainer import LocalTrainer
from ._wake import WakeSocket, poke

__all__ = [
    "ConsoleNotifier",
    "DesktopNotifier",
    "FanOut",
    "FileNotifier",
    "LocalTrainer",
    "SystemClock",
    "WakeSocket",
    "poke",
    "read_pools",
    "write_pools",
]
