"""Every field of a job file does something on each backend, or is refused there by its name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from jobcore import InvalidJob, Spec, job_id_from_token, parse_job
from jobcore.jobfile import expand_sweep, job_fields, job_for_backend, read_sweep
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest
from jobcore_aws import JOB_TABLES, AwsSettings, Pool, build_request
from jobcore_aws import check as aws_check
from jobcore_config import BACKENDS as BACKEND_NAMES
from jobcore_local import Checker, LocalTrainer
from jobcore_local import _pools as local_pools
from sagemaker_fixtures import CPU, IMAGE, ROLE, settings

#: A value of each field that is another one than that of a job without it. ``{}`` is the test's folder.
PROBES: dict[str, Any] = {
    # The core uses these.
    "name": "probe",
    "owner": "bob",
    "share": "vision",
    "group": "g",
    "priority": 3,
    "retry": {"oom": 2},
    "tags": {"team": "vision"},
    "sweep": {"grid": {"x": [1, 2]}},
    # Adapters use these, or refuse them.
    "clocks": {"run_at_most": "2h"},
    "pool": "other",
    "pools": ["other", {"pool": "cpu", "count": 2}],
    "script": "other.py",
    "source_dir": "{}/folder",
    "python": "{}/python",
    "image": "other",
    "role": "other",
    "hyperparameters": {"x": 1},
    "arguments": ["--fast"],
    "flags": ["amp"],
    "environment": {"MODE": "fast"},
    "channels": {"train": "{}/folder"},
    "metrics": {"loss": "loss=([0-9.]+)"},
    "volume_gb": 77,
    "stop_grace": "7s",
    "sagemaker": {"EnableInterContainerTrafficEncryption": True},
}
CORE = {"name", "owner", "share", "group", "priority", "retry", "tags", "sweep"}
ON_AWS = {
    "source_dir": "s3://code/other.tar.gz",
    "channels": {"train": "s3://data/train"},
}
WITH_FLAG = {"hyperparameters": {"amp": True}}
#: As the command uploads it for a job with arguments.
STARTED = "s3://code/sourcedir-arguments.tar.gz"
AWS = AwsSettings(
    sagemaker=settings(
        pools={"cpu": evolve(CPU, slots=9), "other": Pool(name="other", instance_types=("ml.m5.xlarge",))},
        roles={"default": ROLE, "other": ROLE.replace("training", "other")},
        images={"default": IMAGE, "other": IMAGE.replace("train", "other")},
        network_isolation=False,
    )
)  # fmt: skip


def spec_of(document: dict[str, Any]) -> Spec:
    return parse_job(document, owner="ada", service_tables=JOB_TABLES)


def request_of(spec: Spec) -> LaunchRequest:
    job_id = job_id_from_token("tests", "fields")
    return LaunchRequest(
        name=training_name(job_id, 1),
        job_id=job_id,
        attempt=1,
        spec_hash="5" * 64,
        placement=spec.placements[0],
        args=spec.args,
        run_at_most=spec.clocks.run_at_most,
        owner=spec.owner,
        group=spec.group,
        tags=spec.tags,
    )


class OnThisMachine:
    """What a launch of the local trainer sends to a shim."""

    def __init__(self, folder: Path) -> None:
        for name in ("train.py", "other.py"):
            (folder / name).write_text("")
        (folder / "folder").mkdir()
        (folder / "folder" / "train.py").write_text("")
        (folder / "python").symlink_to(sys.executable)
        self.folder = folder
        self.base = {"script": "train.py", "source_dir": str(folder), **WITH_FLAG}
        self._trainer = LocalTrainer(folder / "home")
        self._check = Checker({"cpu": 9, "other": 9})

    def probe(self, field: str) -> Any:
        return _filled(PROBES[field], self.folder)

    def refused(self, spec: Spec) -> list[str]:
        return [problem.field for problem in self._check(spec)]

    def outcome(self, spec: Spec) -> Any:
        request = request_of(spec)
        return self._trainer._order(
            request, self._trainer.directory(request.name), local_pools.Pool(9, 0)
        )


class OnAws:
    """What a launch of the SageMaker trainer requests."""

    def __init__(self, folder: Path, base: dict[str, Any]) -> None:
        self.folder = folder
        self.base = base

    def probe(self, field: str) -> Any:
        return ON_AWS.get(field, _filled(PROBES[field], self.folder))

    def refused(self, spec: Spec) -> list[str]:
        return [problem.field for problem in aws_check(spec, AWS)]

    def outcome(self, spec: Spec) -> Any:
        return build_request(request_of(spec), AWS.sagemaker)


def _filled(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, folder) for key, inner in value.items()}
    return value.replace("{}", str(folder)) if isinstance(value, str) else value


BACKENDS = {
    "this machine": OnThisMachine,
    "aws, a script": lambda folder: OnAws(
        folder, {"script": "train.py", "source_dir": "s3://code/app.tar.gz", **WITH_FLAG}
    ),
    "aws, a script and a starter": lambda folder: OnAws(
        folder, {"script": "train.py", "source_dir": STARTED, **WITH_FLAG}
    ),
    "aws, an image": lambda folder: OnAws(folder, {"image": "default", **WITH_FLAG}),
}


def test_every_field_has_a_probe():
    assert set(PROBES) == job_fields(JOB_TABLES)


@pytest.mark.parametrize("field", sorted(set(PROBES) - CORE))
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_field_is_used_or_refused(tmp_path, backend, field):
    where = BACKENDS[backend](tmp_path)
    plain, probed = spec_of(where.base), spec_of({**where.base, field: where.probe(field)})
    assert where.refused(plain) == []
    if refused := where.refused(probed):
        assert refused == [field]
    else:
        assert where.outcome(probed) != where.outcome(plain)


@pytest.mark.parametrize("field", sorted(set(PROBES) - CORE))
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_field_of_one_backends_part_is_used_or_refused_there_and_not_seen_elsewhere(
    tmp_path, backend, field
):
    where = BACKENDS[backend](tmp_path)
    own, other = BACKEND_NAMES if backend == "this machine" else reversed(BACKEND_NAMES)
    base, value = where.base, where.probe(field)
    laid_over = {**base.get(field, {}), **value} if isinstance(value, dict) else value
    for part, expected in ((own, {**base, field: laid_over}), (other, base)):
        document = {**base, "backend": {part: {field: value}}}
        chosen = job_for_backend(document, own, backends=BACKEND_NAMES, service_tables=JOB_TABLES)
        spec, direct = spec_of(chosen), spec_of(expected)
        assert spec == direct
        assert where.refused(spec) == where.refused(direct)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_that_no_adapter_knows_is_refused_by_its_name(tmp_path, backend):
    """A field that is added to the schema alone is refused until an adapter uses it."""
    where = BACKENDS[backend](tmp_path)
    spec = spec_of(where.base)
    spec.args["output"] = "s3://models/x"
    assert where.refused(spec) == ["output"]


@pytest.mark.parametrize("field", sorted(CORE - {"sweep"}))
def test_a_field_of_the_core_changes_the_spec(field):
    plain, probed = spec_of({"script": "a.py"}), spec_of({"script": "a.py", field: PROBES[field]})
    assert getattr(plain, field) != getattr(probed, field)
    assert plain.args == probed.args


def test_a_sweep_is_read_beside_the_job():
    assert expand_sweep(*read_sweep(PROBES["sweep"])) == [{"x": 1}, {"x": 2}]


def test_the_time_of_a_stop_may_be_said_where_it_cannot_be_chosen():
    """120 s is SageMaker's own time, so a file for both backends can say it."""
    base = {"script": "train.py", "source_dir": "s3://code/app.tar.gz"}
    assert aws_check(spec_of({**base, "stop_grace": "2m"}), AWS) == []
    ((field, message),) = aws_check(spec_of({**base, "stop_grace": "5m"}), AWS)
    assert field == "stop_grace"
    assert "120 s after a stop, got 300 s" in message


def test_output_is_no_field():
    with pytest.raises(
        InvalidJob, match=r"^output: unknown field; the backend's settings decide it"
    ):
        spec_of({"script": "a.py", "output": "x"})
