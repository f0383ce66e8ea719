"""Job files from disk: TOML, YAML or JSON, with their paths made absolute."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobcore_contract import is_package

from .errors import RequestError

_SCRIPT_SUFFIXES = (".py", ".sh", ".ipynb")


def read_document(path: Path) -> dict[str, Any]:
    """
    Decode a job file by its ending.

    Raises:
        RequestError: it is a script, or cannot be read or decoded; the message names the file and the line.
    """
    if path.suffix in _SCRIPT_SUFFIXES and path.is_file():
        msg = (
            f"{path}: a script; name it in a job file and give that: train.toml, for example, with the "
            f"line script = {json.dumps(path.name)}. All other fields have defaults"
        )
        raise RequestError(msg)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise RequestError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise RequestError(msg) from None
    try:
        document = _decode(path, text)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: not valid {_kind(path)}: {str(error).splitlines()[0]}"
        raise RequestError(msg) from None
    if not isinstance(document, dict):
        msg = f"{path}: expected a table of fields at the top, got {type(document).__name__}"
        raise RequestError(msg)
    return document


def _kind(path: Path) -> str:
    return {".json": "JSON", ".yaml": "YAML", ".yml": "YAML"}.get(path.suffix.lower(), "TOML")


def _decode(path: Path, text: str) -> Any:
    match _kind(path):
        case "JSON":
            return json.loads(text)
        case "YAML":
            import yaml

            try:
                return yaml.safe_load(text)
            except yaml.YAMLError as error:
                mark = getattr(error, "problem_mark", None)
                where = f" (line {mark.line + 1})" if mark else ""
                problem = getattr(error, "problem", None) or str(error).splitlines()[0]
                msg = f"{problem}{where}"
                raise ValueError(msg) from None
        case _:
            return tomllib.loads(text)


def localise(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """
    Make a job file's local paths absolute (they are relative to the file), and check that the script exists.

    Raises:
        RequestError: the script or its folder does not exist.
    """
    try:
        return _localised(document, path)
    except (
        OSError,
        RuntimeError,
    ) as error:  # a name that is too long, or a user after ``~`` who does not exist
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"{path}: source_dir, script or channels: {reason}"
        raise RequestError(msg) from None


def _localised(document: dict[str, Any], path: Path) -> dict[str, Any]:
    result = dict(document)
    base = path.absolute().parent
    source = result.get("source_dir", "." if "script" in result else None)
    if isinstance(source, str) and "://" not in source and "\0" not in source:
        folder = _without_dots(base / Path(source).expanduser())
        result["source_dir"] = str(folder)
        script = result.get("script")
        if not folder.is_dir():
            msg = f"{path}: source_dir: {folder} is not a folder"
            raise RequestError(msg)
        named = isinstance(script, str) and script and "\0" not in script
        if named and not _is_there(folder, str(script)):
            msg = f"{path}: script: {folder / str(script)} does not exist"
            raise RequestError(msg)
        if named:
            result["script"] = _inside(folder, str(script))
    channels = result.get("channels")
    if isinstance(channels, dict):
        result["channels"] = {
            name: str(base / Path(where).expanduser())
            if isinstance(where, str) and "://" not in where
            else where
            for name, where in channels.items()
        }
    return result


def _without_dots(path: Path) -> Path:
    """Resolve ``..`` in a path for people, unless it leads through a link, where it means another folder."""
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def _inside(folder: Path, script: str) -> str:
    """Name a script relative to its folder (``./train.py``, an absolute path); one outside is left as it is."""
    relative = os.path.relpath(os.path.normpath(folder / script), folder)
    return script if relative.partition("/")[0] == ".." else relative


def _is_there(folder: Path, script: str) -> bool:
    """Check whether a script exists; a module of a package (a folder with setup.py) may be installed."""
    is_module = not script.endswith(".py") and is_package(str(folder), script)
    return is_module or (folder / script).is_file()


def choose_python(
    document: dict[str, Any], path: Path, environ: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """
    Name the interpreter that a job's script runs under on this machine, by its absolute path.

    Returns:
        The document with ``python``, and where it comes from; the document as it is, and "", if it
        has no script, or a python that is no text.
    """
    named = document.get("python")
    if not isinstance(document.get("script"), str) or not isinstance(named, str | None):
        return document, ""
    if isinstance(named, str) and "\0" in named:
        return document, ""
    from jobcore_local import find_python

    found = find_python(named, str(path.absolute().parent), environ)
    return {**document, "python": found.path}, found.origin
