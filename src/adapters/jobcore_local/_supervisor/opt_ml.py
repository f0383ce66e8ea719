"""
Start a command in a mount namespace of its own, where a folder is mounted on /opt/ml.

``python -I -S opt_ml.py FOLDER NAMES NOTE COMMAND...``. The shim starts scripts that mention /opt/ml
with it. A training of several hosts has names for them, as SageMaker has: the file NAMES is mounted
on /etc/hosts. FOLDER or NAMES may be "". If the kernel does not allow it, the reason is written into
the file NOTE, and the command runs without the mounts: most scripts take their folders from the
environment and only fall back on /opt/ml. A child process tries it first, because a namespace that
is half made cannot be left.

Without root rights this needs a user namespace, in which the user has the same id as outside
(user_namespaces(7)). Files of other users appear there as those of nobody. The constants are those
of linux/sched.h and linux/mount.h.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_TARGET = "/opt/ml"
_NAMES_TARGET = "/etc/hosts"


def mount_private(folder: str, names: str = "") -> None:
    """
    Mount *folder* on /opt/ml, and *names* on /etc/hosts, for this process and its children only.

    Raises:
        OSError: the kernel does not allow it, or there is no /opt or no /etc/hosts.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _enter_namespace(libc)
    _mount(libc, None, "/", None, _RECURSIVE | _PRIVATE)
    if names:
        _mount(libc, names, _NAMES_TARGET, None, _BIND)
    if not folder:
        return
    if not os.path.isdir(_TARGET):
        _replace_parent(libc)
    _mount(libc, folder, _TARGET, None, _BIND | _RECURSIVE)
    os.chdir(os.getcwd())  # it may be below /opt, which has been replaced


def _enter_namespace(libc: ctypes.CDLL) -> None:
    if os.geteuid() == 0 and libc.unshare(_NEW_MOUNTS) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_USER | _NEW_MOUNTS) != 0:
        raise _last_error(call="unshare")
    for name, text in (
        ("setgroups", "deny"),  # the kernel wants it before a map of groups
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _replace_parent(libc: ctypes.CDLL) -> None:
    """Mount a folder in memory on /opt that has its entries, and an empty one for the mount."""
    parent = os.path.dirname(_TARGET)
    links, others = {}, {}
    for entry in os.scandir(parent):
        if entry.is_symlink():
            links[entry.path] = os.readlink(entry.path)
        else:  # held open, because the mount hides them
            others[entry.path] = entry.is_dir(), os.open(entry.path, os.O_PATH | os.O_CLOEXEC)
    _mount(libc, "none", parent, "tmpfs", 0, "mode=755")
    for path, target in links.items():
        os.symlink(target, path)
    for path, (is_folder, fd) in others.items():
        if is_folder:
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        _mount(libc, f"/proc/self/fd/{fd}", path, None, _BIND | _RECURSIVE)
    os.mkdir(_TARGET)


def _mount(
    libc: ctypes.CDLL,
    source: str | None,
    target: str,
    kind: str | None,
    flags: int,
    data: str | None = None,
) -> None:
    texts = (source, target, kind, data)
    first, second, third, last = (None if t is None else os.fsencode(t) for t in texts)
    if libc.mount(first, second, third, ctypes.c_ulong(flags), last) != 0:
        raise _last_error(call=f"mount on {target}")


def _last_error(*, call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), call)


def is_possible(folder: str, names: str, note: str) -> bool:
    """Try the mounts in a child process; write the reason into the file *note* if one fails."""
    child = os.fork()
    if child == 0:
        try:
            mount_private(folder, names)
        except OSError as error:
            with open(note, "w", encoding="utf-8") as file:
                file.write(f"{error.strerror} ({error.filename})")
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def main(folder: str, names: str, note: str, command: list[str]) -> None:
    """Mount if that is possible, and become the command."""
    if is_possible(folder, names, note):
        mount_private(folder, names)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and a script expects them
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606  (running the user's program is the job)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
