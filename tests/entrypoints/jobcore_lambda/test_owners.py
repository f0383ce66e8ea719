"""
Owners at the HTTP API: what one of them sees and may do does not depend on what another has.

A differential test: the same requests of Ada are answered once in a world of her own, and once in
a world in which Mallory does her worst between them. The answers are compared as they are sent.
(Capacity is shared by design, so each has a pool of her own here.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

import jobcore
from jobcore.ports import TrainingState
from jobcore_aws import DynamoStore, create_table
from jobcore_lambda import _wiring, launch, monitor, notify, submit
from jobcore_memory import MemoryStore, Script
from jobcore_sqlite import SqliteStore
from lambda_fixtures import ACCOUNT, FakeContext, FakeWiring, http

ADA = f"arn:aws:iam::{ACCOUNT}:user/ada"
MALLORY = f"arn:aws:iam::{ACCOUNT}:user/mallory"
OWNERS = {ADA: "user/ada", MALLORY: "user/mallory"}
ROUNDS = 12


@pytest.fixture(params=["memory", "sqlite"])
def make_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[str], jobcore.JobStore]]:
    made: list[SqliteStore] = []

    def local(name: str) -> jobcore.JobStore:
        if request.param == "memory":
            return MemoryStore()
        made.append(SqliteStore(tmp_path / f"{name}.db"))
        return made[-1]

    yield local
    for store in made:
        store.close()


class World:
    """A deployment, and two people who call it."""

    def __init__(self, store: jobcore.JobStore) -> None:
        self.wired = FakeWiring()
        self.wired.store = store  # type: ignore[assignment]
        self.wired.trainer.slots = {"ada": 2, "mallory": 50}

    def call(self, arn: str, method: str, path: str, body: object = None, **query: str) -> str:
        event = http(method, path, body, arn=arn, query=query or None)
        _wiring.use(self.wired)
        try:
            return json.dumps(submit.handler(event, FakeContext()), sort_keys=True)
        finally:
            _wiring.use(None)

    def tick(self) -> None:
        _wiring.use(self.wired)
        try:
            for handler in (launch.handler, monitor.handler, notify.handler):
                handler({}, FakeContext())
        finally:
            _wiring.use(None)
        self.wired.clock.advance(timedelta(seconds=40))


def ids(owner: str, token: str, count: int) -> list[str]:
    return [jobcore.job_id_from_token(owner, f"{token}/{n}") for n in range(count)]


ADAS = ids("user/ada", "t", 8)
MALLORYS = [i for token in ("t", "m1", "m2") for i in ids("user/mallory", token, 8)]


def jobs(pool: str, count: int = 8) -> list[dict[str, Any]]:
    return [{"image": "trainer", "name": f"job-{n}", "pool": pool} for n in range(count)]


def adas_requests(round_: int) -> Iterator[tuple[str, str, object, dict[str, str]]]:
    """What Ada asks in each round: every route, with what is hers and with what is not."""
    if round_ == 0:
        yield "POST", "/jobs", {"jobs": jobs("ada"), "token": "t", "group": "g"}, {}
        yield "POST", "/jobs", {"jobs": jobs("ada"), "token": "t", "group": "g"}, {}
        yield "POST", "/jobs", {"jobs": jobs("ada", 7), "token": "t", "group": "g"}, {}
    theirs = MALLORYS[round_ % len(MALLORYS)]
    for query in ({}, {"group": "g"}, {"name": "job-1"}, {"status": "New,Held"}, {"limit": "3"}):
        yield "GET", "/jobs", None, query
    for cursor in (f"1/{theirs}", f"{10**17}/{theirs}", f"{1_893_456_000_000_000}/{theirs}"):
        yield "GET", "/jobs", None, {"cursor": cursor, "limit": "2"}
    yield "GET", f"/jobs/{ADAS[round_ % 8]}", None, {}
    yield "GET", f"/jobs/{theirs}", None, {}
    for what in ("stop", "hold", "release", "x"):
        yield "POST", f"/jobs/{theirs}/{what}", {}, {}
    if round_ == 3:
        yield "POST", f"/jobs/{ADAS[7]}/hold", {"reason": "wait"}, {}
    if round_ == 5:
        yield "POST", f"/jobs/{ADAS[7]}/release", None, {}
        yield "POST", f"/jobs/{ADAS[6]}/stop", None, {}


def mallory_does_her_worst(world: World, random: Random, round_: int) -> None:
    """Tokens, groups, names and shares as Ada's; ids of hers; and a group that fails and is paused."""
    if round_ in (0, 2, 4):
        token = ("t", "m1", "m2")[round_ // 2]
        document = {"jobs": jobs("mallory"), "token": token, "group": "g"}
        if round_ == 4:
            document["jobs"] = [{**job, "share": "ada"} for job in jobs("mallory")]
        world.call(MALLORY, "POST", "/jobs", document)
        for job_id in MALLORYS:
            world.wired.trainer.scripts[jobcore.lifecycle.training_name(job_id, 1)] = Script(
                runs=timedelta(seconds=1),
                outcome=TrainingState.FAILED,
                text='AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage "NameError: a"',
            )
    for _ in range(6):
        job_id = random.choice([*ADAS, *MALLORYS])
        what = random.choice(["stop", "hold", "release", ""])
        path = f"/jobs/{job_id}/{what}" if what else f"/jobs/{job_id}"
        answer = json.loads(world.call(MALLORY, "POST" if what else "GET", path, None))
        if job_id in ADAS:
            assert answer["statusCode"] == 404
            nobodys = f"/jobs/{jobcore.job_id_from_token('nobody', 'x')}/{what}".rstrip("/")
            missing = json.loads(world.call(MALLORY, "POST" if what else "GET", nobodys, None))
            assert answer == missing  # it cannot be told from a job that is not there
    listed = json.loads(json.loads(world.call(MALLORY, "GET", "/jobs", limit="500"))["body"])
    assert {job["id"] for job in listed["jobs"]} <= set(MALLORYS)


def transcript(world: World, *, with_mallory: bool, seed: int, rounds: int = ROUNDS) -> list[str]:
    random = Random(seed)
    said = []
    for round_ in range(rounds):
        if with_mallory:
            mallory_does_her_worst(world, random, round_)
        for method, path, body, query in adas_requests(round_):
            said.append(f"{method} {path} {query} {world.call(ADA, method, path, body, **query)}")
        world.tick()
    return said


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_that_one_owner_sees_depends_on_another(make_store, seed):
    alone, beside = World(make_store(f"alone-{seed}")), World(make_store(f"beside-{seed}"))
    expected = transcript(alone, with_mallory=False, seed=seed)
    assert transcript(beside, with_mallory=True, seed=seed) == expected
    # Both lived: Ada's jobs ended in several ways, and Mallory's group was paused by the breaker.
    statuses = {str(job.status) for job in beside.wired.store.get(ADAS).values()}
    assert {"Completed", "Stopped"} <= statuses
    mallorys = beside.wired.store.get(MALLORYS).values()
    assert sum(job.status.is_terminal for job in mallorys) >= 5
    told = {message.owner for message in beside.wired.notifier.messages}
    assert told == {"user/ada", "user/mallory"}
    for message in beside.wired.notifier.messages:
        assert (message.job_id in ADAS) == (message.owner == "user/ada")


def test_nor_does_it_on_dynamodb(moto):
    import boto3

    client = boto3.client("dynamodb")

    def world(name: str) -> World:
        create_table(client, name)
        return World(DynamoStore(name, client=client))

    expected = transcript(world("alone"), with_mallory=False, seed=1, rounds=1)
    assert transcript(world("beside"), with_mallory=True, seed=1, rounds=1) == expected


def test_the_breaker_of_one_owners_group_leaves_the_other_owners_group_alone(make_store):
    world = World(make_store("breaker"))
    world.wired.trainer.slots = {"ada": 1, "mallory": 6}
    document = {"jobs": jobs("ada"), "token": "t", "group": "g"}
    world.call(ADA, "POST", "/jobs", document)
    world.call(MALLORY, "POST", "/jobs", {"jobs": jobs("mallory"), "token": "t", "group": "g"})
    for job_id in ids("user/mallory", "t", 8):
        world.wired.trainer.scripts[jobcore.lifecycle.training_name(job_id, 1)] = Script(
            runs=timedelta(seconds=1),
            outcome=TrainingState.FAILED,
            text='AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage "NameError: a"',
        )
    for job_id in ADAS:
        world.wired.trainer.scripts[jobcore.lifecycle.training_name(job_id, 1)] = Script(
            runs=timedelta(hours=1)
        )
    for _ in range(4):
        world.tick()
    statuses = {owner: set() for owner in OWNERS.values()}
    for job_id in [*ADAS, *ids("user/mallory", "t", 8)]:
        job = world.wired.store.get([job_id])[job_id]
        statuses[job.spec.owner].add(str(job.status))
    assert statuses["user/mallory"] == {"Failed", "Held"}
    assert "Held" not in statuses["user/ada"]


@pytest.mark.parametrize(
    "field", [{"owner": "user/ada"}, {"jobs": [{"image": "trainer", "owner": "user/ada"}]}]
)
def test_a_request_cannot_name_its_owner(field):
    world = World(MemoryStore())
    body = {"jobs": jobs("mallory", 1)} | field
    assert json.loads(world.call(MALLORY, "POST", "/jobs", body))["statusCode"] == 400
    assert not world.wired.store.find(jobcore.ports.JobQuery()).jobs
    for query in ({"owner": "user/ada"}, {"share": "ada"}):
        assert json.loads(world.call(MALLORY, "GET", "/jobs", None, **query))["statusCode"] == 400
