"""What goes wrong on a real machine is survived, or told in a clear sentence; nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import jobcore
import jobcore_local
from jobcore.ports import LaunchResult, TrainingState
from jobcore_local import FileNotifier, LocalTrainer, _supervisor, failure_rules, write_pools
from jobcore_sqlite import SqliteStore, StoreUnusable
from patience import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def trainer(tmp_path: Path):
    write_pools(tmp_path, {"cpu": 2})
    made = LocalTrainer(tmp_path, stop_grace=timedelta(seconds=0.3))
    yield made
    for training in made.running():
        made.stop(training.name)
    made.close()


def launch(trainer: LocalTrainer, script: str, attempt: int = 1, **args) -> str:
    (trainer.home / "train.sh").write_text(script)
    job_id = jobcore.job_id_from_token("t", script)
    request = jobcore.ports.LaunchRequest(
        name=jobcore.lifecycle.training_name(job_id, attempt),
        job_id=job_id,
        attempt=attempt,
        spec_hash="h",
        placement=jobcore.Placement("cpu"),
        args={"script": "train.sh", "source_dir": str(trainer.home), **args},
    )
    assert trainer.launch([request])[0].result is LaunchResult.ACCEPTED
    return request.name


def ended(trainer: LocalTrainer, name: str) -> jobcore.ports.Training:
    def over():
        training = trainer.describe([name]).get(name)
        return training if training is not None and training.state.is_terminal else None

    return until(over)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(path: Path) -> int:
    return int(until(lambda: path.exists() and path.read_text().strip()))


def test_a_setsid_grandchild_that_ignores_sigterm_does_not_outlive_a_stop(trainer) -> None:
    pid_file = trainer.home / "pid"
    script = (
        f"setsid sh -c 'trap \"\" TERM; echo $$ > {pid_file}; sleep 600; sleep 600' & sleep 600"
    )
    name = launch(trainer, script)
    grandchild = pid_in(pid_file)
    trainer.stop(name)
    assert ended(trainer, name).state is TrainingState.STOPPED
    assert not is_alive(grandchild)


def test_a_killed_shim_is_an_interruption_and_leaves_nothing_running(trainer) -> None:
    pid_file = trainer.home / "pid"
    name = launch(trainer, f"echo $$ > {pid_file}; sleep 600")
    script = pid_in(pid_file)
    shim = json.loads((trainer.directory(name) / "started.json").read_text())["pid"]
    os.kill(shim, signal.SIGKILL)
    training = ended(trainer, name)
    assert training.state is TrainingState.FAILED
    failure = jobcore.classify(training.evidence, failure_rules())
    assert failure.failure_class is jobcore.FailureClass.SPOT_INTERRUPTED
    assert not is_alive(script)


def test_a_training_of_the_same_name_in_another_home_is_left_alone(trainer, tmp_path) -> None:
    """Two homes have trainings of one name where a job was submitted with the same key in both."""
    (tmp_path / "other").mkdir()
    write_pools(tmp_path / "other", {"cpu": 1})
    other = LocalTrainer(tmp_path / "other")
    try:
        pids = []
        for one in (trainer, other):
            name = launch(one, 'echo $$ > "$SM_MODEL_DIR/pid"; exec sleep 600')
            pids.append(pid_in(one.model_dir(name) / "pid"))
        shim = json.loads((trainer.directory(name) / "started.json").read_text())["pid"]
        os.kill(shim, signal.SIGKILL)
        assert ended(trainer, name).state is TrainingState.FAILED
        assert [is_alive(pid) for pid in pids] == [False, True]
        assert other.describe([name])[name].state is TrainingState.RUNNING
        other.stop(name)
        ended(other, name)
    finally:
        other.close()


def test_ten_megabytes_of_output_and_the_exit_code_are_kept(trainer) -> None:
    name = launch(trainer, "head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 7")
    training = ended(trainer, name)
    assert "exit code: 7" in training.evidence.text
    assert len(training.evidence.text) <= 1024
    assert trainer.log_path(name).stat().st_size == 10_000_000


FULL_WHILE_A_FILE_IS_THERE = """
import errno, os, socket, sys
sys.path += [{folder!r}, os.path.dirname({folder!r})]
from _supervisor import files
from _supervisor.server import serve
real = files.write_durably
def write_durably(path, document, *, flags):
    if path.endswith("exit.json.part") and os.path.exists({full!r}):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    real(path, document, flags=flags)
files.write_durably = write_durably
serve(socket.socket(fileno=int(sys.argv[1])))
"""


def test_an_end_on_a_full_disk_is_recorded_when_there_is_room(trainer, monkeypatch) -> None:
    full, wrapper = trainer.home / "full", trainer.home / "wrapper.py"
    folder = os.path.dirname(jobcore_local.__file__)
    wrapper.write_text(FULL_WHILE_A_FILE_IS_THERE.format(folder=folder, full=str(full)))
    full.touch()
    monkeypatch.setattr(_supervisor, "START_SCRIPT", str(wrapper))
    pid_file = trainer.home / "pid"
    name = launch(trainer, f"echo $$ > {pid_file}; exit 7")
    script = pid_in(pid_file)
    until(lambda: not is_alive(script))
    for _ in range(20):  # nobody knows yet how it ended, so nothing is said
        assert trainer.describe([name])[name].state is TrainingState.RUNNING
        time.sleep(0.01)
    full.unlink()
    training = ended(trainer, name)
    assert training.state is TrainingState.FAILED
    assert "exit code: 7" in training.evidence.text


def test_the_failure_file_is_the_reason_and_a_link_is_not_followed(trainer) -> None:
    name = launch(trainer, 'printf "why %02000d" 1 > "$SM_OUTPUT_DIR/failure"; exit 1')
    text = ended(trainer, name).evidence.text
    assert text.startswith("AlgorithmError: why ")
    assert len(text) <= 1024
    secret = trainer.home / "secret"
    secret.write_text("TOP-SECRET")
    name = launch(trainer, f'ln -s {secret} "$SM_OUTPUT_DIR/failure"; exit 1')
    assert "TOP-SECRET" not in ended(trainer, name).evidence.text


def test_checkpoints_outlive_an_attempt(trainer) -> None:
    script = 'cat "$SM_CHECKPOINT_DIR/c" 2>/dev/null; echo epoch-5 > "$SM_CHECKPOINT_DIR/c"'
    ended(trainer, launch(trainer, script))
    second = launch(trainer, script, attempt=2)
    ended(trainer, second)
    assert trainer.log_path(second).read_text() == "epoch-5\n"


def test_two_managers_start_a_training_once(trainer, tmp_path) -> None:
    other = LocalTrainer(tmp_path)
    try:
        witness = tmp_path / "witness"
        name = launch(trainer, f"echo ran >> {witness}")
        job_id = jobcore.lifecycle.parse_training_name(name).job_id
        again = jobcore.ports.LaunchRequest(
            name=name,
            job_id=job_id,
            attempt=1,
            spec_hash="h",
            placement=jobcore.Placement("cpu"),
            args={"script": "train.sh", "source_dir": str(tmp_path)},
        )
        assert other.launch([again])[0].result is LaunchResult.EXISTS
        ended(other, name)
        assert witness.read_text() == "ran\n"
    finally:
        other.close()


def message(number: int) -> jobcore.ports.Message:
    return jobcore.ports.Message(
        event_id=f"id/{number}/Completed",
        job_id="id",
        owner="t",
        status=jobcore.Status.COMPLETED,
        subject=f"job {number}",
        body="x" * 100,
        next_step=jobcore.ports.NextStep.SHOW,
        attributes={},
        data={"event_id": f"id/{number}/Completed"},
    )


def events(path: Path) -> list[str]:
    whole = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            whole.append(json.loads(line)["event_id"])
    return whole


def test_a_message_that_a_full_disk_cut_off_is_not_taken_for_sent(tmp_path, monkeypatch) -> None:
    notifier = FileNotifier(tmp_path / "messages.jsonl")
    real, room = os.write, [50]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(fd, data[: room[0]])
        room[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(jobcore.Unavailable, match="space"):
            notifier.publish(message(1))
    assert events(notifier.path) == []
    notifier.publish(message(2))
    notifier.publish(message(1))
    assert events(notifier.path) == ["id/2/Completed", "id/1/Completed"]


def test_what_is_made_for_the_first_time_is_synced_with_its_folder(tmp_path, monkeypatch) -> None:
    """Else a power cut could leave a synced file in a folder that is not there."""
    synced, real = set(), os.fsync

    def fsync(fd: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    home = tmp_path / "deep" / "home"
    SqliteStore(home / "jobcore.db").close()
    assert synced >= {str(home), str(home.parent), str(tmp_path)}
    synced.clear()
    LocalTrainer(home).close()
    assert str(home) in synced  # it has made the folder of the trainings
    synced.clear()
    FileNotifier(home / "messages.jsonl").publish(message(1))
    assert str(home) in synced
    synced.clear()
    write_pools(home, {"cpu": 1})
    assert str(home) in synced


def test_a_store_of_a_newer_release_is_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "jobcore.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StoreUnusable, match="999"):
        SqliteStore(path)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "jobcore.db"
    path.write_text("my thesis " * 1000)
    with pytest.raises(StoreUnusable):
        SqliteStore(path)
    assert path.read_text() == "my thesis " * 1000


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path) -> None:
    with SqliteStore(tmp_path / "jobcore.db") as store:
        place = (jobcore.Placement("cpu"),)
        store._db.execute(
            f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0] + 20}"
        )
        specs = [
            jobcore.Spec(name=f"j{n}", owner="t", placements=place, args={"pad": "x" * 500})
            for n in range(2000)
        ]
        ids = [jobcore.job_id_from_token("t", str(n)) for n in range(2000)]
        with pytest.raises(jobcore.Unavailable, match=r"space|full"):
            jobcore.submit(specs, ids, store=store, now=NOW)
        assert dict(store.counts()) == {}
        jobcore.submit(specs[:3], ids[:3], store=store, now=NOW)
        assert dict(store.counts()) == {jobcore.Status.NEW: 3}
