"""
An environment on top of another one: its own packages first, then those of the base.

The base is never changed. A ``.pth`` file adds its folders, with what their own ``.pth`` files add.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from jobcore_contract import BadInput

from ._base import Base, run_program

__all__ = ["create", "finish", "python_of", "show_base_to_uv"]

_CREATE_SECONDS_MAX = 120.0
_MARK = "jobcore-base"  # as the installer of a record that stands for a package of the base
# PEP 440, appendix B. uv reads no other version, and stops at one.
_VERSION = re.compile(
    r"v?(\d+!)?\d+(\.\d+)*([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?"
    r"(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?([-_.]?dev[-_.]?\d*)?(\+[a-z0-9]+([-_.][a-z0-9]+)*)?",
    re.IGNORECASE,
)

_LIST_PACKAGES = """
import json, re
from importlib.metadata import distributions
found = {}
for d in distributions():
    try:
        name = d.metadata["Name"]
        key = re.sub("[-_.]+", "_", name).lower()
        if key not in found:
            found[key] = {
                "key": key, "name": name, "version": d.version, "requires": d.requires or [],
                "extras": d.metadata.get_all("Provides-Extra") or [],
                "url": d.read_text("direct_url.json"),
            }
    except Exception:
        pass
print(json.dumps(list(found.values())))
"""

# Of the environment: what was installed into it, and the commands of all packages.
_LIST_INSTALLED = """
import json, os, sys
from importlib.metadata import distributions
own, installed, commands = sys.argv[1], set(), {}
for d in distributions():
    try:
        if os.path.realpath(str(d.locate_file(""))) == os.path.realpath(own):
            installed.add("%s==%s" % (d.metadata["Name"], d.version))
        for e in d.entry_points:
            if e.group == "console_scripts":
                commands.setdefault(e.name, e.value)
    except Exception:
        pass
print(json.dumps({"installed": sorted(installed, key=str.lower), "commands": commands}))
"""


def python_of(folder: str) -> str:
    """Return the interpreter of an environment."""
    return os.path.join(folder, "bin", "python")


def create(base: Base, folder: str, inherited: Mapping[str, str]) -> None:
    """
    Create an environment without packages of its own.

    Raises:
        BadInput: the interpreter cannot create one.
        OSError: the disk is full.
    """
    command = [base.executable, "-I", "-m", "venv", "--without-pip", folder]
    try:
        done = subprocess.run(
            command,
            env=dict(inherited),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CREATE_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        said = f"no answer in {_CREATE_SECONDS_MAX:.0f} s"
    else:
        if done.returncode == 0:
            _write(f"{_packages_of(folder)}/_jobcore_base.pth", _add_sites(base))
            with contextlib.suppress(FileNotFoundError):  # settings of the base's own environment
                prefix = os.path.dirname(os.path.dirname(base.executable))
                shutil.copyfile(f"{prefix}/pip.conf", f"{folder}/pip.conf")
            return
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-300:]
    message = f"{base.executable} cannot create an environment in {folder}: {said}"
    raise BadInput(field="requirements.txt", message=message)


def _add_sites(base: Base) -> str:
    # In ASCII: before 3.13 the file is read in the encoding of the locale.
    calls = "; ".join(f"site.addsitedir({site!a})" for site in base.sites)
    return f"import site; {calls}\n" if calls else ""


def _packages_of(folder: str) -> str:
    lib = os.path.join(folder, "lib")
    (name,) = (n for n in os.listdir(lib) if os.path.isdir(f"{lib}/{n}/site-packages"))
    return f"{lib}/{name}/site-packages"


def show_base_to_uv(base: Base, folder: str, inherited: Mapping[str, str]) -> None:
    """
    Write records of the base's packages into a new environment, as if they were installed in it.

    uv looks at the environment's own folder only (https://github.com/astral-sh/uv/issues/4466). A
    record lists no file but its own, so that uv can remove it without touching the base. `finish`
    removes those that are left.
    """
    own = _packages_of(folder)
    for package in run_program(base.executable, _LIST_PACKAGES, inherited):
        if _VERSION.fullmatch(package["version"] or ""):
            _write_record(own, package)


def _write_record(own: str, package: Mapping[str, Any]) -> None:
    record = f"{package['key']}-{package['version']}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {package['name']}", f"Version: {package['version']}"]
    lines += [f"Provides-Extra: {extra}" for extra in package["extras"]]
    lines += [f"Requires-Dist: {' '.join(text.split())}" for text in package["requires"]]
    texts = {"METADATA": "\n".join(lines) + "\n\n", "INSTALLER": f"{_MARK}\n"}
    if package["url"]:
        texts["direct_url.json"] = package["url"]
    os.mkdir(f"{own}/{record}")
    for file, text in texts.items():
        _write(f"{own}/{record}/{file}", text)
    names = [*texts, "RECORD"]
    _write(f"{own}/{record}/RECORD", "".join(f"{record}/{file},,\n" for file in names))


def finish(folder: str, inherited: Mapping[str, str]) -> list[str]:
    """
    Complete an environment; return what was installed into it, as ``name==version``.

    The commands of the base's packages are written again, for the environment's interpreter: those in
    the base start the base's, which does not see the new packages.
    """
    own = _packages_of(folder)
    for name in os.listdir(own):
        if name.endswith(".dist-info") and _installer(f"{own}/{name}") == _MARK:
            for file in os.listdir(f"{own}/{name}"):
                os.unlink(f"{own}/{name}/{file}")
            os.rmdir(f"{own}/{name}")
    python = python_of(folder)
    found = run_program(python, _LIST_INSTALLED, inherited, own)
    for name, value in found["commands"].items():
        path = f"{folder}/bin/{name}"
        if os.path.basename(name) == name and not os.path.lexists(path):
            _write_command(path, python, value)
    installed: list[str] = found["installed"]
    return installed


def _installer(record: str) -> str:
    try:
        with open(f"{record}/INSTALLER", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _write_command(path: str, python: str, value: str) -> None:
    """Write a command that calls an entry point such as ``torch.distributed.run:main``."""
    module, _, attribute = value.partition("[")[0].replace(" ", "").partition(":")
    if not attribute:
        return
    if any(character in python for character in "\"'\\$`\n"):
        return  # the command of the base is found then
    # A first line of "#!" allows no space, and 127 bytes (binfmt_script.c of Linux before 5.1). So
    # the shell runs this one, and starts Python, for which the shell's line is a text.
    first = attribute.split(".")[0]
    _write(
        path,
        f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
        f"import sys\nfrom {module} import {first}\nsys.exit({attribute}())\n",
    )
    os.chmod(path, 0o700)


def _write(path: str, text: str) -> None:
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
