"""Wheels made by hand, so that tests of installations need no network; and interpreters to install for."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

#: uv beside the tests' interpreter, or of the PATH; None if there is none.
UV = shutil.which("uv", path=os.pathsep.join([f"{sys.prefix}/bin", os.environ["PATH"]]))


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    commands: Mapping[str, str] | None = None,
    source: str = "",
) -> Path:
    """Make a wheel with one module that has a VERSION, and *source*."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {other}\n" for other in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{source}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if commands:
        lines = [f"{command} = {place}" for command, place in commands.items()]
        files[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""])
    rows = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def make_base(folder: Path, *wheels: Path, pip: bool = True) -> str:
    """Make an environment that has these wheels; return its interpreter."""
    own = [] if pip else ["--without-pip"]
    command = [sys.executable, "-m", "venv", *own, str(folder)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
    return str(folder / "bin" / "python")


def offline(wheels: Path, installer: str, folder: Path) -> dict[str, str]:
    """
    Make variables by which pip or uv installs from *wheels* only.

    Args:
        installer: "pip" or "uv".
        folder: for the PATH of the one, and the cache of the other.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "JOBCORE_"))}
    commands = folder / f"commands of {installer}"
    commands.mkdir(exist_ok=True)
    if installer == "uv":
        assert UV is not None
        if not (commands / "uv").exists():
            (commands / "uv").symlink_to(UV)
        own = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": f"{folder}/cache"}
    else:
        own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    return kept | own | {"PATH": f"{commands}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(folder)}
