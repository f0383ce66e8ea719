"""Environments with the packages of a requirements.txt: what is in them, when they are made, and faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from jobcore_code import CodeStore
from jobcore_contract import BadInput
from jobcore_local import Environment, Environments, InstallError, InstallOptions
from jobcore_local import inherited_environment as inherited
from jobcore_local._environments import _installer, _key, _layers, _store
from patience import SECONDS, until
from wheels import UV, make_base, make_wheel, offline

INSTALLERS = [
    "pip",
    pytest.param("uv", marks=pytest.mark.skipif(UV is None, reason="there is no uv")),
]


class Machine(NamedTuple):
    """Wheels, and an interpreter that has pip and alpha 1.0."""

    wheels: Path
    python: str
    folder: Path


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    wheels = folder / "wheels"
    old = make_wheel(
        wheels, "alpha", "1.0", commands={"alpha-says": "alpha:main"},
        source="import sys\ndef main():\n    import beta\n    print(VERSION, beta.VERSION, sys.argv[1:])\n",
    )  # fmt: skip
    make_wheel(wheels, "alpha", "2.0")
    make_wheel(
        wheels, "beta", "1.0", requires=["alpha"], commands={"beta-says": "beta:main"},
        source="def main():\n    print('beta')\n",
    )  # fmt: skip
    make_wheel(wheels, "gamma", "1.0", requires=["alpha>=2"])
    make_wheel(wheels, "delta", "1.0", requires=["alpha<2"])
    make_wheel(wheels, "local_one", "1.0")
    return Machine(wheels, make_base(folder / "my base é", old), folder)


class World:
    """A home and a source folder."""

    def __init__(self, machine: Machine, folder: Path, installer: str) -> None:
        self.machine = machine
        self.home = folder / "my home é"
        self.source = folder / "source"
        self.source.mkdir()
        self.store = CodeStore(self.home / "code")
        self.environments = Environments(self.home / "environments")
        self.environ = offline(machine.wheels, installer, folder)
        self.said: list[str] = []
        self.lines: list[str] = []

    def options(self, **changes) -> InstallOptions:
        options = InstallOptions(inherited(), self.environ, self.said.append, self.lines.append)
        return options._replace(**changes)

    def prepare(self, requirements: str | None = None, **changes) -> Environment | None:
        if requirements is not None:
            (self.source / "requirements.txt").write_text(requirements)
        python = changes.pop("python", self.machine.python)
        snapshot = self.store.take(self.source).id
        return self.environments.prepare(python, self.store, snapshot, self.options(**changes))

    def run(self, environment: Environment | None, program: str) -> str:
        assert environment is not None
        assert environment.id is not None
        python = _layers.python_of(self.environments.folder(environment.id))
        command = [python, "-c", program]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def left(self) -> list[str]:
        """What is in the folder of the environments but for locks."""
        path = Path(self.environments.path)
        return (
            sorted(p.name for p in path.iterdir() if p.suffix != ".lock") if path.exists() else []
        )


@pytest.fixture(params=INSTALLERS)
def world(request, machine: Machine, tmp_path: Path) -> World:
    return World(machine, tmp_path, request.param)


@pytest.fixture
def pip_world(machine: Machine, tmp_path: Path) -> World:
    return World(machine, tmp_path, "pip")


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p): p.read_bytes() for p in files}


# --- what is in them --------------------------------------------------------------------------


def test_only_what_is_missing_is_installed_and_the_base_is_not_changed(world: World) -> None:
    base = Path(world.machine.python).parents[1]
    before = contents(base)
    made = world.prepare("beta  # and alpha, which is there\n")
    assert made is not None
    assert (made.installed, made.is_new) == (["beta==1.0"], True)
    program = "import alpha, beta; print(alpha.VERSION, beta.VERSION, alpha.__file__)"
    there = next(str(p) for p in base.rglob("alpha.py"))
    assert world.run(made, program) == f"1.0 1.0 {there}"
    assert contents(base) == before
    assert made.id is not None
    folder = Path(world.environments.folder(made.id))
    assert not (folder / "code").exists()
    assert [p.name for p in folder.rglob("alpha-*.dist-info")] == []


def test_an_upgrade_is_in_front_of_the_base(world: World) -> None:
    made = world.prepare("gamma\n")
    assert made is not None
    assert made.installed == ["alpha==2.0", "gamma==1.0"]
    program = "import alpha; from importlib.metadata import version; print(alpha.VERSION, version('alpha'))"
    assert world.run(made, program) == "2.0 2.0"
    plain = [world.machine.python, "-c", "import alpha; print(alpha.VERSION)"]
    assert subprocess.run(plain, check=True, capture_output=True, text=True).stdout == "1.0\n"


def test_nothing_is_made_if_the_base_has_all_of_it(world: World) -> None:
    for is_new in (True, False):
        made = world.prepare("alpha>=1\nnosuch; python_version < '3'\n")
        assert made is not None
        assert (made.id, made.installed, made.is_new) == (None, [], is_new)
    (record,) = world.left()
    assert record.endswith(".json")
    assert world.prepare("# nothing\n\n") is None
    (world.source / "requirements.txt").unlink()
    (world.source / "train.py").touch()
    assert world.prepare() is None


def test_commands_of_the_base_see_the_new_packages(world: World) -> None:
    made = world.prepare("beta\n")
    assert made is not None
    assert made.id is not None
    commands = Path(world.environments.folder(made.id), "bin")
    said = subprocess.run([commands / "alpha-says", "a b", "c"], capture_output=True, check=True)
    assert said.stdout == b"1.0 1.0 ['a b', 'c']\n"
    assert subprocess.check_output([commands / "beta-says"]) == b"beta\n"


def test_files_of_the_code_can_be_installed(world: World) -> None:
    shutil.copy(world.machine.wheels / "local_one-1.0-py3-none-any.whl", world.source)
    (world.source / "more").mkdir()
    (world.source / "more" / "all.txt").write_text("beta\n-c limits.txt\n")
    (world.source / "more" / "limits.txt").write_text("alpha==2.0\n")
    made = world.prepare("-r more/all.txt\n./local_one-1.0-py3-none-any.whl\n")
    assert made is not None
    assert made.installed == ["alpha==2.0", "beta==1.0", "local_one==1.0"]
    assert made.id is not None
    assert Path(world.environments.folder(made.id), "code", "more").is_dir()  # for ``-e .``
    (world.source / "train.py").touch()  # it may be what was installed
    again = world.prepare()
    assert again is not None
    assert again.is_new
    assert again.id != made.id


# --- when they are made -----------------------------------------------------------------------


def test_a_second_time_costs_no_installation(world: World, monkeypatch) -> None:
    made = world.prepare("beta\n")
    (world.source / "train.py").write_text("print(1)\n")  # another snapshot
    monkeypatch.setattr(_store, "create", None)
    again = world.prepare()
    assert made is not None
    assert again == Environment(made.id, ["beta==1.0"])
    assert len(world.said) == 1


def test_other_requirements_or_packages_of_the_base_are_another_environment(
    pip_world: World, tmp_path: Path
) -> None:
    wheels = pip_world.machine.wheels
    base = make_base(tmp_path / "another base", wheels / "alpha-1.0-py3-none-any.whl", pip=False)
    site = next((tmp_path / "another base" / "lib").glob("python*/site-packages"))

    def key(requirements: str, python: str = base) -> str:
        (pip_world.source / "requirements.txt").write_text(requirements)
        snapshot = pip_world.store.take(pip_world.source).id
        found = _key.read_requirements(pip_world.store, snapshot)
        assert found is not None
        return _key.environment_key(_store.look_at(python, inherited()), found, snapshot)

    (pip_world.source / "limits.txt").write_text("alpha<3\n")
    first = key("beta\n-c limits.txt\n")
    keys = [
        first,
        key("beta\n-climits.txt\n"),
        key("beta\n-c limits.txt\n", pip_world.machine.python),
    ]
    (pip_world.source / "limits.txt").write_text("alpha<2\n")
    keys.append(key("beta\n-c limits.txt\n"))
    (site / "alpha-1.0.dist-info").rename(site / "alpha-1.1.dist-info")
    keys.append(key("beta\n-c limits.txt\n"))
    (pip_world.source / "uv.toml").touch()
    keys.append(key("beta\n-c limits.txt\n"))
    assert len(set(keys)) == len(keys)
    (pip_world.source / "pyproject.toml").write_text("[tool.ruff]\n")
    (pip_world.source / "train.py").touch()
    assert key("beta\n-c limits.txt\n") == keys[-1]


@pytest.mark.parametrize(
    ("line", "is_local"),
    [
        ("torch", False),
        ("torch == 2.1 ; sys_platform == 'linux'", False),
        ("a[b,c]>=1,<2 --hash=sha256:ab \\\n  --hash=sha256:cd", False),
        ("--extra-index-url https://ada:pw@example.org/simple", False),
        ("--no-index", False),
        ("-f /srv/wheels", False),
        ("-f wheels", True),
        ("--find-links=./wheels", True),
        ("a @ https://example.org/a-1.0.zip", False),
        ("git+https://example.org/a.git@main", False),
        ("a @ file:///srv/a", True),
        ("-e .", True),
        (".", True),
        ("./a", True),
        ("a-1.0-py3-none-any.whl", True),
        ("a-1.0.tar.gz ; sys_platform == 'linux'", True),
        ("-e git+https://example.org/a.git#egg=a", True),
        ("${FOLDER}/a", True),
        ("-r ../outside.txt", True),
    ],
)
def test_lines_that_depend_on_the_code(pip_world: World, line: str, is_local: bool) -> None:
    (pip_world.source / "requirements.txt").write_text(f"{line}  # a comment\nother\n")
    snapshot = pip_world.store.take(pip_world.source).id
    found = _key.read_requirements(pip_world.store, snapshot)
    assert found is not None
    assert found.is_local is is_local


def test_two_at_once_install_once(world: World) -> None:
    (world.source / "requirements.txt").write_text("beta\n")
    world.store.take(world.source)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: world.prepare(), range(4)))
    assert len({one.id for one in made if one is not None}) == 1
    assert sum(one.is_new for one in made if one is not None) == 1


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirements", "cause"),
    [
        ("nosuch\n", "does not exist for this Python|cannot be reached"),
        ("gamma\ndelta\n", "exclude each other|cannot be had together|cannot be reached"),
        ("beta==1.0 --hash=sha256:" + "0" * 64 + "\n", "hash"),
        ("=\n", "cannot be read"),
        ("-r nosuch.txt\n", "cannot be read"),
    ],
)
def test_requirements_that_cannot_be_installed(world: World, requirements: str, cause: str) -> None:
    with pytest.raises(
        InstallError, match=f"^requirements.txt: cannot be installed: .*(?:{cause})"
    ) as e:
        world.prepare(requirements)
    assert e.value.lines
    assert world.left() == []


def test_without_network_it_says_so_and_shows_no_password(world: World) -> None:
    del world.environ["PIP_NO_INDEX" if "PIP_NO_INDEX" in world.environ else "UV_OFFLINE"]
    world.environ |= {"PIP_RETRIES": "1", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(
        InstallError, match=r"the package index cannot be reached; .*pip download"
    ) as e:
        world.prepare("--index-url http://ada:canary-4f1d@127.0.0.1:9/simple\nnosuch\n")
    assert "canary" not in str(e.value)
    assert "canary" not in "".join([*e.value.lines, *world.lines, *world.said])
    assert world.left() == []


def test_an_installation_that_takes_too_long_is_ended(world: World) -> None:
    with pytest.raises(InstallError, match="had not installed it after 0 s; submit again"):
        world.prepare("beta\n", seconds_max=0.0)
    assert world.left() == []
    assert world.prepare("beta\n") is not None


def test_an_interpreter_without_pip_gets_it_in_the_environment(pip_world: World, tmp_path) -> None:
    base = make_base(tmp_path / "bare", pip=False)
    made = pip_world.prepare("local_one\n", python=base)
    assert made is not None
    assert "local_one==1.0" in made.installed
    assert not list((tmp_path / "bare").rglob("pip"))


def test_without_uv_pip_and_ensurepip_it_is_refused(
    pip_world: World, tmp_path, monkeypatch
) -> None:
    base = make_base(tmp_path / "bare", pip=False)
    answers = _installer._answers
    monkeypatch.setattr(
        _installer, "_answers", lambda words, env: "ensurepip" not in words and answers(words, env)
    )
    with pytest.raises(InstallError, match=r"no uv on the PATH, .*neither pip nor ensurepip"):
        pip_world.prepare("local_one\n", python=base)
    assert pip_world.left() == []


def test_an_interpreter_that_is_gone_or_too_old(pip_world: World, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"python: /no/python cannot be run: No such file"):
        pip_world.prepare("beta\n", python="/no/python")
    old = tmp_path / "python2"
    answer = {"executable": str(old), "version": "2.7", "number": [2, 7], "sites": []}
    old.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    old.chmod(0o755)
    with pytest.raises(BadInput, match=r"requirements.txt: .* is Python 2.7, and .* 3.8 or newer"):
        pip_world.prepare("beta\n", python=str(old))


def test_pip_is_taken_where_only_pip_is_set_to_an_index(tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    uv = tmp_path / "bin" / "uv"
    for place in (folder / "bin" / "python", uv):
        place.parent.mkdir(parents=True)
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
    environ = {"PATH": f"{uv.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}

    def found(**changes: str) -> str:
        return _installer.find_installer(str(folder), environ | changes).name

    private = "https://example.org/simple"
    if not _installer._pip_is_set(
        str(folder), environ
    ):  # else /etc/pip.conf of this machine says so
        assert found() == "uv"
    assert found(PIP_INDEX_URL=private) == "pip"
    assert found(PIP_INDEX_URL=private, UV_DEFAULT_INDEX=private) == "uv"
    (folder / "pip.conf").write_text(f"[global]\nindex-url = {private}\n")
    assert found() == "pip"
    uv.write_text("#!/bin/sh\nexit 127\n")  # pyenv's, for a Python that has no uv
    assert found(UV_DEFAULT_INDEX=private) == "pip"


def test_settings_that_name_another_place_are_not_passed_on(world: World, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    world.environ |= {
        "PIP_TARGET": elsewhere, "PIP_USER": "1", "UV_PYTHON": sys.executable, "UV_SYSTEM_PYTHON": "1",
        "VIRTUAL_ENV": elsewhere, "PYTHONPATH": elsewhere,
    }  # fmt: skip
    made = world.prepare("beta\n")
    assert made is not None
    assert made.installed == ["beta==1.0"]
    assert not Path(elsewhere).exists()


# --- faults -----------------------------------------------------------------------------------

KILLED = """
import os, sys
from jobcore_code import CodeStore
from jobcore_local import Environments, InstallOptions
home, source, python = sys.argv[1:]
store = CodeStore(home + "/code")
options = InstallOptions(dict(os.environ), dict(os.environ))
Environments(home + "/environments").prepare(python, store, store.take(source).id, options)
"""


def test_a_kill_leaves_nothing_that_is_used(pip_world: World, tmp_path: Path) -> None:
    """The installer outlives the process that started it; the next one waits for it, and begins anew."""
    slow = tmp_path / "commands of pip" / "uv"
    slow.write_text(f"#!/bin/sh\n[ $1 = --version ] || {{ touch '{tmp_path}/begun'; sleep 2; }}\n")
    slow.chmod(0o755)
    (pip_world.source / "requirements.txt").write_text("beta\n")
    environ = {n: v for n, v in pip_world.environ.items() if not n.startswith("PIP_")}
    environ |= {"UV_FIND_LINKS": "x", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", KILLED, str(pip_world.home), str(pip_world.source)]
    with subprocess.Popen([*command, pip_world.machine.python], env=environ) as process:
        until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGKILL)
    (left,) = pip_world.left()
    assert pip_world.environments.problem(left) is not None
    assert pip_world.environments.prune([], used_before=time.time()).removed == 0  # still at work
    slow.unlink()
    made = pip_world.prepare()
    assert made is not None
    assert (made.id, made.is_new) == (left, True)
    assert pip_world.said[0] == "waiting for another process that installs the same"
    assert pip_world.run(made, "import beta; print(beta.VERSION)") == "1.0"


def test_an_interrupt_ends_the_installer(pip_world: World, monkeypatch) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pip_world.prepare("beta\n", progress=interrupt)
    assert pip_world.left() == []


UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
ON_A_SMALL_DISK = """
import os, sys
from jobcore_code import CodeStore
from jobcore_local import Environments, InstallError, InstallOptions
store, environments = CodeStore(sys.argv[4]), Environments("/mnt/environments")
snapshot = store.take(sys.argv[1]).id
options = InstallOptions(dict(os.environ), dict(os.environ))
for python in sys.argv[2:4]:
    try:
        print(environments.prepare(python, store, snapshot, options))
    except (InstallError, OSError) as error:
        print(error)
    print([n for n in os.listdir("/mnt/environments") if not n.endswith(".lock")])
"""


def test_a_full_disk_is_named_and_leaves_nothing(pip_world: World, tmp_path: Path) -> None:
    make_wheel(tmp_path / "large", "large", "1.0", source=f"DATA = '{'x' * (12 << 20)}'\n")
    (pip_world.source / "requirements.txt").write_text("large\n")
    environ = pip_world.environ | {
        "PIP_FIND_LINKS": str(tmp_path / "large"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    python = pip_world.machine.python
    done = subprocess.run(
        [*UNSHARE, 'mount -t tmpfs -o size=8m none /mnt && exec "$@"', "sh", sys.executable, "-c",
         ON_A_SMALL_DISK, str(pip_world.source), python, python, str(tmp_path / "store")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )  # fmt: skip
    if not done.stdout and "unshare" in done.stderr + "unshare" * (done.returncode == 127):
        pytest.skip("needs Linux, and to be allowed to mount")
    first, left, *again = done.stdout.splitlines()
    assert first.startswith("requirements.txt: cannot be installed: the disk is full"), done.stderr
    assert (left, again[1]) == ("[]", "[]")


@pytest.mark.parametrize("damage", ["record", "python", "folder"])
def test_a_damaged_environment_is_found_and_made_again(pip_world: World, damage: str) -> None:
    made = pip_world.prepare("beta\n")
    assert made is not None
    assert made.id is not None
    environments, folder = pip_world.environments, Path(pip_world.environments.folder(made.id))
    assert environments.problem(made.id) is None
    assert environments.check() == (1, [])
    if damage == "record":
        folder.with_suffix(".json").write_text('{"vers')
    elif damage == "python":
        (folder / "bin" / "python").unlink()
        (folder / "bin" / "python").symlink_to("/no/python")
    else:
        shutil.rmtree(folder)
    problem = environments.problem(made.id)
    assert problem is not None
    assert str(folder) in problem
    assert environments.check() == ((0, []) if damage == "folder" else (1, [problem]))
    again = pip_world.prepare()
    assert again is not None
    assert (again.id, again.is_new) == (made.id, True)
    assert pip_world.run(again, "import beta; print(beta.VERSION)") == "1.0"


# --- prune ------------------------------------------------------------------------------------


def test_prune_removes_what_no_job_needs(pip_world: World) -> None:
    first, second = pip_world.prepare("beta\n"), pip_world.prepare("local_one\n")
    pip_world.prepare("alpha\n")  # a record only
    assert first is not None
    assert second is not None
    assert first.id is not None
    environments = pip_world.environments
    assert environments.prune([], used_before=time.time() - 60) == (0, 2, 0)
    planned = environments.prune([first.id], used_before=time.time() + 60, dry_run=True)
    assert (planned.removed, planned.kept) == (1, 1)
    assert planned.bytes > 1000
    assert environments.check() == (2, [])
    assert environments.prune([first.id], used_before=time.time() + 60) == planned
    assert pip_world.left() == [first.id, f"{first.id}.json"]
    assert environments.ids() == [first.id]
    assert Environments(pip_world.home / "nowhere").prune([], used_before=0) == (0, 0, 0)
