"""Local data of jobs on AWS: a folder or file of a channel, uploaded once, under a hash of its content.

The objects are ``data/<id>/<path>``, and a training reads all that is below ``data/<id>/``. The id
stands for the names and contents of all files, so data that was changed has another place. An upload
that was cut short is completed by the next one: the listing of the prefix tells what is missing, and
no job names the prefix before everything is there.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jobcore
from jobcore_code import NEVER_TAKEN, File, Tree
from jobcore_code._cache import Cache
from jobcore_code._files import hash_file, make_private
from jobcore_code._scan import file_of

from ._transfers import transfer_all
from .errors import RequestError
from .words import plain

FILES_MAX = 100_000  # a listing of them is 100 calls
BYTES_MAX = 5 << 30  # the largest object of one PutObject; more is a matter of minutes or hours
_KEY_BYTES_MAX = 1024  # of S3; the rest of the key has some 40
_SECRETS = NEVER_TAKEN["may hold secrets"]
_ELSEWHERE = "upload it yourself (aws s3 cp --recursive) and name its s3:// URI"


class LocalData(NamedTuple):
    """The files of a local folder (or one file), with what identifies their contents."""

    root: str
    files: tuple[File, ...]
    digests: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    id: str

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    def place(self, file: File) -> str:
        """Return the path of a file on this machine."""
        return self.root if os.path.isfile(self.root) else os.path.join(self.root, file.path)


def read_data(path: str, cache: Path) -> LocalData:
    """
    List a folder's files (or the one file) and hash those that have changed since the last time.

    Links are followed, as a training on this machine follows them.

    Args:
        cache: a folder for the hashes.

    Raises:
        RequestError: it is not there, too much, cannot be read, or changes meanwhile.
    """
    walk = _Walk(path)
    files = tuple(sorted(walk.run()))
    size = sum(file.size for file in files)
    if len(files) > FILES_MAX or size > BYTES_MAX:
        msg = (
            f"{plain(path)}: {len(files):,} files, {size >> 20:,} MB; a submission uploads "
            f"{FILES_MAX:,} files and {BYTES_MAX >> 20:,} MB at most: {_ELSEWHERE}"
        )
        raise RequestError(msg)
    if not files:
        msg = f"{plain(path)}: there is no file in it"
        raise RequestError(msg)
    with contextlib.suppress(OSError):  # without it files are hashed each time
        make_private(str(cache / "cache"))
    known = Cache.read(str(cache), os.path.realpath(path))
    digests = []
    for file in files:
        place = path if walk.is_file else os.path.join(path, file.path)
        digests.append(known.digest(file) or _hash(place, file))
    content = [[f.path, f.size, digest] for f, digest in zip(files, digests, strict=True)]
    name = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    known.write(Tree(path, (), files, (), ()), digests, name)
    return LocalData(path, files, tuple(digests), tuple(sorted(walk.left_out)), name[:32])


class _Walk:
    """A walk of a folder that follows links."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.is_file = os.path.isfile(root)
        self.left_out: list[tuple[str, str]] = []

    def run(self) -> Iterator[File]:
        if self.is_file:
            yield _checked(file_of(os.path.basename(self.root), os.stat(self.root)))
            return
        count = 0
        todo: list[tuple[str, tuple[tuple[int, int], ...]]] = [
            ("", (_identity(os.stat(self.root)),))
        ]
        while todo and count <= FILES_MAX:
            folder, above = todo.pop()
            for name in self._names(folder):
                path = f"{folder}/{name}" if folder else name
                found = self._stat(path)
                if found is None:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    if _identity(found) in above:
                        self.left_out.append((path, "a link that goes in a circle"))
                    else:
                        todo.append((path, (*above, _identity(found))))
                else:
                    count += 1
                    yield _checked(file_of(path, found))

    def _names(self, folder: str) -> list[str]:
        path = os.path.join(self.root, folder)
        try:
            return os.listdir(path)
        except OSError as error:
            msg = f"{plain(path)}: {error.strerror}"
            raise RequestError(msg) from None

    def _stat(self, path: str) -> os.stat_result | None:
        """Look at an entry; None if it is left out."""
        name = path.rpartition("/")[2].lower()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRETS):
            self.left_out.append((path, "may hold secrets"))
            return None
        try:
            found = os.stat(os.path.join(self.root, path))
        except OSError as error:
            if not os.path.islink(os.path.join(self.root, path)):
                msg = f"{plain(os.path.join(self.root, path))}: {error.strerror}"
                raise RequestError(msg) from None
            self.left_out.append((path, "a link that is broken"))
            return None
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            self.left_out.append((path, "no file"))
            return None
        return found


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _checked(file: File) -> File:
    try:
        size = len(file.path.encode())
    except UnicodeEncodeError:
        msg = f"{plain(file.path)}: the name is not UTF-8, which S3 needs; rename it"
        raise RequestError(msg) from None
    if size > _KEY_BYTES_MAX - 50:
        msg = f"{plain(file.path)}: the path has {size:,} bytes, too many for S3; shorten it"
        raise RequestError(msg)
    return file


def _hash(place: str, file: File) -> str:
    try:
        with open(place, "rb") as opened:
            _check_same(file, place, opened.fileno())
            digest, _ = hash_file(opened.fileno())
            _check_same(file, place, opened.fileno())
    except OSError as error:
        msg = f"{plain(place)}: {error.strerror}"
        raise RequestError(msg) from None
    return digest


def _check_same(file: File, place: str, fd: int) -> None:
    if file_of(file.path, os.fstat(fd)) != file:
        msg = f"{plain(place)}: changes while it is read; stop what writes to it, and submit again"
        raise RequestError(msg)


# --- the upload -------------------------------------------------------------------------


def upload_data(
    data: LocalData, client: Any, bucket: str, progress: Callable[[int, int], None]
) -> int:
    """
    Upload the files that are not in the bucket; return their number.

    Args:
        progress: called with the number of files that are done, and of those to do.

    Raises:
        RequestError: a file changes meanwhile, or the prefix has objects of someone else.
        Unavailable: S3 did not accept a file.
    """
    prefix = f"data/{data.id}/"
    try:
        there = _listed(client, bucket, prefix)
        if strange := sorted(there.keys() - {file.path for file in data.files}):
            msg = f"s3://{bucket}/{prefix}{plain(strange[0])}: not part of the data; remove it"
            raise RequestError(msg)
        missing = [
            (file, digest)
            for file, digest in zip(data.files, data.digests, strict=True)
            if there.get(file.path) != file.size
        ]
        calls = [
            partial(_put, client, bucket, prefix + file.path, data.place(file), file, digest)
            for file, digest in missing
        ]
        transfer_all(calls, progress)
    except RequestError:
        raise
    except Exception as error:
        msg = f"s3://{bucket}/{prefix}: {error}"
        raise jobcore.Unavailable(msg) from None
    return len(missing)


def _listed(client: Any, bucket: str, prefix: str) -> Mapping[str, int]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = (entry for page in pages for entry in page.get("Contents", ()))
    return {
        entry["Key"].removeprefix(prefix): entry["Size"]
        for entry in found
        if not entry["Key"].endswith("/")  # a marker of a folder, as consoles make them
    }


def _put(client: Any, bucket: str, key: str, place: str, file: File, digest: str) -> None:
    """Upload one file; S3 refuses it if its content has not the hash any more."""
    checksum = base64.b64encode(bytes.fromhex(digest)).decode()
    with open(place, "rb") as body:
        _check_same(file, place, body.fileno())
        client.put_object(Bucket=bucket, Key=key, Body=body, ChecksumSHA256=checksum)
        try:
            with open(place, "rb") as again:
                _check_same(file, place, again.fileno())
        except RequestError:
            client.delete_object(Bucket=bucket, Key=key)
            raise
