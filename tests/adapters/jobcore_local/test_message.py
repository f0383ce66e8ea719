"""The lines of a script's output that become the reason of its failure."""

from __future__ import annotations

from pathlib import Path

import pytest

import jobcore_aws
from jobcore import FailureClass, classify
from jobcore.ports import Evidence
from jobcore_local import error_message, failure_rules
from jobcore_local._supervisor.message import explained

TRACEBACK = """\
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    fit()
    ^^^^^
"""
XGBOOST = f"""{TRACEBACK}\
xgboost.core.XGBoostError: [10:00:00] input_split_base.cc:175: Check failed: no files match data/train
Stack trace:
  [bt] (0) libxgboost.so(+0x2c1a8c) [0x7f10b5cc1a8c]
  [bt] (8) libxgboost.so(XGDMatrixCreateFromURI+0xfe) [0x7f10b5bd034e]


"""
CUDA = f"""{TRACEBACK}\
RuntimeError: CUDA error: out of memory
CUDA kernel errors might be asynchronously reported at some other API call.
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", ""),
        ("epoch 1\n\nloss is nan\n\n", "loss is nan"),
        (f"{TRACEBACK}ValueError: bad\n", "ValueError: bad"),
        (XGBOOST, XGBOOST.splitlines()[4]),
        (CUDA, "RuntimeError: CUDA error: out of memory\n" + CUDA.splitlines()[-1]),
        # of two tracebacks the last: it was raised while the first was handled
        (f"{TRACEBACK}KeyError: 1\n\nDuring handling ...:\n\n{TRACEBACK}OSError: x\n", "OSError: x"),
        # each line with a prefix, as torchrun's
        ("".join(f"[rank0]: {line}\n" for line in f"{TRACEBACK}ValueError: a\n  b".splitlines()),
         "[rank0]: ValueError: a\n[rank0]:   b"),
        # an exception without a message, and a traceback that is cut off
        (f"{TRACEBACK}KeyboardInterrupt\n", "KeyboardInterrupt"),
        (TRACEBACK, "^^^^^"),
    ],
)  # fmt: skip
def test_the_exception_and_the_last_line_tell_why(output: str, message: str) -> None:
    assert error_message(output) == message


def test_a_traceback_that_the_script_handled_long_ago_is_not_the_reason() -> None:
    went_on = "".join(f"epoch {number}\n" for number in range(200))
    assert error_message(f"{TRACEBACK}OSError: busy\n{went_on}loss is nan") == "loss is nan"


def test_a_message_is_short() -> None:
    assert len(error_message("x" * 9_000)) == 500
    assert len(error_message(f"{TRACEBACK}ValueError: {'x' * 9_000}\n{'y' * 9_000}\n")) == 500


def test_a_failure_is_classified_by_the_exception_not_by_the_advice_after_it() -> None:
    text = (
        f'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "{error_message(CUDA)}"'
    )
    for rules in (failure_rules(), failure_rules(jobcore_aws.failure_rules())):
        failure = classify(Evidence(where="describe", text=text), rules)
        assert failure.failure_class is FailureClass.OOM


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("No module named 'x'", "ModuleNotFoundError: No module named 'x' (not installed in /v/bin/python)"),
        ("", "ModuleNotFoundError: (not installed in /v/bin/python)"),
        ("open: 'data/a.csv'", "FileNotFoundError: open: 'data/a.csv' (not in the code taken at submit)"),
        ("open: '../a.csv'", "FileNotFoundError: open: '../a.csv' (not in the code taken at submit)"),
        ("open: 'CODE/sub/../a'", "FileNotFoundError: open: 'sub/../a' (not in the code taken at submit)"),
        ("open: 'CODE/there'", "FileNotFoundError: open: 'there'"),
        ("open: '/data/a.csv'", "FileNotFoundError: open: '/data/a.csv'"),
        ("../a.csv not found.", "FileNotFoundError: ../a.csv not found. (not in the code taken at submit)"),
        ("it is gone", "FileNotFoundError: it is gone"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_with_where_it_is_missing(
    tmp_path: Path, said: str, told: str
) -> None:
    (tmp_path / "there").write_text("")
    name = told.partition(":")[0]
    message = f"{name}: {said.replace('CODE', str(tmp_path))}"
    assert explained(message, program="/v/bin/python", code=str(tmp_path)) == told
    assert (
        explained(f"{message}\nbye", program="/v/bin/python", code=str(tmp_path)) == f"{told}\nbye"
    )


def test_a_shell_script_may_have_run_another_interpreter(tmp_path: Path) -> None:
    message = "ModuleNotFoundError: No module named 'x'"
    assert explained(message, program="/bin/sh", code=str(tmp_path)) == message
