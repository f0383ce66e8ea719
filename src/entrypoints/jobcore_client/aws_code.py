"""The code of jobs on AWS: a snapshot of the source folder as an archive in the bucket."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jobcore
import jobcore_contract
from jobcore_code import CodeStore, pack, snapshot_id

from .errors import RequestError
from .snapshots import Taken, code_facts, code_store

if TYPE_CHECKING:
    from .session import Session

_SOURCE_BYTES_MAX = 200 << 20
#: By folder and the script that needs a starter (None for none): the archive, and what is in it.
Packed: TypeAlias = "dict[tuple[str, str | None], tuple[bytes, Taken]]"


class Archive(NamedTuple):
    """A source folder as a tar.gz for SageMaker's training toolkit, and its place in S3."""

    bucket: str
    key: str
    data: bytes
    taken: Taken

    @property
    def uri(self) -> str:
        """The place that the job names."""
        return f"s3://{self.bucket}/{self.key}"


def archive_of(document: Mapping[str, Any], session: Session, packed: Packed) -> Archive | None:
    """
    Pack the local source folder of a job with a script; None if there is none.

    Args:
        packed: the folders that this submission has packed; what is packed here is added.

    Raises:
        RequestError: there is no bucket.
        CodeError: the folder cannot be taken.
    """
    source = document.get("source_dir")
    if not isinstance(source, str) or "://" in source or "script" not in document:
        return None
    bucket = _bucket(session)
    script = _started_script(document)
    if (source, script) not in packed:
        packed[source, script] = _packed(Path(source), session.home_path, script)
    data, taken = packed[source, script]
    return Archive(bucket, _key(data, script), data, taken)


def upload(archive: Archive) -> None:
    """
    Upload an archive, unless it is there already.

    Raises:
        Unavailable: S3 did not accept it.
    """
    _upload(archive.bucket, archive.key, archive.data)


def upload_source(document: Mapping[str, Any], session: Session) -> dict[str, Any]:
    """
    Upload the code of a stored job, and name its place: its snapshot, else its folder as it is now.

    Raises:
        RequestError: there is no bucket.
        CodeError: the snapshot is missing or damaged, or the folder cannot be taken.
        Unavailable: S3 did not accept it.
    """
    return _placed(document, session, uploads=True)


def locate_source(document: Mapping[str, Any], session: Session) -> dict[str, Any]:
    """
    Name the place that `upload_source` would use, and upload nothing: for a dry run.

    Raises:
        RequestError: there is no bucket.
        CodeError: the snapshot is missing or damaged, or the folder cannot be taken.
    """
    return _placed(document, session, uploads=False)


def _placed(document: Mapping[str, Any], session: Session, *, uploads: bool) -> dict[str, Any]:
    snapshot, source = snapshot_id(document), document.get("source_dir")
    if not isinstance(source, str) or "://" in source or "script" not in document:
        return dict(document)
    bucket = _bucket(session)
    script = _started_script(document)
    if snapshot is not None:
        data = _packed_snapshot(code_store(session).path, snapshot, script)
    else:
        data, _ = _packed_once(Path(source), session.home_path, script)
    key = _key(data, script)
    if uploads:
        _upload(bucket, key, data)
    return {**document, "source_dir": f"s3://{bucket}/{key}"}


def _started_script(document: Mapping[str, Any]) -> str | None:
    """Return the script of a job with arguments or flags, whose archive needs a starter; else None."""
    script, needed = document.get("script"), document.get("arguments") or document.get("flags")
    return script if needed and isinstance(script, str) else None


def _bucket(session: Session) -> str:
    if session.aws.bucket is None:
        msg = "source_dir: a local folder has to go to S3; set JOBCORE_BUCKET, or name an s3:// URI"
        raise RequestError(msg)
    return session.aws.bucket


def _key(data: bytes, started: str | None) -> str:
    name = "sourcedir.tar.gz" if started is None else jobcore_contract.STARTED_ARCHIVE
    return f"source/{hashlib.sha256(data).hexdigest()[:32]}/{name}"


def _starter(script: str | None) -> Mapping[str, bytes]:
    return {} if script is None else jobcore_contract.starter_files(script)


def _packed(folder: Path, home: Path, started: str | None) -> tuple[bytes, Taken]:
    """Pack a folder by way of a snapshot, so that what is packed was there at one moment."""
    with tempfile.TemporaryDirectory(prefix="jobcore-") as place:
        store = CodeStore(place, durable=False)
        snapshot = store.take(folder, without=[home], bytes_max=_SOURCE_BYTES_MAX)
        taken = Taken(snapshot.tree, code_facts(str(folder), snapshot.id))
        return pack(store.path, snapshot.id, _starter(started)), taken


#: For the jobs of one move, which may share their folder.
_packed_once = lru_cache(maxsize=4)(_packed)


@lru_cache(maxsize=4)
def _packed_snapshot(store: str, snapshot: str, started: str | None) -> bytes:
    return pack(store, snapshot, _starter(started))


def _upload(bucket: str, key: str, data: bytes) -> None:
    from jobcore_aws import client

    s3 = client("s3")
    try:
        if not _is_there(s3, bucket, key):
            s3.put_object(Bucket=bucket, Key=key, Body=data)
    except Exception as error:
        msg = f"source_dir: s3://{bucket}/{key}: {error}"
        raise jobcore.Unavailable(msg) from None


def _is_there(s3: Any, bucket: str, key: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise
    return True
