"""Trainings as local process trees, each under a shim that outlives the manager.

`_supervisor` describes the files of a training's folder. This module reads them, requests shims of
the fork server, and settles damaged records. Several managers may use one home at the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jobcore
from jobcore import Unavailable
from jobcore.jobfile import metric_regexes
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Training,
    TrainingState,
)
from jobcore_code import snapshot_id
from jobcore_contract import host_name

from . import _supervisor
from ._contract import BadInput, host_folder, inherited_environment, prepare
from ._environments import Environments
from ._pools import Pool, read_pool_tables, read_pools
from ._processes import is_same_process, marked_processes, signal_each, signal_if_same
from ._records import OUTCOMES, DamagedError, problems, read_end, read_metrics, read_start, settle
from ._supervisor.files import sync_directory, try_lock

STOP_GRACE = timedelta(seconds=120)  # SageMaker: SIGTERM, and SIGKILL 120 s later
ANSWER_SECONDS_MAX = 30.0


def code_path(home: Path) -> Path:
    """Return the folder of a home's code store, see `jobcore_code.CodeStore`."""
    return home / "code"


def environments_path(home: Path) -> Path:
    """Return the folder of a home's environments, see `Environments`."""
    return home / "environments"


class LocalTrainer:
    """
    The `Trainer` of one machine.

    Args:
        home: the folder of trainings, checkpoints and pools; created private to its user if missing.
        wake: the path of a wake socket that shims poke when a training starts or ends.
        stop_grace: from SIGTERM to SIGKILL, unless the job sets its own.

    Raises:
        Unavailable: *home* cannot be created.
    """

    def __init__(
        self,
        home: Path | str,
        *,
        wake: Path | str | None = None,
        stop_grace: timedelta = STOP_GRACE,
    ) -> None:
        """Use *home*; no process is started before the first launch."""
        self.home = Path(home).expanduser().resolve()
        self._wake = os.fspath(wake) if wake is not None else None
        self._grace = stop_grace
        self._inherited = inherited_environment()
        self._environments = Environments(environments_path(self.home))
        self._server: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        try:
            is_new = not (self.home / "trainings").exists()
            for folder in ("trainings", "checkpoints", "pools"):
                (self.home / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            if is_new:
                sync_directory(os.fspath(self.home))
        except OSError as error:
            msg = f"{self.home}: {error.strerror}; choose another home (--home, JOBCORE_HOME)"
            raise Unavailable(msg) from None

    # --- paths ----------------------------------------------------------------------

    def directory(self, name: str) -> Path:
        """
        Return the folder of the training *name*.

        Raises:
            ValueError: *name* is not a training name.
        """
        if jobcore.lifecycle.parse_training_name(name) is None:
            msg = f"{name!r} is not a training name"
            raise ValueError(msg)
        return self.home / "trainings" / name

    def log_path(self, name: str, host: int = 1) -> Path:
        """Return the path of the standard output and error of the script on a host; the first is 1."""
        return Path(host_folder(self.directory(name), host)) / "output.log"

    def model_dir(self, name: str) -> Path:
        """Return the folder that the script saves its model to, on all hosts."""
        return self.directory(name) / "ml" / "model"

    def output_dir(self, name: str) -> Path:
        """Return the folder that the script saves other results to, on all hosts."""
        return self.directory(name) / "ml" / "output" / "data"

    def code_dir(self, name: str) -> Path:
        """Return the folder that the first host's script runs in, if its job has a snapshot of its code."""
        return self.directory(name) / "code"

    def checkpoint_dir(self, job_id: str) -> Path:
        """Return the folder of checkpoints that all attempts of a job share."""
        if not jobcore.lifecycle.is_job_id(job_id):
            msg = f"{job_id!r} is not a job id"
            raise ValueError(msg)
        return self.home / "checkpoints" / job_id

    # --- the port -------------------------------------------------------------------

    def capacity(self) -> Mapping[str, int | None]:
        """Read the pools and their slots from the pools file."""
        try:
            return dict(read_pools(self.home))
        except (OSError, ValueError) as error:
            raise Unavailable(str(error)) from None

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Start trainings under their names; the shims of one call work at the same time."""
        try:
            pools = read_pool_tables(self.home)
        except (OSError, ValueError) as error:
            raise Unavailable(str(error)) from None
        pending = [self._begin(request, pools) for request in requests]
        return [
            self._answer(begun) if isinstance(begun, socket.socket) else begun for begun in pending
        ]

    def _begin(
        self, request: LaunchRequest, pools: Mapping[str, Pool]
    ) -> LaunchReply | socket.socket:
        """Send a launch to a shim and return the socket of its answer, or the answer if it is known already."""
        directory = self.directory(request.name)
        try:
            if read_start(directory) is not None:
                return LaunchReply(LaunchResult.EXISTS)
        except DamagedError as error:
            return self._settle(request, directory, error)
        except OSError as error:
            return _unclear(f"{error.filename or directory}: {error.strerror}")
        pool = request.placement.pool
        if pool not in pools and not request.to_stop:
            return _refused(f"LocalBadInput: pool: there is no pool {pool!r} on this machine")
        try:
            directory.mkdir(exist_ok=True, mode=0o700)
            order = self._order(request, directory, pools.get(pool) or Pool(0, 0))
        except BadInput as error:
            return _refused(f"LocalBadInput: {error}")
        except OSError as error:
            return _unclear(f"{error.filename or directory}: {error.strerror}")
        return self._send_order(order) or _unclear("the fork server cannot be reached")

    def _settle(self, request: LaunchRequest, directory: Path, damage: DamagedError) -> LaunchReply:
        """
        Settle a damaged start record; the next launch is answered EXISTS.

        This one is answered UNCLEAR, so that the launch tick reports it.
        """
        try:
            if not self._is_over(request.name):
                if request.to_stop:
                    self.stop(request.name)
                return _unclear(f"{damage}, and a process of the training still runs")
            settle(directory, _identity(request), to_stop=request.to_stop)
        except (OSError, Unavailable) as error:
            return _unclear(f"{damage}, and cannot be settled: {error}")
        return _unclear(f"{damage}; the training counts as over")

    def _is_over(self, name: str) -> bool:
        """
        Check whether all processes of a training have ended, without its start record.

        The shim and the script hold the lock. A process that has closed it but has the training's
        mark in its environment is killed.
        """
        if self._is_locked(name):
            return False
        leftovers = marked_processes(self.directory(name))
        signal_each(leftovers, signal.SIGKILL)
        return not leftovers

    def _order(self, request: LaunchRequest, directory: Path, pool: Pool) -> dict[str, Any]:
        """Make the order of a launch: everything that the shim needs."""
        count = 0 if request.to_stop else request.placement.count
        hosts = [
            self._host(request, directory, pool.gpus, number) for number in range(1, count + 1)
        ]
        grace = request.args.get("stop_grace_seconds")
        limit = request.run_at_most
        return {
            "directory": str(directory),
            "identity": _identity(request),
            "hosts": hosts,
            "pool": request.placement.pool,
            "pool_directory": str(self.home / "pools" / request.placement.pool),
            "size": pool.slots,
            "count": request.placement.count,
            "gpus": pool.gpus,
            "grace": grace if isinstance(grace, int | float) else self._grace.total_seconds(),
            "run_at_most": limit.total_seconds() if limit is not None else None,
            "to_stop": request.to_stop,
            "metrics": metric_regexes(request.args),
            "wake": self._wake,
        }

    def _host(
        self, request: LaunchRequest, directory: Path, gpus: int, number: int
    ) -> dict[str, Any]:
        """Make the part of an order for one host."""
        prepared = prepare(
            request,
            directory,
            self.checkpoint_dir(request.job_id),
            self._inherited,
            self._environments,
            host=number,
            gpus=gpus,
        )
        folder = host_folder(directory, number)
        code = self._code(request, f"{folder}/code")
        return {"name": host_name(number), "folder": folder, "code": code, **vars(prepared)}

    def _code(self, request: LaunchRequest, target: str) -> dict[str, Any] | None:
        """Say which snapshot the shim lays out where; None if the script runs in its source folder."""
        snapshot = snapshot_id(request.args)
        if snapshot is None:
            return None
        source = request.args.get("source_dir")
        return {
            "store": str(code_path(self.home)),
            "snapshot": snapshot,
            "target": target,
            "source": source if isinstance(source, str) else None,
        }

    def _answer(self, shim: socket.socket) -> LaunchReply:
        """Wait for a shim's answer."""
        with shim:
            ready, _, _ = select.select([shim], [], [], ANSWER_SECONDS_MAX)
            answer = shim.recv(65536) if ready else b""
        if not answer:
            return _unclear("the fork server did not answer")
        reply = json.loads(answer)
        text = reply["text"]
        evidence = Evidence(where="create", text=text) if text else None
        return LaunchReply(LaunchResult(reply["result"]), evidence)

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """
        Read trainings from their folders; one that cannot be read is left out.

        A training that is over and whose start record is damaged is described as absent. So it is
        launched again, which settles the record.
        """
        answer: dict[str, Training | None] = {}
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                try:
                    answer[name] = self._describe(name)
                except DamagedError:
                    if self._is_over(name):
                        answer[name] = None
        return answer

    def _describe(self, name: str) -> Training | None:
        directory = self.directory(name)
        started = read_start(directory)
        if started is None:
            return None
        ended = self._end(name, started)
        identity: dict[str, Any] = {
            "name": name,
            "job_id": started["job_id"],
            "attempt": started["attempt"],
            "spec_hash": started["spec_hash"],
            "started_at": _moment(started["started_at"]),
        }
        if ended is None:
            stopping = (directory / "stop").exists()
            state = TrainingState.STOPPING if stopping else TrainingState.RUNNING
            return Training(**identity, state=state, detail=state.value)
        state = OUTCOMES[ended["outcome"]]
        evidence = None
        if state is not TrainingState.COMPLETED:
            secondary = "MaxRuntimeExceeded" if ended["outcome"] == "TimedOut" else str(state)
            evidence = Evidence(
                where="describe",
                status=str(state),
                secondary_status=secondary,
                text=ended["reason"],
            )
        return Training(
            **identity,
            state=state,
            detail=ended["outcome"],
            ended_at=_moment(ended["ended_at"]),
            evidence=evidence,
            metrics=read_metrics(ended),
        )

    def _end(self, name: str, started: Mapping[str, Any]) -> dict[str, Any] | None:
        """Read the end of a training; None while its shim is alive."""
        reason = "Interrupted: the training's supervisor died before the training ended"
        for _ in range(
            2
        ):  # the shim may end between the read of its record and the check of its process
            try:
                if (ended := read_end(self.directory(name))) is not None:
                    return ended
            except DamagedError as error:
                reason = f"InternalError: {error}; how the training ended is not known"
            if is_same_process(started["pid"], started["start_ticks"]):
                return None
        return self._end_of_orphans(name, started, reason)

    def _end_of_orphans(
        self, name: str, started: Mapping[str, Any], reason: str
    ) -> dict[str, Any] | None:
        """
        Kill the processes of a training whose shim was killed; return its end when none is left.

        Without the shim the script's exit status is lost. So its processes are killed, and the
        attempt has failed. They are found by a mark in their environment, and by the lock, which
        they inherit.
        """
        leftovers = marked_processes(self.directory(name))
        if leftovers:
            signal_each(leftovers, signal.SIGKILL)
        if leftovers or self._is_locked(name):
            return None
        stopped = (self.directory(name) / "stop").exists()
        return {
            "outcome": "Stopped" if stopped else "Failed",
            "reason": "The training job has stopped." if stopped else reason,
            "started_at": started["started_at"],
            "ended_at": None,
        }

    def _is_locked(self, name: str) -> bool:
        """Check whether a process of the training holds its lock."""
        try:
            fd = os.open(self.directory(name) / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # a shim creates it first
            return False
        try:
            return not try_lock(fd)
        finally:
            os.close(fd)

    def stop(self, name: str) -> None:
        """Request a stop of a training's process tree: SIGTERM, and SIGKILL after the grace time."""
        directory = self.directory(name)
        try:
            try:
                started = read_start(directory)
            except DamagedError:  # its processes are found by their mark
                started = {"pid": None, "start_ticks": None, "grace": self._grace.total_seconds()}
            # No process of a training is alive once exit.json exists, readable or not.
            if started is None or (directory / "exit.json").exists():
                return
            marker = directory / "stop"
            first = not marker.exists()
            if first:  # the file's time is the time of the request
                marker.touch(mode=0o600)
        except (OSError, ValueError) as error:
            raise Unavailable(str(error)) from None
        pid, ticks = started["pid"], started["start_ticks"]
        if pid is not None and signal_if_same(pid, ticks, signal.SIGTERM):
            return
        # The shim is dead. Signal the rest of its tree from here, once in each call.
        overdue = not first and time.time() - marker.stat().st_ctime > started["grace"]
        signal_each(
            marked_processes(self.directory(name)), signal.SIGKILL if overdue else signal.SIGTERM
        )

    def running(self) -> Iterator[Training]:
        """Iterate over the trainings that are not over."""
        try:
            names = sorted(os.listdir(self.home / "trainings"))
        except OSError as error:
            raise Unavailable(str(error)) from None
        for name in names:
            if (self.home / "trainings" / name / "exit.json").exists():
                continue
            if jobcore.lifecycle.parse_training_name(name) is None:
                continue
            training = self.describe([name]).get(name)
            if training is not None and not training.state.is_terminal:
                yield training

    def check(self) -> tuple[int, list[str]]:
        """Read the records of all trainings; return their number, and a line for each damaged one."""
        found = list(problems(self.home / "trainings"))
        return len(found), [f"{name}/{wrong}" for name, wrong in found if wrong]

    # --- the fork server ------------------------------------------------------------

    def _send_order(self, order: Mapping[str, Any]) -> socket.socket | None:
        """Send an order to the fork server; return the socket of the answer, None if it failed."""
        data = json.dumps(order).encode()
        ours, theirs = socket.socketpair()
        with theirs, self._guard:
            if not self._send(data, theirs):
                self._end_server()  # it was killed, and did not receive the whole order
                if not self._send(data, theirs):
                    ours.close()
                    return None
        return ours

    def _send(self, data: bytes, reply: socket.socket) -> bool:
        server = self._server or self._start_server()
        try:
            socket.send_fds(server, [len(data).to_bytes(4, "big")], [reply.fileno()])
            server.sendall(data)
        except OSError:
            return False
        return True

    def _start_server(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _supervisor.START_SCRIPT, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # so that Ctrl-C at the manager does not reach the trainings
            )
        self._server = ours
        return ours

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._process is not None:
            self._process.wait(timeout=10)
            self._process = None

    def close(self) -> None:
        """End the fork server; trainings go on."""
        with self._guard:
            self._end_server()


def _unclear(text: str) -> LaunchReply:
    return LaunchReply(LaunchResult.UNCLEAR, Evidence(where="create", text=text))


def _refused(text: str) -> LaunchReply:
    return LaunchReply(LaunchResult.REFUSED, Evidence(where="create", text=text))


def _identity(request: LaunchRequest) -> dict[str, Any]:
    return {
        "job_id": request.job_id,
        "attempt": request.attempt,
        "spec_hash": request.spec_hash,
    }


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)
