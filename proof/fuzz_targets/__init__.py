"""The fuzz targets: for each parser a function of bytes, and its oracle.

A target returns for every input. Exceptions that a parser may raise are caught here; any other
exception, an `AssertionError` of a broken invariant included, is a finding. `proof.fuzz` runs the
targets guided by coverage, and the tests run the same functions on a fixed set of inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._failures import classify, failure_reason, rules, secrets
from ._functions import api, cursor, direct, events
from ._jobfiles import job_file_table, job_file_text, names
from ._messages import sns
from ._records import item_dynamodb, record_sqlite, side_records
from ._simulations import sandbox_control, sandbox_wire, scenario, traces
from ._trainers import describe, describe_open, local_contract, metrics, sagemaker_request
from ._values import Target

__all__ = ["TARGETS", "Target"]

TARGETS: Mapping[str, Target] = {
    "job-file-text": Target(job_file_text, "text of TOML, YAML or JSON: a spec that survives its encoding, RequestError of one line, or InvalidJob", (b"\x00\x00name='x'\nscript='a'", b"\x01\x00a: &a [1]\nb: *a", b"\x02\x00{}"), weight=0.6),
    "job-file-table": Target(job_file_table, "decoded data: a spec that is valid and survives its encoding, or InvalidJob with problems; a sweep of 1 to 10,000", weight=0.6),
    "names": Target(names, "ids and training names: round trip, at most 39 characters, safe alphabet, or ValueError", weight=2),
    "record-sqlite": Target(record_sqlite, "stored record and spec: a job that can be encoded, stepped and announced, or CorruptRecord", weight=1.5),
    "item-dynamodb": Target(item_dynamodb, "stored items: the same", weight=0.8),
    "side-records": Target(side_records, "items of pools, shares and groups: the record of that name, or CorruptRecord", weight=1.5),
    "classify": Target(classify, "any evidence: one failure of at most 1,024 characters, the same twice; a quota or None", weight=1.5),
    "rules": Target(rules, "rule tables: rules that can be used, or ValueError", weight=1.5),
    "failure-reason": Target(failure_reason, "any reason: an item under 400 KB without lone surrogates, that reads back the same", weight=0.6),
    "secrets": Target(secrets, "any text and arguments: no known value is left, the environment shows names only"),
    "sns": Target(sns, "any texts: subject of 1-99 printable ASCII, at most 256 KB, JSON for machines, at most 10 attributes"),
    "api": Target(api, "HTTP events: a declared status (never 5xx) and a JSON object; a refused call and a call by another owner change nothing", weight=0.6),
    "direct": Target(direct, "direct invocations: ids or an error, as JSON", weight=0.6),
    "cursor": Target(cursor, "cursors, on three stores: a page, or ValueError that says so", weight=0.5),
    "events": Target(events, "EventBridge, queue, stream and hint events: an answer, and never a change of status"),
    "describe": Target(describe, "DescribeTrainingJob answers: a training, or Unavailable; over only if TrainingJobStatus says so", weight=1.5),
    "describe-open": Target(describe_open, "answers of the model's types with any words: never an error", weight=2),
    "sagemaker-request": Target(sagemaker_request, "specs: problems that name fields, or a request with an allow-listed role", weight=0.3),
    "local-contract": Target(local_contract, "specs: something to run with a legal environment, or BadInput", weight=0.5),
    "metrics": Target(metrics, "files and logs of a script: at most 100 metrics that can be stored, and notes of one line", (b'\x00{"loss": 1}', b'\x01{"step": 1, "a": {"b": 2}}\n', b"\x02loss=1\n"), weight=0.3),
    "scenario": Target(scenario, "scenario files: a scenario, or ValueError that names the scenario", weight=0.8),
    "traces": Target(traces, "CSV, gzip and SkyPilot JSON: traces, or ValueError that names the file"),
    "sandbox-wire": Target(sandbox_wire, "JSON 1.1 calls: an object, a refusal or a SerializationException", weight=0.4),
    "sandbox-control": Target(sandbox_control, "controls: an answer or one of their errors; the sandbox answers afterwards", weight=0.4),
}  # fmt: skip
