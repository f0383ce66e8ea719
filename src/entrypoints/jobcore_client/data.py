"""The channels of jobs at submit: local folders go to S3 for AWS, data in S3 comes to this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jobcore
from jobcore.errors import Problem

from .data_fetch import FetchedData, data_ids
from .errors import RequestError
from .snapshots import code_store
from .words import left_out_words, plain, size_words

if TYPE_CHECKING:
    from ._data_upload import LocalData
    from .data_fetch import RemoteData
    from .session import Session

_WARN_BYTES = 1 << 30
_PROGRESS_SECONDS = 5


class Channels:
    """
    The data of one command's jobs.

    Data is listed and named first, because a job is checked with its place, and moved when all jobs
    are valid.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._uploads: dict[str, tuple[str, LocalData]] = {}  # by folder: field, data
        self._fetches: dict[str, tuple[str, RemoteData]] = {}  # by URI
        self._client: Any = None
        self._moved: dict[str, bool] = {}  # by id: whether there was anything to do

    def place(self, document: dict[str, Any]) -> dict[str, Any]:
        """
        Name the place of each channel where the job runs; nothing is uploaded or fetched.

        Raises:
            InvalidJob: data does not exist, or cannot be moved.
            Unavailable: S3 did not answer.
        """
        channels = document.get("channels")
        if not isinstance(channels, dict):
            return document
        placed = {
            name: self._place(f"channels.{name}", where) if isinstance(where, str) else where
            for name, where in channels.items()
        }
        return {**document, "channels": placed}

    def _place(self, field: str, where: str) -> str:
        if self._session.is_aws and where.startswith("file:///"):
            where = where.removeprefix("file://")
        is_s3 = where.startswith("s3://")
        if ("://" in where and not is_s3) or is_s3 == self._session.is_aws or "\0" in where:
            return where  # it is there, or the check refuses it
        bucket = None if is_s3 else self._session.aws.bucket
        try:
            if is_s3:
                return self._place_remote(field, where)
            return self._place_local(field, where, bucket)
        except (RequestError, jobcore.Unavailable) as error:
            msg = f"{where}: {error}" if is_s3 else str(error)
            if isinstance(error, jobcore.Unavailable):
                raise jobcore.Unavailable(str(Problem(field, msg))) from None
            raise jobcore.InvalidJob([Problem(field, msg)]) from None

    def _place_local(self, field: str, where: str, bucket: str | None) -> str:
        from ._data_upload import read_data

        if not os.path.exists(where):
            msg = f"{where} does not exist on this machine"
            raise RequestError(msg)
        if bucket is None:
            msg = "a local folder has to go to S3; set JOBCORE_BUCKET, or name an s3:// URI"
            raise RequestError(msg)
        path = os.path.realpath(where)
        if not os.path.isdir(where):  # a file keeps its name, also as a link
            path = os.path.join(os.path.realpath(os.path.dirname(where)), os.path.basename(where))
        if path not in self._uploads:
            self._uploads[path] = field, read_data(path, self._session.home_path / "data")
        return f"s3://{bucket}/data/{self._uploads[path][1].id}/"

    def _place_remote(self, field: str, where: str) -> str:
        from .data_fetch import list_data

        if where not in self._fetches:
            data = list_data(where, self._s3())
            self._fetched().check_room(data)
            self._fetches[where] = field, data
        return str(self._fetched().place(self._fetches[where][1].id))

    def as_if_there(self, spec: jobcore.Spec) -> jobcore.Spec:
        """Replace the folders that do not exist yet, so that the job can be checked before a download."""
        coming = {str(self._fetched().place(data.id)) for _, data in self._fetches.values()}
        channels = spec.args.get("channels")
        if not coming or not isinstance(channels, dict):
            return spec
        there = {name: "/" if where in coming else where for name, where in channels.items()}
        return replace(spec, args={**spec.args, "channels": there})

    @contextmanager
    def moved(self, specs: Sequence[jobcore.Spec]) -> Iterator[list[jobcore.Spec]]:
        """
        Upload or fetch the data; submit the jobs that this yields inside the block.

        Raises:
            RequestError: data was changed meanwhile, or S3 refuses it.
            OSError: the disk cannot be written.
            Unavailable: S3 did not answer.
        """
        self.upload()
        # Keeps a prune away until the jobs are stored.
        with code_store(self._session).in_use() if self._fetches else nullcontext():
            for field, remote in self._fetches.values():
                with _named(field, remote.uri):
                    say = _progress(self._session, f"{field}: fetching", remote.size)
                    self._moved[remote.id] = self._fetched().fetch(remote, self._s3(), say)
            yield [self._with_origin(spec) for spec in specs]

    def for_aws(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """
        Name the places of the channels of a stored job that moves to AWS: the URIs of fetched data.

        Raises:
            InvalidJob: as for `place`.
        """
        origin = args.get("data")
        origins = origin.items() if isinstance(origin, dict) else ()
        uris = {name: entry["uri"] for name, entry in origins if "uri" in entry}
        document = {name: value for name, value in args.items() if name != "data"}
        if uris:
            document["channels"] = {**document["channels"], **uris}
        return self.place(document)

    def upload(self) -> None:
        """
        Upload what the bucket does not have.

        Raises:
            RequestError: data was changed meanwhile, or S3 refuses it.
            Unavailable: S3 did not answer.
        """
        from ._data_upload import upload_data

        for folder, (field, data) in self._uploads.items():
            say = _progress(self._session, f"{field}: uploading", data.size)
            with _named(field, folder):
                count = upload_data(data, self._s3(), str(self._session.aws.bucket), say)
            self._moved[data.id] = count > 0

    def _with_origin(self, spec: jobcore.Spec) -> jobcore.Spec:
        """Add for people where the data of a job comes from; `prune` goes by the ids."""
        channels = spec.args.get("channels")
        if not isinstance(channels, dict) or not (self._fetches or self._uploads):
            return spec
        origins: dict[str, dict[str, str]] = {}
        for uri, (_, remote) in self._fetches.items():
            origins[str(self._fetched().place(remote.id))] = {"uri": uri, "id": remote.id}
        for folder, (_, local) in self._uploads.items():
            place = f"s3://{self._session.aws.bucket}/data/{local.id}/"
            origins[place] = {"folder": folder, "id": local.id}
        own: dict[str, Any] = {
            name: origins[str(where)] for name, where in channels.items() if str(where) in origins
        }
        return replace(spec, args={**spec.args, "data": own}) if own else spec

    def _s3(self) -> Any:
        from .data_fetch import s3_client

        self._client = self._client or s3_client()
        return self._client

    def _fetched(self) -> FetchedData:
        return FetchedData(self._session.home_path)

    # --- words ----------------------------------------------------------------------

    def lines(self) -> list[str]:
        """Write one line for each place of data, and a warning if it is large."""
        lines = []
        for entry in self.documents():
            moved = {True: "uploaded", False: "is in the bucket", None: "to upload"}
            if "uri" in entry:
                moved = {True: "fetched", False: "is on this machine", None: "to fetch"}
            files = f"{entry['files']:,} file{'s' if entry['files'] != 1 else ''}"
            text = f"{files}, {size_words(entry['bytes'])} of {plain(entry.get('uri') or entry['folder'])}"
            left_out = [f"{one['path']} ({one['reason']})" for one in entry["left_out"]]
            text += left_out_words(left_out)
            lines.append(f"data: {entry['field']}: {text}; {moved[entry['moved']]}")
            if entry["warning"]:
                lines.append(f"data: warning: {entry['warning']}")
        return lines

    def documents(self) -> list[dict[str, Any]]:
        """Write the same as JSON data."""
        uploads = [
            {
                **self._document(field, local),
                "folder": folder,
                "left_out": [{"path": plain(p), "reason": why} for p, why in local.left_out],
                "warning": _large(local.size) if local.size > _WARN_BYTES else None,
            }
            for folder, (field, local) in self._uploads.items()
        ]
        fetches = [
            {**self._document(field, remote), "uri": uri, "left_out": [], "warning": None}
            for uri, (field, remote) in self._fetches.items()
        ]
        return [*uploads, *fetches]

    def _document(self, field: str, data: LocalData | RemoteData) -> dict[str, Any]:
        return {
            "field": field,
            "id": data.id,
            "files": len(data.files),
            "bytes": data.size,
            "moved": self._moved.get(data.id),
        }


def _large(size: int) -> str:
    return (
        f"{size_words(size)} are uploaded again whenever a file changes; put large data that changes "
        "into a bucket and name its s3:// URI"
    )


def with_known_data(spec: jobcore.Spec, known: jobcore.Spec) -> jobcore.Spec:
    """
    Take over what is only shown of the data from a job with the same data.

    So a repeated submission is the same job although its folder was moved meanwhile.
    """
    if data_ids(spec.args) != data_ids(known.args) or "data" not in known.args:
        return spec
    return replace(spec, args={**spec.args, "data": known.args["data"]})


@contextmanager
def _named(field: str, where: str) -> Iterator[None]:
    """Name the field and the place in an error."""
    try:
        yield
    except (RequestError, jobcore.Unavailable) as error:
        raise type(error)(str(Problem(field, f"{where}: {error}"))) from None


def _progress(session: Session, what: str, size: int) -> Callable[[int, int], None]:
    """Make a report of progress that says one line every few seconds."""
    last = time.monotonic()

    def say(done: int, count: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS and done < count:
            last = time.monotonic()
            total = size_words(size)
            session.say(f"data: {what}: {done:,} of {count:,} files ({total} in all)")

    return say
