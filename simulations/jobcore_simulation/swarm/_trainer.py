"""A small, fast trainer: its trainings change only by calls of the environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from jobcore import classify
from jobcore.failures import Rules
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
)
from jobcore_simulation._rules import RULES
from jobcore_simulation._texts import CAPACITY_ERROR, MESSAGES, over_limit

__all__ = [
    "FATES", "RULES_MATCHED", "SHORT", "THROTTLED", "Pool", "TinyTrainer", "over_quota",
]  # fmt: skip

PENDING, RUNNING, STOPPING = TrainingState.PENDING, TrainingState.RUNNING, TrainingState.STOPPING
COMPLETED, FAILED, STOPPED = TrainingState.COMPLETED, TrainingState.FAILED, TrainingState.STOPPED

_ACCEPTED = LaunchReply(LaunchResult.ACCEPTED)
_EXISTS = LaunchReply(LaunchResult.EXISTS)


def _describe(status: str, secondary: str, text: str) -> Evidence:
    return Evidence(where="describe", status=status, secondary_status=secondary, text=text)


#: The possible ends of a training, by name: its state, and the evidence that the service gives.
FATES: Mapping[str, tuple[TrainingState, Evidence | None]] = {
    "completed": (COMPLETED, None),
    "bug": (FAILED, _describe("Failed", "Failed", "AlgorithmError: KeyError: 'x', exit code: 1")),
    "internal": (
        FAILED,
        _describe(
            "Failed",
            "Failed",
            "InternalServerError: We encountered an internal error. Please try again.",
        ),
    ),
    "interrupted": (STOPPED, _describe("Stopped", "Interrupted", MESSAGES["Interrupted"])),
    "short": (FAILED, _describe("Failed", "Failed", CAPACITY_ERROR)),
    "stopped": (STOPPED, _describe("Stopped", "Stopped", "")),
}
THROTTLED = Evidence(
    where="create", error_code="ThrottlingException", text="ThrottlingException: Rate exceeded"
)
SHORT = Evidence(where="create", error_code="CapacityError", text=CAPACITY_ERROR)
BAD = Evidence(
    where="create",
    error_code="ValidationException",
    text="1 validation error detected: Value 'x' at 'roleArn' failed to satisfy constraint",
)


def over_quota(pool: str, limit: int, used: int, count: int) -> Evidence:
    """Return the evidence of a full quota, in the words of the service."""
    refusal = over_limit(f"{pool} for training job usage", limit, used, count)
    return Evidence(where="create", error_code=refusal.code, text=refusal.text)


def _rules() -> Rules:
    """
    Select the failure rules that match any evidence of this module, in their order.

    All but eight of a hundred rules never match here, and trying them would take most of a run.
    """
    said = [evidence for _, evidence in FATES.values() if evidence is not None]
    said += [THROTTLED, SHORT, BAD, over_quota("a", 2, 2, 1), over_quota("a", 1, 0, 2)]
    names = {classify(evidence, RULES).rule for evidence in said}
    rules = Rules(tuple(rule for rule in RULES.rules if rule.name in names), RULES.reading)
    assert all(classify(e, rules) == classify(e, RULES) for e in said)
    return rules


RULES_MATCHED = _rules()


class Pool:
    """A pool: its instances, the account's quota, and the use of the quota by other customers."""

    __slots__ = ("capacity", "charged", "name", "others", "quota", "size_known", "used")

    def __init__(self, name: str, *, capacity: int, quota: int, size_known: bool) -> None:
        """Set up; *size_known*: the trainer reports the size, which is the quota."""
        self.name, self.capacity, self.quota = name, capacity, quota
        self.size_known = size_known
        self.others = self.used = self.charged = 0


class _Run:
    __slots__ = ("ended_at", "evidence", "pool", "request", "started_at", "state", "view")

    def __init__(self, request: LaunchRequest, pool: Pool) -> None:
        self.request, self.pool = request, pool
        self.state = PENDING
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.evidence: Evidence | None = None
        self.view: Training | None = None


class TinyTrainer:
    """
    A `jobcore.Trainer` whose trainings change by `begin`, `end` and `stop` alone.

    Args:
        reserves_names: whether a request with ``to_stop`` creates a training that is stopped from
            the start; else it creates one that runs.
        bad: ids of jobs whose requests the service refuses as malformed.
    """

    def __init__(
        self, pools: Mapping[str, Pool], *, reserves_names: bool, bad: frozenset[str]
    ) -> None:
        """Begin with no training."""
        self.pools = pools
        self.reserves_names = reserves_names
        self.bad = bad
        self.runs: dict[str, _Run] = {}
        self.alive: dict[str, _Run] = {}

    # --- the port -----------------------------------------------------------------------------

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Create trainings."""
        return [self._create(request) for request in requests]

    def _create(self, request: LaunchRequest) -> LaunchReply:
        if request.name in self.runs:
            return _EXISTS
        if request.job_id in self.bad:
            return LaunchReply(LaunchResult.REFUSED, BAD)
        pool = self.pools[request.placement.pool]
        count = request.placement.count
        if request.to_stop and self.reserves_names:
            run = self.runs[request.name] = _Run(request, pool)
            run.state, run.evidence = FATES["stopped"]
            return _ACCEPTED
        used = pool.charged + pool.others
        if used + count > pool.quota:
            return LaunchReply(LaunchResult.REFUSED, over_quota(pool.name, pool.quota, used, count))
        pool.charged += count
        self.runs[request.name] = self.alive[request.name] = _Run(request, pool)
        return _ACCEPTED

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """Read trainings."""
        return {name: self.truth(name) for name in names}

    def truth(self, name: str) -> Training | None:
        """Read a training without a port call."""
        run = self.runs.get(name)
        if run is None:
            return None
        if run.view is None:
            request = run.request
            run.view = Training(
                name=name,
                state=run.state,
                job_id=request.job_id,
                attempt=request.attempt,
                spec_hash=request.spec_hash,
                detail=run.state.value,
                started_at=run.started_at,
                ended_at=run.ended_at,
                evidence=run.evidence,
            )
        return run.view

    def stop(self, name: str) -> None:
        """Request the stop of a training, which ends later."""
        run = self.alive.get(name)
        if run is not None and run.state is not STOPPING:
            run.state = STOPPING
            run.view = None

    def capacity(self) -> Mapping[str, int | None]:
        """Return the pools with their sizes."""
        return {pool.name: pool.quota if pool.size_known else None for pool in self.pools.values()}

    def running(self) -> Iterable[Training]:
        """Walk the trainings that are not terminal."""
        return [view for name in self.alive if (view := self.truth(name)) is not None]

    # --- changes --------------------------------------------------------------------------------

    def begin(self, name: str, now: datetime) -> bool:
        """Start a pending training; False if it is not pending or its pool has no room."""
        run = self.alive[name]
        count = run.request.placement.count
        if run.state is not PENDING or run.pool.used + count > run.pool.capacity:
            return False
        run.pool.used += count
        run.state, run.started_at, run.view = RUNNING, now, None
        return True

    def end(self, name: str, fate: str, now: datetime) -> None:
        """End a training."""
        run = self._free(name)
        run.state, run.evidence = FATES[fate]
        run.ended_at, run.view = now, None

    def vanish(self, name: str) -> None:
        """Lose a training, and its name with it."""
        if name in self.alive:
            self._free(name)
        del self.runs[name]

    def strange(self, request: LaunchRequest) -> None:
        """Create a training of another account under this name; it uses no pool of the run."""
        run = self.runs[request.name] = _Run(
            request, Pool("", capacity=0, quota=0, size_known=False)
        )
        run.state, run.view = RUNNING, None

    def _free(self, name: str) -> _Run:
        run = self.alive.pop(name)
        count = run.request.placement.count
        run.pool.charged -= count
        if run.started_at is not None:
            run.pool.used -= count
        return run
