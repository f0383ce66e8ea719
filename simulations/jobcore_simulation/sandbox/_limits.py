"""Rate limits of calls, and injected faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import attrs

from jobcore_config.checks import between, report_all
from jobcore_config.reading import read
from jobcore_simulation._checks import COUNT, SECONDS

__all__ = ["Bucket", "Fault", "FaultKind", "fault_from"]


@dataclass(slots=True)
class Bucket:
    """A token bucket: *rate* calls per second, *burst* at once."""

    rate: float
    burst: float
    tokens: float = field(init=False)
    filled_at: float | None = None

    def __post_init__(self) -> None:
        """Begin full."""
        self.tokens = self.burst

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        if self.filled_at is not None:
            gained = (now - self.filled_at) * self.rate
            self.tokens = min(self.burst, self.tokens + max(gained, 0.0))
        self.filled_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class FaultKind(StrEnum):
    """The faults of calls. "before": the call is not carried out; "after": it is."""

    THROTTLE = "throttle"  # 400 ThrottlingException, before
    ERROR = "error"  # an error with *code*, *text* and *status*, before
    FAIL_BEFORE = "fail-before"  # 500 InternalFailure
    FAIL_AFTER = "fail-after"
    RESET_BEFORE = "reset-before"  # the connection is reset
    RESET_AFTER = "reset-after"
    LOSE_REPLY = "lose-reply"  # carried out; the connection is closed without a byte
    LATE_REPLY = "late-reply"  # carried out at once, answered after *seconds*
    LATE_APPLY = "late-apply"  # carried out and answered after *seconds*; the client may have left

    @property
    def is_before(self) -> bool:
        """True where the call is not carried out."""
        return self in _BEFORE


_BEFORE = (FaultKind.THROTTLE, FaultKind.ERROR, FaultKind.FAIL_BEFORE, FaultKind.RESET_BEFORE)


# Faults count their hits: setting a field checks nothing.
@attrs.define(kw_only=True, field_transformer=report_all, on_setattr=attrs.setters.NO_OP)
class Fault:
    """
    A fault of calls yet to come.

    Attributes:
        operation, name: shell patterns for the operation and the training's name.
        skip: the number of matching calls before the first fault.
        times: the number of calls that it strikes; None: all.
    """

    kind: FaultKind
    operation: str = "*"
    name: str = "*"
    skip: int = attrs.field(default=0, validator=COUNT)
    times: int | None = attrs.field(default=1, validator=COUNT)
    seconds: float = attrs.field(default=1.0, validator=SECONDS)
    code: str = "InternalFailure"
    text: str = "The request processing has failed because of an unknown error."
    status: int = attrs.field(default=500, validator=between(100, 599))
    hits: int = attrs.field(default=0, metadata={"override": {"omit": True}})

    def strikes(self, operation: str, name: str) -> bool:
        """Check whether the fault strikes this call, and count it if so."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not fnmatchcase(operation, self.operation) or not fnmatchcase(name, self.name):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True


def fault_from(document: Mapping[str, Any]) -> Fault:
    """
    Make a fault of a table.

    Raises:
        InvalidSetting: with every problem.
    """
    return read(Fault, document, where="fault")
