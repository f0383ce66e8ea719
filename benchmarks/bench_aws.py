"""
The costs of the DynamoDB store in write units and requests, which are counted and not timed.

Handlers of botocore's events count every request. Units are calculated from the items by DynamoDB's
rules, because the emulators report 1 for every request:

- a write costs the larger of the item before and after, in units of 1 KB, rounded up;
- in each index: 1 unit per KB for a row that enters, leaves, or changes in a projected attribute;
  the units of the old and of the new row if its key changes; nothing for an unchanged row;
- a write whose condition fails costs as much as one that succeeds;
- a row in an index has its keys, the table's keys and the projected attributes only.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jobcore
from jobcore import Clocks, Job, LaunchAccepted, LaunchDecided, Placement, Spec, Status
from jobcore_aws import DynamoStore, create_table, failure_rules
from jobcore_aws._dynamodb._items import Item, item_size
from jobcore_aws._dynamodb._table import INDEXES
from jobcore_memory import ManualClock, MemoryTrainer, RecordingNotifier, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Placement("eu-west-1/ml.g5.xlarge/spot")
OOM = (
    "AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage "
    '"torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"'
)
HAPPY_GOAL = 20
BULK = 10_000


def units(size: int) -> int:
    """Calculate the write units of an item of *size* bytes."""
    return max(1, math.ceil(size / 1024))


def row(item: Item | None, index: str) -> tuple[tuple[str, str], Item] | None:
    """Make the key and the content of an item's row in an index; None if it has none."""
    partition, sort, others = INDEXES[index]
    if item is None or partition not in item or sort not in item:
        return None
    held = {"pk", "sk", partition, sort, *others}
    return (str(item[partition]), str(item[sort])), {k: v for k, v in item.items() if k in held}


def write_units(before: Item | None, after: Item) -> int:
    """Calculate the cost of writing *after* over *before*, with all indexes."""
    total = units(max(item_size(before or {}), item_size(after)))
    for index in INDEXES:
        old, new = row(before, index), row(after, index)
        if old == new:
            continue
        if old is not None and new is not None and old[0] == new[0]:
            total += units(max(item_size(old[1]), item_size(new[1])))
        else:
            total += sum(units(item_size(r[1])) for r in (old, new) if r is not None)
    return total


class Meter:
    """A counter of a client's requests; reads the item before and after each write."""

    def __init__(self, client: Any, table: str, *, weigh: bool = True) -> None:
        self.client = client
        self.table = table
        self.weigh = weigh
        self.requests: Counter[str] = Counter()
        self.write_units = 0
        self.largest = 0
        self._before: Item | None = None
        self._quiet = False
        client.meta.events.register("provide-client-params.dynamodb", self._before_call)
        client.meta.events.register("after-call.dynamodb", self._after_call)

    def _read(self, key: Item) -> Item | None:
        self._quiet = True
        try:
            got = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True)
        finally:
            self._quiet = False
        return got.get("Item")

    def _before_call(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if self._quiet:
            return
        self.requests[model.name] += 1
        if self.weigh and model.name in {"PutItem", "UpdateItem"}:
            item = params.get("Item", params.get("Key"))
            self._key = {"pk": item["pk"], "sk": item["sk"]}
            self._before = self._read(self._key)

    def _after_call(self, model: Any, **_: Any) -> None:
        if self._quiet or not self.weigh or model.name not in {"PutItem", "UpdateItem"}:
            return
        after = self._read(self._key)
        assert after is not None
        self.write_units += write_units(self._before, after)
        self.largest = max(self.largest, item_size(after))

    def take(self) -> tuple[Counter[str], int]:
        """Return the requests and write units since the last call."""
        counted = (self.requests, self.write_units)
        self.requests, self.write_units = Counter(), 0
        return counted


@contextmanager
def emulated() -> Iterator[Any]:
    """Yield a client of moto, in this process, with an empty table "jobcore"."""
    fake = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    }
    os.environ.update(fake)
    import boto3
    from moto import mock_aws

    with mock_aws():
        client = boto3.client("dynamodb")
        create_table(client, "jobcore")
        yield client


def spec(number: int, **changes: Any) -> Spec:
    """Make a spec of usual size."""
    values = {
        "name": f"resnet50-lr0.1-seed{number}",
        "owner": "ada.lovelace",
        "group": "resnet-sweep-2026-01",
        "share": "vision",
        "placements": (PLACE, Placement("eu-west-1/ml.g5.xlarge/on-demand")),
        "args": {
            "image": "pytorch-2.4",
            "script": "train.py",
            "source_dir": "s3://team-bucket/code/resnet/source.tar.gz",
            "hyperparameters": {"lr": 0.1, "epochs": 90, "batch_size": 256, "seed": number},
            "channels": {"train": "s3://team-bucket/imagenet/train/"},
        },
    }
    return Spec(**{**values, **changes})


def job_id(number: int) -> str:
    """Make a job's id."""
    return jobcore.job_id_from_token("bench", str(number))


class Life:
    """A store, a simulated trainer and a clock that the benchmark moves."""

    def __init__(self, client: Any, meter: Meter) -> None:
        self.store = DynamoStore("jobcore", client=client, threads=1)
        self.clock = ManualClock(NOW)
        self.trainer = MemoryTrainer(clock=self.clock, slots={PLACE.pool: 100_000})
        self.notifier = RecordingNotifier()
        self.meter = meter
        self.settings = jobcore.Settings(rules=failure_rules())
        self.store.counts()  # reads the number of shards, once per store
        meter.take()

    def submit(self, number: int, *, failures: int = 0, **changes: Any) -> None:
        """Submit a job whose first *failures* attempts run out of memory."""
        name = job_id(number)
        for attempt in range(1, failures + 2):
            script = Script(pending=timedelta(minutes=2), runs=timedelta(minutes=9))
            if attempt <= failures:
                script = replace(script, outcome=jobcore.ports.TrainingState.FAILED, text=OOM)
            self.trainer.scripts[jobcore.lifecycle.training_name(name, attempt)] = script
        jobcore.submit([spec(number, **changes)], [name], store=self.store, now=self.clock.now())

    def tick(self) -> None:
        """Run each tick once."""
        ports = (self.clock, self.settings)
        jobcore.launch_tick(self.store, self.trainer, *ports)
        jobcore.monitor_tick(self.store, self.trainer, *ports)
        jobcore.notify_tick(self.store, self.notifier, *ports)

    def job(self, number: int) -> Job:
        """Read a job."""
        return self.store.get([job_id(number)])[job_id(number)]

    def until_over(self, number: int) -> None:
        """Run the ticks once a minute until the job is over and its message is sent."""
        for _ in range(600):
            job = self.job(number)
            if job.status.is_terminal and not job.outbox:
                return
            self.tick()
            self.clock.advance(timedelta(minutes=1))
        raise TimeoutError(self.job(number).status)


def lives() -> list[tuple[str, int, int, int, list[str]]]:
    """Count the write units, writes and the largest item of whole lives."""
    budgets = {jobcore.FailureClass.OOM: 5}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("happy", {}),
        ("happy, no group", {"group": None}),
        ("happy, with a deadline", {"clocks": Clocks(wait_at_most=timedelta(days=1))}),
        ("two retries", {"failures": 2, "retry": jobcore.RetryPolicy(budgets=budgets)}),
    ]
    found = []
    for title, changes in cases:
        with emulated() as client:
            meter = Meter(client, "jobcore")
            life = Life(client, meter)
            life.submit(1, **changes)
            life.until_over(1)
            job = life.job(1)
            assert job.status is Status.COMPLETED, job
            assert len(life.notifier.messages) == 1
            requests, written = meter.take()
            writes = requests["PutItem"] + requests["UpdateItem"]
            passed = [f"{mark.status}" for mark in job.timeline]
            found.append((title, written, writes, meter.largest, passed))
    return found


def finished(count: int) -> None:
    """
    Put *count* finished jobs into the table without the store, which would take minutes.

    The items have keys and index attributes only, so that a tick that reads more of them fails.
    """
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.dynamodb.models import dynamodb_backends

    job = jobcore.new_job(job_id(0), spec(0), now=NOW - timedelta(days=9))
    events: list[jobcore.lifecycle.Event] = [
        LaunchDecided(attempt=1, placement=PLACE),
        LaunchAccepted(attempt=1, placement=PLACE),
        jobcore.TrainingEnded(attempt=1, outcome=Status.COMPLETED),
    ]
    for event in events:
        job = jobcore.step(job, event, now=NOW - timedelta(days=9)).job
    job = replace(job, outbox=())
    table = dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables["jobcore"]
    from jobcore_aws._dynamodb._items import job_item

    keys = {"pk", "sk"} | {key for index in INDEXES.values() for key in index[:2]}
    for number in range(1_000_000, 1_000_000 + count):
        whole = job_item(replace(job, job_id=job_id(number)), 8)
        assert not {"_waiting", "_pool", "_deadline", "_notify"} & set(whole)
        table.put_item({k: v for k, v in whole.items() if k in keys})


def tick_requests(history: int) -> tuple[Counter[str], int]:
    """Count the requests of one round of ticks with three jobs to launch, and *history* finished."""
    with emulated() as client:
        meter = Meter(client, "jobcore", weigh=False)
        life = Life(client, meter)
        finished(history)
        for number in range(3):
            life.submit(number)
        meter.take()
        begun = time.perf_counter()
        life.tick()
        requests, _ = meter.take()
        return requests, round(time.perf_counter() - begun)


def bulk_requests(count: int) -> Counter[str]:
    """Count the requests of submitting *count* jobs at once, to an endpoint that accepts everything."""
    with emulated() as client:
        meter = Meter(client, "jobcore", weigh=False)
        life = Life(client, meter)

        def accept(**_: Any) -> Any:
            from botocore.awsrequest import AWSResponse

            return AWSResponse("", 200, {"x-amzn-RequestId": "1"}, _Body(b"{}"))

        client.meta.events.register_first("before-send.dynamodb", accept)
        specs = [spec(number) for number in range(count)]
        ids = [job_id(number) for number in range(count)]
        jobcore.submit(specs, ids, store=life.store, now=NOW)
        return meter.take()[0]


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


def run() -> None:
    """Print the table, with goals."""
    print("\nDynamoDB, counted (write units with all indexes, from item sizes)")
    for title, written, writes, largest, passed in lives():
        goal = ""
        if title == "happy":
            goal = f"   goal <= {HAPPY_GOAL}: {'met' if written <= HAPPY_GOAL else 'MISSED'}"
        print(f"  {title:24} {written:3} write units in {writes} writes, item <= {largest} B{goal}")
        print(f"  {'':24} {' > '.join(passed)}")
    print("requests of one round of ticks, 3 jobs to launch")
    counted = []
    for history in (0, 1_000, 100_000):
        requests, seconds = tick_requests(history)
        counted.append(requests)
        each = ", ".join(f"{name} {number}" for name, number in sorted(requests.items()))
        print(
            f"  {history:7,} finished jobs: {requests.total()} requests ({each}) [{seconds} s here]"
        )
    print(f"  goal: equal: {'met' if counted[1:] == counted[:-1] else 'MISSED'}")
    requests = bulk_requests(BULK)
    each = ", ".join(f"{name} {number}" for name, number in sorted(requests.items()))
    print(f"bulk submit of {BULK:,} jobs: {requests.total():,} requests ({each})")


if __name__ == "__main__":
    run()
