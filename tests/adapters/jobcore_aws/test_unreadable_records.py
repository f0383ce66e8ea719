"""One object or record that cannot be read concerns its own job; the ticks and the lists go on."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError

import jobcore
import jobcore_aws._dynamodb._items
from aws_fixtures import connect, table_name
from jobcore import CorruptRecord, Status, Unavailable
from jobcore.ports import JobQuery
from jobcore_aws import DynamoStore, create_table
from jobcore_aws._dynamodb import _calls
from jobcore_cli._app import main
from jobcore_cli._errors import FAILED, UNAVAILABLE
from jobcore_cli._session import Session
from jobcore_lambda import _wiring, launch, monitor, submit
from jobcore_memory import ManualClock, MemoryTrainer
from lambda_fixtures import FakeContext, http
from s3_as_aws import ANSWERED, S3AsAws, refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LARGE = "y" * 400_000
OWNER = "user/alice"


class Body:
    """A body that breaks off."""

    def __init__(self, error):
        self.error = error

    def read(self):
        raise self.error


def raising(error):
    def fault():
        raise error

    return fault


# How one read goes wrong: the answer, and whether the same read may succeed later.
FAULTS = {
    "denied": (raising(refusal("AccessDenied", 403)), True),
    "no such key": (raising(refusal("NoSuchKey", 404)), False),
    "key disabled": (raising(refusal("KMS.DisabledException", 400)), True),
    "archived": (raising(refusal("InvalidObjectState", 403)), True),
    "no bucket": (raising(refusal("NoSuchBucket", 404)), True),
    "slow down": (raising(refusal("SlowDown", 503)), True),
    "internal": (raising(refusal("InternalError", 500)), True),
    "timeout": (raising(ReadTimeoutError(endpoint_url="s3")), True),
    "cut off": (lambda: ANSWERED | {"Body": Body(ResponseStreamingError(error="cut"))}, True),
    "a proxy's page": (lambda: {"ResponseMetadata": {}, "Body": io.BytesIO(b"<html>")}, True),
    "no JSON": (lambda: ANSWERED | {"Body": io.BytesIO(b"{")}, False),
    "no spec": (lambda: ANSWERED | {"Body": io.BytesIO(b"[]")}, False),
    "deep": (lambda: ANSWERED | {"Body": io.BytesIO(b"[" * 100_000)}, False),
    "a bug": (raising(RuntimeError("a bug of the SDK")), True),
}


class World:
    """Jobs in DynamoDB; the first *bad* of them have a spec in S3 that cannot be read."""

    def __init__(self, bad=3, *, may_list=False):
        self.table = table_name()
        self.client = connect("dynamodb", "")
        create_table(self.client, self.table)
        self.s3 = S3AsAws(may_list=may_list)
        self.told = []
        self.store = self.open(s3=self.s3, bucket="b")
        self.clock = ManualClock(NOW)
        self.trainer = MemoryTrainer(clock=self.clock, slots={"cpu": 100})
        self.troubles = []
        self.settings = jobcore.Settings(
            on_trouble=lambda job_id, what: self.troubles.append((job_id, what))
        )
        names = [f"bad{n}" for n in range(bad)] + ["large", "small", "small2"]
        self.ids = {name: jobcore.job_id_from_token(OWNER, name) for name in names}
        place = (jobcore.Placement("cpu"),)
        specs = [
            jobcore.Spec(
                name=name,
                owner=OWNER,
                placements=place,
                args={} if name.startswith("small") else {"x": LARGE},
            )
            for name in names
        ]
        jobcore.submit(specs, list(self.ids.values()), store=self.store, now=NOW)
        self.bad = [self.ids[name] for name in names if name.startswith("bad")]
        self.good = [self.ids[name] for name in names if not name.startswith("bad")]

    def open(self, **options):
        # moto is not safe for threads, and slow; each shard is a query more.
        told = self.told.append
        return DynamoStore(
            self.table, client=self.client, threads=1, shards=2, on_corrupt=told, **options
        )

    def key(self, job_id):
        (key,) = (key for key in self.s3.objects if key.startswith(f"specs/{job_id}/"))
        return key

    def spoil(self, fault):
        for job_id in self.bad:
            self.s3.faults[self.key(job_id)] = fault

    def records(self):
        """The bad jobs' items, as they are in the table."""
        rows = self.client.scan(TableName=self.table)["Items"]
        return sorted(
            (r for r in rows if r["sk"]["S"] in {f"job#{i}" for i in self.bad}),
            key=lambda r: r["sk"]["S"],
        )

    def launch(self):
        self.troubles.clear()
        return jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)

    def monitor(self):
        self.troubles.clear()
        self.clock.advance(timedelta(minutes=1))
        return jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)

    def statuses(self, ids):
        return [self.store.get([job_id])[job_id].status for job_id in ids]


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    monkeypatch.setattr(_calls, "_BACKOFF_SECONDS", 0.0)


@pytest.fixture
def world(moto):
    return World()


# --- the ticks and the lists ------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_launch_goes_on_without_the_jobs_whose_spec_cannot_be_read(world, fault):
    world.spoil(FAULTS[fault][0])
    before = world.records()
    report = world.launch()
    assert report.launched == len(world.good)
    assert sorted(job_id for job_id, _ in world.troubles) == sorted(world.bad)
    assert world.statuses(world.good) == [Status.LAUNCHED] * len(world.good)
    assert world.records() == before
    world.s3.faults.clear()
    assert world.launch().launched == len(world.bad)


@pytest.mark.parametrize("fault", FAULTS)
def test_monitor_goes_on_without_the_jobs_whose_spec_cannot_be_read(world, fault):
    world.launch()
    world.spoil(FAULTS[fault][0])
    before = world.records()
    assert world.monitor().looked_at == len(world.good)
    assert sorted(job_id for job_id, _ in world.troubles) == sorted(world.bad)
    assert world.statuses(world.good) == [Status.COMPLETED] * len(world.good)
    assert world.records() == before
    world.s3.faults.clear()
    world.monitor()
    assert world.statuses(world.bad) == [Status.COMPLETED] * len(world.bad)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_leaves_out_the_jobs_whose_spec_cannot_be_read_and_tells_of_each(world, fault):
    world.spoil(FAULTS[fault][0])
    for query in (JobQuery(), JobQuery(owner=OWNER), JobQuery(limit=2)):
        world.told.clear()
        found, cursor = [], None
        while True:
            page = world.store.find(replace(query, cursor=cursor))
            found += [job.job_id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        assert sorted(found) == sorted(world.good)
        assert {error.job_id for error in world.told} == set(world.bad)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_error_names_the_job_and_says_whether_to_try_again(world, fault):
    answer, may_pass = FAULTS[fault]
    world.spoil(answer)
    with pytest.raises(CorruptRecord, match=f"{world.bad[0]}.* its spec") as caught:
        world.store.get([world.bad[0]])
    assert caught.value.job_id == world.bad[0]
    assert isinstance(caught.value, Unavailable) is may_pass


def test_a_missing_object_is_told_as_such_only_where_the_caller_may_list(moto):
    for may_list, said in ((True, "missing from S3"), (False, "missing, or may not be read")):
        world = World(1, may_list=may_list)
        del world.s3.objects[world.key(world.bad[0])]
        with pytest.raises(CorruptRecord, match=said):
            world.store.get(world.bad)
        assert world.launch().launched == len(world.good)


# --- S3 as a whole ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["denied", "no bucket", "slow down", "timeout"])
def test_where_s3_gives_nothing_each_job_that_needs_it_is_told_and_the_others_go_on(world, fault):
    world.s3.faults[""] = FAULTS[fault][0]
    large = [*world.bad, world.ids["large"]]
    report = world.launch()
    assert report.launched == 2
    assert sorted(job_id for job_id, _ in world.troubles) == sorted(large)
    world.s3.faults.clear()
    assert world.launch().launched == len(large)


def test_where_s3_does_not_answer_only_the_first_object_is_tried_many_times(world):
    """Else a hundred jobs with large specs would take all the time that a function has."""
    world.s3.faults[""] = FAULTS["slow down"][0]
    world.s3.reads.clear()
    world.launch()
    assert sorted(world.s3.reads.values()) == [1, 1, 1, _calls.TRIES]
    world.s3.faults.clear()
    world.launch()
    world.spoil(FAULTS["slow down"][0])
    world.s3.reads.clear()
    world.monitor()  # it has answered meanwhile
    assert max(world.s3.reads.values()) == _calls.TRIES


def test_a_denied_object_takes_no_tries_from_another(world):
    world.spoil(FAULTS["denied"][0])
    answers = iter([FAULTS["slow down"][0]] * 3)
    good = world.key(world.ids["large"])

    def at_last():
        fault = next(answers, None)
        return fault() if fault else ANSWERED | {"Body": io.BytesIO(world.s3.objects[good])}

    world.s3.faults[good] = at_last
    assert world.launch().launched == len(world.good)


def test_a_store_without_a_bucket_reads_the_jobs_that_need_none(world):
    world.store = world.open()
    assert world.launch().launched == 2
    assert {job_id for job_id, _ in world.troubles} == {*world.bad, world.ids["large"]}


# --- damaged items and rows of indexes --------------------------------------------------


def damage(world, job_id, **attributes):
    key = {"pk": {"S": job_id[:2]}, "sk": {"S": f"job#{job_id}"}}
    item = world.client.get_item(TableName=world.table, Key=key)["Item"]
    item |= attributes
    world.client.put_item(
        TableName=world.table, Item={k: v for k, v in item.items() if v is not None}
    )


def lane(*parts):
    return {"_lane": {"S": json.dumps(parts)}}


WAITING_DAMAGE = [
    {"_not_before": {"S": "?"}},
    {"_not_before": {"N": "1.5"}},
    {"_lane": {"S": "?"}},
    {"_lane": None},
    lane(["a"], 0, [["cpu", 1]]),
    lane("a", "x", [["cpu", 1]]),
    lane("a", None, [["cpu", 1]]),
    lane("a", 0, [["cpu"]]),
    lane("a", 0, [["cpu", "1"]]),
    lane("a", 0, [[["cpu"], 1]]),
    lane("a", 0, []),
    lane("a", 0, 3),
    {"_attempt": {"S": "?"}},
    {"_sort": None},
    {"_owner": None},
]


@pytest.mark.parametrize("attributes", WAITING_DAMAGE, ids=str)
def test_a_damaged_row_does_not_stop_launch_monitor_or_a_list(world, attributes):
    spoiled = world.good[-1]
    damage(world, spoiled, **attributes)
    assert world.launch().launched >= 5
    world.monitor()
    assert world.statuses(set(world.ids.values()) - {spoiled}) == [Status.COMPLETED] * 5
    for query in (JobQuery(), JobQuery(owner=OWNER), JobQuery(id_prefix=world.bad[0][:6])):
        assert {job.job_id for job in world.store.find(query).jobs} >= set(world.bad[:1])
    assert world.store.counts()
    assert world.store.counts(owner=OWNER)


def test_a_row_without_its_sort_key_does_not_stop_a_list(moto):
    world = World()
    world.launch()
    spoiled = world.ids["small"]
    damage(world, spoiled, _sort=None)
    others = set(world.ids.values()) - {spoiled}
    for query in (JobQuery(), JobQuery(statuses=frozenset({Status.LAUNCHED}))):
        world.told.clear()
        assert {job.job_id for job in world.store.find(query).jobs} == others
        assert {error.job_id for error in world.told} == {spoiled}
    world.told.clear()
    assert world.store.find(JobQuery(id_prefix=spoiled[:8])).jobs == ()
    assert {error.job_id for error in world.told} == {spoiled}


def test_a_record_without_an_owner_does_not_stop_the_count_of_a_group(moto):
    world = World(0)
    place = (jobcore.Placement("cpu"),)
    specs = [
        jobcore.Spec(name=n, owner=OWNER, group="g", placements=place, args={}) for n in ("a", "b")
    ]
    ids = [jobcore.job_id_from_token(OWNER, spec.name) for spec in specs]
    jobcore.submit(specs, ids, store=world.store, now=NOW)
    damage(world, ids[0], _owner=None)
    assert world.store.counts(group="g", owner=OWNER) == {Status.NEW: 1}
    assert {error.job_id for error in world.told} == {ids[0]}


def test_an_error_that_no_reader_expects_concerns_its_job(world, monkeypatch):
    decode = jobcore_aws._dynamodb._items.decode_job

    def broken(record, spec, *, version):
        if record["JobId"] in world.bad:
            raise RuntimeError("a bug")
        return decode(record, spec, version=version)

    monkeypatch.setattr(jobcore_aws._dynamodb._items, "decode_job", broken)
    assert world.launch().launched == len(world.good)
    assert sorted(job_id for job_id, _ in world.troubles) == sorted(world.bad)
    assert {job.job_id for job in world.store.find(JobQuery()).jobs} == set(world.good)


@pytest.mark.parametrize("name", ["state", "schema", "JobStatus", "timeline", "_version"])
def test_many_damaged_records_do_not_stop_the_other_jobs(world, name):
    for job_id in world.bad:
        damage(world, job_id, **{name: {"S": "?"}})
    assert world.launch().launched == len(world.good)
    assert sorted(job_id for job_id, _ in world.troubles) == sorted(world.bad)
    world.told.clear()
    assert {job.job_id for job in world.store.find(JobQuery()).jobs} == set(world.good)
    assert {error.job_id for error in world.told} >= set(world.bad)


# --- what people and programs are told --------------------------------------------------


def test_the_functions_go_on_and_the_api_says_503_for_what_may_be_read_later(world, capsys):
    wired = _wiring.Wiring({"JOBCORE_STACK": "t"})
    wired.store, wired.trainer, wired.clock = world.store, world.trainer, world.clock
    wired.limits, wired.launches_together = jobcore.Limits(), 1
    _wiring.use(wired)
    try:
        world.spoil(FAULTS["denied"][0])
        assert launch.handler({}, FakeContext())["launched"] == len(world.good)
        assert monitor.handler({}, FakeContext())["looked_at"] == len(world.good)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        told = [line for line in lines if line.get("message") == "trouble"]
        assert {line["job_id"] for line in told} == set(world.bad)
        assert all("AccessDenied" in line["text"] for line in told)

        def answer(job_id):
            return submit.handler(http("GET", f"/jobs/{job_id}"), FakeContext())["statusCode"]

        assert answer(world.bad[0]) == 503
        assert answer(world.good[0]) == 200
        world.spoil(FAULTS["no such key"][0])
        assert answer(world.bad[0]) == 500
        listed = submit.handler(http("GET", "/jobs"), FakeContext())
        assert {job["id"] for job in json.loads(listed["body"])["jobs"]} == set(world.good)
    finally:
        _wiring.use(None)


@pytest.mark.parametrize(("fault", "code"), [("denied", UNAVAILABLE), ("no such key", FAILED)])
def test_the_command_says_whether_to_try_again(world, monkeypatch, capsys, fault, code):
    world.spoil(FAULTS[fault][0])
    monkeypatch.setattr(Session, "store", world.store)
    assert main(["show", world.bad[0], "--backend", "aws"]) == code
    assert ("restore the store" in capsys.readouterr().err) is (code == FAILED)
