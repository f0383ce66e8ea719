"""Scripts with /opt/ml in them run on this machine where the kernel allows it; else the failure says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobcore import Placement, job_id_from_token
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest, Training, TrainingState
from jobcore_code import CodeStore
from jobcore_local import LocalTrainer, code_path, write_pools
from jobcore_local._supervisor import OPT_ML_NOTE, OPT_ML_SCRIPT
from patience import until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.path.isdir("/opt/ml"),
    reason="mount namespaces are Linux's, and this machine has no /opt/ml of its own",
)

JOB_ID = job_id_from_token("tests", "opt-ml")
SCRIPT = """\
import json, os
assert json.load(open("/opt/ml/input/config/hyperparameters.json"))["lr"] == "0.1"
data = open("/opt/ml/input/data/train/a.csv").read()
open("/opt/ml/model/model", "w").write(data + str(os.getuid()))
open("/opt/ml/checkpoints/1", "w").write("epoch")
assert os.path.samefile("/opt/ml/code/train.py", __file__)
assert os.path.samefile("/opt/ml/model", os.environ["SM_MODEL_DIR"])
print(sorted(os.listdir("/opt")))
"""


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[LocalTrainer]:
    home = tmp_path / "home"
    home.mkdir()
    write_pools(home, {"cpu": 1})
    made = LocalTrainer(home)
    yield made
    made.close()


def run(trainer: LocalTrainer, source: Path, **args: Any) -> Training:
    job = {"script": "train.py", "source_dir": str(source), **args}
    asked = LaunchRequest(
        name=training_name(JOB_ID, 1),
        job_id=JOB_ID,
        attempt=1,
        spec_hash="5" * 64,
        placement=Placement("cpu"),
        args=job,
    )
    trainer.launch([asked])

    def ended() -> Training | None:
        training = trainer.describe([asked.name])[asked.name]
        return training if training is not None and training.state.is_terminal else None

    training: Training = until(ended)
    return training


def allowed(folder: Path) -> bool:
    """Say whether the kernel allows the mount, by the script that makes it."""
    words = [sys.executable, "-I", "-S", OPT_ML_SCRIPT, str(folder), "", str(folder / "note")]
    done = subprocess.run([*words, "/usr/bin/test", "-d", "/opt/ml"], check=False)
    assert (done.returncode == 0) is not (folder / "note").exists()
    return done.returncode == 0


def test_its_folders_are_those_of_the_training(trainer: LocalTrainer, tmp_path: Path) -> None:
    if not allowed(tmp_path):
        pytest.skip("this kernel gives no mount namespaces to this user")
    source, data = tmp_path / "source", tmp_path / "data"
    source.mkdir()
    data.mkdir()
    (data / "a.csv").write_text("1,2 ")
    (source / "train.py").write_text(SCRIPT)
    before = sorted(os.listdir("/opt"))
    training = run(trainer, source, hyperparameters={"lr": 0.1}, channels={"train": str(data)})
    log = trainer.log_path(training.name).read_text()
    assert training.state is TrainingState.COMPLETED, log
    assert (trainer.model_dir(training.name) / "model").read_text() == f"1,2 {os.getuid()}"
    assert (trainer.checkpoint_dir(JOB_ID) / "1").read_text() == "epoch"
    assert log.strip() == str(sorted([*before, "ml"]))
    assert sorted(os.listdir("/opt")) == before


def test_a_value_that_names_opt_ml_is_enough(trainer: LocalTrainer, tmp_path: Path) -> None:
    if not allowed(tmp_path):
        pytest.skip("this kernel gives no mount namespaces to this user")
    (tmp_path / "train.py").write_text("import sys; open(sys.argv[2], 'w').write('x')")
    training = run(trainer, tmp_path, hyperparameters={"out": "/opt/ml/model/x"})
    assert training.state is TrainingState.COMPLETED
    assert (trainer.model_dir(training.name) / "x").read_text() == "x"


def test_without_the_mount_the_command_runs_and_the_reason_is_kept(tmp_path: Path) -> None:
    note = tmp_path / "note"
    done = subprocess.run(
        [sys.executable, "-I", "-S", OPT_ML_SCRIPT, str(tmp_path / "absent"), "", str(note),
         "/bin/sh", "-c", "id -u; ls /opt; exit 3"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout.split() == [str(os.getuid()), *sorted(os.listdir("/opt"))]
    assert note.read_text().endswith((" (mount on /opt/ml)", " (unshare)"))


def test_the_command_does_not_ignore_broken_pipes(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", OPT_ML_SCRIPT, str(tmp_path), "", str(tmp_path / "note")]
    done = subprocess.run([*words, "/bin/sh", "-c", "kill -s PIPE $$; true"], check=False)
    assert done.returncode == -signal.SIGPIPE


def reason(training: Training) -> str:
    assert training.state is TrainingState.FAILED
    assert training.evidence is not None
    return training.evidence.text


def test_a_failure_says_that_the_mount_was_not_possible(
    trainer: LocalTrainer, tmp_path: Path
) -> None:
    note = f"open(os.environ['SM_MODEL_DIR'] + '/../../{OPT_ML_NOTE}', 'w').write('not permitted')"
    (tmp_path / "train.py").write_text(
        f"import os; {note}; raise OSError('/opt/ml/x is not there')"
    )
    text = reason(run(trainer, tmp_path))
    assert "OSError: /opt/ml/x is not there" in text
    assert "/opt/ml could not be mounted on this machine: not permitted; take folders from" in text


def test_a_failure_in_a_module_says_where_the_folders_are(
    trainer: LocalTrainer, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("import other")
    (tmp_path / "other.py").write_text("open('/opt/ml/model/x', 'w')")
    text = reason(run(trainer, tmp_path))
    assert "/opt/ml is another folder here; take folders from SM_MODEL_DIR" in text
    assert text.endswith(", exit code: 1")


def test_a_module_that_is_frozen_with_the_script_is_enough(
    trainer: LocalTrainer, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("import settings.places")
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/places.py").write_text("open('/opt/ml/model/x', 'w').write('m')")
    code = {"snapshot": CodeStore(code_path(trainer.home)).take(tmp_path).id}
    training = run(trainer, tmp_path, code=code)
    assert training.state is TrainingState.COMPLETED, reason(training)
    assert (trainer.model_dir(training.name) / "x").read_text() == "m"


def test_a_page_of_documentation_does_not_count(trainer: LocalTrainer, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import os; assert not os.path.isdir('/opt' + '/ml')")
    (tmp_path / "README.md").write_text("On SageMaker the model is in /opt/ml/model.")
    code = {"snapshot": CodeStore(code_path(trainer.home)).take(tmp_path).id}
    training = run(trainer, tmp_path, code=code)
    assert training.state is TrainingState.COMPLETED, reason(training)


def test_code_that_takes_the_folder_from_its_variable_finds_the_code_in_it(
    trainer: LocalTrainer, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(
        "import os; open(os.environ['SAGEMAKER_BASE_DIR'] + '/code/train.py').close()"
    )
    training = run(trainer, tmp_path)
    assert training.state is TrainingState.COMPLETED, reason(training)


def test_other_failures_say_nothing_of_it(trainer: LocalTrainer, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("default = '/opt/ml/model'\nraise ValueError('nan')")
    assert "/opt/ml" not in reason(run(trainer, tmp_path))
