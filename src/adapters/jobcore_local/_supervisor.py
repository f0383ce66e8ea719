"""The fork server and the shim: what keeps a training alive, and tells how it ended.

Run as a script by `LocalTrainer`, with the standard library only and as little of it as
possible, because a Python interpreter per training would take 20 ms and more:

    manager ──socket──▶ fork server ──socket──▶ shim ──fork, exec──▶ the user's script

There is one fork server per manager; it ends when the manager's socket closes. It keeps a
few shims forked in advance, so that an order waits for no fork. There is one shim per
attempt; it is a session of its own and, once it has its order, depends on nobody: the
manager and the fork server may be killed at any moment.

A training directory tells all there is to know, and only its shim writes it:

* ``lock``: flock-ed by the shim for life, and inherited by the script. The kernel frees it when
  both are dead, so it means "alive" without pids.
* ``started.json``: synced under another name and then linked to this one, before the script
  runs, so it is whole or absent. It is never undone: a name with this file has been used.
* ``stop``: written by whoever wants it to stop.
* ``exit.json``: synced and renamed into place when nothing of the training is left alive.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

REASON_CHARS_MAX = 1024
TAIL_BYTES = 64 * 1024
LOCK_PATIENCE_SECONDS = 0.2
FULL_SECONDS_MIN, FULL_SECONDS_MAX = 0.05, 5.0  # between two tries on a full disk
SPARES = 4
SPARE_SECONDS = 0.002  # without an order, before a spare is forked
_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # on FAT, say
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# --- small tools ------------------------------------------------------------------------


def try_lock(fd: int) -> bool:
    """Take an exclusive flock without waiting; False if somebody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: str, document: dict[str, Any], *, flags: int) -> None:
    """Write a JSON file and sync it; the directory's entry is the caller's to sync."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        data = json.dumps(document).encode()
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def create_durably(path: str, document: dict[str, Any]) -> None:
    """
    Make a JSON file that is whole from the moment that it has its name.

    The caller holds the lock of the folder, and syncs its entries.

    Raises:
        FileExistsError: there is a file of that name; it was left alone.
        OSError: there is no room, say; there is no file of that name.
    """
    part = f"{path}.part"
    if os.path.lexists(part):  # of a shim that was killed midway
        os.unlink(part)
    try:
        write_durably(part, document, flags=os.O_EXCL)
        try:
            os.link(part, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            os.rename(part, path)
    finally:
        if os.path.lexists(part):
            os.unlink(part)


def replace_durably(path: str, document: dict[str, Any]) -> None:
    """
    Put a JSON file in the place of what has its name, whole and at once.

    The caller holds the lock of the folder.
    """
    part = f"{path}.part"
    write_durably(part, document, flags=os.O_TRUNC)
    os.rename(part, path)
    sync_directory(os.path.dirname(path))


def start_ticks(pid: int) -> int | None:
    """Give a process's start time in clock ticks since boot: with the pid, who it is; None if dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def poke(path: str | None) -> None:
    """Send one byte to the manager's wake socket; nobody listening is no error."""
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wake:
        wake.setblocking(False)
        try:
            wake.sendto(b"\0", path)
        except OSError:
            pass


def descendants(root: int) -> list[int]:
    """List the processes below *root*, by the parent pids in /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if _LINUX else ():
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    todo = list(children.get(root, ()))
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, ())
    return found


def kernel_oom_kills() -> int:
    """Count the kernel's out-of-memory kills since boot; 0 where it cannot be told."""
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


# --- slots ------------------------------------------------------------------------------


def take_slots(directory: str, size: int, count: int) -> tuple[list[int], list[int], int]:
    """
    Take *count* of a pool's *size* slots; all or none.

    Each slot is a file that its holder keeps flock-ed. The pool's own lock makes counting
    and taking one step, so the count is right even where the pool has just shrunk and
    slots beyond its size are still held.

    Returns:
        The open files and the slots' numbers (empty if there was no room), and how many
        slots were in use.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    pool = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(pool, fcntl.LOCK_EX)
        existing = [int(n[5:]) for n in os.listdir(directory) if n.startswith("slot-")]
        free: list[tuple[int, int]] = []
        used = 0
        for number in sorted({*existing, *range(size)}):
            path = os.path.join(directory, f"slot-{number}")
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(fd):
                used += 1
                os.close(fd)
            elif number < size:
                free.append((fd, number))
            else:
                os.close(fd)
        wanted = count if used + count <= size else 0
        for fd, _ in free[wanted:]:
            os.close(fd)
        return [fd for fd, _ in free[:wanted]], [number for _, number in free[:wanted]], used
    finally:
        os.close(pool)


# --- the shim ---------------------------------------------------------------------------


class Shim:
    """One attempt, from the lock to the exit record."""

    def __init__(self) -> None:
        """Get ready for an order; a stop may come as soon as we are known."""
        self.request: dict[str, Any] = {}
        self.directory = ""
        self.script_pid = 0
        self.status: int | None = None
        self.cut_short = ""  # "stop", "timeout" or "interrupted", once we end it
        self.kill_at: float | None = None
        self._install_signals()

    def path(self, name: str) -> str:
        """Give the path of a file of the training."""
        return os.path.join(self.directory, name)

    def answer(self, result: str, text: str = "") -> None:
        """Tell the manager, once; it may be gone."""
        try:
            self.reply.send(json.dumps({"result": result, "text": text}).encode())
        except OSError:
            pass
        self.reply.close()

    def run(self, request: dict[str, Any], reply: socket.socket) -> None:
        """Do all of it; an error before the start is told to the manager."""
        self.request = request
        self.reply = reply
        self.directory = request["directory"]
        self._signals()  # what came before we were anybody was not for this training
        try:
            self._run()
        except OSError as error:
            hint = "; free some space" if error.errno in _FULL else ""
            self.answer("unclear", f"{error.strerror}: {error.filename or self.directory}{hint}")

    def _run(self) -> None:
        lock = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._lock_patiently(lock) or os.path.lexists(self.path("started.json")):
            self.answer("exists")
            return
        slots, numbers = self._slots()
        if slots is None:
            return
        started_at = time.time_ns() // 1000
        oom_before = kernel_oom_kills()
        self._record_start(started_at)
        self.answer("accepted")  # from here on the name is used, whatever happens
        if self.request["to_stop"]:
            self._record_exit(started_at, "stopped before it ran")
            return
        try:
            self._lay_out()
            self._spawn([lock, *slots], numbers)
        except OSError as error:
            what = error.filename or self.request["argv"][0]
            text = f"LocalBadInput: script: {what} cannot be run: {error.strerror}"
            if error.errno in _FULL:
                text = f"InternalError: {what}: {error.strerror}; free some space"
            self._record_exit(started_at, text)
            return
        except ValueError as error:  # a NUL, or a text that cannot be encoded
            text = f"LocalBadInput: script: its values cannot be given to a process: {error}"
            self._record_exit(started_at, text)
            return
        poke(self.request["wake"])
        self._wait()
        self._clear_away()
        self._record_exit(started_at, self._reason(oom_before))

    def _lock_patiently(self, lock: int) -> bool:
        # Somebody who only looks whether we live holds the lock for an instant.
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while not try_lock(lock):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _slots(self) -> tuple[list[int] | None, list[int]]:
        if self.request["to_stop"]:
            return [], []
        pool, size, count = self.request["pool"], self.request["size"], self.request["count"]
        fds, numbers, used = take_slots(self.request["pool_directory"], size, count)
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

    def _lay_out(self) -> None:
        """Make the folders, files and links that the script is to find."""
        for folder in self.request["folders"]:
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                pass
        for path, text in self.request["files"].items():
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        for path, target in self.request["links"].items():
            os.symlink(target, path)

    def _install_signals(self) -> None:
        self.wakeup, wakeup_in = os.pipe()
        for fd in (self.wakeup, wakeup_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup_in, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        if _LINUX:
            libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def _spawn(self, inherited: list[int], numbers: list[int]) -> None:
        """Fork and exec the script; raise what the exec raised."""
        request = self.request
        environment = dict(request["environment"])
        if request["gpu"]:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, numbers))
        log = os.open(
            self.path("output.log"),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
        # Neither Popen nor a fork of this interpreter: posix_spawn is several times cheaper. The
        # lock and the slots go with the script, so that they stay taken if only the shim is killed.
        for fd in inherited:
            os.set_inheritable(fd, True)
        os.chdir(request["cwd"])  # ours does not matter
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.script_pid = os.posix_spawnp(
            request["argv"][0],
            request["argv"],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsigdef=[
                signal.SIGPIPE,
                signal.SIGXFSZ,
            ],  # Python ignores them; a script expects them
            **({"setsid": True} if _LINUX else {"setpgroup": 0}),
        )
        os.close(nothing)
        os.close(log)

    def _wait(self) -> None:
        """Wait for the script's end; end it when asked to or when its time is up."""
        limit = self.request["run_at_most"]
        run_until = time.monotonic() + limit if limit is not None else None
        while self.status is None:
            now = time.monotonic()
            due = [
                t for t in (self.kill_at, None if self.cut_short else run_until) if t is not None
            ]
            timeout = max(0.0, min(due) - now) if due else None
            select.select([self.wakeup], [], [], timeout)
            received = self._signals()
            self._reap()
            if self.status is not None:
                break
            if not self.cut_short:
                if received & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
                    stop = os.path.lexists(self.path("stop"))
                    self._end("stop" if stop else "interrupted")
                elif run_until is not None and time.monotonic() >= run_until:
                    self._end("timeout")
            elif self.kill_at is not None and time.monotonic() >= self.kill_at:
                self.kill_at = None
                self._signal_all(signal.SIGKILL)

    def _signals(self) -> set[int]:
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
                if pid == self.script_pid:
                    self.status = status
        except ChildProcessError:
            return

    def _end(self, why: str) -> None:
        self.cut_short = why
        self.kill_at = time.monotonic() + self.request["grace"]
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        for pid in {self.script_pid, *descendants(os.getpid())}:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                pass
        if not _LINUX:
            try:
                os.killpg(self.script_pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def _clear_away(self) -> None:
        """
        Let nothing outlive the attempt: as subreaper we inherit every orphan of the tree.

        After a stop the rest of the tree has the rest of the grace time; what was forked too
        late to get the SIGTERM gets one now.
        """
        deadline = self.kill_at if self.cut_short else None
        told: set[int] = set()
        pause = 0.005
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            except ChildProcessError:
                if not _LINUX:
                    self._signal_all(signal.SIGKILL)
                return
            if deadline is None or time.monotonic() >= deadline:
                self._signal_all(signal.SIGKILL)
            else:
                for pid in set(descendants(os.getpid())) - told:
                    told.add(pid)
                    try:
                        os.kill(pid, signal.SIGTERM)
                    except ProcessLookupError:
                        pass
            time.sleep(pause)
            pause = min(0.1, pause * 1.5)

    # --- the record -----------------------------------------------------------------

    def _record_exit(self, started_at: int, reason: str) -> None:
        outcome = "Completed"
        if self.request["to_stop"] or self.cut_short == "stop":
            outcome = "Stopped"
        elif self.cut_short == "timeout":
            outcome = "TimedOut"
        elif self.cut_short or self.status != 0:
            outcome = "Failed"
        if outcome != "Completed" and self.status == 0 and self.cut_short == "interrupted":
            outcome = "Completed"  # it was told to end, and had just succeeded
        status = self.status
        document = {
            "outcome": outcome,
            "exit_code": os.waitstatus_to_exitcode(status) if status is not None else None,
            "reason": reason if outcome != "Completed" else "",
            "started_at": started_at,
            "ended_at": time.time_ns() // 1000,
        }
        pause = FULL_SECONDS_MIN
        while True:
            try:
                replace_durably(self.path("exit.json"), document)
                break
            except OSError as error:
                # Nobody else knows how it ended: wait for room, holding the lock and the slots.
                if error.errno not in _FULL:
                    raise
                time.sleep(pause)
                pause = min(FULL_SECONDS_MAX, pause * 2)
        poke(self.request["wake"])

    def _reason(self, oom_before: int) -> str:
        """Say why, in the form that SageMaker's training toolkit gives to failures."""
        status = self.status
        assert status is not None
        if self.cut_short == "timeout":
            return "The job stopped because it exceeded the maximum allowed runtime."
        if self.cut_short == "stop":
            return "The training job has stopped."
        if self.cut_short == "interrupted":
            return "Interrupted: the training's supervisor was told to end, not by jobcore"
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return ""
        if code < 0 and -code in _FROM_OUTSIDE:
            if -code == signal.SIGKILL and kernel_oom_kills() > oom_before:
                return "OutOfMemory: the training was killed by the kernel's out-of-memory killer"
            name = signal.Signals(-code).name
            return f"Interrupted: the training was killed from outside by {name} (signal {-code})"
        if code < 0:
            code = 128 - code
        text = read_tail(self.path("ml/output/failure"), head=True)
        if not text.strip():
            last = self._last_line()
            text = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{last}"'
        end = f", exit code: {code}"
        return f"AlgorithmError: {text[: REASON_CHARS_MAX - len(end) - 16].rstrip()}{end}"

    def _last_line(self) -> str:
        lines = [x for x in read_tail(self.path("output.log")).splitlines() if x.strip()]
        return lines[-1].strip()[:500] if lines else ""


def read_tail(path: str, *, head: bool = False) -> str:
    """Read the end (or the head) of a file that the script wrote; never follow a link."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        size = os.fstat(fd).st_size
        offset = 0 if head else max(0, size - TAIL_BYTES)
        return os.pread(fd, TAIL_BYTES, offset).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


_libc: ctypes.CDLL | None = None


def libc() -> ctypes.CDLL:
    """Load the C library, once, before the first fork."""
    global _libc
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


# --- the fork server --------------------------------------------------------------------


def serve(manager: socket.socket) -> None:
    """Give each order of the manager to a shim, until the manager is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are nobody's zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the manager
    libc()
    gc.disable()  # a collection would copy the pages that shims share with us
    gc.freeze()
    spares: list[socket.socket] = []
    while True:
        # Orders come first; spares are forked when there is nothing else to do.
        if len(spares) < SPARES and not select.select([manager], [], [], SPARE_SECONDS)[0]:
            spares.append(fork_shim([manager, *spares]))
            continue
        size, fds, _, _ = socket.recv_fds(manager, 4, 1)
        if len(size) < 4 or not fds:
            return
        order = receive_exactly(manager, int.from_bytes(size, "big"))
        while True:
            try:
                with spares.pop() as shim:
                    socket.send_fds(shim, [size], fds)
                    shim.sendall(order)
                    break
            except (OSError, IndexError):  # somebody killed that spare
                spares.append(fork_shim([manager, *spares]))
        os.close(fds[0])


def fork_shim(ours: list[socket.socket]) -> socket.socket:
    """Fork a shim that waits for its order; give the socket to send it by."""
    to_shim, orders = socket.socketpair()
    if os.fork():
        orders.close()
        return to_shim
    code = 1
    try:
        for inherited in (to_shim, *ours):
            inherited.close()
        os.setsid()
        os.umask(0o077)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        shim = Shim()
        size, fds, _, _ = socket.recv_fds(orders, 4, 1)
        if fds:
            data = receive_exactly(orders, int.from_bytes(size, "big"))
            orders.close()
            shim.run(json.loads(data), socket.socket(fileno=fds[0]))
        code = 0
    finally:
        os._exit(code)


def receive_exactly(source: socket.socket, size: int) -> bytes:
    """Read *size* bytes; fewer only at the end of the stream."""
    data = b""
    while len(data) < size and (more := source.recv(size - len(data))):
        data += more
    return data


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
