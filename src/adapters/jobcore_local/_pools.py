"""The pools of this machine, in a file that may be changed while the manager runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from jobcore.errors import InvalidSetting
from jobcore.jobfile import is_pool_name
from jobcore_config.checks import Wrong, collect, parse_toml

from ._supervisor.files import sync_directory

SLOTS_MAX = 4096


def pools_path(home: Path) -> Path:
    """Return the path of the file with the pools of *home*."""
    return home / "pools.toml"


def read_pools(home: Path) -> dict[str, int]:
    """
    Read the size of each pool in slots; without a file, see `default_pools`.

    Raises:
        InvalidSetting: the file is malformed; the message names the file, the field and what to do.
    """
    path = pools_path(home)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return default_pools()
    tables = parse_toml(text, where=str(path)).get("pools")
    if not isinstance(tables, dict):
        problem = "expected tables such as [pools.cpu] with slots = 4"
        raise InvalidSetting([("pools", problem)], str(path))
    return _checked(tables, path)


def _checked(tables: Mapping[str, object], path: Path) -> dict[str, int]:
    def slots_of(name: str, table: object) -> int:
        slots = table.get("slots") if isinstance(table, dict) else None
        if not is_pool_name(name):
            problem = (
                "a pool's name has letters, digits, . _ -, in up to three parts between /, and at most "
                "128 characters"
            )
            raise InvalidSetting([("", problem)])
        if not isinstance(slots, int) or isinstance(slots, bool) or not 0 <= slots <= SLOTS_MAX:
            wrong = Wrong(f"a whole number from 0 to {SLOTS_MAX}", slots)
            raise InvalidSetting([("slots", str(wrong))])
        return slots

    try:
        slots: dict[str, int] = collect(
            [("pools", tables)], lambda _, given: collect(given.items(), slots_of)
        )["pools"]
    except InvalidSetting as error:
        raise InvalidSetting(error.problems, str(path)) from None
    return slots


def default_pools() -> dict[str, int]:
    """Make a pool "cpu" with a slot for each core, and "gpu" with one for each NVIDIA GPU, if there are any."""
    pools = {"cpu": os.cpu_count() or 1}
    gpus = len([n for n in os.listdir("/dev") if re.fullmatch(r"nvidia[0-9]+", n)])
    if gpus:
        pools["gpu"] = gpus
    return pools


def write_pools(home: Path, pools: Mapping[str, int]) -> None:
    """
    Write the size of each pool, whole or not at all; a running manager reads it in its next pass.

    Raises:
        InvalidSetting: a name or a size is not allowed; nothing was written.
    """
    path = pools_path(home)
    _checked({name: {"slots": slots} for name, slots in pools.items()}, path)
    text = "".join(f"[pools.{_quoted(n)}]\nslots = {slots}\n\n" for n, slots in pools.items())
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(os.fspath(home))


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def is_gpu_pool(name: str) -> bool:
    """Check by its name whether a pool's slots are GPUs: ``gpu`` or ``gpu-…``."""
    return name == "gpu" or name.startswith(("gpu-", "gpu_", "gpu."))
