"""Every adapter, the fakes included, keeps the promises of its port."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import test_aws_adapters

import jobcore_aws
import jobcore_local
import jobcore_memory
import jobcore_sqlite
from aws_fixtures import connect, table_name
from jobcore import CorruptRecord, JobStore, Trainer
from jobcore.failures import Rules
from jobcore.messages import WordedNotifier
from jobcore.metrics import Metric
from jobcore.ports import LaunchRequest, Training, TrainingState
from jobcore_aws import DynamoStore, create_table
from jobcore_conformance import ClockContract, NotifierContract, StoreContract, TrainerContract
from jobcore_local import (
    ConsoleNotifier,
    FanOut,
    FileNotifier,
    LocalTrainer,
    SystemClock,
    write_pools,
)
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier, Script
from jobcore_simulation.simulator._store import ObjectStore
from jobcore_sqlite import SqliteStore
from patience import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Reports(StoreContract):
    """Keeps what a store reports."""

    def listener(self) -> Callable[[CorruptRecord], None]:
        self.told: list[CorruptRecord] = []
        return self.told.append

    def reported(self, store: JobStore) -> Sequence[CorruptRecord]:
        return self.told


class TestMemoryStore(Reports):
    def make_store(self) -> JobStore:
        return MemoryStore(on_corrupt=self.listener())

    def damage(self, store: JobStore, kind: str, *key: str) -> None:
        assert isinstance(store, MemoryStore)
        if kind == "job":
            store.overwrite_record(*key, "{")
        else:
            store.overwrite_side_record(kind, *key, text="{")


class TestObjectStore(StoreContract):
    """The simulator's."""

    def make_store(self) -> JobStore:
        return ObjectStore()

    def damage(self, store: JobStore, kind: str, *key: str) -> None:
        pytest.skip("it keeps objects, so that no record has to be read")


class TestSqliteStore(Reports):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path):
        self.path = tmp_path / "jobcore.db"
        self.opened: list[SqliteStore] = []
        yield
        for store in self.opened:
            store.close()

    def make_store(self) -> JobStore:
        self.opened.append(SqliteStore(self.path, on_corrupt=self.listener()))
        return self.opened[-1]

    def damage(self, store: JobStore, kind: str, *key: str) -> None:
        sql = {
            "job": "UPDATE job SET record = '{' WHERE job_id = ?",
            "pool": "UPDATE pool SET body = '{' WHERE name = ?",
            "share": "UPDATE share SET body = '{' WHERE name = ?",
            "group": "UPDATE tally SET body = '{' WHERE job_group = ? AND owner = ?",
        }
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            assert db.execute(sql[kind], key).rowcount == 1

    def test_what_was_written_is_there_for_the_next_process(self) -> None:
        self.test_a_conflict_does_not_stop_the_other_saves()
        before = self.opened[-1].counts()
        self.opened[-1].close()
        assert self.make_store().counts() == before


class DynamoReports(Reports):
    """Damages items."""

    WAKES = frozenset()  # see `DynamoStore.next_wake`
    client: Any
    tables: list[str]

    def damage(self, store: JobStore, kind: str, *key: str) -> None:
        keys = {
            "job": lambda job_id: (job_id[:2], f"job#{job_id}"),
            "pool": lambda name: ("#pools", name),
            "share": lambda name: ("#shares", name),
            "group": lambda group, owner: (f"#group/{group}", f"tally#{owner}"),
        }
        pk, sk = keys[kind](*key)
        self.client.update_item(
            TableName=self.tables[-1],
            Key={"pk": {"S": pk}, "sk": {"S": sk}},
            UpdateExpression="SET #state = :damaged",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":damaged": {"S": "?"}},
        )


@pytest.mark.usefixtures("moto")
class TestDynamoStoreOnMoto(DynamoReports):
    def make_store(self) -> JobStore:
        self.client, self.tables = connect("dynamodb", ""), ["jobcore"]
        create_table(self.client, "jobcore")
        return DynamoStore(
            "jobcore", client=self.client, shards=2, threads=1, on_corrupt=self.listener()
        )


class TestDynamoStore(DynamoReports):
    """On MiniStack, or on what JOBCORE_TEST_AWS_ENDPOINT names."""

    @pytest.fixture(autouse=True)
    def _place(self, ministack: str):
        self.client = connect("dynamodb", ministack)
        self.tables: list[str] = []
        yield
        for table in self.tables:
            self.client.delete_table(TableName=table)

    def make_store(self) -> JobStore:
        self.tables.append(table_name())
        create_table(self.client, self.tables[-1])
        return DynamoStore(self.tables[-1], client=self.client, on_corrupt=self.listener())


class TestMemoryTrainer(TrainerContract):
    def failure_rules(self) -> Rules:
        return jobcore_aws.failure_rules()

    def make_trainer(self) -> Trainer:
        self.clock = ManualClock(NOW)
        return MemoryTrainer(clock=self.clock, slots={"cpu": 2})

    def prepare(self, trainer: Trainer, request: LaunchRequest) -> LaunchRequest:
        assert isinstance(trainer, MemoryTrainer)
        trainer.scripts[request.name] = {
            "complete": Script(),
            "measure": Script(metrics=(Metric(name="loss", final=0.25),)),
            "fail": Script(outcome=TrainingState.FAILED, text="AlgorithmError: boom, exit code: 1"),
            "long": Script(runs=timedelta(days=9)),
        }[str(request.args["act"])]
        return request

    def settle(self, trainer: Trainer, name: str) -> Training:
        self.clock.advance(timedelta(hours=1))
        training = trainer.describe([name])[name]
        assert training is not None
        assert training.state.is_terminal
        return training


class TestLocalTrainer(TrainerContract):
    SCRIPTS: ClassVar = {
        "complete": "exit 0",
        "fail": "echo boom; exit 3",
        "measure": "echo loss=0.5; echo loss=0.25",
        "long": "sleep 100",
    }

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path):
        self.home = tmp_path
        for act, script in self.SCRIPTS.items():
            (tmp_path / f"{act}.sh").write_text(script)
        write_pools(tmp_path, {"cpu": 2})
        self.trainers: list[LocalTrainer] = []
        yield
        for trainer in self.trainers:
            for training in trainer.running():
                trainer.stop(training.name)
            trainer.close()

    def failure_rules(self) -> Rules:
        return jobcore_local.failure_rules()

    def make_trainer(self) -> Trainer:
        self.trainers.append(LocalTrainer(self.home))
        return self.trainers[-1]

    def prepare(self, trainer: Trainer, request: LaunchRequest) -> LaunchRequest:
        metrics = {"loss": {"regex": "loss=([0-9.]+)"}}
        script = f"{request.args['act']}.sh"
        args = {"script": script, "source_dir": str(self.home), "metrics": metrics}
        return replace(request, args=args)

    def settle(self, trainer: Trainer, name: str) -> Training:
        def over() -> Training | None:
            training = trainer.describe([name]).get(name)
            return training if training is not None and training.state.is_terminal else None

        return until(over, pause=0.005)


class TestRecordingNotifier(NotifierContract):
    def make_notifier(self) -> RecordingNotifier:
        return RecordingNotifier()

    def delivered(self, notifier: RecordingNotifier) -> Sequence[str]:
        return [message.event_id for message in notifier.messages]


class TestWordedNotifier(NotifierContract):
    """The core's own wrapper keeps the promises of the notifier in it."""

    def make_notifier(self) -> WordedNotifier:
        self.inner = RecordingNotifier()
        return WordedNotifier(self.inner, lambda message: f"see {message.job_id}")

    def delivered(self, notifier: WordedNotifier) -> Sequence[str]:
        assert all("\nNext: see " in message.body for message in self.inner.messages)
        return self.inner.event_ids


class TestFileNotifier(NotifierContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "messages.jsonl"

    def make_notifier(self) -> FileNotifier:
        return FileNotifier(self.path)

    def delivered(self, notifier: FileNotifier) -> Sequence[str]:
        return [json.loads(line)["event_id"] for line in self.path.read_text().splitlines()]


class TestConsoleNotifier(NotifierContract):
    def make_notifier(self) -> ConsoleNotifier:
        return ConsoleNotifier(io.StringIO())

    def delivered(self, notifier: ConsoleNotifier) -> Sequence[str]:
        return notifier.stream.getvalue().splitlines()


class TestFanOut(NotifierContract):
    def make_notifier(self) -> FanOut:
        self.last = RecordingNotifier()
        return FanOut([RecordingNotifier(), self.last])

    def delivered(self, notifier: FanOut) -> Sequence[str]:
        return [message.event_id for message in self.last.messages]


class TestSystemClock(ClockContract):
    def make_clock(self) -> SystemClock:
        return SystemClock()


class TestManualClock(ClockContract):
    def make_clock(self) -> ManualClock:
        return ManualClock(NOW)


NOT_HERE = {"DesktopNotifier"}  # it needs a desktop and a person who looks
PORTS = {"save_pool": StoreContract, "launch": TrainerContract, "publish": NotifierContract}


@pytest.mark.parametrize("package", [jobcore_aws, jobcore_local, jobcore_memory, jobcore_sqlite])
def test_no_adapter_is_left_out(package):
    """Whoever adds an adapter adds its suite here, or in `test_aws_adapters`."""
    for name in set(package.__all__) - NOT_HERE:
        for method, contract in PORTS.items():
            if callable(getattr(getattr(package, name), method, None)):
                places = {**globals(), **vars(test_aws_adapters)}
                suites = [suite for key, suite in places.items() if key.startswith(f"Test{name}")]
                assert any(issubclass(suite, contract) for suite in suites), name
