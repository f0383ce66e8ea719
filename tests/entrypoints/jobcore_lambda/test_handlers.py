"""The handlers of the functions, on fakes: what each does with the events that AWS sends it."""

from __future__ import annotations

import base64
import io
import json
from datetime import timedelta

import pytest

import jobcore
from jobcore import Status, Unavailable
from jobcore.lifecycle import PoolState
from jobcore.ports import Evidence, TrainingState
from jobcore_lambda import _wiring, launch, monitor, notify, reap, stream, submit
from jobcore_lambda._report import Reporter, scrubbed
from jobcore_memory import Script
from lambda_fixtures import ACCOUNT, FakeContext, FakeWiring, http, lines, metrics, state_change

JOB = {"image": "trainer", "pool": "cpu", "name": "digits"}
SECRET = "canary-0123456789-canary"


@pytest.fixture
def wired():
    wiring = FakeWiring()
    _wiring.use(wiring)
    yield wiring
    _wiring.use(None)


def submitted(count: int = 1, **fields: object) -> list[str]:
    jobs = [{**JOB, "name": f"job-{n}", **fields} for n in range(count)]
    answer = submit.handler({"jobs": jobs}, FakeContext())
    return answer["ids"]


def call(event: dict) -> tuple[int, dict]:
    answer = submit.handler(event, FakeContext())
    assert answer["headers"]["Content-Type"] == "application/json"
    return answer["statusCode"], json.loads(answer["body"])


def get(wired: FakeWiring, job_id: str) -> jobcore.Job:
    return wired.store.get([job_id])[job_id]


def test_a_record_that_a_store_leaves_out_is_logged_and_counted_in_its_invocation(wired, capsys):
    submitted()
    assert wired.store.save_pool(PoolState(name="gpu"))
    wired.store.overwrite_side_record("pool", "gpu", text="{")
    capsys.readouterr()
    assert launch.handler({}, FakeContext())["launched"] == 1
    out = capsys.readouterr().out
    (line,) = [line for line in lines(out) if line.get("message") == "trouble"]
    assert line["text"].startswith("pool gpu: stored record cannot be read")
    assert metrics(out)["Troubles"] == 1
    launch.handler({}, FakeContext(aws_request_id="request-2"))
    (line,) = [one for one in lines(capsys.readouterr().out) if one.get("message") == "trouble"]
    assert line["request_id"] == "request-2"


def test_a_job_with_parts_for_backends_has_that_for_aws(wired):
    parts = {"aws": {"priority": 3}, "local": {"priority": 9, "python": "python3"}}
    (job_id,) = submitted(backend=parts)
    assert get(wired, job_id).spec.priority == 3
    assert "python" not in get(wired, job_id).spec.args
    body = {"jobs": [{**JOB, "backend": {"aws": {"owner": "eve"}}}]}
    status, answer = call(http("POST", "/jobs", body=body))
    assert status == 400
    assert answer["error"]["problems"][0]["field"] == "owner"


# --- the whole life ---------------------------------------------------------------------


def test_a_job_goes_through_its_life_by_invocations_alone(wired, capsys):
    (job_id,) = submitted()
    assert launch.handler({}, FakeContext())["launched"] == 1
    assert get(wired, job_id).status is Status.LAUNCHED
    wired.clock.advance(timedelta(seconds=10))
    monitor.handler({}, FakeContext())
    assert get(wired, job_id).status is Status.IN_PROGRESS
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler({}, FakeContext())
    assert get(wired, job_id).status is Status.COMPLETED
    assert notify.handler({}, FakeContext())["published"] == 1
    assert [m.job_id for m in wired.notifier.messages] == [job_id]
    transitions = [
        (line["before"], line["status"], line["attempt"])
        for line in lines(capsys.readouterr().out)
        if line.get("message") == "transition" and line["before"] != line["status"]
    ]
    assert transitions == [
        ("New", "Launching", 1),
        ("Launching", "Launched", 1),
        ("Launched", "InProgress", 1),
        ("InProgress", "Completed", 1),
    ]


def test_metrics_say_what_was_done_and_how_late(wired, capsys):
    submitted(3)
    wired.clock.advance(timedelta(seconds=90))
    wired.trainer.slots["cpu"] = 2
    capsys.readouterr()
    launch.handler({}, FakeContext())
    found = metrics(capsys.readouterr().out)
    assert found["Launched"] == 2
    assert found["OldestWaiting"] == pytest.approx(90, abs=1)
    assert found["OldestDue"] == 0
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler({}, FakeContext())
    assert metrics(capsys.readouterr().out)["JobsCompleted"] == 2
    wired.clock.advance(timedelta(minutes=7))
    notify.handler({}, FakeContext())
    found = metrics(capsys.readouterr().out)
    assert found["Published"] == 2
    assert found["OldestDue"] == pytest.approx(420, abs=1)


def test_every_metric_is_well_formed(wired, capsys):
    submitted()
    launch.handler({}, FakeContext())
    documents = [line for line in lines(capsys.readouterr().out) if "_aws" in line]
    assert documents
    for document in documents:
        for directive in document["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "jobcore"
            for dimensions in directive["Dimensions"]:
                assert all(isinstance(document[name], str) for name in dimensions)
            for metric in directive["Metrics"]:
                assert isinstance(document[metric["Name"]], int | float)
                assert metric["Unit"] in ("Count", "Seconds")


def test_a_function_ends_before_its_time_and_the_next_finishes(wired):
    submitted(4)
    # Each look at the clock costs 10 s of 60: there is time for one or two launches.
    context = FakeContext(left_ms=60_000, cost_ms=10_000)
    first = launch.handler({}, context)["launched"]
    assert 1 <= first < 4
    assert context.left_ms > 0
    wired.clock.advance(timedelta(minutes=2))
    assert first + launch.handler({}, FakeContext())["launched"] == 4


def test_a_scheduled_tick_repeats_while_there_is_time(wired, monkeypatch):
    wired.environ["JOBCORE_REPEAT_SECONDS"] = "10"
    slept = []
    context = FakeContext(left_ms=58_000)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        context.left_ms -= seconds * 1000
        wired.clock.advance(timedelta(seconds=seconds))

    monkeypatch.setattr("jobcore_lambda._run.time.sleep", sleep)
    (job_id,) = submitted()
    launch.handler({}, FakeContext(left_ms=1000))
    slept.clear()
    monitor.handler({}, context)
    assert slept == [10.0] * 3
    assert get(wired, job_id).status is Status.IN_PROGRESS
    slept.clear()
    monitor.handler(state_change(get(wired, job_id).training_name), FakeContext())
    assert slept == []


def test_a_store_that_does_not_answer_fails_the_invocation_and_is_counted(
    wired, capsys, monkeypatch
):
    def nothing(*_: object, **__: object) -> None:
        raise Unavailable("Throughput exceeds the current capacity")

    monkeypatch.setattr(wired.store, "due", nothing)
    with pytest.raises(Unavailable):
        monitor.handler({}, FakeContext())
    written = capsys.readouterr().out
    assert metrics(written)["Troubles"] == 1
    assert "Throughput" in lines(written)[0]["text"]


# --- events -----------------------------------------------------------------------------


def test_an_event_makes_the_monitor_look_at_that_job_now_and_at_no_other(wired):
    first, second = submitted(2)
    launch.handler({}, FakeContext())
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler(state_change(get(wired, second).training_name), FakeContext())
    assert get(wired, second).status is Status.COMPLETED
    assert get(wired, first).status is Status.LAUNCHED


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped", "Deleting", "", None, 7])
def test_an_event_is_a_hint_and_never_a_status(wired, status):
    (job_id,) = submitted()
    launch.handler({}, FakeContext())
    wired.clock.advance(timedelta(seconds=5))
    monitor.handler(state_change(get(wired, job_id).training_name, status), FakeContext())
    assert get(wired, job_id).status is Status.IN_PROGRESS


@pytest.mark.parametrize("batch", ["list", "queue"])
def test_events_may_come_in_batches(wired, batch):
    ids = submitted(2)
    launch.handler({}, FakeContext())
    wired.clock.advance(timedelta(minutes=5))
    changes = [state_change(get(wired, job_id).training_name) for job_id in ids]
    changes += [changes[0], state_change("somebody-elses")]
    event = changes if batch == "list" else {"Records": [{"body": json.dumps(c)} for c in changes]}
    assert monitor.handler(event, FakeContext())["looked_at"] == 2
    assert {get(wired, job_id).status for job_id in ids} == {Status.COMPLETED}


@pytest.mark.parametrize(
    "name", ["kmeans-1", "", None, 5, "jc-../../etc/passwd-1", f"jc-{'u' * 26}-1", {"a": 1}]
)
def test_an_event_about_a_stranger_costs_no_call(wired, name):
    submitted()
    before = wired.trainer.calls.copy()
    event = state_change("x")
    event["detail"]["TrainingJobName"] = name
    assert monitor.handler(event, FakeContext()) == {"ignored": 1}
    assert wired.trainer.calls == before


@pytest.mark.parametrize("event", [None, [], "x", {"Records": [{"body": "{"}, {}, 3]}])
def test_an_event_that_says_nothing_is_a_schedule(wired, event):
    (job_id,) = submitted()
    launch.handler({}, FakeContext())
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler(event, FakeContext())
    assert get(wired, job_id).status is Status.COMPLETED


def test_the_same_event_twice_changes_nothing_the_second_time(wired):
    (job_id,) = submitted()
    launch.handler({}, FakeContext())
    wired.clock.advance(timedelta(minutes=5))
    event = state_change(get(wired, job_id).training_name)
    monitor.handler(event, FakeContext())
    version = get(wired, job_id).version
    monitor.handler(event, FakeContext())
    assert get(wired, job_id).version == version


def test_the_reaper_stops_what_no_job_wants(wired):
    (job_id,) = submitted()
    launch.handler({}, FakeContext())
    orphan = jobcore.lifecycle.training_name(job_id, 7)
    (request,) = [e.request for e in wired.trainer._entries.values()]
    stale = jobcore.ports.LaunchRequest(
        name=orphan, job_id=job_id, attempt=7, spec_hash=request.spec_hash,
        placement=request.placement, args={},
    )  # fmt: skip
    wired.trainer.scripts[orphan] = Script(runs=timedelta(days=1))
    wired.trainer.launch([stale])
    jobcore.ticks.apply_request(
        job_id, jobcore.StopRequested(by="x"), store=wired.store, now=wired.clock.now()
    )
    monitor.handler({}, FakeContext())
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler({}, FakeContext())
    assert get(wired, job_id).status.is_terminal
    assert reap.handler({}, FakeContext())["stopped"] == 1
    wired.clock.advance(timedelta(minutes=5))
    assert wired.trainer.describe([orphan])[orphan].state is TrainingState.STOPPED


def test_notify_looks_only_at_the_jobs_of_a_hint(wired):
    first, second = submitted(2)
    launch.handler({}, FakeContext())
    wired.clock.advance(timedelta(minutes=5))
    monitor.handler({}, FakeContext())
    notify.handler({"job_ids": [second, "not an id", 7, second]}, FakeContext())
    assert [m.job_id for m in wired.notifier.messages] == [second]
    notify.handler({}, FakeContext())
    assert [m.job_id for m in wired.notifier.messages] == [second, first]


# --- the stream -------------------------------------------------------------------------


def record(number: int, job_id: str, status: str, *, owes: bool = False) -> dict:
    image = {"JobId": {"S": job_id}, "JobStatus": {"S": status}}
    if owes:
        image["_notify"] = {"S": "1"}
    return {
        "eventID": str(number),
        "eventName": "MODIFY",
        "eventSource": "aws:dynamodb",
        "dynamodb": {"SequenceNumber": str(number), "NewImage": image, "Keys": {}},
    }


IDS = [jobcore.job_id_from_bytes(bytes([n]) * 16) for n in range(9)]


def test_a_batch_of_the_stream_is_one_hint_for_each_function(wired):
    records = [
        record(100, IDS[0], "New"),
        record(101, IDS[1], "New"),
        record(102, IDS[2], "Completed", owes=True),
        record(103, IDS[3], "Held", owes=True),
        record(104, IDS[3], "Held", owes=True),
    ]
    assert stream.handler({"Records": records}, FakeContext()) == {"batchItemFailures": []}
    assert [tick for tick, _ in wired.nudges] == ["launch", "notify"]
    assert wired.nudges[1][1] == {"job_ids": [IDS[2], IDS[3]]}


def test_records_that_ask_for_nothing_give_no_hint(wired):
    records = [record(1, IDS[0], status) for status in ("Launching", "Launched", "InProgress")]
    stream.handler({"Records": records}, FakeContext())
    assert wired.nudges == []


@pytest.mark.parametrize(
    ("broken", "first"), [({"launch"}, "9"), ({"notify"}, "10"), ({"launch", "notify"}, "9")]
)
def test_a_hint_that_fails_is_repeated_from_its_first_record(wired, capsys, broken, first):
    wired.broken_hints = broken
    # Numeric order, not the order of text: "10" comes after "9".
    records = [
        record(8, IDS[0], "InProgress"),
        record(9, IDS[1], "New"),
        record(10, IDS[2], "Failed", owes=True),
    ]
    answer = stream.handler({"Records": records}, FakeContext())
    assert answer == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert "AKIA" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "poison",
    [
        {},
        {"dynamodb": {}},
        {"dynamodb": {"SequenceNumber": "2", "NewImage": {"JobId": {"N": "1"}}}},
        {"dynamodb": {"SequenceNumber": "x", "NewImage": {}}},
        {"dynamodb": {"SequenceNumber": "2", "NewImage": {"JobId": {"S": "../x"}}}},
        {"dynamodb": {"SequenceNumber": "2", "NewImage": []}},
        None,
        "text",
    ],
)
def test_a_poison_record_blocks_nobody(wired, poison):
    records = [record(1, IDS[0], "New"), poison, record(3, IDS[1], "Failed", owes=True)]
    assert stream.handler({"Records": records}, FakeContext()) == {"batchItemFailures": []}
    assert wired.nudges == [("launch", {"hint": "stream"}), ("notify", {"job_ids": [IDS[1]]})]


def test_a_deletion_gives_no_hint(wired):
    removed = {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "5", "Keys": {}}}
    assert stream.handler({"Records": [removed]}, FakeContext()) == {"batchItemFailures": []}
    assert wired.nudges == []


# --- submit -----------------------------------------------------------------------------


def test_jobs_are_submitted_through_the_http_api_for_who_signed(wired):
    status, answer = call(http("POST", "/jobs", {"jobs": [JOB, {**JOB, "name": "second"}]}))
    assert status == 201
    assert answer["created"] == 2
    job = get(wired, answer["ids"][1])
    assert (job.spec.owner, job.spec.share, job.spec.name) == ("user/alice", "alice", "second")


@pytest.mark.parametrize(
    ("arn", "owner", "share"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/alice", "user/alice", "alice"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/alice", "user/team/alice", "alice"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Team/i-chose-bob", "role/Team", "Team"),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_DS_0123456789abcdef/al@x.org",
            "role/AWSReservedSSO_DS_0123456789abcdef/al@x.org",
            "al@x.org",
        ),
        (f"arn:aws:iam::{ACCOUNT}:root", "root", "root"),
        ("arn:aws:iam::999999999999:user/alice", "999999999999:user/alice", "alice"),
        (f"arn:aws-cn:iam::{ACCOUNT}:user/_x", "user/_x", "other"),
    ],
)
def test_the_owner_is_the_identity_that_iam_names(wired, arn, owner, share):
    status, answer = call(http("POST", "/jobs", {"jobs": [JOB]}, arn=arn))
    assert status == 201
    spec = get(wired, answer["ids"][0]).spec
    assert (spec.owner, spec.share) == (owner, share)


@pytest.mark.parametrize("arn", [None, "", "alice", "arn:aws:iam::1:user/x", "arn:aws:iam::::"])
def test_nobody_is_let_in_without_an_identity(wired, arn):
    event = http("POST", "/jobs", {"jobs": [JOB]}, arn=None)
    if arn is not None:
        event["requestContext"]["authorizer"] = {"iam": {"userArn": arn}}
    assert call(event)[0] == 403
    assert wired.store.counts() == {}


def test_a_token_makes_a_repeated_request_harmless(wired):
    event = http("POST", "/jobs", {"jobs": [JOB, JOB], "token": "t-1"})
    status, first = call(event)
    again_status, again = call(event)
    assert (status, again_status) == (201, 201)
    assert first["ids"] == again["ids"]
    assert (first["created"], again["created"], again["known"]) == (2, 0, 2)
    _, other = call(http("POST", "/jobs", {"jobs": [JOB, JOB], "token": "t-1"},
                         arn=f"arn:aws:iam::{ACCOUNT}:user/bob"))  # fmt: skip
    assert set(other["ids"]).isdisjoint(first["ids"])


def test_a_token_used_for_something_else_is_a_conflict_and_writes_nothing(wired):
    call(http("POST", "/jobs", {"jobs": [JOB, JOB], "token": "t-1"}))
    changed = {**JOB, "priority": 3}
    status, answer = call(http("POST", "/jobs", {"jobs": [JOB, changed, JOB], "token": "t-1"}))
    assert (status, answer["error"]["code"]) == (409, "token_used")
    assert sum(wired.store.counts().values()) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": JOB}, "jobs"),
        ({"jobs": [JOB] * 501}, "jobs"),
        ({"jobs": [JOB], "tokn": "x"}, "tokn"),
        ({"jobs": [JOB], "token": ""}, "token"),
        ({"jobs": [JOB], "token": "x" * 129}, "token"),
        ({"jobs": [JOB], "token": 5}, "token"),
        ({"jobs": [JOB], "token": "a\nb"}, "token"),
        ({"jobs": [JOB], "group": "x" * 129}, "group"),
        ({"jobs": [{**JOB, "prioritty": 1}]}, "prioritty"),
        ({"jobs": [{**JOB, "priority": "high"}]}, "priority"),
        ({"jobs": [{**JOB, "owner": "bob"}]}, "owner"),
        ({"jobs": [{**JOB, "sweep": {"grid": {}}}]}, "sweep"),
        ({"jobs": [JOB, {**JOB, "image": "evil.example/x"}]}, "image"),
        ({"jobs": ["text"]}, "job file"),
        ({"jobs": [None]}, "job file"),
        ({"jobs": [{**JOB, "pools": []}]}, "pools"),
        ({"jobs": [{**JOB, "tags": {"k": "v" * 300}}]}, "tags.k"),
    ],
)
def test_what_is_wrong_is_named_by_field_and_nothing_is_written(wired, body, field):
    for answer in (call(http("POST", "/jobs", body)), (400, submit.handler(body, FakeContext()))):
        status, document = answer
        assert status == 400
        assert field in [problem["field"] for problem in document["error"]["problems"]]
    assert wired.store.counts() == {}


@pytest.mark.parametrize(
    "raw", ["", "{", "[]", "7", '{"jobs": NaN}', "[" * 100_000, '{"a":' * 5000]
)
def test_a_body_that_is_no_json_object_is_a_bad_request(wired, raw):
    assert call(http("POST", "/jobs", raw=raw))[0] == 400


def test_a_body_may_come_in_base_64_and_must_be_text(wired):
    event = http(
        "POST", "/jobs", raw=base64.b64encode(json.dumps({"jobs": [JOB]}).encode()).decode()
    )
    event["isBase64Encoded"] = True
    assert call(event)[0] == 201
    event["body"] = base64.b64encode(b"\xff\xfe").decode()
    assert call(event)[0] == 400


def test_a_body_that_is_too_large_is_refused(wired):
    assert call(http("POST", "/jobs", raw=" " * 5_000_001))[0] == 413


def test_direct_callers_are_one_owner_whatever_they_say(wired):
    wired.environ["JOBCORE_DIRECT_OWNER"] = "pipeline"
    (job_id,) = submitted()
    assert get(wired, job_id).spec.owner == "pipeline"
    answer = submit.handler({"jobs": [{**JOB, "owner": "bob"}]}, FakeContext())
    assert answer["status"] == 400


def test_an_unavailable_store_is_a_503_and_says_to_repeat(wired, monkeypatch):
    def nothing(*_: object) -> None:
        raise Unavailable("throttled")

    monkeypatch.setattr(wired.store, "add", nothing)
    status, answer = call(http("POST", "/jobs", {"jobs": [JOB]}))
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    with pytest.raises(Unavailable):
        submit.handler({"jobs": [JOB]}, FakeContext())


def test_an_error_of_ours_is_a_500_without_a_word_about_its_cause(wired, monkeypatch, capsys):
    def broken(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(wired.store, "add", broken)
    status, answer = call(http("POST", "/jobs", {"jobs": [JOB]}))
    assert status == 500
    assert SECRET not in json.dumps(answer) + capsys.readouterr().out


# --- reading and asking -----------------------------------------------------------------


def test_own_jobs_are_listed_by_pages_and_filters(wired):
    call(
        http("POST", "/jobs", {"jobs": [{**JOB, "name": f"j{n}"} for n in range(5)], "group": "g"})
    )
    call(http("POST", "/jobs", {"jobs": [{**JOB, "name": "lone"}]}))
    _, page = call(http("GET", "/jobs", query={"limit": "4", "group": "g"}))
    assert [job["name"] for job in page["jobs"]] == ["j4", "j3", "j2", "j1"]
    _, rest = call(
        http("GET", "/jobs", query={"limit": "4", "group": "g", "cursor": page["cursor"]})
    )
    assert [job["name"] for job in rest["jobs"]] == ["j0"]
    _, new = call(http("GET", "/jobs", query={"status": "New,Held"}))
    assert len(new["jobs"]) == 6
    _, none = call(http("GET", "/jobs", query={"status": "Completed"}))
    assert none["jobs"] == []


@pytest.mark.parametrize(
    "query",
    [{"status": "Done"}, {"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"cursor": "x"},
     {"owner": "user/bob"}],
)  # fmt: skip
def test_a_wrong_query_is_a_bad_request(wired, query):
    assert call(http("GET", "/jobs", query=query))[0] == 400


def test_a_job_is_shown_without_its_arguments(wired, capsys):
    document = {
        **JOB,
        "environment": {"WANDB_KEY": SECRET},
        "hyperparameters": {"hf_token": SECRET},
    }
    _, answer = call(http("POST", "/jobs", {"jobs": [document]}))
    wired.trainer.trouble.append(
        Evidence(where="create", error_code="ValidationException", text=SECRET)
    )
    launch.handler({}, FakeContext())
    monitor.handler({}, FakeContext())
    notify.handler({}, FakeContext())
    status, job = call(http("GET", f"/jobs/{answer['ids'][0]}"))
    assert status == 200
    assert job["owner"] == "user/alice"
    assert not {"args", "environment", "hyperparameters"} & set(job)
    assert SECRET not in capsys.readouterr().out


def test_a_job_is_stopped_held_and_released(wired):
    _, answer = call(http("POST", "/jobs", {"jobs": [JOB]}))
    path = f"/jobs/{answer['ids'][0]}"
    assert call(http("POST", f"{path}/hold", {"reason": "later"}))[1]["status"] == "Held"
    assert call(http("POST", f"{path}/release"))[1]["status"] == "New"
    assert call(http("POST", f"{path}/stop"))[1]["status"] == "Stopped"
    again = call(http("POST", f"{path}/stop"))
    assert again[0] in (200, 409)
    assert call(http("POST", f"{path}/release"))[0] in (200, 409)
    assert get(wired, answer["ids"][0]).status is Status.STOPPED


@pytest.mark.parametrize(
    ("method", "suffix"),
    [("GET", ""), ("POST", "/stop"), ("POST", "/hold"), ("POST", "/release")],
)
def test_a_job_of_somebody_else_is_no_job(wired, method, suffix):
    _, answer = call(http("POST", "/jobs", {"jobs": [JOB]}))
    job_id = answer["ids"][0]
    mallory = f"arn:aws:iam::{ACCOUNT}:user/mallory"
    foreign = call(http(method, f"/jobs/{job_id}{suffix}", arn=mallory))
    missing = call(http(method, f"/jobs/{IDS[0]}{suffix}", arn=mallory))
    assert foreign == missing
    assert foreign[0] == 404
    assert call(http("GET", "/jobs", arn=mallory))[1]["jobs"] == []
    assert get(wired, job_id).version == 0 or get(wired, job_id).status is Status.NEW


@pytest.mark.parametrize(
    "job_id", ["x", "..%2f..%2fetc", "%00", "A" * 26, "a" * 27, "' OR 1=1", "é" * 26]
)
def test_what_is_no_id_never_reaches_the_store(wired, monkeypatch, job_id):
    def unreachable(*_: object) -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(wired.store, "get", unreachable)
    assert call(http("GET", f"/jobs/{job_id}"))[0] == 404
    assert call(http("POST", f"/jobs/{job_id}/stop"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("DELETE", "/jobs"), ("PUT", "/jobs/x"), ("POST", f"/jobs/{IDS[0]}/launch")],
)
def test_other_routes_do_not_exist(wired, method, path):
    assert call(http(method, path, {}))[0] == 404


# --- what is logged ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEYx",
        "password=hunter2",
        "Authorization: Bearer",
    ],
)
def test_what_looks_like_a_credential_is_taken_out_of_a_text(secret):
    assert secret not in scrubbed(f"the call with {secret} failed\nbadly")
    assert "failed badly" in scrubbed(f"{secret} failed\nbadly") or "***" in scrubbed(secret)


def test_of_a_strangers_error_only_the_type_is_logged():
    out = io.StringIO()
    report = Reporter("launch", stack="s", request_id="r", out=out)
    report.trouble("j", f"ParamValidationError: Invalid type for HyperParameters.x: {SECRET}")
    (line,) = lines(out.getvalue())
    assert line["error"] == "ParamValidationError"
    assert SECRET not in out.getvalue()


@pytest.mark.parametrize("body", ["=", "a", "/w==", "\u00e9", "AAA"])
def test_a_body_that_is_no_base64_is_a_bad_request(wired, body):
    event = http("POST", "/jobs", raw=body) | {"isBase64Encoded": True}
    status, answer = call(event)
    assert (status, answer["error"]["code"]) == (400, "no_json")


@pytest.mark.parametrize(
    "clocks", [{"wait_at_most": "10000000d"}, {"finish_by": "9999-12-31T23:59:59-23:00"}]
)
def test_times_after_the_last_date_are_a_bad_request(wired, clocks):
    status, answer = call(http("POST", "/jobs", {"jobs": [{**JOB, "clocks": clocks}]}))
    assert (status, answer["error"]["code"]) == (400, "invalid")


def test_hyperparameters_that_nest_too_deeply_are_a_bad_request(wired):
    deep: object = 1
    for _ in range(700):
        deep = [deep]
    status, answer = call(
        http("POST", "/jobs", {"jobs": [{**JOB, "hyperparameters": {"x": deep}}]})
    )
    assert (status, answer["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "query",
    [{"limit": text} for text in ("1_0", " 10", "+5", "\u0661", "0", "501", "1e2", "", "9" * 5000)]
    + [
        {field: text}
        for field in ("group", "name")
        for text in ("", "x" * 129, "a b", "\x00", "\u00e9")
    ],
)
def test_a_query_that_cannot_match_is_a_bad_request(wired, monkeypatch, query):
    monkeypatch.setattr(wired.store, "find", None)  # the store is not asked
    status, answer = call(http("GET", "/jobs", query=query))
    assert (status, answer["error"]["code"]) == (400, "invalid")
