"""Targets: job files, and names of jobs and trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

import jobcore
from jobcore import InvalidJob
from jobcore_aws._dynamodb import _items
from jobcore_client.errors import RequestError
from jobcore_client.jobfiles import localise, read_document
from proof._source import Source, toml

from ._values import FILE, JOB_ID, T0, Bytes, check_job, check_problems, spec_of

__all__ = ["job_file_table", "job_file_text", "names"]


def job_file_text(data: bytes) -> None:
    source = Source(data)
    suffix = source.one_of((".toml", ".yaml", ".json"))
    if source.flag():
        text = json.dumps(source.changed(FILE)) if suffix != ".toml" else toml(source.changed(FILE))
        raw = text.encode("utf-8", "surrogatepass")
    else:
        raw = source.rest()
    try:
        document = read_document(Bytes(f"job{suffix}", raw))  # type: ignore[arg-type]
    except RequestError as error:
        assert "\n" not in str(error), str(error)
        return
    _job_file(document)


def job_file_table(data: bytes) -> None:
    _job_file(Source(data, local=True).changed(FILE))


def _job_file(document: object) -> None:
    if isinstance(document, dict):
        try:
            document = localise(document, Path(gettempdir()) / "job.toml")
        except RequestError:
            document.pop("script", None)
    spec = spec_of(document)
    sweep = document.get("sweep") if isinstance(document, Mapping) else None
    if sweep is not None:
        try:
            rows = jobcore.jobfile.expand_sweep(*jobcore.jobfile.read_sweep(sweep))
        except InvalidJob as error:
            check_problems(error)
        else:
            assert 1 <= len(rows) <= 10_000
    if spec is None:
        return
    assert jobcore.jobfile.validate(spec) == []
    text = json.dumps(jobcore.lifecycle.encode_spec(spec))
    again = jobcore.lifecycle.decode_spec(json.loads(text))
    assert jobcore.lifecycle.spec_hash(again) == jobcore.lifecycle.spec_hash(spec)
    assert json.dumps(jobcore.lifecycle.encode_spec(again)) == text
    job = jobcore.new_job(JOB_ID, spec, now=T0)
    assert json.dumps(jobcore.lifecycle.encode_job(job))
    assert json.dumps(_items.job_item(job, 4))
    decided = jobcore.LaunchDecided(attempt=1, placement=spec.placements[0])
    for event in (jobcore.TimePassed(), decided):
        job = jobcore.step(job, event, now=T0).job
        check_job(job)


def names(data: bytes) -> None:
    source = Source(data)
    text, other, number = source.text(80), source.text(80), source.number()
    assert jobcore.lifecycle.is_job_id(text) == (
        len(text) == 26 and set(text) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    )
    if (parsed := jobcore.lifecycle.parse_training_name(text)) is not None:
        assert jobcore.lifecycle.training_name(*parsed) == text
    job_id = jobcore.job_id_from_token(text, other)
    assert jobcore.lifecycle.is_job_id(job_id)
    assert (jobcore.job_id_from_token(other, text) == job_id) == (text == other)
    raw = source.bytes(20)
    try:
        assert jobcore.lifecycle.is_job_id(jobcore.job_id_from_bytes(raw))
        assert len(raw) == 16
    except ValueError:
        assert len(raw) != 16
    try:
        attempt = int(number)
        name = jobcore.lifecycle.training_name(text if source.flag() else job_id, attempt)
    except (ValueError, OverflowError):
        return
    assert len(name) <= 39
    assert jobcore.lifecycle.parse_training_name(name) == (name[3:29], attempt)
    assert 0 <= jobcore.lifecycle.hash_fraction(text, attempt) < 1
