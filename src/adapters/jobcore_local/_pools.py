"""The pools of this machine: a small file that may be changed while the manager runs."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from ._supervisor import sync_directory

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SLOTS_MAX = 4096


def pools_path(home: Path) -> Path:
    """Say where the pools of *home* are written down."""
    return home / "pools.toml"


def read_pools(home: Path) -> dict[str, int]:
    """
    Read the size of each pool in slots; without a file: one CPU pool, and one of GPUs if there are any.

    Raises:
        ValueError: the file is malformed; the message names the file, the field and what to do.
    """
    path = pools_path(home)
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return default_pools()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not valid TOML: {error}"
        raise ValueError(msg) from None
    tables = document.get("pools")
    if not isinstance(tables, dict):
        msg = f"{path}: pools: expected tables such as [pools.cpu] with slots = 4"
        raise ValueError(msg)
    return {str(name): _slots(path, name, table) for name, table in tables.items()}


def _slots(path: Path, name: str, table: object) -> int:
    where = f"{path}: pools.{name}"
    slots = table.get("slots") if isinstance(table, dict) else None
    if not _NAME.fullmatch(name):
        msg = f"{where}: a pool's name has letters, digits, . _ - and at most 64 characters"
        raise ValueError(msg)
    if not isinstance(slots, int) or isinstance(slots, bool) or not 0 <= slots <= SLOTS_MAX:
        msg = f"{where}.slots: expected a whole number from 0 to {SLOTS_MAX}, got {slots!r}"
        raise ValueError(msg)
    return slots


def default_pools() -> dict[str, int]:
    """Give one slot for each core, and one for each NVIDIA GPU."""
    pools = {"cpu": os.cpu_count() or 1}
    gpus = len([n for n in os.listdir("/dev") if re.fullmatch(r"nvidia[0-9]+", n)])
    if gpus:
        pools["gpu"] = gpus
    return pools


def write_pools(home: Path, pools: Mapping[str, int]) -> None:
    """
    Write the size of each pool, at once or not at all; a running manager sees it at its next look.

    Raises:
        ValueError: a name or a size is not possible; nothing was written.
    """
    path = pools_path(home)
    for name, slots in pools.items():
        _slots(path, name, {"slots": slots})
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
    """Tell whether a pool's slots are GPUs: by its name, ``gpu`` or ``gpu-…``."""
    return name == "gpu" or name.startswith(("gpu-", "gpu_", "gpu."))
