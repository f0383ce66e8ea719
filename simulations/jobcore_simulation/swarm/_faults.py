"""The draws at each port call: the fault that strikes it, and whether other actors run first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any, Protocol
from zlib import crc32

from greenlet import greenlet

from jobcore import Job
from jobcore.ports import LaunchRequest, Message

from ._draw import Config
from ._result import Result

__all__ = ["Crash", "Faults"]

_CALLS: Sequence[str] = (
    "add", "get", "save", "due", "waiting", "usage", "find", "counts", "pools", "save_pool",
    "next_wake", "shares", "save_shares", "tallies", "tallies_to_pause", "save_tally", "launch",
    "describe", "stop", "capacity", "running", "publish",
)  # fmt: skip
_KINDS: Sequence[str] = (
    "lost", "unknown", "partial", "own", "stale", "crash", "crash_after", "throttled", "quota",
    "short", "unclear", "unclear_applied", "late", "exists", "absent", "cut",
)  # fmt: skip
# By position, so that the digest is the same in every process.
_BYTES = {name: bytes([n]) for n, name in enumerate((*_CALLS, *_KINDS))}


class Crash(BaseException):
    """The death of an actor's process; no `Exception`, so that the code under test does not catch it."""


class Caller(Protocol):
    """The part of an actor's port that `Faults` uses."""

    calls: int
    call: str

    @property
    def name(self) -> str:
        """The actor's name in the record of the run."""
        ...

    @property
    def saves_launches(self) -> bool:
        """Whether the actor is a launch tick that is about to save jobs."""
        ...


class Faults:
    """
    The faults of one run.

    Args:
        result: counts calls and faults.
        chance: the random source of the run, for turns; faults have one of their own.
        keep: the numbers of the faults that strike, of those drawn; None for all.
        note: called with a line about each port call and fault.

    Attributes:
        takes_turns: whether a port call may give the turn to another actor.
        lags: whether indexes may answer with earlier rows.
        past: earlier answers of indexes that lag, by call and key.
    """

    def __init__(
        self,
        config: Config,
        result: Result,
        chance: Callable[[], float],
        *,
        keep: Collection[int] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Begin with the faults that *config* has drawn."""
        self.config = config
        self.result = result
        self._chance = chance
        self.keep = keep
        self.note = note
        self.takes_turns = True
        self.lags = "stale" in config.rates
        self.past: dict[object, list[Any]] = {}
        self._draw = Random(config.seed * 2 + 2).random  # noqa: S311
        self._rates: Any = config.faults()
        self._scheduler = greenlet.getcurrent()

    def arrive(self, caller: Caller, call: str, argument: object) -> str | None:
        """
        Begin a port call: maybe let another actor run first, then draw the fault that strikes.

        Raises:
            Crash: the process dies before the call.
        """
        caller.calls += 1
        caller.call = call
        result = self.result
        result.calls += 1
        if self.takes_turns and (self._chance() < self.config.switch or self._sleeps(caller)):
            self._scheduler.switch()
        result.digest = crc32(_BYTES[call], result.digest)
        row = self._rates.get(call)
        kind = None
        if row is not None and (drawn := self._draw()) < row[-1][0]:
            kind = self._strike(call, drawn, row)
        if self.note is not None:
            detail = "" if kind is None else f"  ** {kind}"
            self.note(f"{caller.name:>12} {call}({_short(argument)}){detail}")
        if kind == "crash":
            raise Crash
        return kind

    def _sleeps(self, caller: Caller) -> bool:
        return self.config.turns == "saves last" and caller.saves_launches

    def _strike(self, call: str, drawn: float, row: Sequence[tuple[float, str]]) -> str | None:
        result = self.result
        result.faults += 1
        if self.keep is not None and result.faults not in self.keep:
            return None
        kind = next(kind for total, kind in row if drawn < total)
        result.struck.append(result.faults)
        result.cells[call, kind] += 1
        result.digest = crc32(_BYTES[kind], result.digest)
        return kind

    def detail(self) -> Random:
        """Return the random source for the details of the current fault, independent of other draws."""
        return Random(self.config.seed * 1_000_003 + self.result.faults)  # noqa: S311

    def count(self, kind: str) -> None:
        """Count a fault of the world."""
        self.result.cells["world", kind] += 1
        if self.note is not None:
            self.note(f"{'world':>12} ** {kind}")

    def end(self) -> None:
        """End all faults, and the lag of indexes."""
        self._rates = {}
        self.past.clear()
        self.lags = self.takes_turns = False


def _short(argument: object) -> str:
    """Describe the argument of a call in a few words."""
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return ", ".join(_short(item) for item in argument)
    if isinstance(argument, Job):
        return f"{argument.job_id[:4]} {argument.status} v{argument.version}"
    if isinstance(argument, LaunchRequest):
        return f"{argument.name[3:7]}-{argument.attempt} {argument.placement.pool}"
    if isinstance(argument, Message):
        return argument.event_id
    return "" if argument is None else str(argument)
