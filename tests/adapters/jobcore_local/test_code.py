"""The local trainer lays out the snapshot of a job for each attempt, and says what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobcore import Placement, classify, job_id_from_token
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest, LaunchResult, Training, TrainingState
from jobcore_code import CodeStore
from jobcore_local import LocalTrainer, code_path, failure_rules, write_pools
from patience import until

JOB_ID = job_id_from_token("tests", "a")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.sh").write_text("pwd; cat data 2> /dev/null; echo mine > data\n")
    return source


@pytest.fixture
def trainer(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    write_pools(home, {"cpu": 1})
    trainer = LocalTrainer(home)
    yield trainer
    trainer.close()


def request(source: Path, code: object, attempt: int = 1) -> LaunchRequest:
    return LaunchRequest(
        name=training_name(JOB_ID, attempt),
        job_id=JOB_ID,
        attempt=attempt,
        spec_hash="5" * 64,
        placement=Placement("cpu"),
        args={"script": "train.sh", "source_dir": str(source), "code": code},
    )


def end_of(trainer: LocalTrainer, launch: LaunchRequest) -> Training:
    def over() -> Training | None:
        training = trainer.describe([launch.name]).get(launch.name)
        return training if training is not None and training.state.is_terminal else None

    until(lambda: over() is not None)
    training = over()
    assert training is not None
    return training


def run(trainer: LocalTrainer, launch: LaunchRequest) -> Training:
    """Launch, when the slot of the training before is free."""
    until(lambda: trainer.launch([launch])[0].result is LaunchResult.ACCEPTED)
    return end_of(trainer, launch)


def test_two_attempts_never_share_files(trainer, source) -> None:
    code = {"snapshot": CodeStore(code_path(trainer.home)).take(source).id}
    for attempt in (1, 2):
        launch = request(source, code, attempt)
        assert run(trainer, launch).state is TrainingState.COMPLETED
        folder = trainer.code_dir(launch.name)
        assert trainer.log_path(launch.name).read_text() == f"{folder}\n"  # and no data yet
        assert (folder / "data").read_text() == "mine\n"
    assert not (source / "data").exists()


@pytest.mark.parametrize("code", [None, {}, {"snapshot": None}, [], "x"])
def test_without_a_snapshot_it_runs_in_the_source_folder(trainer, source, code) -> None:
    launch = request(source, code)
    assert run(trainer, launch).state is TrainingState.COMPLETED
    assert trainer.log_path(launch.name).read_text() == f"{source}\n"
    assert not trainer.code_dir(launch.name).exists()


@pytest.mark.parametrize("snapshot", ["0" * 64, "../../x", "\udcff"])
def test_a_snapshot_that_is_not_there_is_bad_input(trainer, source, snapshot) -> None:
    training = run(trainer, request(source, {"snapshot": snapshot}))
    assert training.state is TrainingState.FAILED
    assert training.evidence is not None
    assert training.evidence.text.startswith("LocalBadInput: snapshot: ")
    assert "submit the job again" in training.evidence.text
    assert classify(training.evidence, failure_rules()).failure_class == "bad_input"


def test_a_folder_that_cannot_be_made_is_no_fault_of_the_job(trainer, source) -> None:
    launch = request(source, {"snapshot": CodeStore(code_path(trainer.home)).take(source).id})
    trainer.code_dir(launch.name).mkdir(parents=True)
    training = run(trainer, launch)
    assert training.evidence is not None
    assert training.evidence.text.startswith(f"InternalError: {trainer.code_dir(launch.name)}: ")
    assert classify(training.evidence, failure_rules()).failure_class == "service_internal"
