"""Simulated worlds for the ticks: pools with capacity, trainings, a service with limits and faults."""

from ._pools import PoolConfig, Shortage, is_accelerated, pool_name, quota_name
from ._texts import Refused
from ._training import Fate, Refusal, Script, Training, TrainingRequest, Transition
from ._world import World

__all__ = [
    "Fate",
    "PoolConfig",
    "Refusal",
    "Refused",
    "Script",
    "Shortage",
    "Training",
    "TrainingRequest",
    "Transition",
    "World",
    "is_accelerated",
    "pool_name",
    "quota_name",
]
