"""The shim: one process for each attempt, from the lock to the record of the script's end."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any

from .files import create_durably, replace_durably, sync_directory, try_lock
from .hosts import FULL, Host, write_names
from .metrics import SECONDS_MAX, Reader, Row
from .processes import IS_LINUX, become_subreaper, descendants, kernel_oom_kills, start_ticks
from .slots import allocate_slots
from .wake import poke

REASON_CHARS_MAX = 1024
LOCK_SECONDS_MAX = 0.2
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.05, 5.0  # between two writes to a full disk
_HURRY_SECONDS = 0.5  # for metrics, when this process is told to end
SCRIPT_UMASK = 0o022  # SageMaker's; the training's own folder keeps other users out
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_FROM_OUTSIDE = frozenset({signal.SIGKILL, *_STOP_SIGNALS})


class Shim:
    """One attempt. Signals are handled from the start, so none is lost before the order arrives."""

    def __init__(self) -> None:
        """Install the signal handlers; the order comes with `run`."""
        self.request: dict[str, Any] = {}
        self.directory = ""
        self.hosts: list[Host] = []
        self.failed: Host | None = None  # the first whose script ended with another status than 0
        self.error = ""  # why a host could not be started
        # "stop", "timeout", "interrupted" or "failure" (of a host) once the shim ends the scripts.
        self.end_cause = ""
        self.kill_at: float | None = None
        self._install_signals()

    def path(self, name: str) -> str:
        """Return the path of a file of the training."""
        return os.path.join(self.directory, name)

    def answer(self, result: str, text: str = "") -> None:
        """Send the answer to the manager, once; it is no error if the manager is gone."""
        try:
            self.reply.send(json.dumps({"result": result, "text": text}).encode())
        except OSError:
            pass
        self.reply.close()

    def run(self, request: dict[str, Any], reply: socket.socket) -> None:
        """Carry out an order from the lock to the exit record; report an error before the start."""
        self.request = request
        self.reply = reply
        self.directory = request["directory"]
        names = self.path("etc-hosts") if len(request["hosts"]) > 1 else ""
        self.hosts = [Host(order, names) for order in request["hosts"]]
        self._read_signals()  # drop those that arrived before this process was assigned a training
        try:
            self._run()
        except OSError as error:
            hint = "; free some space" if error.errno in FULL else ""
            self.answer("unclear", f"{error.strerror}: {error.filename or self.directory}{hint}")

    def _run(self) -> None:
        lock = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._lock_with_retries(lock) or os.path.lexists(self.path("started.json")):
            self.answer("exists")
            return
        slots, numbers = self._allocate_slots()
        if slots is None:
            return
        started_at = time.time_ns() // 1000
        oom_before = kernel_oom_kills()
        self._record_start(started_at)
        self.answer("accepted")  # from here on the name is reserved, even if the start fails
        if self.request["to_stop"]:
            self._record_exit(started_at, "stopped before it ran")
            return
        self.error = self._start([lock, *slots], numbers)
        if self.error:
            self._terminate("failure")
        poke(self.request["wake"])
        self._wait()
        self._end_descendants()
        reason = self.error or self._reason(oom_before)
        self._record_exit(started_at, reason, [] if self.error else self._read_metrics())

    def _lock_with_retries(self, lock: int) -> bool:
        # A manager that tests whether the training is alive holds the lock for an instant.
        deadline = time.monotonic() + LOCK_SECONDS_MAX
        while not try_lock(lock):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _allocate_slots(self) -> tuple[list[int] | None, list[int]]:
        """Allocate the slots of the order; None, and a refusal was sent, if there are not enough."""
        if self.request["to_stop"]:
            return [], []
        pool, size, count = self.request["pool"], self.request["size"], self.request["count"]
        fds, numbers, used = allocate_slots(self.request["pool_directory"], size, count)
        if len(fds) < count:
            text = (
                f"CapacityError: pool {pool!r} has {size} slots, {used} in use, {count} asked for"
            )
            self.answer("refused", text)
            return None, []
        return fds, numbers

    def _record_start(self, started_at: int) -> None:
        document = {
            **self.request["identity"],
            "pid": os.getpid(),
            "start_ticks": start_ticks(os.getpid()),
            "started_at": started_at,
            "grace": self.request["grace"],
        }
        create_durably(self.path("started.json"), document)
        sync_directory(self.directory)
        sync_directory(os.path.dirname(self.directory))

    def _start(self, inherited: list[int], numbers: list[int]) -> str:
        """Start the script on all hosts; return the reason if one cannot be started, else ""."""
        umask = os.umask(SCRIPT_UMASK)
        program, where = "", ""
        try:
            for host in self.hosts:
                program = host.order["argv"][0]
                host.create_files()
                if error := host.lay_out_code():
                    return error
            if len(self.hosts) > 1:
                write_names(self.hosts[0].names, [host.name for host in self.hosts])
            # Scripts inherit the lock and the slots, so they stay held if only the shim is killed.
            for fd in inherited:
                os.set_inheritable(fd, True)  # noqa: FBT003  (the standard library's signature)
            for host, number in zip(self.hosts, numbers, strict=True):
                where = self._on(host)
                host.spawn(self._devices(number))
        except OSError as error:
            path = error.filename or program
            if error.errno in FULL:
                return f"InternalError: {path}: {error.strerror}; free some space"
            return f"LocalBadInput: script: {path} cannot be run{where}: {error.strerror}"
        except ValueError as error:  # a NUL, or a text that cannot be encoded
            return f"LocalBadInput: script: its values cannot be given to a process: {error}"
        finally:
            os.umask(umask)
        return ""

    def _devices(self, slot: int) -> list[int] | None:
        """List the GPUs of a slot; None in a pool without GPUs."""
        gpus: int = self.request["gpus"]
        return list(range(slot * gpus, (slot + 1) * gpus)) if gpus else None

    def _on(self, host: Host) -> str:
        """Name a host for a reason, if there is another."""
        return f" on {host.name}" if len(self.hosts) > 1 else ""

    def _running(self) -> list[Host]:
        return [host for host in self.hosts if host.is_running]

    def _install_signals(self) -> None:
        self.wakeup, wakeup_in = os.pipe()
        for fd in (self.wakeup, wakeup_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup_in, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *_STOP_SIGNALS):
            signal.signal(number, lambda *_: None)
        become_subreaper()

    # --- while the script runs ------------------------------------------------------

    def _wait(self) -> None:
        """Wait for the end of all scripts; end them on a stop request, when time is up, or if one failed."""
        limit = self.request["run_at_most"]
        run_until = time.monotonic() + limit if limit is not None else None
        while self._running():
            now = time.monotonic()
            due = [
                t for t in (self.kill_at, None if self.end_cause else run_until) if t is not None
            ]
            timeout = max(0.0, min(due) - now) if due else None
            select.select([self.wakeup], [], [], timeout)
            received = self._read_signals()
            self._reap()
            if not self._running():
                break
            if not self.end_cause:
                if cause := self._cause_to_end(received, run_until):
                    self._terminate(cause)
            elif self.kill_at is not None and time.monotonic() >= self.kill_at:
                self.kill_at = None
                self._signal_all(signal.SIGKILL)

    def _cause_to_end(self, received: set[int], run_until: float | None) -> str:
        """Say why the scripts that run have to end; "" if they may go on."""
        if received & _STOP_SIGNALS:
            return "stop" if os.path.lexists(self.path("stop")) else "interrupted"
        if self.failed is not None:
            return "failure"
        if run_until is not None and time.monotonic() >= run_until:
            return "timeout"
        return ""

    def _read_signals(self) -> set[int]:
        try:
            return set(os.read(self.wakeup, 4096))
        except BlockingIOError:
            return set()

    def _reap(self) -> None:
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                for host in self._running():
                    if host.pid == pid:
                        host.status = status
                        if status != 0 and self.failed is None:
                            self.failed = host
        except ChildProcessError:
            return

    def _terminate(self, cause: str) -> None:
        self.end_cause = cause
        self.kill_at = time.monotonic() + self.request["grace"]
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        for pid in {*(host.pid for host in self._running()), *descendants(os.getpid())}:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                pass
        for group in (host.pid for host in self.hosts if host.pid and not IS_LINUX):
            try:
                os.killpg(group, number)
            except (ProcessLookupError, PermissionError):
                pass

    def _end_descendants(self) -> None:
        """
        End every process that the script left behind; as subreaper the shim inherits the orphans.

        After a stop they have the rest of the grace time. Those forked after the first SIGTERM get
        one of their own.
        """
        deadline = self.kill_at if self.end_cause else None
        signalled: set[int] = set()
        pause = 0.005
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            except ChildProcessError:
                if not IS_LINUX:
                    self._signal_all(signal.SIGKILL)
                return
            if deadline is None or time.monotonic() >= deadline:
                self._signal_all(signal.SIGKILL)
            else:
                for pid in set(descendants(os.getpid())) - signalled:
                    signalled.add(pid)
                    try:
                        os.kill(pid, signal.SIGTERM)
                    except ProcessLookupError:
                        pass
            time.sleep(pause)
            pause = min(0.1, pause * 1.5)

    # --- the record -----------------------------------------------------------------

    def _read_metrics(self) -> list[Row]:
        """Read what the script tells about its model, on the first host; problems are noted in its log."""
        # Told to end from outside, this process may be killed soon: the record of the end comes first.
        reader = Reader(_HURRY_SECONDS if self.end_cause == "interrupted" else SECONDS_MAX)
        output, log = self.path("ml/output/data"), self.hosts[0].path("output.log")
        try:
            rows = reader.read(output, log, self.request["metrics"])
            if reader.notes:
                with open(log, "a", encoding="utf-8", errors="replace") as file:
                    file.writelines(f"jobcore: metrics: {note}\n" for note in reader.notes)
        except Exception:
            return []
        return rows

    def _record_exit(self, started_at: int, reason: str, metrics: Sequence[Row] = ()) -> None:
        outcome = self._outcome()
        host = self.failed or (self.hosts[0] if self.hosts else None)
        status = None if self.error or host is None else host.status
        document = {
            "outcome": outcome,
            "exit_code": os.waitstatus_to_exitcode(status) if status is not None else None,
            "reason": reason if outcome != "Completed" else "",
            "started_at": started_at,
            "ended_at": time.time_ns() // 1000,
            **({"metrics": metrics} if metrics else {}),
        }
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                replace_durably(self.path("exit.json"), document)
                break
            except OSError as error:
                # The script's exit status exists in this process only. Wait for space, and keep the
                # lock and the slots, so that the training counts as running.
                if error.errno not in FULL:
                    raise
                time.sleep(pause)
                pause = min(RETRY_SECONDS_MAX, pause * 2)
        poke(self.request["wake"])

    def _outcome(self) -> str:
        if self.request["to_stop"] or self.end_cause == "stop":
            return "Stopped"
        if self.end_cause == "timeout":
            return "TimedOut"
        # An interrupted script that exits with 0 had just succeeded.
        return "Completed" if all(host.status == 0 for host in self.hosts) else "Failed"

    def _reason(self, oom_before: int) -> str:
        """Write the reason of the end, in the form of SageMaker's training toolkit."""
        if self.end_cause == "timeout":
            return "The job stopped because it exceeded the maximum allowed runtime."
        if self.end_cause == "stop":
            return "The training job has stopped."
        if self.end_cause == "interrupted":
            return "Interrupted: the training's supervisor was told to end, not by jobcore"
        host = self.failed
        if host is None or host.status is None:
            return ""
        code, where = os.waitstatus_to_exitcode(host.status), self._on(host)
        if code < 0 and -code in _FROM_OUTSIDE:
            if -code == signal.SIGKILL and kernel_oom_kills() > oom_before:
                return f"OutOfMemory: the training was killed{where} by the kernel's out-of-memory killer"
            name = signal.Signals(-code).name
            return f"Interrupted: the training was killed{where} from outside by {name} (signal {-code})"
        if code < 0:
            code = 128 - code
        text, hint = host.failure(code)
        # The exit code is last, where the failure rules look for it.
        end = f"{where}{hint}, exit code: {code}"
        return f"AlgorithmError: {text[: REASON_CHARS_MAX - len(end) - 16].rstrip()}{end}"
