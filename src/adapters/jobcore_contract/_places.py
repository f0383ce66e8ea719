"""The folders of a training, by the names that scripts and job files have for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ._container import OPT_ML
from ._errors import BadInput

_REFERENCE = re.compile(r"\$\{(SM_[^{}]*)\}")
_IN_OPT_ML = re.compile(rf"(?<![\w./-]){OPT_ML}(?![\w.-])")


def places(base: str, channels: Iterable[str], checkpoints: str | None = None) -> dict[str, str]:
    """
    Name the folders of a training below *base*: ``SM_MODEL_DIR`` and the like.

    Args:
        base: the folder that stands for ``/opt/ml``.
        channels: names of the job's channels; each is a folder ``SM_CHANNEL_NAME``.
        checkpoints: the folder of checkpoints; None if they are not kept.
    """
    named = {
        "SM_MODEL_DIR": f"{base}/model",
        "SM_OUTPUT_DATA_DIR": f"{base}/output/data",
        "SM_OUTPUT_INTERMEDIATE_DIR": f"{base}/output/intermediate",
        "SM_OUTPUT_DIR": f"{base}/output",
        "SM_INPUT_DIR": f"{base}/input",
        "SM_INPUT_CONFIG_DIR": f"{base}/input/config",
    }
    if checkpoints is not None:
        named["SM_CHECKPOINT_DIR"] = checkpoints
    return named | {f"SM_CHANNEL_{name.upper()}": f"{base}/input/data/{name}" for name in channels}


def expand(field: str, value: Any, named: Mapping[str, str]) -> Any:
    """
    Replace ``${SM_MODEL_DIR}`` and the like in texts of a job file's value, at any depth.

    Names of table entries, and references to other variables such as ``${HOME}``, stay as they are.

    Args:
        field: the field of *value*, for the error.
        named: see `places`.

    Raises:
        BadInput: a text names a folder that the training does not have.
    """
    if isinstance(value, str):
        return _expand_text(field, value, named) if "${SM_" in value else value
    if isinstance(value, Mapping):
        return {name: expand(f"{field}.{name}", item, named) for name, item in value.items()}
    if isinstance(value, list):
        return [expand(f"{field}[{place}]", item, named) for place, item in enumerate(value)]
    return value


def _expand_text(field: str, text: str, named: Mapping[str, str]) -> str:
    def folder(found: re.Match[str]) -> str:
        name = found[1]
        if name in named:
            return named[name]
        if name == "SM_CHECKPOINT_DIR":
            raise BadInput(field=field, message=f"{found[0]}: checkpoints are not kept here")
        known = ", ".join(sorted(named))
        raise BadInput(
            field=field, message=f"{found[0]} is no folder of this job; there are: {known}"
        )

    return _REFERENCE.sub(folder, text)


def relocate(text: str, base: str) -> str:
    """Replace the path ``/opt/ml`` in *text* by *base*, for a container whose folders are there."""
    return _IN_OPT_ML.sub(lambda _: base, text)
