"""What a snapshot takes of a folder, what it leaves out, and what it refuses, in words."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from jobcore_code import NEVER_TAKEN, CodeError, CodeStore, scan


def taken(root: Path) -> list[str]:
    return [file.path for file in scan(root).files]


def reasons(root: Path) -> dict[str, str]:
    return dict(scan(root).left_out)


@pytest.mark.parametrize(
    "name",
    [".env", ".env.local", ".ENV", "server.pem", "tls.key", "id_rsa", "id_rsa.pub", ".netrc",
     ".aws/credentials", "credentials", "sub/.env", "sub/deep/id_ed25519", ".git-credentials",
     "service-account-prod.json", ".ssh/config"],
)  # fmt: skip
@pytest.mark.parametrize("ignore", ["", "!*\n!.env\n!*.pem\n"])
def test_what_may_hold_secrets_is_never_taken(tmp_path: Path, name: str, ignore: str) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / ".jobcoreignore").write_text(ignore)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("SECRET")
    assert taken(tmp_path) == [".jobcoreignore", "train.py"]
    assert "may hold secrets" in reasons(tmp_path).values()


def test_the_how_to_guide_lists_all_of_it() -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "choose-what-code-travels.md"
    rows = [row for row in page.read_text("utf-8").splitlines() if row.startswith("| ")]
    listed = {name.lower() for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {name for names in NEVER_TAKEN.values() for name in names} <= listed


@pytest.mark.parametrize("name", ["env.py", "environment", "key.py", "keys", "pem", "dotenv.py"])
def test_names_that_only_resemble_are_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert taken(tmp_path) == [name]


def test_what_tools_make_is_left_out(tmp_path: Path) -> None:
    for name in (*NEVER_TAKEN["made by tools"], *NEVER_TAKEN["version control"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("")
    (tmp_path / "my-env").mkdir()  # a virtual environment of any name
    (tmp_path / "my-env" / "pyvenv.cfg").write_text("")
    (tmp_path / "a.py").write_text("")
    assert taken(tmp_path) == ["a.py"]


def test_the_home_of_jobcore_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "jobcore.db").write_text("")
    (tmp_path / "here").symlink_to(tmp_path / "home")
    assert scan(tmp_path, without=[tmp_path / "here"]).files == ()


def test_sockets_and_pipes_are_left_out_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(tmp_path / "s"))
        assert reasons(tmp_path) == {"pipe": "a pipe, not a file", "s": "a socket, not a file"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")
def test_devices_are_left_out(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("not allowed to make devices here")
    assert reasons(tmp_path) == {"null": "a device, not a file"}


# --- links ------------------------------------------------------------------------------


def test_links_inside_are_kept_and_point_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("")
    (root / "relative").symlink_to("pkg/a.py")
    (root / "absolute").symlink_to(root / "pkg")
    (root / "pkg" / "round").symlink_to("../../root/pkg/a.py")  # leaves the folder and comes back
    (root / "pkg" / "up").symlink_to("..")  # a circle only for who follows it
    links = {link.path: link.target for link in scan(root).links}
    assert links == {
        "relative": "pkg/a.py", "absolute": "pkg", "pkg/round": "a.py", "pkg/up": "..",
    }  # fmt: skip


def test_a_link_out_of_the_folder_is_refused_unless_it_is_ignored(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "data").mkdir()
    (root / "data").symlink_to("../data")
    with pytest.raises(
        CodeError, match=r"data: a link to .*/data, outside.*channel.*\.jobcoreignore"
    ):
        scan(root)
    (root / ".jobcoreignore").write_text("data\n")
    assert reasons(root) == {"data": ".jobcoreignore line 1"}


def test_broken_and_circular_links_are_left_out_in_words(tmp_path: Path) -> None:
    (tmp_path / ".#editing").symlink_to("ada@host.1:2")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / ".env").write_text("")
    (tmp_path / "settings").symlink_to(".env")
    assert reasons(tmp_path) == {
        ".#editing": "a link that is broken",
        "self": "a link that goes in a circle",
        "a": "a link that goes in a circle",
        "b": "a link that goes in a circle",
        ".env": "may hold secrets",
        "settings": "a link to what is left out",
    }


# --- too much, and what cannot be read ----------------------------------------------------


def test_too_many_files_are_refused_with_their_number_and_place(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(30):
        (tmp_path / "data" / str(number)).write_text("")
    with pytest.raises(CodeError, match=r"31 files and folders.* 20 at most \(30 are in data\)"):
        scan(tmp_path, files_max=20)


def test_too_many_bytes_are_refused_with_the_largest_file(tmp_path: Path) -> None:
    with open(tmp_path / "weights.bin", "wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(CodeError, match=r"3,072 MB; .*1,024 MB at most.*weights\.bin"):
        scan(tmp_path)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CodeError, match="there is no such folder"):
        scan(tmp_path / "nowhere")


def without_the_rights_of_root() -> None:
    """Give up the capabilities by which root may read everything (linux/capability.h)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="gives up Linux's capabilities")
@pytest.mark.parametrize("kind", ["file", "folder", ".gitignore"])
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    place = root / (".gitignore" if kind == ".gitignore" else "closed")
    place.mkdir() if kind == "folder" else place.write_text("x")
    place.chmod(0)
    said, saying = os.pipe()
    if not (child := os.fork()):
        try:
            without_the_rights_of_root()
            CodeStore(tmp_path / "store").take(root)
        except CodeError as error:
            os.write(saying, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(saying)
    with open(said) as file:
        text = file.read()
    hint = "list it in .jobcoreignore if the job does not need it"
    assert text == f"{place}: Permission denied; {hint}"
    assert not list((tmp_path / "store").rglob("*.json"))
