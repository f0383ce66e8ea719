"""Groups and names are the caller's own, unless another owner is given; on the laptop and on AWS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import jobcore
from aws_fixtures import connect, table_name
from jobcore import Status
from jobcore_aws import DynamoStore, create_table
from jobcore_cli import _aws, _look, main
from jobcore_cli._session import Session
from jobcore_memory import ManualClock, MemoryTrainer
from jobcore_sqlite import SqliteStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DONE = jobcore.TrainingEnded(attempt=1, outcome=Status.COMPLETED)
FAILED = jobcore.TrainingEnded(
    attempt=1,
    outcome=Status.FAILED,
    failure=jobcore.Failure(
        failure_class=jobcore.FailureClass.ALGORITHM,
        scope=jobcore.lifecycle.Scope.JOB,
        retryable=jobcore.lifecycle.Retryable.NO,
        rule="r",
        text="it broke",
    ),
)


class World:
    """Ada calls; she and other owners have jobs in groups of one name."""

    def __init__(self, store: jobcore.JobStore, backend: str, home: Path) -> None:
        self.store = store
        self.words = ("--home", str(home), "--backend", backend)

    def add(
        self, owner: str, *events: jobcore.lifecycle.Event, group: str = "g", name: str = ""
    ) -> str:
        number = sum(self.store.counts().values())
        job_id = jobcore.job_id_from_token(owner, f"{group}/{number}")
        place = (jobcore.Placement("cpu"),)
        spec = jobcore.Spec(name=name or f"j{number}", owner=owner, group=group, placements=place)
        jobcore.submit([spec], [job_id], store=self.store, now=NOW)
        for event in events:
            assert jobcore.ticks.apply_request(job_id, event, store=self.store, now=NOW).changed
        return job_id

    def status(self, job_id: str) -> Status:
        return self.store.get([job_id])[job_id].status

    def call(self, capsys, *words: str) -> tuple[int, dict]:
        capsys.readouterr()
        code = main([*words, *self.words, "--json"])
        out = capsys.readouterr()
        return code, json.loads(out.out or out.err)


LAUNCHED = (
    jobcore.LaunchDecided(attempt=1, placement=jobcore.Placement("cpu")),
    jobcore.LaunchAccepted(attempt=1, placement=jobcore.Placement("cpu")),
)
HELD = jobcore.HoldRequested(by="x", reason="")


@pytest.fixture(params=["local", "aws"])
def world(request, tmp_path, monkeypatch):
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    if request.param == "local":
        home = tmp_path / "home"
        with SqliteStore(home / "jobcore.db") as store:
            yield World(store, "local", home)
        return
    request.getfixturevalue("moto")
    name = table_name()
    create_table(connect("dynamodb", ""), name)
    store = DynamoStore(name, client=connect("dynamodb", ""), threads=1, shards=2)
    monkeypatch.setattr(Session, "store", store)
    yield World(store, "aws", tmp_path / "home")


# verb: what its jobs went through before, the words, and how a job is then.
VERBS = {
    "stop": ((), ("--yes",), Status.STOPPED),
    "hold": ((), (), Status.HELD),
    "release": ((HELD,), (), Status.NEW),
    "retry": ((*LAUNCHED, FAILED), (), Status.FAILED),
    "wait": ((*LAUNCHED, DONE), ("--timeout", "5s"), Status.COMPLETED),
}


def concerned(verb: str, document: dict) -> set[str]:
    """The jobs that an answer tells of."""
    if verb == "retry":
        return {entry["retry_of"] for entry in document["submitted"]}
    return {entry["id"] for entry in document["jobs"]}


@pytest.mark.parametrize("verb", VERBS)
def test_a_group_verb_takes_ones_own_jobs(world, capsys, verb):
    events, words, then = VERBS[verb]
    own = {world.add("ada", *events) for _ in range(2)}
    other = world.add("bob", *events)
    elsewhere = world.add("ada", *events, group="h")
    before = world.store.get([other, elsewhere])
    code, document = world.call(capsys, verb, "--group", "g", *words)
    assert (code, concerned(verb, document)) == (0, own)
    assert {world.status(job_id) for job_id in own} == {then}
    assert world.store.get([other, elsewhere]) == before
    assert world.store.counts(owner="bob") == {before[other].status: 1}


@pytest.mark.parametrize("verb", VERBS)
def test_a_group_verb_takes_the_jobs_of_the_owner_who_is_named(world, capsys, verb):
    events, words, then = VERBS[verb]
    own, other = world.add("ada", *events), world.add("bob", *events)
    before = world.store.get([own])
    code, document = world.call(capsys, verb, "--group", "g", "--owner", "bob", *words)
    assert (code, concerned(verb, document)) == (0, {other})
    assert world.status(other) is then
    assert world.store.get([own]) == before
    if verb == "stop":  # who did it is still told
        assert world.store.get([other])[other].stop.by == "ada"


@pytest.mark.parametrize("verb", VERBS)
def test_the_owner_who_is_named_before_the_verb_is_who_calls(world, capsys, verb):
    events, words, _ = VERBS[verb]
    world.add("ada", *events)
    other = world.add("bob", *events)
    capsys.readouterr()
    code = main(["--owner", "bob", verb, "--group", "g", *words, *world.words, "--json"])
    assert (code, concerned(verb, json.loads(capsys.readouterr().out))) == (0, {other})


@pytest.mark.parametrize("verb", VERBS)
def test_a_group_of_others_only_is_named_as_such(world, capsys, verb):
    others = ["bob", "bob", "cid"]
    ids = [world.add(owner) for owner in others]
    before = world.store.get(ids)
    code, document = world.call(capsys, verb, "--group", "g", *VERBS[verb][1])
    assert code == 3
    said = document["error"]["message"]
    assert said == "group 'g' has no jobs of ada, but some of bob, cid; name the owner: --owner bob"
    assert world.store.get(ids) == before
    code, document = world.call(capsys, verb, "--group", "none", *VERBS[verb][1])
    assert code == 3
    assert "there is no group 'none'" in document["error"]["message"]


@pytest.mark.parametrize("verb", VERBS)
def test_an_owner_without_a_group_is_refused(world, capsys, verb):
    job_id = world.add("bob")
    before = world.store.get([job_id])
    code, document = world.call(capsys, verb, job_id, "--owner", "bob", *VERBS[verb][1])
    assert code == 2
    assert document["error"]["message"].startswith("--owner: after the command, it is the owner")
    assert world.store.get([job_id]) == before


def test_the_question_before_a_group_is_stopped_names_its_owner(world, capsys):
    world.add("ada")
    world.add("bob")
    code, document = world.call(capsys, "stop", "--group", "g")
    assert code == 2
    assert "1 job of ada would be stopped" in document["error"]["message"]


def test_a_job_that_is_named_by_its_id_may_have_another_owner(world, capsys):
    """An id is one job's; on a shared machine or account, permissions say who may change it."""
    other = world.add("bob")
    code, _ = world.call(capsys, "hold", other)
    assert (code, world.status(other)) == (0, Status.HELD)


def test_a_list_of_a_group_shows_the_jobs_of_all_owners(world, capsys):
    ids = {world.add("ada"), world.add("bob")}
    code, document = world.call(capsys, "list", "--group", "g")
    assert (code, {job["id"] for job in document["jobs"]}) == (0, ids)


# --- names ------------------------------------------------------------------------------

NAME = "resnet"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_the_callers_own_job_of_a_name(world, capsys, verb):
    events, words, then = VERBS[verb]
    other, own = world.add("bob", *events, name=NAME), world.add("ada", *events, name=NAME)
    before = world.store.get([other])
    code, document = world.call(capsys, verb, NAME, *words)
    assert (code, concerned(verb, document)) == (0, {own})
    assert world.status(own) is then
    assert world.store.get([other]) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_leaves_a_job_alone_whose_name_only_another_owner_uses(world, capsys, verb):
    events, words, _ = VERBS[verb]
    ids = [world.add(owner, *events, name=NAME) for owner in ("bob", "cid")]
    before = world.store.get(ids)
    code, document = world.call(capsys, verb, NAME, *words)
    assert code == 3
    assert document["error"]["message"] == (
        "ada has no job named 'resnet'; jobs of that name belong to bob, cid: give the job's id, "
        "or --owner bob"
    )
    assert world.store.get(ids) == before
    code, document = world.call(capsys, verb, "unknown", *words)
    assert code == 3
    assert document["error"]["message"].startswith("there is no job 'unknown'")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_the_job_of_the_owner_who_is_given(world, capsys, verb):
    events, words, then = VERBS[verb]
    own, other = world.add("ada", *events, name=NAME), world.add("bob", *events, name=NAME)
    before = world.store.get([own])
    code, document = world.call(capsys, verb, NAME, "--owner", "bob", *words)
    assert (code, concerned(verb, document)) == (0, {other})
    assert world.status(other) is then
    assert world.store.get([own]) == before
    code, document = world.call(capsys, verb, NAME, "--owner", "cid", *words)
    assert code == 3
    assert "cid has no job named 'resnet'" in document["error"]["message"]


def owners_said(verb: str, document: dict) -> set[str]:
    entries = document["submitted"] if verb == "retry" else document["jobs"]
    return {entry["owner"] for entry in entries}


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_of_another_owner_is_taken_by_its_id_and_its_owner_is_said(world, capsys, verb):
    events, words, then = VERBS[verb]
    world.add("ada", *events, name=NAME)
    other = world.add("bob", *events, name=NAME)
    code, document = world.call(capsys, verb, other[:12], *words)
    assert (code, concerned(verb, document), owners_said(verb, document)) == (0, {other}, {"bob"})
    assert world.status(other) is then


@pytest.mark.parametrize("verb", VERBS)
def test_the_owner_is_said_to_people_if_it_is_not_the_caller(world, capsys, verb):
    events, words, _ = VERBS[verb]
    own, other = world.add("ada", *events), world.add("bob", *events)
    for job_id, note in ((own, ""), (other, "(owner bob)")):
        capsys.readouterr()
        assert main([verb, job_id, *words, *world.words]) == 0
        out = capsys.readouterr().out
        assert ("owner" in out) == bool(note)
        assert note in out


LOOKS = ("show", "why", "logs")


@pytest.fixture
def looking(world, monkeypatch):
    monkeypatch.setattr(_look, "places", lambda session, job: {})
    monkeypatch.setattr(_aws, "log_events", lambda name, since=0, host=None: iter(()))
    monkeypatch.setattr(Session, "trainer", MemoryTrainer(clock=ManualClock(NOW)))
    monkeypatch.setattr(Session, "limits", jobcore.Limits())
    return world


@pytest.mark.parametrize("verb", LOOKS)
def test_a_look_at_a_name_finds_the_callers_own_job_first(looking, capsys, verb):
    looking.add("bob", name=NAME)
    own = looking.add("ada", name=NAME)
    code, document = looking.call(capsys, verb, NAME)
    assert (code, document["id"], document["owner"]) == (0, own, "ada")


@pytest.mark.parametrize("verb", LOOKS)
def test_a_look_at_a_name_finds_another_owners_job_and_says_so(looking, capsys, verb):
    other = looking.add("bob", name=NAME)
    code, document = looking.call(capsys, verb, NAME)
    assert (code, document["id"], document["owner"]) == (0, other, "bob")
    main([verb, NAME, *looking.words])
    said = capsys.readouterr()
    assert "bob" in said.err + said.out
    assert verb != "logs" or "bob" not in said.out, "standard output is the script's"


@pytest.mark.parametrize("verb", LOOKS)
def test_a_name_that_several_other_owners_use_is_ambiguous(looking, capsys, verb):
    for owner in ("bob", "cid"):
        looking.add(owner, name=NAME)
    code, document = looking.call(capsys, verb, NAME)
    assert code == 4
    assert "could be any of" in document["error"]["message"]
