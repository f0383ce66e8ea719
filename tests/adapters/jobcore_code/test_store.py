"""The store of code: the same content has the same id, whole or absent, whatever goes wrong."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobcore_code import CodeError, CodeStore, _cache, _files, _store, lay_out, pack
from jobcore_code._manifest import manifest_path, object_path, read_manifest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my code é"
    (root / "pkg").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "train.py").write_text("print('one')\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "pkg" / "a.py").write_text("a")
    (root / "link").symlink_to("pkg/a.py")
    return root


@pytest.fixture
def store(tmp_path: Path) -> CodeStore:
    return CodeStore(tmp_path / "home" / "code")


def files_of(folder: Path) -> dict[str, object]:
    """Read everything of a folder: content and mode, target, or None for a folder."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = (path.read_bytes(), path.stat().st_mode & 0o777)
    return found


def parts(store: CodeStore) -> list[str]:
    place = os.path.join(store.path, "tmp")
    return os.listdir(place) if os.path.exists(place) else []


def test_a_snapshot_is_laid_out_as_it_was(root: Path, store: CodeStore, tmp_path: Path) -> None:
    snapshot = store.take(root)
    lay_out(store.path, snapshot.id, str(tmp_path / "out"))
    assert files_of(tmp_path / "out") == {
        "empty": None,
        "link": "pkg/a.py",
        "pkg": None,
        "pkg/a.py": (b"a", 0o644),
        "run.sh": (b"#!/bin/sh\n", 0o755),
        "train.py": (b"print('one')\n", 0o644),
    }
    assert store.check(snapshot.id) == []
    assert store.snapshots() == [snapshot.id]
    assert parts(store) == []


def test_the_id_is_of_the_content_and_not_of_times_or_places(
    root: Path, store: CodeStore, tmp_path: Path
) -> None:
    first = store.take(root).id
    os.utime(root / "train.py", (1, 1))
    (root / "train.py").chmod(0o600)
    root.rename(tmp_path / "moved")
    assert store.take(tmp_path / "moved").id == first
    (tmp_path / "moved" / "train.py").chmod(0o700)
    assert store.take(tmp_path / "moved").id != first


def test_names_with_line_ends_and_names_that_are_no_text(store: CodeStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    odd = [b"a\nb", b"\xff\xfe", b"- x", "é".encode(), b"'\"", b"\\", b"...", b"a..b"]
    for name in odd:
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(name)
    snapshot = store.take(root)
    lay_out(store.path, snapshot.id, str(tmp_path / "out"))
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == sorted(odd)
    for name in odd:
        with open(os.fsencode(tmp_path / "out") + b"/" + name, "rb") as file:
            assert file.read() == name


def test_what_an_attempt_changes_in_place_is_its_own(
    root: Path, store: CodeStore, tmp_path: Path
) -> None:
    (root / "large").write_bytes(bytes(3 << 20))  # may share blocks
    snapshot = store.take(root).id
    for name in ("one", "two"):
        lay_out(store.path, snapshot, str(tmp_path / name))
    for name in ("large", "train.py"):
        with open(tmp_path / "one" / name, "r+b") as file:
            file.write(b"changed")
    assert (tmp_path / "two" / "train.py").read_text() == "print('one')\n"
    assert (tmp_path / "two" / "large").read_bytes() == bytes(3 << 20)
    assert store.check(snapshot) == []
    inodes = {path.stat().st_ino for path in Path(store.path).rglob("*") if path.is_file()}
    laid = [path.stat().st_ino for n in ("one", "two") for path in (tmp_path / n).rglob("*.py")]
    assert len(set(laid)) == len(laid)
    assert not inodes & set(laid)


def test_blocks_are_shared_where_the_file_system_can(
    root: Path, store: CodeStore, tmp_path: Path, monkeypatch
) -> None:
    """No such file system is at hand, so the system call is played: it copies."""
    content = os.urandom(2 << 20)
    (root / "large").write_bytes(content)
    snapshot = store.take(root).id
    calls = []

    def ioctl(to: int, request: int, fd: int) -> int:
        calls.append(request)
        os.pwrite(to, os.pread(fd, 4 << 20, 0), 0)
        return 0

    monkeypatch.setattr(_files, "_can_clone", True)
    monkeypatch.setattr(_files.fcntl, "ioctl", ioctl)
    lay_out(store.path, snapshot, str(tmp_path / "out"))
    assert (tmp_path / "out" / "large").read_bytes() == content
    assert calls == [0x40049409]  # the small files are copied


def test_the_store_and_its_home_are_private(root: Path, store: CodeStore) -> None:
    store.take(root)
    home = Path(store.path).parent
    for path in (home, *home.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0 or path.is_file(), path


# --- the cache --------------------------------------------------------------------------


def settle(root: Path, monkeypatch) -> None:
    """Let the files count as old."""
    monkeypatch.setattr(_cache, "_SETTLED_NS", -(10**12))


def reads(monkeypatch) -> list[str]:
    seen: list[str] = []
    real = CodeStore._read
    monkeypatch.setattr(
        CodeStore, "_read", lambda self, root, file, batch: seen.append(file.path) or real(self, root, file, batch)
    )  # fmt: skip
    return seen


def test_only_changed_files_are_read_again(root: Path, store: CodeStore, monkeypatch) -> None:
    settle(root, monkeypatch)
    store.take(root)
    seen = reads(monkeypatch)
    store.take(root)
    assert seen == []
    (root / "pkg" / "a.py").write_text("b")  # as long as before
    store.take(root)
    assert seen == ["pkg/a.py"]


@pytest.mark.parametrize("change", ["add", "remove", "mode", "link", "folder", "prune"])
def test_the_last_snapshot_is_used_again_only_if_nothing_has_changed(
    root: Path, store: CodeStore, monkeypatch, change: str
) -> None:
    settle(root, monkeypatch)
    first = store.take(root).id
    looks: list[int] = []
    real = _store.scan
    monkeypatch.setattr(_store, "scan", lambda *a, **k: looks.append(1) or real(*a, **k))
    assert store.take(root).id == first
    assert len(looks) == 1
    match change:
        case "add":
            (root / "new").write_text("")
        case "remove":
            (root / "train.py").unlink()
        case "mode":
            (root / "train.py").chmod(0o755)
        case "link":
            (root / "link").unlink()
            (root / "link").symlink_to("train.py")
        case "folder":
            (root / "empty").rmdir()
        case "prune":
            with store.alone():
                store.prune(set(), used_before=time.time() + 60)
    again = store.take(root).id
    assert (again == first) is (change == "prune")
    assert store.check(again) == []


def test_a_file_that_was_changed_a_moment_ago_is_read_again(
    root: Path, store: CodeStore, monkeypatch
) -> None:
    """Written twice within one step of the clock, it has the same times."""
    store.take(root)
    seen = reads(monkeypatch)
    store.take(root)
    assert "train.py" in seen


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b"0" * 64 + b"\n{}"])
def test_a_damaged_cache_is_not_trusted(
    root: Path, store: CodeStore, monkeypatch, damage: bytes
) -> None:
    settle(root, monkeypatch)
    first = store.take(root).id
    (cache,) = (Path(store.path) / "cache").iterdir()
    cache.write_bytes(damage)
    assert store.take(root).id == first
    wrong = cache.read_bytes().replace(b'"', b"'", 2)
    cache.write_bytes(wrong)
    assert store.take(root).id == first


# --- changes meanwhile --------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_is_read_again(
    root: Path, store: CodeStore, tmp_path: Path, monkeypatch
) -> None:
    real, changes = _store._Batch.add_file, []

    def add_file(self, fd):
        if not changes:
            changes.append(1)
            (root / "train.py").write_text("print('two, and longer')\n")
        return real(self, fd)

    monkeypatch.setattr(_store._Batch, "add_file", add_file)
    snapshot = store.take(root).id
    lay_out(store.path, snapshot, str(tmp_path / "out"))
    assert (tmp_path / "out" / "train.py").read_text() == "print('two, and longer')\n"


@pytest.mark.parametrize("change", ["write", "replace", "add", "remove"])
def test_a_folder_that_always_changes_is_refused_by_name(
    root: Path, store: CodeStore, monkeypatch, change: str
) -> None:
    real, count = _store._Batch.add_file, iter(range(1000))
    (root / "log").write_text("")

    def add_file(self, fd):
        number, log = next(count), root / "log"
        if change == "write":
            with open(log, "a") as file:
                file.write("x")
        elif change == "replace":
            (root / "new").write_text("")
            (root / "new").rename(log)
        elif change == "add":
            (root / f"log{number}").write_text("")
        elif log.exists():
            log.unlink()
        else:
            log.write_text("")
        return real(self, fd)

    monkeypatch.setattr(_store._Batch, "add_file", add_file)
    with pytest.raises(CodeError, match=r"log\d*: changes while it is read; .*\.jobcoreignore"):
        store.take(root)
    assert store.snapshots() == []
    assert parts(store) == []


def test_two_files_are_of_one_moment(root: Path, store: CodeStore, monkeypatch, tmp_path) -> None:
    """A file that was read already changes together with one that was not: both are read anew."""
    real, seen = _store._Batch.add_file, []

    def add_file(self, fd):
        result = real(self, fd)
        seen.append(1)
        if len(seen) == 1:  # pkg/a.py has been read, train.py not yet
            (root / "pkg" / "a.py").write_text("new")
            (root / "train.py").write_text("new")
        return result

    monkeypatch.setattr(_store._Batch, "add_file", add_file)
    lay_out(store.path, store.take(root).id, str(tmp_path / "out"))
    texts = {(tmp_path / "out" / name).read_text() for name in ("pkg/a.py", "train.py")}
    assert texts == {"new"}


# --- several at once, full disks ------------------------------------------------------------


def test_several_submits_at_once(root: Path, store: CodeStore) -> None:
    for number in range(40):
        (root / f"{number}.py").write_text(str(number))
    barrier = threading.Barrier(8)

    def take(_: int) -> str:
        barrier.wait()
        return CodeStore(store.path).take(root).id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(take, range(8)))
    assert len(ids) == 1
    assert store.check(ids.pop()) == []
    assert parts(store) == []


@pytest.mark.parametrize("after", range(4))
def test_a_full_disk_leaves_nothing_half_done(
    root: Path, store: CodeStore, monkeypatch, after: int
) -> None:
    left = iter(range(after))
    real = _store.write_all

    def write_all(fd: int, data: bytes) -> None:
        if next(left, None) is None:
            real(fd, data[:1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(_store, "write_all", write_all)
        with pytest.raises(OSError, match=r"free some space.*code'"):
            store.take(root)
    assert store.snapshots() == []
    assert parts(store) == []
    for path in (Path(store.path) / "objects").rglob("*"):
        assert path.is_dir() or path.name == _files.hash_file(os.open(path, os.O_RDONLY))[0]
    assert store.check(store.take(root).id) == []


def test_a_full_disk_at_the_layout_leaves_no_folder(
    root: Path, store: CodeStore, tmp_path: Path, monkeypatch
) -> None:
    snapshot = store.take(root).id

    def write_all(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_files, "write_all", write_all)
    with pytest.raises(OSError, match="No space"):
        lay_out(store.path, snapshot, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


KILLED = """
import os, signal, sys
from jobcore_code import CodeStore, _store
real = os.rename
def rename(a, b):
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left.pop()
    real(a, b)
left = [1] * int(sys.argv[3])
_store.os.rename = rename
CodeStore(sys.argv[1]).take(sys.argv[2])
"""


@pytest.mark.parametrize("renames", [0, 1, 3])
def test_a_submit_that_is_killed_leaves_whole_objects_only(
    root: Path, store: CodeStore, renames: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, store.path, str(root), str(renames)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == -9
    assert parts(store) != []
    for snapshot in store.snapshots():
        assert store.check(snapshot) == []
    assert store.check(store.take(root).id) == []
    with store.alone():
        store.prune({"x"}, used_before=0)
    assert parts(store) == []


# --- damage -------------------------------------------------------------------------------


def damaged(store: CodeStore, snapshot: str, name: str, content: bytes | None) -> Path:
    entry = next(e for e in read_manifest(store.path, snapshot).files if e.path == name)
    place = Path(object_path(store.path, entry.digest))
    place.unlink()
    if content is not None:
        place.write_bytes(content)
    return place


@pytest.mark.parametrize("content", [None, b"", b"print('0ne')\n", b"print('one')\nmore"])
def test_damage_is_found_before_the_code_runs(
    root: Path, store: CodeStore, tmp_path: Path, content: bytes | None
) -> None:
    snapshot = store.take(root).id
    damaged(store, snapshot, "train.py", content)
    (said,) = store.check(snapshot)
    assert said.startswith("train.py: ")
    (root / "train.py").write_text("print('another')\n")
    with pytest.raises(CodeError, match=r"train\.py is damaged or missing in .*; submit"):
        lay_out(store.path, snapshot, str(tmp_path / "out"), source=str(root))
    assert not (tmp_path / "out").exists()
    with pytest.raises(CodeError, match=r"train\.py is damaged or missing"):
        pack(store.path, snapshot)


@pytest.mark.parametrize("content", [None, b"?"])
def test_damage_is_mended_from_a_source_that_is_the_same(
    root: Path, store: CodeStore, tmp_path: Path, content: bytes | None
) -> None:
    snapshot = store.take(root).id
    damaged(store, snapshot, "train.py", content)
    lay_out(store.path, snapshot, str(tmp_path / "out"), source=str(root))
    assert (tmp_path / "out" / "train.py").read_text() == "print('one')\n"
    assert store.check(snapshot) == []


@pytest.mark.parametrize("is_cached", [False, True])
def test_a_damaged_manifest_is_found_and_mended_by_a_submit(
    root: Path, store: CodeStore, tmp_path: Path, monkeypatch, is_cached: bool
) -> None:
    if is_cached:
        settle(root, monkeypatch)
    snapshot = store.take(root).id
    place = Path(manifest_path(store.path, snapshot))
    place.chmod(0o600)
    place.write_bytes(place.read_bytes().replace(b"train", b"trick"))
    with pytest.raises(CodeError, match="is damaged"):
        lay_out(store.path, snapshot, str(tmp_path / "out"))
    assert store.take(root).id == snapshot
    lay_out(store.path, snapshot, str(tmp_path / "out"))


@pytest.mark.parametrize("snapshot", ["0" * 64, "../../etc/passwd", "", "x"])
def test_a_snapshot_that_is_not_there(store: CodeStore, tmp_path: Path, snapshot: str) -> None:
    assert not store.has(snapshot)
    with pytest.raises(CodeError, match=r"snapshot: .*submit the job again"):
        lay_out(store.path, snapshot, str(tmp_path / "out"))


def test_a_manifest_of_another_program_writes_nothing_outside(
    store: CodeStore, tmp_path: Path, root: Path
) -> None:
    import hashlib
    import json

    store.take(root)
    for path in ("../x", "/x", "a/../../x"):
        content = json.dumps({"version": 1, "folders": [path], "files": [], "links": []}).encode()
        snapshot = hashlib.sha256(content).hexdigest()
        Path(manifest_path(store.path, snapshot)).write_bytes(content)
        with pytest.raises(CodeError, match="not a path in a folder"):
            lay_out(store.path, snapshot, str(tmp_path / "out"))


# --- removal ------------------------------------------------------------------------------


def test_prune_removes_what_no_job_needs_and_no_more(root: Path, store: CodeStore) -> None:
    first = store.take(root).id
    (root / "train.py").write_text("two\n")
    second = store.take(root).id
    (root / "train.py").write_text("three\n")
    third = store.take(root).id
    later = time.time() + 60
    with store.alone():
        dry = store.prune({second}, used_before=later, dry_run=True)
        assert store.snapshots() == sorted([first, second, third])
        assert store.prune({second}, used_before=later) == dry
        assert (dry.removed, dry.kept) == (2, 1)
        assert store.prune({second}, used_before=later).removed == 0
    assert store.snapshots() == [second]
    assert store.check(second) == []
    objects = [p for p in (Path(store.path) / "objects").rglob("*") if p.is_file()]
    assert len(objects) == len(read_manifest(store.path, second).files)


def test_a_snapshot_counts_as_used_when_it_is_taken_again(root: Path, store: CodeStore) -> None:
    snapshot = store.take(root).id
    os.utime(manifest_path(store.path, snapshot), (1, 1))
    store.take(root)
    with store.alone():
        assert store.prune(set(), used_before=time.time() - 60).removed == 0


def test_no_object_is_removed_while_a_kept_manifest_is_damaged(
    root: Path, store: CodeStore
) -> None:
    snapshot = store.take(root).id
    place = Path(manifest_path(store.path, snapshot))
    content = place.read_bytes()
    place.chmod(0o600)
    place.write_bytes(b"?")
    with store.alone():
        store.prune({snapshot}, used_before=time.time() + 60)
    place.write_bytes(content)
    assert store.check(snapshot) == []


def test_a_prune_waits_for_submits(store: CodeStore) -> None:
    entered = threading.Event()

    def prune() -> None:
        with CodeStore(store.path).alone():
            entered.set()

    with store.in_use(), store.in_use():  # submits do not wait for each other
        thread = threading.Thread(target=prune)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(30)
    thread.join()


# --- archives -----------------------------------------------------------------------------


def test_an_archive_depends_on_the_content_only(root: Path, store: CodeStore, tmp_path) -> None:
    snapshot = store.take(root).id
    data = pack(store.path, snapshot)
    other = CodeStore(tmp_path / "other", durable=False)
    assert pack(other.path, other.take(root).id) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    lay_out(store.path, snapshot, str(tmp_path / "laid"))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "laid")


# --- file systems ---------------------------------------------------------------------------

# A file system of 8 MB in a namespace of our own: no root needed, gone with the process.
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
ON_A_SMALL_DISK = """
import os, sys
from jobcore_code import CodeStore, lay_out
root, store = sys.argv[1], CodeStore("/mnt/home/code")
try:
    store.take(root)
except OSError as error:
    print(error.strerror, error.filename, os.listdir("/mnt/home/code/tmp"), store.snapshots())
os.truncate(root + "/large", 5 << 20)
snapshot = store.take(root).id
print(store.check(snapshot))
try:
    lay_out(store.path, snapshot, "/mnt/out")
except OSError as error:
    print(error.strerror, os.path.exists("/mnt/out"))
os.system("mount -o remount,ro /mnt")
try:
    store.take(root)
except OSError as error:
    print(error.strerror, error.filename)
"""


def test_a_disk_that_is_full_or_cannot_be_written(root: Path) -> None:
    with open(root / "large", "wb") as file:
        file.truncate(12 << 20)
    done = subprocess.run(
        [*UNSHARE, 'mount -t tmpfs -o size=8m none /mnt && exec "$@"', "sh", sys.executable, "-c",
         ON_A_SMALL_DISK, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if not done.stdout and "unshare" in done.stderr + "unshare" * (done.returncode == 127):
        pytest.skip("needs Linux, and to be allowed to mount")
    assert done.stdout.splitlines() == [
        "No space left on device; free some space /mnt/home/code [] []",
        "[]",
        "No space left on device False",
        "Read-only file system /mnt/home/code",
    ], done.stderr
