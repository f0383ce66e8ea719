"""The picture of README is what `jobcore list --all` prints after the demo."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from docs_tools import ROOT, load

make_picture = load("make_picture")

# As examples/digits/train.py looks to jobcore, without its seconds of training. The demo kills the
# first training that has a checkpoint: only one has, and it waits for that.
SCRIPT = """
import json, os, time
from pathlib import Path

parameters = json.loads(os.environ["SM_HPS"])
if parameters["activation"] == "swish":
    class InvalidParameterError(ValueError):
        __module__ = "sklearn.utils._param_validation"
    raise InvalidParameterError("The 'activation' parameter of MLPClassifier must be a str among {...}")
checkpoint = Path(os.environ["SM_CHECKPOINT_DIR"], "last.joblib")
is_resumed = checkpoint.exists()
if (parameters["learning-rate"], parameters["hidden"], parameters["batch-size"]) == (0.001, 16, 32):
    checkpoint.touch()
    while not is_resumed:
        time.sleep(0.1)
metrics = {"accuracy": 0.9, "loss": 0.1, "epochs": 40, "resumed_after": 7 if is_resumed else 0}
Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text(json.dumps(metrics))
"""


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    shutil.copytree(ROOT / "examples" / "digits", folder)
    (folder / "train.py").write_text(SCRIPT)
    return folder


def row(line: str) -> tuple[str, ...]:
    """
    Give a row without its id, its number and its times, and the reason as far as it always fits.

    Whether the shortage of the demo meets a launch is chance, so a retry for it does not count.
    """
    _, name, status, attempt, pool, _, _, *reason = line.split(maxsplit=7)
    assert re.fullmatch(r"digits-\d\d", name)
    told = [text[:20] for text in reason if not text.startswith("retried: capacity")]
    return (status, attempt, pool, *told)


def test_it_shows_what_the_command_prints(demo: Path, tmp_path: Path, capfd) -> None:
    make_picture.run_demo(demo, tmp_path / "home")
    made = make_picture.text_of(make_picture.picture(make_picture.printed(tmp_path / "home")))
    kept = make_picture.text_of(make_picture.TARGET.read_text("utf-8"))
    command, heads, *rows, counts = kept
    assert (command, heads.split(), counts) == (made[0], made[1].split(), made[-1])
    assert command == f"$ {make_picture.COMMAND}"
    assert sorted(map(row, rows)) == sorted(map(row, made[2:-1]))
    assert sorted(line.split()[1] for line in rows) == [f"digits-{n:02}" for n in range(1, 26)]


def test_a_picture_has_the_text_that_was_printed() -> None:
    text = "ID  NAME\n\x1b[32m1   a & <b>\x1b[0m\n\x1b[31m2   …\x1b[0m\n"
    lines = make_picture.text_of(make_picture.picture(text))
    assert lines == [f"$ {make_picture.COMMAND}", "ID  NAME", "1   a & <b>", "2   …"]
