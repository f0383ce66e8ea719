"""The check of a job for this machine before its submission."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobcore import Spec
from jobcore.errors import Problem
from jobcore.lifecycle import job_id_from_bytes, training_name
from jobcore.ports import LaunchRequest

from ._contract import BadInput, Prepared, inherited_environment, prepare

__all__ = ["check"]

#: Linux: MAX_ARG_STRLEN, 32 pages of 4 KB with the final NUL. Other systems have no such limit.
STRING_BYTES_MAX = 131_071 if sys.platform == "linux" else sys.maxsize
#: The kernel's own part beside arguments and environment: the file's name, pointers, alignment.
_MARGIN_BYTES = 8192
_POINTER_BYTES = 8


def check(spec: Spec) -> list[Problem]:
    """
    Check that this machine can hand a job's values to its script.

    A script gets hyperparameters and environment as arguments and environment variables of its
    process, and the system limits their size. Entry points call this before they submit a job.

    Returns:
        One problem for each field of the job file that is wrong; none if the job can be submitted.
        A script or a channel that does not exist is none: it may exist when the job is launched.
    """
    job_id = job_id_from_bytes(b"\xff" * 16)
    request = LaunchRequest(
        name=training_name(job_id, 999_999_999),  # as long as one can be
        job_id=job_id,
        attempt=999_999_999,
        spec_hash="f" * 64,
        placement=spec.placements[0],
        args=spec.args,
    )
    try:
        prepared = prepare(request, Path("/"), Path("/"), inherited_environment())
    except BadInput:
        return []
    problems = {problem.field: problem for problem in _problems(spec, prepared)}
    return list(problems.values())


def _problems(spec: Spec, prepared: Prepared) -> Iterator[Problem]:
    own = spec.args.get("environment")
    own = own if isinstance(own, dict) else {}
    total = _MARGIN_BYTES
    texts = [("", text) for text in prepared.argv]
    texts += [(name, f"{name}={value}") for name, value in prepared.environment.items()]
    for name, text in texts:
        try:
            size = len(os.fsencode(text))
        except UnicodeEncodeError:
            half = "contains a lone surrogate, which is half a character; remove it"
            yield Problem(_field(spec, name, own), half)
            continue
        total += size + 1 + _POINTER_BYTES
        if size > STRING_BYTES_MAX:
            yield Problem(_field(spec, name, own), _too_large(size, STRING_BYTES_MAX))
    allowed = os.sysconf("SC_ARG_MAX")
    if total > allowed:
        yield Problem(_largest(spec), _too_large(total, allowed))


def _too_large(size: int, allowed: int) -> str:
    return (
        f"{size:,} bytes as arguments or environment of the script; this machine allows "
        f"{allowed:,} (put large values into a file of a channel)"
    )


def _field(spec: Spec, name: str, own: Mapping[str, object]) -> str:
    """Name the field that a text of the process comes from."""
    return f"environment.{name[:40]}" if name in own else _largest(spec)


def _largest(spec: Spec) -> str:
    """Name the field whose values take most room."""
    fields = ("hyperparameters", "arguments", "environment")
    return max(fields, key=lambda field: len(repr(spec.args.get(field, ""))))
