"""The pools of this machine, in a file that may be changed while the manager runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jobcore.errors import InvalidSetting
from jobcore.jobfile import is_pool_name
from jobcore_config.checks import Wrong, collect, parse_toml

from ._supervisor.files import sync_directory

SLOTS_MAX = 4096


def pools_path(home: Path) -> Path:
    """Return the path of the file with the pools of *home*."""
    return home / "pools.toml"


class Pool(NamedTuple):
    """A pool of this machine: how many slots it has, and how many GPUs a slot has."""

    slots: int
    gpus: int


def read_pools(home: Path) -> dict[str, int]:
    """
    Read the size of each pool in slots; without a file, see `default_pools`.

    Raises:
        InvalidSetting: the file is malformed; the message names the file, the field and what to do.
    """
    return {name: pool.slots for name, pool in read_pool_tables(home).items()}


def read_gpus(home: Path) -> dict[str, int]:
    """
    Read how many GPUs a slot of each pool has; see `read_pools`.

    Without a number in the file it is 1 in pools that are named ``gpu`` or ``gpu-…``, and else 0.
    """
    return {name: pool.gpus for name, pool in read_pool_tables(home).items()}


def read_pool_tables(home: Path) -> dict[str, Pool]:
    """Read all about the pools; see `read_pools`."""
    path = pools_path(home)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {name: Pool(slots, _default_gpus(name)) for name, slots in default_pools().items()}
    tables = parse_toml(text, where=str(path)).get("pools")
    if not isinstance(tables, dict):
        problem = "expected tables such as [pools.cpu] with slots = 4"
        raise InvalidSetting([("pools", problem)], str(path))
    return _checked(tables, path)


def _checked(tables: Mapping[str, object], path: Path) -> dict[str, Pool]:
    def pool_of(name: str, table: object) -> Pool:
        if not is_pool_name(name):
            problem = (
                "a pool's name has letters, digits, . _ -, in up to three parts between /, and at most "
                "128 characters"
            )
            raise InvalidSetting([("", problem)])
        fields = table if isinstance(table, dict) else {}
        numbers = {"slots": fields.get("slots"), "gpus": fields.get("gpus", _default_gpus(name))}
        return Pool(**collect(numbers.items(), _number))

    try:
        pools: dict[str, Pool] = collect(
            [("pools", tables)], lambda _, given: collect(given.items(), pool_of)
        )["pools"]
    except InvalidSetting as error:
        raise InvalidSetting(error.problems, str(path)) from None
    return pools


def _number(_: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SLOTS_MAX:
        wrong = Wrong(f"a whole number from 0 to {SLOTS_MAX}", value)
        raise InvalidSetting([("", str(wrong))])
    return value


def default_pools() -> dict[str, int]:
    """Make a pool "cpu" with a slot for each core, and "gpu" with one for each NVIDIA GPU, if there are any."""
    pools = {"cpu": os.cpu_count() or 1}
    gpus = len([n for n in os.listdir("/dev") if re.fullmatch(r"nvidia[0-9]+", n)])
    if gpus:
        pools["gpu"] = gpus
    return pools


def write_pools(
    home: Path, pools: Mapping[str, int], gpus: Mapping[str, int] | None = None
) -> None:
    """
    Write the size of each pool, whole or not at all; a running manager reads it in its next pass.

    Args:
        home: the folder of the trainer.
        pools: the slots of each pool.
        gpus: how many GPUs a slot has, by pool; one that is not named has as many as `read_gpus` says.

    Raises:
        InvalidSetting: a name or a size is not allowed; nothing was written.
    """
    path = pools_path(home)
    tables = {
        name: {"slots": slots, "gpus": (gpus or {}).get(name, _default_gpus(name))}
        for name, slots in pools.items()
    }
    text = "".join(
        f"[pools.{_quoted(name)}]\nslots = {pool.slots}\n"
        + f"gpus = {pool.gpus}\n" * (pool.gpus != _default_gpus(name))
        + "\n"
        for name, pool in _checked(tables, path).items()
    )
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(os.fspath(home))


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _default_gpus(name: str) -> int:
    """Return how many GPUs a slot has if nothing says it: 1 in ``gpu`` and ``gpu-…``."""
    return int(name == "gpu" or name.startswith(("gpu-", "gpu_", "gpu.")))
