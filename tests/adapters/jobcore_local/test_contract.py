"""What the local trainer makes of a request: SageMaker's contract with folders of this machine, or an error in words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from jobcore import Placement, job_id_from_token
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest, TrainingState
from jobcore_local import LocalTrainer, write_pools
from jobcore_local._contract import (
    INHERITED,
    INHERITED_PREFIXES,
    BadInput,
    MissingInput,
    Prepared,
    inherited_environment,
    prepare,
)
from patience import until

JOB_ID = job_id_from_token("tests", "a")


def request(folder: Path, **args: Any) -> LaunchRequest:
    script = args.setdefault("script", "train.py")
    if not (folder / script).exists():
        (folder / script).write_text("")
    return LaunchRequest(
        name=training_name(JOB_ID, 1),
        job_id=JOB_ID,
        attempt=1,
        spec_hash="5" * 64,
        placement=Placement("cpu"),
        args={"source_dir": str(folder), **args},
    )


def prepared(folder: Path, **args: Any) -> Prepared:
    return prepare(request(folder, **args), folder / "t", folder / "c", {})


def test_a_channel_of_one_file_is_a_folder_with_it(tmp_path: Path) -> None:
    """As on SageMaker, where the channel's folder has the object of the URI."""
    (tmp_path / "a.csv").touch()
    (tmp_path / "link.csv").symlink_to("a.csv")
    made = prepared(tmp_path, channels={"one": str(tmp_path / "link.csv"), "all": str(tmp_path)})
    inputs = f"{os.path.dirname(made.environment['SM_CHANNEL_ONE'])}"
    assert f"{inputs}/one" in made.folders
    assert made.links[f"{inputs}/one/link.csv"] == str(tmp_path / "a.csv")
    assert f"{inputs}/all" not in made.folders
    assert made.links[f"{inputs}/all"] == str(tmp_path)


@pytest.mark.parametrize(
    "channel", ["~nobody-of-that-name/x", "x" * 5000, "a\0b", "\udcff", "/nowhere"]
)
def test_a_channel_that_is_no_path_is_bad_input(tmp_path: Path, channel: str) -> None:
    with pytest.raises(BadInput, match=r"channels\.train"):
        prepared(tmp_path, channels={"train": channel})


def test_values_name_folders_of_this_machine(tmp_path: Path) -> None:
    made = prepared(
        tmp_path,
        channels={"train": str(tmp_path)},
        hyperparameters={"resume": "${SM_CHECKPOINT_DIR}/last"},
        arguments=["--data", "${SM_CHANNEL_TRAIN}"],
        environment={"OUT": "${SM_OUTPUT_DATA_DIR}"},
    )
    data = f"{tmp_path}/t/ml/input/data/train"
    assert made.argv[-4:] == ["--resume", f"{tmp_path}/c/last", "--data", data]
    assert made.environment["OUT"] == f"{tmp_path}/t/ml/output/data"
    assert made.environment["SM_HP_RESUME"] == f"{tmp_path}/c/last"
    assert made.links[data] == str(tmp_path)


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"hyperparameters": {"a": ["${SM_CHANNEL_X}"]}}, "hyperparameters.a[0]"),
        ({"arguments": ["x", "${SM_X}"]}, "arguments[1]"),
        ({"environment": {"A": "${SM_X}"}}, "environment.A"),
        ({"environment": {"SAGEMAKER_PROGRAM": "other.py"}}, "environment.SAGEMAKER_PROGRAM"),
        ({"environment": {"SM_MODEL_DIR": "/"}}, "environment.SM_MODEL_DIR"),
        ({"hyperparameters": {"sagemaker_program": "x.py"}}, "hyperparameters.sagemaker_program"),
        ({"hyperparameters": {"sagemaker_mpi_enabled": True}}, "hyperparameters.sagemaker_mpi_enabled"),
        ({"hyperparameters": {"a=b": 1}}, "hyperparameters.a=b"),
        ({"hyperparameters": []}, "hyperparameters"),
        ({"arguments": "x"}, "arguments"),
        ({"script": "my train.py"}, "script"),
        ({"script": ""}, "script"),
    ],
)  # fmt: skip
def test_what_can_never_run_names_its_field(
    tmp_path: Path, args: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as caught:
        prepared(tmp_path, **args)
    assert caught.value.field == field
    assert not isinstance(caught.value, MissingInput)


def test_a_link_to_an_executable_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "run.sh").write_text("true")
    (tmp_path / "source/run.sh").symlink_to(tmp_path / "run.sh")
    with pytest.raises(BadInput, match="a link to a place outside source_dir"):
        prepared(tmp_path / "source", script="run.sh")


def test_a_module_needs_no_file_and_a_script_does(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    asked = request(tmp_path, script="x.py").args
    for script, error in (("pack.train", None), ("train.py", MissingInput)):
        again = request(tmp_path, **{**asked, "script": script})
        (tmp_path / script).unlink()
        if error is None:
            made = prepare(again, tmp_path / "t", tmp_path / "c", {})
            assert made.package_argv[1:] == ["-m", "pack.train"]
        else:
            with pytest.raises(error, match="does not exist"):
                prepare(again, tmp_path / "t", tmp_path / "c", {})


def run(home: Path, asked: LaunchRequest) -> tuple[LocalTrainer, TrainingState]:
    home.mkdir()
    write_pools(home, {"cpu": 1})
    trainer = LocalTrainer(home)
    try:
        trainer.launch([asked])
        training = until(
            lambda: (t := trainer.describe([asked.name])[asked.name]) and t.state.is_terminal and t
        )
    finally:
        trainer.close()
    return trainer, training.state


def test_a_script_of_its_own_first_line_is_made_executable_for_its_readers(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "run.sh").write_text(
        '#!/usr/bin/env bash\n[[ $BASH_VERSION && $1 == --x && "$2" == "it\'s" ]]\n'
    )
    (source / "run.sh").chmod(0o640)
    asked = request(source, script="run.sh", arguments=["--x", "it's"])
    assert run(tmp_path / "home", asked)[1] is TrainingState.COMPLETED
    assert (source / "run.sh").stat().st_mode & 0o777 == 0o750


def test_checkpoints_are_where_a_container_has_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "run.sh").write_text('echo 5 > "$SAGEMAKER_BASE_DIR/checkpoints/epoch"\n')
    trainer, state = run(tmp_path / "home", request(source, script="run.sh"))
    assert state is TrainingState.COMPLETED
    assert os.listdir(trainer.checkpoint_dir(JOB_ID)) == ["epoch"]


def test_scripts_get_the_user_s_folders_and_network_and_no_tokens(monkeypatch) -> None:
    given = {
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "local",
        "XDG_CACHE_HOME": "/big/cache",
    }
    for name, value in {**given, "HF_TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(name, value)
    inherited = inherited_environment()
    assert given.items() <= inherited.items()
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} & inherited.keys()


def test_the_reference_lists_every_variable_that_scripts_get() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "training-contract.md"
    listed = set(re.findall(r"`([A-Z_]+)`", page.read_text("utf-8")))
    assert {name.upper() for name in (*INHERITED, *INHERITED_PREFIXES)} <= listed
