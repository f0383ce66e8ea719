"""The modules that seeded bugs change, and how they are registered and combined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

from jobcore import Failure, FailureClass, Status, TrainingEnded
from jobcore.lifecycle import Retryable, Scope

__all__ = [
    "FAILURE", "MUTANTS", "Mutant", "both", "cells", "handlers", "launch", "monitor", "mutant",
    "notify", "pools", "reap", "retries", "room", "run", "training_ended", "transitions",
]  # fmt: skip

# The modules, not the packages' attributes: some are functions of the same name.
handlers, retries, transitions = (
    import_module(f"jobcore.lifecycle.{name}") for name in ("handlers", "retry", "transitions")
)
pools, room = (import_module(f"jobcore.scheduling.{name}") for name in ("pools", "room"))
launch, monitor, notify, reap, run = (
    import_module(f"jobcore.ticks.{name}")
    for name in ("launch", "monitor", "notify", "reap", "run")
)

Mutant = Callable[[], AbstractContextManager[Any]]
#: The seeded bugs, by name; each is in the code while its context is entered.
MUTANTS: dict[str, Mutant] = {}


def mutant(make: Mutant) -> Mutant:
    """Register a bug under the name of its function."""
    MUTANTS[make.__name__] = make
    return make


FAILURE = Failure(
    failure_class=FailureClass.UNKNOWN,
    scope=Scope.JOB,
    retryable=Retryable.LIMITED,
    rule="mutant",
    text="no answer",
)


def training_ended(number: int) -> TrainingEnded:
    """Make the fact that attempt *number* has failed."""
    return TrainingEnded(attempt=number, outcome=Status.FAILED, failure=FAILURE)


@contextmanager
def cells(changes: Mapping[tuple[Status, type], Any]) -> Iterator[None]:
    """Change cells of the transition table."""
    table = {status: dict(row) for status, row in transitions.TRANSITIONS.items()}
    for (status, event), cell in changes.items():
        table[status][event] = cell
    with patch.object(transitions, "TRANSITIONS", table):
        yield


@contextmanager
def both(*changes: AbstractContextManager[Any]) -> Iterator[None]:
    """Make several changes at once."""
    if not changes:
        yield
        return
    with changes[0], both(*changes[1:]):
        yield
