"""The check of a job for this machine before its submission."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobcore import Limits, Placement, Spec
from jobcore.errors import Problem
from jobcore.lifecycle import job_id_from_bytes, training_name
from jobcore.ports import LaunchRequest
from jobcore.scheduling import limit_problems

from ._contract import BadInput, Prepared, inherited_environment, prepare
from ._files import file_problems
from ._pools import read_pools

__all__ = ["Checker", "check"]

#: Linux: MAX_ARG_STRLEN, 32 pages of 4 KB with the final NUL. Other systems have no such limit.
STRING_BYTES_MAX = 131_071 if sys.platform == "linux" else sys.maxsize
#: The kernel's own part beside arguments and environment: the file's name, pointers, alignment.
_MARGIN_BYTES = 8192
_POINTER_BYTES = 8
#: A hyperparameter is in one argument, in SM_HP_*, SM_HPS, SM_USER_ARGS and SM_TRAINING_ENV; as JSON in
#: JSON its quotes double. A string has at most so many times the bytes of the hyperparameters as JSON.
_COPIES_IN_ONE, _COPIES_IN_ALL = 4, 16

#: The arguments that a training on this machine uses. Any other is refused, so that none is dropped
#: without a word.
_USED = frozenset(
    {
        "script", "source_dir", "python", "hyperparameters", "arguments", "flags", "environment", "channels",
        "stop_grace_seconds", "code", "data", "metrics",
    }
)  # fmt: skip
_NOT_HERE = {
    "role": "trainings on this machine run as you and have no role",
    "volume_gb": "trainings on this machine share its disk",
}
_ELSEWHERE = "leave it out, or write it under [backend.aws]"


def check(spec: Spec, home: Path | str) -> list[Problem]:
    """
    Check that this machine can run a job; see `Checker`.

    Args:
        home: the folder of the trainer, which has the pools.

    Raises:
        OSError, ValueError: the pools cannot be read.
    """
    return Checker(read_pools(Path(home)))(spec)


class Checker:
    """
    The check of jobs before they are submitted, so that none waits that can never run here.

    Pools, counts, files, interpreter and script have to be there; a script has to compile, and its
    values have to fit into the arguments and environment of a process. The jobs of a sweep share
    all but their hyperparameters, so that files are looked at, and a script is compiled, once.

    A pool that is full, or has no slots now, is no problem: the job waits.

    Args:
        pools: the slots of each pool, see `read_pools`.
        limits: of the planner; None for none.
    """

    def __init__(self, pools: Mapping[str, int], limits: Limits | None = None) -> None:
        self._pools = pools
        self._limits = limits or Limits()
        self._shared: dict[str, list[Problem]] = {}
        self._rooms: dict[str, tuple[int, int]] = {}

    def __call__(self, spec: Spec) -> list[Problem]:
        """
        Check one job.

        Returns:
            The problems, by the job file's fields; none if the job can be submitted.
        """
        common = {name: v for name, v in spec.args.items() if name != "hyperparameters"}
        key = json.dumps(common, sort_keys=True)
        if key not in self._shared:
            self._shared[key] = list(_arg_problems(spec.args))
        problems = [
            *_pool_problems(spec.placements, self._pools),
            *limit_problems(spec, self._limits),
            *self._shared[key],
        ]
        count = max(placement.count for placement in spec.placements)
        key += json.dumps([count, *sorted(_hyperparameters(spec))])
        if not problems and not self._surely_fits(spec, key):
            return self._value_problems(spec, key)
        return problems

    def _surely_fits(self, spec: Spec, key: str) -> bool:
        """Check whether the values of a job are small beside the room that a job like it has left."""
        text = json.dumps(_hyperparameters(spec))
        # "${" names a folder, which has to exist; a surrogate may be half a character.
        if key not in self._rooms or "${" in text or "\\ud" in text:
            return False
        one, all_ = self._rooms[key]
        return len(text) * _COPIES_IN_ONE <= one and len(text) * _COPIES_IN_ALL <= all_

    def _value_problems(self, spec: Spec, key: str) -> list[Problem]:
        job_id = job_id_from_bytes(b"\xff" * 16)
        request = LaunchRequest(
            name=training_name(job_id, 999_999_999),  # as long as one can be
            job_id=job_id,
            attempt=999_999_999,
            spec_hash="f" * 64,
            placement=max(spec.placements, key=lambda placement: placement.count),
            args=spec.args,
        )
        try:
            last = request.placement.count  # its name is the longest
            prepared = prepare(request, Path("/"), Path("/"), inherited_environment(), host=last)
        except BadInput as error:
            return [Problem(error.field, error.message)]
        sizes = _Sizes(spec, prepared)
        problems = list({problem.field: problem for problem in sizes.problems()}.values())
        if not problems:
            self._rooms[key] = STRING_BYTES_MAX - sizes.largest, sizes.allowed - sizes.total
        elif request.placement.count > 1 and not self(_on_one_host(spec)):
            message = (
                f"got a count of {request.placement.count:,}: the names of so many hosts do not fit "
                "into the environment of a process; ask for fewer"
            )
            return [Problem("pools", message)]
        return problems


def _on_one_host(spec: Spec) -> Spec:
    places = tuple(Placement(placement.pool) for placement in spec.placements)
    return replace(spec, placements=places)


def _hyperparameters(spec: Spec) -> Mapping[str, Any]:
    given = spec.args.get("hyperparameters")
    return given if isinstance(given, dict) else {}


def _pool_problems(
    placements: tuple[Placement, ...], pools: Mapping[str, int]
) -> Iterator[Problem]:
    for place in placements:
        if place.pool not in pools:
            known = ", ".join(sorted(pools)) or "none"
            message = f"there is no pool {place.pool!r} on this machine; there are: {known}"
            yield Problem("pools", message)
        elif 0 < pools[place.pool] < place.count:  # a pool without slots is closed for a while
            size = pools[place.pool]
            yield Problem(
                "pools", f"pool {place.pool!r} has {size} slots, got a count of {place.count}"
            )


def _arg_problems(args: Mapping[str, Any]) -> Iterator[Problem]:
    """Find the problems of a job's arguments but for the size of their values."""
    if "image" in args:
        script = _ELSEWHERE if args.get("script") else 'name a script, such as script = "train.py"'
        yield Problem("image", f"this machine runs scripts and starts no containers; {script}")
    for name in sorted(args.keys() - _USED - {"image"}):
        why = _NOT_HERE.get(name, "of no use on this machine")
        yield Problem(name, f"{why}; {_ELSEWHERE}")
    if args.get("script"):
        yield from file_problems(args)
    elif "image" not in args:
        yield Problem("script", 'missing; name the training script, such as script = "train.py"')


class _Sizes:
    """The bytes that a job's values take as arguments and environment of its process."""

    def __init__(self, spec: Spec, prepared: Prepared) -> None:
        self._spec = spec
        own = spec.args.get("environment")
        self._own = own if isinstance(own, dict) else {}
        self._texts = [("", text) for text in prepared.argv]
        self._texts += [(name, f"{name}={value}") for name, value in prepared.environment.items()]
        self.allowed = os.sysconf("SC_ARG_MAX")
        self.largest = 0
        self.total = _MARGIN_BYTES

    def problems(self) -> Iterator[Problem]:
        for name, text in self._texts:
            field = f"environment.{name[:40]}" if name in self._own else _largest(self._spec)
            try:
                size = len(os.fsencode(text))
            except UnicodeEncodeError:
                message = "contains a lone surrogate, which is half a character; remove it"
                yield Problem(field, message)
                continue
            self.total += size + 1 + _POINTER_BYTES
            self.largest = max(self.largest, size)
            if size > STRING_BYTES_MAX:
                yield Problem(field, _too_large(size, STRING_BYTES_MAX))
        if self.total > self.allowed:
            yield Problem(_largest(self._spec), _too_large(self.total, self.allowed))


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
