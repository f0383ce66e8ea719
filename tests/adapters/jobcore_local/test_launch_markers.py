"""A record of a training is whole or absent; one that is damaged is reported and settled, and nothing runs twice."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import jobcore
import jobcore_local
from jobcore import Status
from jobcore.ports import LaunchResult, TrainingState
from jobcore_cli._app import main
from jobcore_local import LocalTrainer, _supervisor, failure_rules, write_pools
from jobcore_local._supervisor.files import create_durably
from jobcore_memory import ManualClock
from jobcore_sqlite import SqliteStore
from patience import SECONDS, until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = {"job_id": "x", "attempt": 1, "spec_hash": "h", "pid": 1, "start_ticks": 1}
WHOLE |= {"started_at": 1, "grace": 1.0}
DAMAGE = {
    "empty": b"",
    "zeros": bytes(100),
    "cut off": json.dumps(WHOLE).encode()[:20],
    "no object": b"[]",
    "no fields": b"{}",
    "no text": b"\xff\xfe",
    "a number for a name": json.dumps(WHOLE | {"job_id": 3}).encode(),
    "a text for a time": json.dumps(WHOLE | {"started_at": "?"}).encode(),
    "deep": b"[" * 100_000,
}

# The fork server of the trainer, on a disk that is full for one file while another file is there.
FULL_DISK = """
import errno, os, socket, sys
sys.path += [{folder!r}, os.path.dirname({folder!r})]
from _supervisor.server import serve
real = os.write
def write(fd, data):
    try:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{{fd}}"))
    except OSError:
        name = ""
    if name.startswith("started.json") and os.path.exists({full!r}):
        if os.fstat(fd).st_size < {room}:
            return real(fd, data[:{room}])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    return real(fd, data)
os.write = write
serve(socket.socket(fileno=int(sys.argv[1])))
"""


class World:
    """One job with a script that writes a line each time it is run; ticks over the local trainer."""

    def __init__(self, home: Path, script: str = "", budget: int = 3) -> None:
        self.home = home
        write_pools(home, {"cpu": 1})
        self.trainer = LocalTrainer(home, stop_grace=timedelta(seconds=0.2))
        self.store = SqliteStore(home / "jobcore.db")
        self.clock = ManualClock(NOW)
        self.witness = home / "witness"
        (home / "train.sh").write_text(f"echo run >> {self.witness}\n{script}")
        self.job_id = jobcore.job_id_from_token("t", "1")
        spec = jobcore.Spec(
            name="a",
            owner="t",
            placements=(jobcore.Placement("cpu"),),
            args={"script": "train.sh", "source_dir": str(home)},
        )
        jobcore.submit([spec], [self.job_id], store=self.store, now=NOW)
        self.troubles: list[tuple[str, str]] = []
        self.settings = jobcore.Settings(
            launch_lease=timedelta(0),
            rules=failure_rules(),
            on_trouble=lambda job_id, what: self.troubles.append((job_id, what)),
        )

    @property
    def job(self) -> jobcore.Job:
        return self.store.get([self.job_id])[self.job_id]

    @property
    def name(self) -> str:
        return jobcore.lifecycle.training_name(self.job_id, 1)

    @property
    def folder(self) -> Path:
        return self.trainer.directory(self.name)

    def decide(self) -> None:
        """Save the intent to launch, as a tick does that dies then."""
        event = jobcore.LaunchDecided(attempt=1, placement=jobcore.Placement("cpu"))
        jobcore.ticks.apply_request(self.job_id, event, store=self.store, now=self.clock.now())

    def stop(self) -> None:
        event = jobcore.StopRequested(by="t")
        jobcore.ticks.apply_request(self.job_id, event, store=self.store, now=self.clock.now())

    def spoil(self, content: bytes, file: str = "started.json") -> None:
        self.folder.mkdir(exist_ok=True, mode=0o700)
        (self.folder / file).write_bytes(content)

    def tick(self, advance: timedelta = timedelta(seconds=31)) -> None:
        self.clock.advance(advance)
        jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)
        jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)
        time.sleep(0.02)

    def until(self, condition, ticks: int | None = None) -> None:
        """Tick until *condition* is true, at most *ticks* times, or (None) for as long as a test waits."""
        end, left = time.monotonic() + SECONDS, ticks
        while not condition():
            if left == 0 or time.monotonic() > end:
                said = f"it did not come to pass: {self.job.state} {self.troubles[-3:]}"
                raise AssertionError(said)
            self.tick()
            left = None if left is None else left - 1

    def runs(self) -> int:
        return len(self.witness.read_text().splitlines()) if self.witness.exists() else 0


@pytest.fixture
def make(tmp_path):
    made = []

    def build(script: str = "") -> World:
        made.append(World(tmp_path, script))
        return made[-1]

    yield build
    for world in made:
        (tmp_path / "release").touch()
        for training in world.trainer.running():
            world.trainer.stop(training.name)
        world.trainer.close()
        world.store.close()


# --- a marker is whole or absent --------------------------------------------------------


@pytest.mark.parametrize("room", [0, 10])
def test_a_launch_on_a_full_disk_leaves_no_marker_and_runs_once_there_is_room(
    make, monkeypatch, room
):
    world = make()
    full, wrapper = world.home / "full", world.home / "wrapper.py"
    folder = os.path.dirname(jobcore_local.__file__)
    wrapper.write_text(FULL_DISK.format(folder=folder, full=str(full), room=room))
    monkeypatch.setattr(_supervisor, "START_SCRIPT", str(wrapper))
    full.touch()
    for _ in range(3):
        world.tick()
    assert world.job.status is Status.LAUNCHING
    assert not (world.folder / "started.json").exists()
    assert {job_id for job_id, _ in world.troubles} == {world.job_id}
    assert all("free some space" in what for _, what in world.troubles)
    full.unlink()
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert (world.runs(), world.job.attempts[0].number) == (1, 1)
    assert sorted(os.listdir(world.folder)) == [
        "exit.json",
        "lock",
        "ml",
        "output.log",
        "started.json",
    ]


def test_a_stop_on_a_full_disk_is_carried_out_once_there_is_room(make, monkeypatch):
    world = make()
    full, wrapper = world.home / "full", world.home / "wrapper.py"
    folder = os.path.dirname(jobcore_local.__file__)
    wrapper.write_text(FULL_DISK.format(folder=folder, full=str(full), room=0))
    monkeypatch.setattr(_supervisor, "START_SCRIPT", str(wrapper))
    full.touch()
    world.tick()
    world.stop()
    world.tick()
    assert world.job.status is Status.STOPPING
    full.unlink()
    world.until(lambda: world.job.status is Status.STOPPED)
    assert world.runs() == 0


def test_the_marker_is_not_there_before_its_content_is_on_the_disk(tmp_path, monkeypatch):
    """A power cut leaves what was synced; so a marker is synced before it has its name."""
    path, seen, real = tmp_path / "started.json", [], os.fsync

    def fsync(fd):
        seen.append(path.exists())
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    create_durably(str(path), WHOLE)
    assert seen == [False]
    assert json.loads(path.read_text()) == WHOLE
    assert os.listdir(tmp_path) == ["started.json"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("links", [True, False])
def test_a_marker_never_takes_the_place_of_another(tmp_path, monkeypatch, links):
    def link(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted", target)

    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", link)
    path = tmp_path / "started.json"
    create_durably(str(path), {"n": 1})
    with pytest.raises(FileExistsError):
        create_durably(str(path), {"n": 2})
    assert json.loads(path.read_text()) == {"n": 1}
    assert os.listdir(tmp_path) == ["started.json"]


def test_a_half_written_record_of_a_killed_shim_does_not_stop_a_launch(make):
    world = make()
    world.spoil(b'{"job', "started.json.part")
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert world.runs() == 1


# --- a damaged marker is reported and settled -------------------------------------------


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_launching_job_with_a_damaged_marker_is_reported_and_tried_again(make, damage):
    world = make()
    world.decide()
    world.spoil(DAMAGE[damage])
    world.until(lambda: world.job.status is not Status.LAUNCHING, ticks=3)
    (reported,) = world.troubles
    assert reported[0] == world.job_id
    assert "started.json cannot be read" in reported[1]
    (attempt,) = world.job.attempts
    assert attempt.outcome is Status.FAILED
    assert "started.json cannot be read" in attempt.failure.text
    assert world.runs() == 0
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert (world.runs(), len(world.job.attempts)) == (1, 2)
    assert world.store.usage() == []
    # The name stays used.
    request = jobcore.ports.LaunchRequest(
        name=world.name,
        job_id=world.job_id,
        attempt=1,
        spec_hash=jobcore.lifecycle.spec_hash(world.job.spec),
        placement=jobcore.Placement("cpu"),
        args=world.job.spec.args,
    )
    assert world.trainer.launch([request])[0].result is LaunchResult.EXISTS
    assert world.runs() == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_stopping_job_with_a_damaged_marker_is_reported_and_stopped(make, damage):
    world = make()
    world.decide()
    world.stop()
    world.spoil(DAMAGE[damage])
    world.until(lambda: world.job.status is Status.STOPPED, ticks=4)
    assert {job_id for job_id, _ in world.troubles} == {world.job_id}
    assert any("started.json cannot be read" in what for _, what in world.troubles)
    assert (world.runs(), list(world.store.usage())) == (0, [])


def test_a_job_that_was_running_when_its_marker_was_lost_is_tried_again(make, tmp_path):
    """The machine lost its power, say, on a disk that lies about what it has written."""
    world = make(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    world.until(lambda: world.job.status is Status.IN_PROGRESS and (tmp_path / "pid").exists())
    shim = json.loads((world.folder / "started.json").read_text())["pid"]
    os.kill(shim, signal.SIGKILL)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    world.spoil(b"")
    world.until(lambda: world.job.attempts)
    assert any("started.json cannot be read" in what for _, what in world.troubles)
    assert world.runs() == 1
    world.until(lambda: world.runs() == 2)  # the second attempt
    assert world.job.attempt_number == 2


def test_a_job_that_is_being_stopped_when_its_marker_is_lost_is_stopped(make):
    world = make("trap '' TERM; sleep 600; sleep 600")
    world.until(lambda: world.runs() == 1 and world.job.status is Status.IN_PROGRESS)
    world.spoil(b"")
    world.stop()
    world.until(lambda: world.job.status is Status.STOPPED)
    assert (world.runs(), list(world.store.usage())) == (1, [])
    assert list(world.trainer.running()) == []


def test_a_training_whose_marker_is_damaged_while_it_runs_ends_as_it_ends(make):
    """It is not taken for dead, and not launched again, while a process of it lives."""
    world = make("while ! [ -e release ]; do sleep 0.05; done")
    world.until(lambda: world.runs() == 1 and world.job.status is Status.IN_PROGRESS)
    world.spoil(b"")
    for _ in range(10):
        world.tick(advance=timedelta(minutes=5))
    assert world.job.status is Status.IN_PROGRESS
    assert world.runs() == 1, (world.job, world.troubles)
    (world.home / "release").touch()
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert (world.runs(), len(world.job.attempts)) == (1, 1)


def test_a_launching_job_whose_training_lives_behind_a_damaged_marker_waits_for_its_end(make):
    world = make("while ! [ -e release ]; do sleep 0.05; done")
    world.decide()
    request = jobcore.ports.LaunchRequest(
        name=world.name,
        job_id=world.job_id,
        attempt=1,
        spec_hash=jobcore.lifecycle.spec_hash(world.job.spec),
        placement=jobcore.Placement("cpu"),
        args=world.job.spec.args,
    )
    assert world.trainer.launch([request])[0].result is LaunchResult.ACCEPTED
    world.spoil(b"")
    for _ in range(3):
        world.tick()
    assert world.job.status is Status.LAUNCHING
    assert all("still runs" in what for _, what in world.troubles)
    (world.home / "release").touch()
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert world.runs() == 1


def test_a_launching_job_that_is_stopped_takes_a_training_behind_a_damaged_marker_with_it(make):
    world = make("trap '' TERM; sleep 600; sleep 600")
    world.decide()
    request = jobcore.ports.LaunchRequest(
        name=world.name,
        job_id=world.job_id,
        attempt=1,
        spec_hash=jobcore.lifecycle.spec_hash(world.job.spec),
        placement=jobcore.Placement("cpu"),
        args=world.job.spec.args,
    )
    world.trainer.launch([request])
    world.spoil(b"")
    world.stop()
    world.until(lambda: world.job.status is Status.STOPPED)
    assert world.runs() <= 1


# --- a damaged exit record --------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [*DAMAGE.values(), b'{"outcome": "Great", "reason": "", "ended_at": 1}']
)
def test_a_training_whose_exit_record_is_damaged_is_over_and_the_job_tried_again(make, content):
    world = make()
    world.decide()
    world.tick()
    until((world.folder / "exit.json").exists)
    world.spoil(content, "exit.json")
    world.until(lambda: world.job.attempts)
    (attempt,) = world.job.attempts
    assert attempt.outcome is Status.FAILED
    assert "exit.json cannot be read" in attempt.failure.text
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert len(world.job.attempts) == 2


# --- doctor -----------------------------------------------------------------------------


def doctor(home: Path, capsys) -> dict[str, dict]:
    capsys.readouterr()
    main(["doctor", "--home", str(home), "--json"])
    return {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


@pytest.mark.parametrize("file", ["started.json", "exit.json"])
def test_doctor_reports_a_damaged_record(make, capsys, file):
    world = make()
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert doctor(world.home, capsys)["trainings"]["ok"] is True
    assert "1 training" in doctor(world.home, capsys)["trainings"]["said"]
    world.spoil(b"", file)
    check = doctor(world.home, capsys)["trainings"]
    assert check["ok"] is False
    assert f"{world.name}/{file} cannot be read: it is empty" in check["said"]
    assert "delete" in check["said"]


def test_doctor_is_content_once_a_damaged_marker_is_settled(make, capsys):
    world = make()
    world.decide()
    world.spoil(b"")
    assert doctor(world.home, capsys)["trainings"]["ok"] is False
    world.until(lambda: world.job.status is Status.COMPLETED)
    assert doctor(world.home, capsys)["trainings"]["ok"] is True
    assert world.trainer.describe([world.name])[world.name].state is TrainingState.FAILED
