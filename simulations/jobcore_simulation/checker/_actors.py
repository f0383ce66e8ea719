"""The production ticks, taken apart at their port calls.

A tick's local state is fixed by the replies it has had since it began. So a tick is suspended by
running it from its beginning with the replies so far, and raising `Suspend` at the first port call
that has no reply yet. Each such history is a *node*; the tick is run once for each, and then
known. `IDLE` is the node of an actor between two ticks.

Calls whose reply says nothing about the world (the clock, the index of due jobs, which may lag by
any time, and what is learned of pools, which may be lost) are answered on the spot, in every way
there is: they commute with whatever others do. For the same reason a tick begins with its first
call that does depend on the world.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import jobcore
from jobcore import CorruptRecord, Job, Status, Unavailable
from jobcore.lifecycle import PoolState, Tick, parse_training_name, spec_hash
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
from jobcore_aws import failure_rules

from ._world import JUST_NOW, LATER, PAST, POOL, UNAVAILABLE, Call, Reply, Worlds

__all__ = ["IDLE", "Actors", "Node", "Suspend"]

IDLE = 0
#: A tick over one job that makes more port calls than this does not end (L2).
CALLS_MAX = 60
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
    """The first port call without a reply; nothing between here and the checker may catch it."""

    def __init__(self, call: Call, site: str, known: Any) -> None:
        super().__init__(call)
        self.call = call
        self.site = site
        self.known = known


class _Ports:
    """Store, trainer, notifier and clock in one, which answer from a list and then suspend."""

    def __init__(
        self, worlds: Worlds, replies: Sequence[Reply], failing: tuple[str, str] | None = None
    ) -> None:
        self.worlds = worlds
        self.failing = failing
        self.asides: list[tuple[str, str]] = []  # calls answered on the spot since the last reply
        self.replies = replies
        self.at = 0
        self.seen: dict[int, Job] = {}  # by job, as the tick last saw it

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
        """Answer a call whose answer is always the same, and would be the same to anybody."""
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
        Give all that the tick still knows at this call, if that is little; None for "everything".

        Ticks that agree in this (and in place and call) go on alike, whatever they have seen
        before. It is read from their frames, and argued for each place:

        - A loop of second looks knows its events, not what it had read before; in `_begin` also
          the versions of the plan's jobs. How often it has looked counts if the scope says so;
          else the tick looks again until it succeeds.
        - A launch is made of the job that is handed to it, and of whether its intent is fresh.
        - After the last stop of a pass nothing follows. The reaper knows what was listed.
        """
        method = call[0]
        listed: Reply = ()
        if "reap_tick" in frames and method in ("get", "stop"):
            listed = next(reply for reply in self.replies if reply[0] == "running")
        if "_again" in frames and method == "get":
            again = frames["_again"].f_locals
            tried = again["_"] if self.worlds.scope.tries else 0
            begun = str(frames["_begin"].f_locals["before"].values()) if "_begin" in frames else ""
            fresh = frames["_perform"].f_locals["bets"] is None if "_perform" in frames else None
            return (str(again["events"]), tried, begun, fresh, listed)
        if listed:
            return listed
        if site == "apply_request" and method == "get":
            return 0  # of ten tries; a user who gives up is one who dies
        if method == "launch":
            perform = frames["_perform"].f_locals
            jobs = tuple(map(self.worlds.intern_job, perform["jobs"]))
            return (jobs, perform["bets"] is not None)
        if method == "stop":
            return ()
        return None

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

    # --- what no scope uses ---

    def find(self, *_: Any) -> NoReturn:
        raise NotImplementedError

    counts = add = find


def _site() -> tuple[str, dict[str, FrameType]]:
    """Name the place in the ticks from which a port was called: the functions on the way to it."""
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
SETTINGS = jobcore.Settings(page=1000, rules=failure_rules())

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


#: What an actor of each kind runs; looked up in the module at each run, so that mutants are run.
PROGRAMS: Mapping[str, Callable[[Any], object]] = {
    "launch": lambda ports: _LAUNCH.launch_tick(ports, ports, ports, SETTINGS),
    "monitor": lambda ports: _MONITOR.monitor_tick(ports, ports, ports, SETTINGS),
    "reap": lambda ports: _REAP.reap_tick(ports, ports, ports, SETTINGS),
    "notify": lambda ports: _NOTIFY.notify_tick(ports, ports, ports, SETTINGS),
    "ask stop": lambda ports: _ask(ports, "stop"),
    "ask hold": lambda ports: _ask(ports, "hold"),
    "ask release": lambda ports: _ask(ports, "release"),
}


class Node:
    """A tick with the replies that it has had, and its next call; None if it is over."""

    __slots__ = ("call", "known", "program", "raised", "replies", "site")

    def __init__(self, program: str, replies: tuple[Reply, ...]) -> None:
        self.program = program
        self.replies = replies
        self.call: Call | None = None
        self.site = ""
        self.raised = ""
        self.known: Any = None  # what the tick has not forgotten, where that is little


class Actors:
    """All nodes met so far of the programs of one kind of actor."""

    def __init__(self, worlds: Worlds, programs: Iterable[str]) -> None:
        self.worlds = worlds
        self.nodes: list[Node] = [Node("", ())]  # IDLE
        self.places: list[int] = [IDLE]  # the nodes at which an actor may be found waiting
        self._place_of: dict[int, int] = {IDLE: IDLE}
        self._children: dict[tuple[int, Reply], int] = {}
        self._settled: dict[int, list[tuple[int, int, tuple[str, ...]]]] = {}
        self._alike: dict[tuple[Any, ...], int] = {}
        self.merge = worlds.scope.merge and worlds.scope.jobs == 1
        self.spare: list[tuple[int, tuple[str, ...]]] = []
        self.probed: set[tuple[str, str, str]] = set()
        self.runs = 0  # of real code
        self.programs = tuple(programs)
        self.roots = {program: self._made(Node(program, ())) for program in self.programs}

    def _run(self, node: Node, failing: tuple[str, str] | None = None) -> _Ports:
        self.runs += 1
        ports = _Ports(self.worlds, node.replies, failing)
        try:
            if len(node.replies) > CALLS_MAX:
                node.raised = f"L2: a {node.program} tick makes more than {CALLS_MAX} port calls"
            else:
                PROGRAMS[node.program](ports)
        except Suspend as suspended:
            node.call, node.site, node.known = suspended.call, suspended.site, suspended.known
        except Unavailable:
            pass  # the tick has ended early, as it says it may
        except Exception as error:
            node.raised = f"a {node.program} tick raises {type(error).__name__}: {error}"
        return ports

    def _made(self, node: Node) -> int:
        ports = self._run(node)
        for aside in ports.asides:
            self._probe(node, aside)
        if node.call is None and not node.raised and ports.at == len(node.replies):
            return IDLE
        if node.known is None or not self.merge:
            self.nodes.append(node)
            return len(self.nodes) - 1
        key = (node.program, node.site, node.call, node.known)
        found = self._alike.get(key)
        if found is None:
            self.nodes.append(node)
            found = self._alike[key] = len(self.nodes) - 1
        return found

    def _probe(self, node: Node, aside: tuple[str, str]) -> None:
        """
        See once what becomes of a tick whose call, answered on the spot, has no answer.

        It ends, as if it had died: which it may do everywhere else as well.
        """
        if (node.program, *aside) in self.probed:
            return
        self.probed.add((node.program, *aside))
        probe = Node(node.program, node.replies)
        self._run(probe, aside)
        if probe.raised or probe.call is not None:
            node.raised = probe.raised or f"a {node.program} tick goes on without {aside[1]}"

    def place(self, number: int) -> int:
        """Number the nodes at which an actor may be found waiting, without gaps."""
        found = self._place_of.get(number)
        if found is None:
            found = self._place_of[number] = len(self.places)
            self.places.append(number)
        return found

    def child(self, number: int, reply: Reply) -> int:
        """Give the node after *reply*."""
        found = self._children.get((number, reply))
        if found is None:
            node = self.nodes[number]
            made = self._made(Node(node.program, (*node.replies, reply)))
            found = self._children[number, reply] = made
        return found

    def settled(self, number: int) -> list[tuple[int, int, tuple[str, ...]]]:
        """
        Follow the calls whose replies say nothing of the world, in every way.

        Returns:
            The nodes come to (waiting for a call that does, or idle), with the faults that this
            costs and the names of what happened.
        """
        found = self._settled.get(number)
        if found is None:
            found = self._settled[number] = self._settle(number)
        return found

    def _settle(self, number: int) -> list[tuple[int, int, tuple[str, ...]]]:
        node = self.nodes[number]
        if number == IDLE or node.raised or node.call is None:
            return [(number, 0, ())]
        if self.is_cut(number):
            return [(IDLE, 0, ())]
        choices = self.choices(node)
        if choices is None:
            return [(number, 0, ())]
        best: dict[int, tuple[int, set[str]]] = {}
        for what, cost, reply in choices:
            cell = f"{node.program}: {node.site}: {node.call[0]}: {what}"
            for after, more, cells in self.settled(self.child(number, reply)):
                known = best.get(after)
                if known is None or cost + more < known[0]:
                    best[after] = (cost + more, {cell, *cells})
                elif cost + more == known[0]:
                    known[1].update((cell, *cells))
                else:  # no new way; it counts as a cell
                    self.spare.append((cost + more, (cell, *cells)))
        return [(after, cost, tuple(sorted(cells))) for after, (cost, cells) in best.items()]

    def is_cut(self, number: int) -> bool:
        """
        Tell whether a tick may as well end here, because another does the same from here on.

        A launch tick that has finished old launches and now plans carries nothing over: one that
        has found none to finish goes on alike. (Where there are several jobs, it is not cut.)
        """
        node = self.nodes[number]
        return (
            self.merge
            and node.call is not None
            and node.call[0] == "waiting"
            and any(reply[0] == "jobs" for reply in node.replies)
        )

    def choices(self, node: Node) -> list[tuple[str, int, Reply]] | None:
        """List the answers to a call that says nothing of the world; None for other calls."""
        assert node.call is not None
        method, single = node.call[0], self.worlds.scope.jobs == 1
        if method == "now":
            times = ("later", "just now") if self.worlds.scope.time else ("later",)
            return [(time, 0, ("now", time)) for time in times]
        lost = ("unavailable", 1, UNAVAILABLE)
        if not single:
            return None
        if method == "due":
            return [("row", 0, ("rows", (0,))), ("no row", 0, ("rows", ())), lost]
        if method == "waiting":
            numbers = range(1, self.worlds.scope.attempts_max + 1 + self.worlds.scope.stranger)
            rows = [(f"attempt {n}", 0, ("rows", ((0, n),))) for n in numbers]
            return [*rows, ("no row", 0, ("rows", ())), lost]
        return None
