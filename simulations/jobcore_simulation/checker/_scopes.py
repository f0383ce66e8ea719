"""The scopes that are explored."""

from __future__ import annotations

from collections.abc import Mapping

from jobcore import FailureClass

from ._scope import Scope

__all__ = ["SCOPES", "SIDE_SCOPES"]

_THREE = {FailureClass.ALGORITHM: 1, FailureClass.SPOT_INTERRUPTED: 1}
_ALL_REFUSALS = ("capacity", "throttle", "invalid", "quota")
_STOP = ("stop",)

_ALL = (
    # The main one: two launchers, a monitor and a reaper, one stop, three faults, two attempts.
    Scope(name="main", launchers=2, reapers=1, people=_STOP, faults=3),
    # Each of the side scopes adds something that the main one leaves out.
    Scope(name="small", launchers=1, reapers=1, people=_STOP, faults=1),
    Scope(name="tries", launchers=2, reapers=1, people=_STOP, tries=True),
    Scope(name="outbox", launchers=1, notifiers=1, people=_STOP, faults=2),
    Scope(
        name="refused", launchers=2, reapers=1, people=_STOP, refusals=1, refused_for=_ALL_REFUSALS
    ),
    Scope(
        name="orphan",
        launchers=2, monitors=0, reapers=1, people=_STOP, faults=1,
        refusals=1, refused_for=("capacity", "quota"),
        bits={"reap": 6},
    ),
    Scope(
        name="refused twice",
        launchers=1, reapers=1, people=_STOP, faults=1, refusals=2, refused_for=_ALL_REFUSALS,
        bits={"monitor": 13, "reap": 7, "user": 10},
    ),
    Scope(
        name="spot", launchers=1, reapers=1, people=_STOP, faults=1, spots=1, budgets=_THREE
    ),
    Scope(
        name="people",
        launchers=1, reapers=1, people=("stop", "hold", "release"), faults=1, refusals=1,
        bits={"monitor": 13, "reap": 7, "user": 11},
    ),
    Scope(name="monitors", launchers=1, monitors=2, reapers=1, people=_STOP, faults=2),
    Scope(name="reapers", launchers=1, reapers=2, people=_STOP, faults=1),
    Scope(name="elsewhere", launchers=1, reapers=1, people=_STOP, faults=2, elsewhere=True),
    Scope(name="clocks", launchers=1, reapers=1, people=_STOP, faults=1, time=True, clocks=True),
    Scope(name="vanish", launchers=1, reapers=1, people=_STOP, faults=2, time=True, vanish=True,
        bits={"monitor": 14, "user": 9}),
    Scope(
        name="stranger", launchers=2, reapers=1, people=("stop", "release"), faults=1, stranger=True
    ),
    Scope(name="two jobs", launchers=1, monitors=1, reapers=0, jobs=2, slots=1, late=False),
    *(
        Scope(name=f"poison {what}", launchers=1, notifiers=1, jobs=2, poison=what, fails=False)
        for what in ("record", "launch", "publish")
    ),
    # Not checked in CI: a trainer that breaks its contract; invariants must break, too.
    Scope(
        name="deletes", launchers=1, reapers=1, people=_STOP, faults=2, time=True, deletes=True,
        bits={"monitor": 14, "user": 9},
    ),
    # Longer, on demand.
    Scope(
        name="three attempts",
        launchers=2, reapers=1, people=_STOP, faults=1, budgets={FailureClass.ALGORITHM: 2},
        bits={"monitor": 12},
    ),
)  # fmt: skip

_APART = ("main", "deletes", "three attempts")

#: All scopes, by name.
SCOPES: Mapping[str, Scope] = {scope.name: scope for scope in _ALL}
#: Explored beside the main scope with ``--scope all``.
SIDE_SCOPES = tuple(name for name in SCOPES if name not in _APART)
