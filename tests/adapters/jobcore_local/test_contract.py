"""What the local trainer makes of a request that this machine cannot run: words, and no error of the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobcore import Placement, job_id_from_token
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest
from jobcore_local._contract import BadInput, prepare

JOB_ID = job_id_from_token("tests", "a")


@pytest.mark.parametrize(
    "channel", ["~nobody-of-that-name/x", "x" * 5000, "a\0b", "\udcff", "/nowhere"]
)
def test_a_channel_that_is_no_path_is_bad_input(tmp_path: Path, channel: str) -> None:
    (tmp_path / "train.py").write_text("")
    request = LaunchRequest(
        name=training_name(JOB_ID, 1),
        job_id=JOB_ID,
        attempt=1,
        spec_hash="5" * 64,
        placement=Placement("cpu"),
        args={"script": "train.py", "source_dir": str(tmp_path), "channels": {"train": channel}},
    )
    with pytest.raises(BadInput, match=r"channels\.train"):
        prepare(request, tmp_path / "t", tmp_path / "c", {})
