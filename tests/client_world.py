"""
Worlds for the tests of the client: the same jobs in memory, over DynamoDB, and as real processes.

In memory and over DynamoDB (moto) the ticks run whenever the client sleeps; on this machine a
manager runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import jobcore
import jobcore_aws
from aws_fixtures import connect, table_name
from jobcore.ports import TrainingState
from jobcore_aws import DynamoStore, create_table
from jobcore_client import Client
from jobcore_local import failure_rules
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier, Script
from patience import SECONDS, until

SCRIPT = """
import argparse, os, pathlib, time
parser = argparse.ArgumentParser()
for name in ("lr", "fail", "gate", "seed"):
    parser.add_argument(f"--{name}")
args = parser.parse_args()
print("lr", args.lr)
print("seed", args.seed, flush=True)
end = time.monotonic() + 60  # a test may leave it behind
while args.gate and not os.path.exists(args.gate) and time.monotonic() < end:
    time.sleep(0.02)
if args.fail:
    raise ValueError(f"it broke: {args.fail}")
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text('{"loss": 0.25}')
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(f"{args.lr}")
"""


class Scripted(MemoryTrainer):
    """Trainings that end as their hyperparameters say, like `SCRIPT`."""

    __slots__ = ()

    def _launch(self, request):
        values = request.args.get("hyperparameters", {})
        gate = values.get("gate")
        script = Script(runs=timedelta(days=9 if gate and not Path(gate).exists() else 0))
        if "fail" in values:
            text = f'AlgorithmError: ErrorMessage "ValueError: it broke: {values["fail"]}"'
            script = Script(runs=timedelta(0), outcome=TrainingState.FAILED, text=text)
        self.scripts[request.name] = script
        return super()._launch(request)


class Counting:
    """A store that counts its calls and the jobs that it is asked for, and may be unavailable."""

    def __init__(self, store: jobcore.JobStore) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.out = 0

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._store, name)
        if not callable(function):
            return function

        def call(*args: Any, **given: Any) -> Any:
            self.calls[name] += 1
            if name in ("get", "save", "add"):
                self.calls[f"{name} jobs"] += len(args[0])
            if self.out:
                self.out -= 1
                raise jobcore.Unavailable("out of order")
            return function(*args, **given)

        return call


class World:
    """A store and something that runs its jobs."""

    def __init__(self, name: str, home: Path, folder: Path) -> None:
        self.name, self.home, self.folder = name, home, folder
        self.store: jobcore.JobStore | None = None
        (folder / "train.py").write_text(SCRIPT)

    @property
    def is_real(self) -> bool:
        return self.store is None

    def client(self, owner: str = "") -> Client:
        """Make a client; each test has owners of its own."""
        client = Client(home=self.home, owner=owner or f"ada-{self.folder.name}"[-60:])
        if self.store is not None:
            client._session.store = self.store
            client._session.trainer = self.trainer
            client._session.poke = lambda: True
        return client

    def job(self, **hyperparameters: Any) -> dict[str, Any]:
        """Make the fields of a job."""
        return {
            "script": "train.py",
            "source_dir": str(self.folder),
            "pool": "cpu",
            "hyperparameters": hyperparameters,
        }

    def in_memory(self, store: jobcore.JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.clock = Counting(store), ManualClock(datetime.now(UTC))
        self.trainer = Scripted(self.clock, {"cpu": 8})
        self.settings = jobcore.Settings(rules=failure_rules(jobcore_aws.failure_rules()))
        monkeypatch.setattr(time, "sleep", lambda seconds: self.tick())

    def tick(self) -> None:
        """Let 20 seconds pass."""
        self.clock.advance(timedelta(seconds=20))
        store = self.store._store
        jobcore.monitor_tick(store, self.trainer, self.clock, self.settings)
        jobcore.launch_tick(store, self.trainer, self.clock, self.settings)
        jobcore.notify_tick(store, RecordingNotifier(), self.clock, self.settings)


@contextmanager
def running_manager(home: Path) -> Iterator[None]:
    """Run a manager for a home in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobcore_cli", "--home", str(home), "run", "--quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: (home / "wake.sock").exists() or process.poll() is not None)
        yield
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


def make_world(name: str, request: pytest.FixtureRequest, folder: Path) -> World:
    """Make the world of that name for one test."""
    source = folder / "source"
    source.mkdir()
    if name == "local":
        world = World(name, request.getfixturevalue("managed_home"), source)
        world.folder = source.rename(folder / f"source-{uuid4().hex[:8]}")
        return world
    world = World(name, folder / "home", source)
    store: jobcore.JobStore = MemoryStore()
    if name == "dynamodb":
        request.getfixturevalue("moto")
        client, table = connect("dynamodb", ""), table_name()
        create_table(client, table)
        store = DynamoStore(table, client=client, threads=1, shards=2)
    world.in_memory(store, request.getfixturevalue("monkeypatch"))
    return world
