"""The programs that actors run, and the ports that suspend them at a call.

The replies that a tick has had since it began decide its local state. So a tick is suspended by
running it from its beginning with the replies so far, and raising `Suspend` at the first port call
without a reply.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import jobcore
from jobcore import CorruptRecord, Job, LaunchRefused, Status, Unavailable
from jobcore.lifecycle import (
    GroupKey,
    GroupTally,
    PoolState,
    ShareUsage,
    Tick,
    parse_training_name,
    spec_hash,
)
from jobcore.ports import (
    Due,
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
    Usage,
    Waiting,
)
from jobcore_simulation._rules import RULES

from ._values import JUST_NOW, LATER, PAST, POOL, UNAVAILABLE, Call, Reply
from ._world import Worlds

__all__ = ["PROGRAMS", "Ports", "Suspend"]

_NO_ANSWER, _POISONED = "no answer", "poisoned"

_EVIDENCE = {
    "capacity": Evidence(
        where="create", error_code="CapacityError", text="CapacityError: Unable to provision"
    ),
    "throttle": Evidence(where="create", error_code="ThrottlingException", text="Rate exceeded"),
    "invalid": Evidence(
        where="create", error_code="ValidationException", text="1 validation error detected: x"
    ),
    "quota": Evidence(
        where="create",
        error_code="ResourceLimitExceeded",
        text="The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, "
        "with current utilization of 0 Instances and a request delta of 1 Instances.",
    ),
}
_STATES = {
    "P": (TrainingState.PENDING, None),
    "R": (TrainingState.RUNNING, None),
    "S": (TrainingState.STOPPING, None),
    "X": (TrainingState.RUNNING, None),
    "C": (TrainingState.COMPLETED, None),
    "F": (
        TrainingState.FAILED,
        Evidence(where="describe", status="Failed", text="AlgorithmError: boom, exit code: 1"),
    ),
    "I": (
        TrainingState.FAILED,
        Evidence(where="describe", status="Interrupted", text="Interrupted"),
    ),
    "T": (TrainingState.STOPPED, Evidence(where="describe", status="Stopped", text="")),
}


class Suspend(BaseException):
    """The end of a run at the first port call without a reply; the code under test does not catch it."""

    def __init__(self, call: Call, site: str, known: Any) -> None:
        super().__init__(call)
        self.call = call
        self.site = site
        self.known = known


class Ports:
    """Store, trainer, notifier and clock that answer from a list of replies, then raise `Suspend`."""

    def __init__(
        self, worlds: Worlds, replies: Sequence[Reply], failing: tuple[str, str] | None = None
    ) -> None:
        self.worlds = worlds
        self.failing = failing
        self.asides: list[
            tuple[str, str]
        ] = []  # (site, method) of calls answered at once since the last reply
        self.replies = replies
        self.at = 0
        self.seen: dict[int, Job] = {}  # by job, the version that the tick read last

    def _answer(self, *call: Any) -> Reply:
        if self.at == len(self.replies):
            site, frames = _site()
            raise Suspend(call, site, self._known(call, site, frames))
        reply = self.replies[self.at]
        self.at += 1
        self.asides.clear()
        if reply == UNAVAILABLE:
            raise Unavailable(_NO_ANSWER)
        if reply[0] == "raises":
            raise ValueError(_POISONED)
        return reply

    def _aside(self, method: str) -> None:
        """Note a call whose answer never depends on the world; it fails if the run is a probe of it."""
        if self.at == len(self.replies):
            site, _ = _site()
            self.asides.append((site, method))
            if self.failing == (site, method):
                raise Unavailable(_NO_ANSWER)

    @property
    def _logged(self) -> bool:
        return self.at < len(self.replies)

    def _known(self, call: Call, site: str, frames: Mapping[str, FrameType]) -> Any:
        """
        Return the local state that the tick still uses after this call; None for its whole history.

        Ticks with equal results (at one site, with one call) do the same from here on, even if they
        have read different values before, and share a node. The result is read from their frames.
        The reasons why it is enough, by site:

        - A loop that applies events again after a lost save uses the events, not what it had read
          before. A refusal is applied only if the status is still the one before the save; intents
          count only if the version has changed since the plan. The number of tries counts if the
          scope says so; else the tick tries until it succeeds.
        - A launch uses the jobs that are handed to it. With one job (ticks of scopes with more
          jobs share no nodes) it is the last of its batch and of its phase.
        - No call follows the last stop of a pass. The reaper uses the list that it has read.
        """
        method = call[0]
        listed: Reply = ()
        if "reap_tick" in frames and method in ("get", "stop"):
            listed = next(reply for reply in self.replies if reply[0] == "running")
        if "_again" in frames and method == "get":
            return (*self._known_again(frames), listed)
        if listed:
            return listed
        if site == "apply_request" and method == "get":
            return 0  # the tries are not counted: giving up is the same as dying
        if method == "launch":
            owing = frames["_request"].f_locals["owing"]
            return tuple(self.worlds.intern_job(job) for job, _ in owing)
        if method == "stop":
            return ()
        return None

    def _known_again(self, frames: Mapping[str, FrameType]) -> tuple[Any, ...]:
        """Return the part of the local state that a read after a lost save still uses."""
        again = frames["_again"].f_locals
        events = again["events"]
        refused = any(isinstance(event, LaunchRefused) for event in events)
        status = again["stale"].status if refused else None
        tried = again["_"] if self.worlds.scope.tries else 0
        planned = ""
        if "_commit_intents" in frames:
            planned = str(frames["_commit_intents"].f_locals["before"].values())
        return (str(events), status, tried, planned)

    # --- clock ---

    def now(self) -> datetime:
        if not self.worlds.scope.time:
            return LATER
        (_, now) = self._answer("now")
        return LATER if now == "later" else JUST_NOW

    # --- store ---

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        wanted = tuple(self.worlds.number_of[i] for i in job_ids if i in self.worlds.number_of)
        reply = self._answer("get", wanted)
        if reply[0] == "corrupt":
            raise CorruptRecord(self.worlds.ids[reply[1]], _POISONED)
        return {self.worlds.ids[j]: self._see(j, job) for j, job in reply[1]}

    def _see(self, j: int, number: int) -> Job:
        job = self.seen[j] = self.worlds.jobs[number]
        return job

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        raw: Any = ()
        if not self._logged:
            number_of, intern = self.worlds.number_of, self.worlds.intern_job
            raw = tuple((number_of[job.job_id], intern(job)) for job in jobs)
        (_, reply) = self._answer("save", raw)
        return [None if number is None else self._see(j, number) for j, number in reply]

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        (_, rows) = self._answer("due", str(tick))
        return [Due(self.worlds.ids[j], PAST, Status.NEW, 1) for j in rows if before >= PAST]

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        (_, rows) = self._answer("waiting")
        places = [self.worlds.specs[j].placements for j, _ in rows]
        return [
            Waiting(self.worlds.ids[j], 0, "ada", place, PAST, n)
            for (j, n), place in zip(rows, places, strict=True)
        ]

    def usage(self) -> Sequence[Usage]:
        if self.worlds.scope.jobs == 1:
            self._aside("usage")
            return []
        (_, slots, running) = self._answer("usage")
        return [Usage(POOL, "ada", slots, running)] if slots else []

    def pools(self) -> Mapping[str, PoolState]:
        self._aside("pools")
        return {}

    def save_pool(self, state: PoolState) -> bool:
        self._aside("save_pool")
        return False

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        self._aside("next_wake")
        return None

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        self._aside("shares")
        return {}

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        self._aside("save_shares")
        return [False for _ in usages]

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        self._aside("tallies")
        return {}

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        self._aside("tallies_to_pause")
        return ()

    def save_tally(self, tally: GroupTally) -> bool:
        self._aside("save_tally")
        return False

    # --- trainer ---

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        wanted = []
        for request in requests:
            name = parse_training_name(request.name)
            j = self.worlds.number_of[request.job_id]
            n = name.attempt if name is not None else 10**6
            known = self.seen[j].stop is not None
            wanted.append((j, n, request.to_stop, known))
        (_, what) = self._answer("launch", tuple(wanted))
        if what in _EVIDENCE:
            return [LaunchReply(LaunchResult.REFUSED, _EVIDENCE[what])]
        return [LaunchReply(LaunchResult(what))]

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        (_, seen) = self._answer("describe", tuple(map(self._number, names)))
        return {
            jobcore.lifecycle.training_name(self.worlds.ids[j], n): self._training(j, n, letter)
            for j, n, letter in seen
        }

    def _number(self, name: str) -> tuple[int, int]:
        parsed = parse_training_name(name)
        assert parsed is not None, name
        return self.worlds.number_of[parsed.job_id], parsed.attempt

    def _training(self, j: int, n: int, letter: str) -> Training | None:
        if not letter:
            return None
        state, evidence = _STATES[letter]
        ours = letter != "X"
        return Training(
            name=jobcore.lifecycle.training_name(self.worlds.ids[j], n),
            state=state,
            job_id=self.worlds.ids[j] if ours else None,
            attempt=n if ours else None,
            spec_hash=spec_hash(self.worlds.specs[j]) if ours else None,
            started_at=PAST if letter in "RCFI" else None,
            ended_at=PAST if letter in "CFIT" else None,
            evidence=evidence,
        )

    def stop(self, name: str) -> None:
        self._answer("stop", *self._number(name))

    def capacity(self) -> Mapping[str, int | None]:
        self._aside("capacity")
        return {POOL: self.worlds.scope.slots}

    def running(self) -> Iterable[Training]:
        (_, runs) = self._answer("running")
        found = (self._training(*run) for run in runs)
        return [training for training in found if training is not None]

    # --- notifier ---

    def publish(self, message: jobcore.ports.Message) -> None:
        self._answer("publish", self.worlds.number_of[message.job_id], message.event_id)

    # --- calls that no scope makes ---

    def find(self, *_: Any) -> NoReturn:
        raise NotImplementedError

    counts = add = find


def _site() -> tuple[str, dict[str, FrameType]]:
    """Name the functions of the ticks from which a port was called, and give their frames."""
    names: list[str] = []
    frames: dict[str, FrameType] = {}
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if (
            str(frame.f_globals.get("__name__")).startswith("jobcore.ticks")
            and frame.f_code.co_name[0] != "<"
        ):
            names.append(frame.f_code.co_name)
            frames[frame.f_code.co_name] = frame
        if frame.f_code.co_name.endswith(("_tick", "apply_request")):
            break
        frame = frame.f_back
    return ">".join(reversed(names)), frames


# The modules, not the names that the package exports: a mutant replaces a function in its module.
_LAUNCH, _MONITOR, _NOTIFY, _REAP, _SUBMIT = (
    import_module(f"jobcore.ticks.{name}")
    for name in ("launch", "monitor", "notify", "reap", "submit")
)
SETTINGS = jobcore.Settings(page=1000, rules=RULES)

_ASKS: Mapping[str, jobcore.lifecycle.Event] = {
    "stop": jobcore.StopRequested(by="ada"),
    "hold": jobcore.HoldRequested(by="ada"),
    "release": jobcore.ReleaseRequested(by="ada"),
}


def _ask(ports: Any, what: str) -> None:
    now = ports.now()
    done = _SUBMIT.apply_request(ports.worlds.ids[0], _ASKS[what], store=ports, now=now)
    if what == "stop" and done is not None and not done.job.status.is_terminal:
        assert done.job.stop is not None, f"L4: a stop is ignored in {done.job.status}"


#: The programs of actors. Each run looks functions up in their module, so that it runs a mutant there.
PROGRAMS: Mapping[str, Callable[[Any], object]] = {
    "launch": lambda ports: _LAUNCH.launch_tick(ports, ports, ports, SETTINGS),
    "monitor": lambda ports: _MONITOR.monitor_tick(ports, ports, ports, SETTINGS),
    "reap": lambda ports: _REAP.reap_tick(ports, ports, ports, SETTINGS),
    "notify": lambda ports: _NOTIFY.notify_tick(ports, ports, ports, SETTINGS),
    "ask stop": lambda ports: _ask(ports, "stop"),
    "ask hold": lambda ports: _ask(ports, "hold"),
    "ask release": lambda ports: _ask(ports, "release"),
}
