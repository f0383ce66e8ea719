"""Folders that values name are replaced, those that a job does not have are refused; /opt/ml can be elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from jobcore_contract import BadInput, expand, places, relocate

NAMED = places("/ml", ["train", "Test.2"], "/c")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${SM_MODEL_DIR}", "/ml/model"),
        ("a=${SM_CHANNEL_TRAIN}/x,b=${SM_CHANNEL_TEST.2}", "a=/ml/input/data/train/x,b=/ml/input/data/Test.2"),
        ("${SM_CHECKPOINT_DIR}${SM_CHECKPOINT_DIR}", "/c/c"),
        (["${SM_MODEL_DIR}", 1, None, {"a": "${SM_OUTPUT_DIR}"}], ["/ml/model", 1, None, {"a": "/ml/output"}]),
        ({"${SM_MODEL_DIR}": "${SM_MODEL_DIR}"}, {"${SM_MODEL_DIR}": "/ml/model"}),
        ("${HOME} $SM_MODEL_DIR ${sm_model_dir} SM_MODEL_DIR ${SM_", "${HOME} $SM_MODEL_DIR ${sm_model_dir} SM_MODEL_DIR ${SM_"),
        ("$${SM_MODEL_DIR}", "$/ml/model"),
        (0.5, 0.5),
    ],
)  # fmt: skip
def test_folders_are_replaced(value: Any, expected: Any) -> None:
    assert expand("hyperparameters.x", value, NAMED) == expected


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("${SM_MODEL}", "hyperparameters.x"),
        ("${SM_CHANNEL_OTHER}", "hyperparameters.x"),
        ("${SM_CHANNEL_train}", "hyperparameters.x"),
        ({"a": ["", "${SM_NUM_GPUS}"]}, "hyperparameters.x.a[1]"),
        ("${SM_}", "hyperparameters.x"),
    ],
)
def test_another_name_is_refused_and_the_known_ones_are_named(value: Any, field: str) -> None:
    with pytest.raises(
        BadInput, match=r"is no folder of this job; there are: SM_CHANNEL_"
    ) as caught:
        expand("hyperparameters.x", value, NAMED)
    assert caught.value.field == field


def test_without_checkpoints_their_folder_is_refused_with_the_reason() -> None:
    with pytest.raises(BadInput, match="checkpoints are not kept here"):
        expand("arguments[0]", "${SM_CHECKPOINT_DIR}", places("/ml", []))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/ml", "/b"),
        ("/opt/ml/model", "/b/model"),
        ('{"a": "/opt/ml/x:/opt/ml"}', '{"a": "/b/x:/b"}'),
        ("--dir=/opt/ml/model", "--dir=/b/model"),
        ("/opt/mlx", "/opt/mlx"),
        ("/opt/ml-2", "/opt/ml-2"),
        ("/opt/ml.old", "/opt/ml.old"),
        ("/x/opt/ml", "/x/opt/ml"),
        ("s3://bucket/opt/ml", "s3://bucket/opt/ml"),
        ("file:///opt/ml/x", "file:///opt/ml/x"),
    ],
)
def test_only_the_path_itself_is_relocated(text: str, expected: str) -> None:
    assert relocate(text, "/b") == expected
