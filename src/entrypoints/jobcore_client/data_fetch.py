"""Data in S3 for jobs of this machine: listed and fetched once at submit, and removed by a prune.

    <home>/data/fetched/<id>/   the objects of one URI, whole; never changed
    <home>/data/tmp/            what a submit has not finished
    <home>/data/cache/          hashes of local data that was uploaded for AWS

The id stands for the URI and for the keys, ETags and sizes below it. So a folder that is there needs
no download, and data that was changed in S3 gets another folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jobcore
from jobcore_code import Pruned
from jobcore_code._files import make_private, new_name, remove_tree, sync
from jobcore_contract import path_in_channel

from ._transfers import transfer_all
from .errors import RequestError
from .words import plain

FILES_MAX = 100_000
_TRIES = 3
_CHUNK_BYTES = 1 << 20
_NAME_BYTES_MAX = 255  # of one part of a path, on common file systems
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REFUSED = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "your credentials may not list or read it",
    "403": "your credentials may not list or read it",
    "ExpiredToken": "your credentials have expired; renew them",
    "InvalidAccessKeyId": "your credentials are not known; check AWS_ACCESS_KEY_ID or AWS_PROFILE",
    "SignatureDoesNotMatch": "your credentials are wrong; check AWS_SECRET_ACCESS_KEY",
    "InvalidObjectState": "it is archived (Glacier); restore it first",
    "412": "it was changed while it was read; submit again",
    "PreconditionFailed": "it was changed while it was read; submit again",
    "NoSuchKey": "it was removed while it was read; submit again",
    "404": "it was removed while it was read; submit again",
}


class Remote(NamedTuple):
    """An object of S3, and its path in the channel."""

    path: str
    key: str
    etag: str
    size: int


class RemoteData(NamedTuple):
    """All objects of one URI."""

    uri: str
    bucket: str
    files: tuple[Remote, ...]
    id: str

    @property
    def size(self) -> int:
        """The bytes of all objects."""
        return sum(file.size for file in self.files)


def s3_client() -> Any:
    """
    Make a client of S3 with the credentials and the endpoint of the environment.

    Raises:
        RequestError: boto3 is not installed.
    """
    try:
        from jobcore_aws import client

        return client("s3")
    except ImportError:
        msg = "reading it needs boto3: pip install 'jobcore-scheduler[aws]'"
        raise RequestError(msg) from None


def list_data(uri: str, client: Any) -> RemoteData:
    """
    List the objects of a URI, as a channel of SageMaker takes them: all whose keys begin with it.

    Raises:
        RequestError: there are none or too many, one cannot be a file of a folder, or S3 refuses it.
        Unavailable: S3 did not answer.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        msg = "expected s3://bucket/prefix"
        raise RequestError(msg)
    files = []
    with _in_words():
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for entry in (entry for page in pages for entry in page.get("Contents", ())):
            key = entry["Key"]
            if not key.endswith("/"):  # a marker of a folder, as consoles make them
                path = path_in_channel(prefix, key)
                files.append(Remote(path, key, entry["ETag"], entry["Size"]))
            if len(files) > FILES_MAX:
                msg = f"more than {FILES_MAX:,} objects; pack them into fewer"
                raise RequestError(msg)
    if not files:
        msg = "there is no object whose key begins so"
        raise RequestError(msg)
    _check_paths(files)
    content = json.dumps([uri, [[f.key, f.etag, f.size] for f in files]])
    name = hashlib.sha256(content.encode()).hexdigest()[:32]
    return RemoteData(uri, bucket, tuple(files), name)


def _check_paths(files: list[Remote]) -> None:
    paths = {file.path for file in files}
    for file in files:
        parts = file.path.split("/")
        problem = None
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in file.path:
            problem = "is no path in a folder"
        elif max(len(os.fsencode(part)) for part in parts) > _NAME_BYTES_MAX:
            problem = f"has a name of more than {_NAME_BYTES_MAX} bytes"
        elif any("/".join(parts[:at]) in paths for at in range(1, len(parts))):
            problem = "is below another object, which would be a file and a folder"
        if problem is not None:
            msg = f"the key {plain(file.key)!r} {problem}; name another prefix"
            raise RequestError(msg)
    if len(paths) < len(files):
        msg = "two keys give the same path in the channel; end the URI with /"
        raise RequestError(msg)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Turn what boto3 raises into words."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _REFUSED:
            raise RequestError(_REFUSED[code]) from None
        raise jobcore.Unavailable(str(error)) from None
    except NoCredentialsError:
        msg = "there are no AWS credentials; set AWS_PROFILE, or run aws configure"
        raise RequestError(msg) from None
    except BotoCoreError as error:
        raise jobcore.Unavailable(str(error)) from None


def data_ids(args: Mapping[str, Any]) -> set[str]:
    """List the ids of the fetched data that a job needs."""
    entries = args.get("data")
    tables = entries.values() if isinstance(entries, dict) else ()
    return {str(entry.get("id")) for entry in tables if isinstance(entry, dict)}


# --- the folders of this machine ----------------------------------------------------------


class FetchedData:
    """
    The data of one home.

    Fetch inside `jobcore_code.CodeStore.in_use`, until the job that needs it is stored, and prune
    inside `jobcore_code.CodeStore.alone`.
    """

    def __init__(self, home: Path) -> None:
        self._folders = home / "data" / "fetched"
        self._parts = home / "data" / "tmp"
        self._hashes = home / "data" / "cache"

    def place(self, data_id: str) -> Path:
        """Return the folder that data has, or will have."""
        return self._folders / data_id

    def has(self, data_id: str) -> bool:
        """Check whether data is there, whole."""
        return self.place(data_id).is_dir()

    def check_room(self, data: RemoteData) -> None:
        """
        Check that the disk has room for what is not there.

        Raises:
            RequestError: it has not.
        """
        folder = self._folders
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if not self.has(data.id) and data.size > free:
            msg = f"{data.size >> 20:,} MB; {folder} has {free >> 20:,} MB free: free some space, or use another --home"
            raise RequestError(msg)

    def fetch(self, data: RemoteData, client: Any, progress: Callable[[int, int], None]) -> bool:
        """
        Download data, unless it is there; return whether that was needed.

        Raises:
            RequestError: S3 refuses it, or it was changed since it was listed.
            OSError: the disk cannot be written; nothing half-done is left.
            Unavailable: S3 did not answer.
        """
        place = self.place(data.id)
        if place.is_dir():
            os.utime(place)  # a prune goes by the last use
            return False
        self.check_room(data)
        make_private(str(self._folders))
        make_private(str(self._parts))
        part = self._parts / new_name()
        try:
            download_data(data, client, part, progress)
            try:
                part.rename(place)
            except OSError as error:  # another submit was faster
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            sync(str(self._folders))
        finally:
            remove_tree(str(part))
        return True

    def prune(
        self, needed: Collection[str], *, used_before: float, dry_run: bool = False
    ) -> Pruned:
        """
        Remove the data that no job needs and that was used last before a time, and leftovers.

        Args:
            needed: ids of data that is kept.
            used_before: seconds since 1970.
            dry_run: remove nothing.
        """
        names = os.listdir(self._folders) if self._folders.is_dir() else []
        gone = [
            name
            for name in names
            if name not in needed and self.place(name).stat().st_mtime < used_before
        ]
        size = sum(
            file.lstat().st_size
            for name in gone
            for file in self.place(name).rglob("*")
            if file.is_file()
        )
        if not dry_run:
            for name in gone:
                part = self._parts / new_name()  # so that a folder that has its name is whole
                make_private(str(self._parts))
                self.place(name).rename(part)
            for part in self._parts.glob("*"):
                remove_tree(str(part))
            for hashes in self._hashes.glob("*"):
                if hashes.stat().st_mtime < used_before:
                    hashes.unlink()
        return Pruned(len(gone), len(names) - len(gone), size)


def download_data(
    data: RemoteData, client: Any, folder: Path, progress: Callable[[int, int], None]
) -> None:
    """
    Download objects into a new folder; *progress* is called with the number done and of all.

    Raises:
        RequestError: S3 refuses it, or it was changed since it was listed.
        OSError: the disk cannot be written.
        Unavailable: S3 did not answer.
    """
    with _in_words():
        _download(data, client, folder, progress)


def _download(
    data: RemoteData, client: Any, folder: Path, progress: Callable[[int, int], None]
) -> None:
    folders = {folder, *(folder / os.path.dirname(file.path) for file in data.files)}
    for each in sorted(folders):
        make_private(str(each))
    calls = [partial(_download_one, client, data.bucket, file, folder) for file in data.files]
    transfer_all(calls, progress)
    for each in sorted(folders):
        sync(str(each))


def _download_one(client: Any, bucket: str, file: Remote, folder: Path) -> None:
    """Download one object as it was listed; a connection that breaks off is made again."""
    from botocore.exceptions import BotoCoreError

    for again in range(_TRIES - 1, -1, -1):
        try:
            _read_object(client, bucket, file, folder / file.path)
        except BotoCoreError:
            if not again:
                raise
        else:
            return


def _read_object(client: Any, bucket: str, file: Remote, place: Path) -> None:
    answer = client.get_object(Bucket=bucket, Key=file.key, IfMatch=file.etag)
    # Several jobs read it, so it cannot be written to.
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        with open(fd, "wb") as opened, contextlib.closing(answer["Body"]) as body:
            while chunk := body.read(_CHUNK_BYTES):
                opened.write(chunk)
            opened.flush()
            os.fsync(opened.fileno())
            if opened.tell() != file.size:
                msg = f"{plain(file.key)}: {opened.tell():,} bytes of {file.size:,} were received"
                raise jobcore.Unavailable(msg)
    except BaseException:
        place.unlink()
        raise
