"""The deployment template: what no stand-in for AWS checks is asserted on its text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from template_tools import TEMPLATE, raw, render, text

FUNCTIONS = ("Submit", "Launch", "Monitor", "Notify", "Stream", "Reap")


@pytest.fixture(scope="module")
def rendered():
    return render()


def test_cfn_lint_has_nothing_to_say():
    command = [str(Path(sys.executable).parent / "cfn-lint"), str(TEMPLATE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_needs_no_transform_and_no_named_iam_resource():
    # So that CAPABILITY_IAM is all that a deployment has to grant.
    assert "Transform" not in raw()
    for name, resource in raw()["Resources"].items():
        if resource["Type"].startswith("AWS::IAM::"):
            assert "RoleName" not in resource["Properties"], name


def test_every_function_names_a_handler_that_exists(rendered):
    from importlib import import_module

    for label in FUNCTIONS:
        module, _, name = rendered.properties(f"{label}Function")["Handler"].rpartition(".")
        assert callable(getattr(import_module(module), name))


def test_images_run_the_same_handlers_as_the_zip_file():
    image = render(ImageUri="123456789012.dkr.ecr.us-east-1.amazonaws.com/jobcore:1")
    for label in FUNCTIONS:
        of_zip = render().properties(f"{label}Function")
        of_image = image.properties(f"{label}Function")
        assert of_image["PackageType"] == "Image"
        assert of_image["ImageConfig"]["Command"] == [of_zip["Handler"]]
        assert set(of_image["Code"]) == {"ImageUri"}
        assert not {"Handler", "Runtime"} & set(of_image)
        assert of_zip["PackageType"] == "Zip"
        assert set(of_zip["Code"]) == {"S3Bucket", "S3Key"}
        assert "ImageConfig" not in of_zip


# --- the table --------------------------------------------------------------------------


def test_the_table_is_the_one_that_the_store_works_with(rendered):
    from jobcore_aws import table_definition

    wanted = table_definition("t")
    table = rendered.properties("Table")
    for key in ("KeySchema", "AttributeDefinitions", "BillingMode"):
        assert table[key] == wanted[key], key
    assert table["GlobalSecondaryIndexes"] == wanted["GlobalSecondaryIndexes"]
    stream = wanted["StreamSpecification"]["StreamViewType"]
    assert table["StreamSpecification"] == {"StreamViewType": stream}


def test_the_table_can_be_restored_and_outlives_the_stack(rendered):
    table = rendered.resources["Table"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    properties = table["Properties"]
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["DeletionProtectionEnabled"] is True
    assert "SSESpecification" not in properties  # the key that DynamoDB owns
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    sse = render(TableKmsKeyArn=key).properties("Table")["SSESpecification"]
    assert sse == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}


def test_time_to_live_looks_at_an_attribute_that_no_release_writes(rendered):
    ttl = rendered.properties("Table")["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "_expires", "Enabled": True}
    root = TEMPLATE.parents[1] / "src"
    assert not [p for p in root.rglob("*.py") if '"_expires"' in p.read_text("utf-8")]


def test_the_bucket_of_specs_is_private_encrypted_versioned_and_kept(rendered):
    bucket = rendered.resources["SpecBucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["Properties"]["PublicAccessBlockConfiguration"]) == 4
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert set(rule) == {"Id", "Status", "NoncurrentVersionExpiration"}  # never a current version
    (statement,) = rendered.properties("SpecBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


# --- what makes the functions run -------------------------------------------------------


def test_a_bad_record_of_the_stream_cannot_block_it(rendered):
    mapping = rendered.properties("TableChanges")
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 1 <= mapping["MaximumRetryAttempts"] <= 10
    assert 60 <= mapping["MaximumRecordAgeInSeconds"] <= 86_400
    destination = mapping["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == rendered.arn("DeadLetters")


def test_the_stream_is_filtered_to_what_gives_a_hint(rendered):
    import jobcore

    (filter_,) = rendered.properties("TableChanges")["FilterCriteria"]["Filters"]
    pattern = json.loads(filter_["Pattern"])
    wanted = pattern["dynamodb"]["NewImage"]["JobStatus"]["S"]
    active = {str(s) for s in jobcore.Status if s.is_active}
    assert set(wanted) == {str(s) for s in jobcore.Status} - active


def test_events_of_our_trainings_reach_the_monitor_and_nobody_else(rendered):
    rule = rendered.properties("StateChanges")
    assert rule["EventPattern"] == {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"TrainingJobName": [{"prefix": "jc-"}]},
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == rendered.arn("MonitorFunction")
    assert target["DeadLetterConfig"]["Arn"] == rendered.arn("DeadLetters")
    assert target["RetryPolicy"]["MaximumRetryAttempts"] <= 10
    permission = rendered.properties("StateChangesPermission")
    assert permission["SourceArn"] == rendered.arn("StateChanges")


def test_every_tick_has_a_schedule_with_bounded_retries_and_a_dead_letter_queue(rendered):
    schedules = rendered.of_type("AWS::Scheduler::Schedule")
    assert set(schedules) == {f"{t}Schedule" for t in ("Launch", "Monitor", "Notify", "Reap")}
    for name, schedule in schedules.items():
        # EventBridge takes `minute` for one, and refuses `rate(1 minutes)`.
        assert re.fullmatch(r"rate\(1 (minute|hour)\)", schedule["ScheduleExpression"]), name
        assert schedule["State"] == "ENABLED"
        target = schedule["Target"]
        assert target["Arn"] == rendered.arn(name.replace("Schedule", "Function"))
        assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
        assert target["DeadLetterConfig"]["Arn"] == rendered.arn("DeadLetters")


def test_a_paused_deployment_does_nothing_by_itself():
    paused = render(Paused="true")
    for schedule in paused.of_type("AWS::Scheduler::Schedule").values():
        assert schedule["State"] == "DISABLED"
    assert paused.properties("TableChanges")["Enabled"] is False
    assert paused.properties("StateChanges")["State"] == "DISABLED"


def test_asynchronous_invocations_are_never_repeated_by_lambda(rendered):
    configured = rendered.of_type("AWS::Lambda::EventInvokeConfig")
    assert {c["FunctionName"] for c in configured.values()} == {
        f"jc-{name}" for name in ("launch", "monitor", "notify", "reap")
    }
    for config in configured.values():
        assert config["MaximumRetryAttempts"] == 0
        assert config["MaximumEventAgeInSeconds"] <= 300


def test_concurrency_is_reserved_unless_the_operator_says_0(rendered):
    assert rendered.properties("LaunchFunction")["ReservedConcurrentExecutions"] == 1
    assert "ReservedConcurrentExecutions" not in rendered.properties("SubmitFunction")
    bare = render(LaunchConcurrency="0", MonitorConcurrency="0")
    assert "ReservedConcurrentExecutions" not in bare.properties("LaunchFunction")


def test_every_function_keeps_its_log_for_a_time(rendered):
    groups = {g["LogGroupName"]: g for g in rendered.of_type("AWS::Logs::LogGroup").values()}
    for label in FUNCTIONS:
        name = rendered.properties(f"{label}Function")["FunctionName"]
        assert groups[f"/aws/lambda/{name}"]["RetentionInDays"] == 30


def test_the_queue_of_dead_letters_keeps_them_for_two_weeks_and_takes_only_ours(rendered):
    queue = rendered.properties("DeadLetters")
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    assert queue["SqsManagedSseEnabled"] is True
    (statement,) = rendered.properties("DeadLettersPolicy")["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": rendered.arn("StateChanges")}}


# --- the API ----------------------------------------------------------------------------


def test_every_route_of_the_api_demands_a_signature(rendered):
    routes = rendered.of_type("AWS::ApiGatewayV2::Route")
    assert {r["RouteKey"] for r in routes.values()} == {
        "POST /jobs",
        "GET /jobs",
        "GET /jobs/{id}",
        "POST /jobs/{id}/{action}",
    }
    assert {r["AuthorizationType"] for r in routes.values()} == {"AWS_IAM"}
    assert "CorsConfiguration" not in rendered.properties("Api")


def test_only_this_api_may_invoke_the_submit_function(rendered):
    permission = rendered.properties("ApiPermission")
    assert permission["SourceArn"].startswith("arn:aws:execute-api:us-east-1:123456789012:jc-Api/")


def test_the_access_log_holds_no_body_and_no_header(rendered):
    line = json.loads(rendered.properties("ApiStage")["AccessLogSettings"]["Format"])
    assert set(line) == {"time", "id", "route", "status", "caller", "bytes", "error"}


def test_there_is_no_api_for_who_wants_none():
    kinds = {r["Type"] for r in render(HttpApi="false").resources.values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::ApiGatewayV2")]


# --- alarms -----------------------------------------------------------------------------


def test_there_is_an_alarm_for_each_way_to_fail_silently(rendered):
    alarms = {a["AlarmName"]: a for a in rendered.of_type("AWS::CloudWatch::Alarm").values()}
    watched = {(a["Namespace"], a["MetricName"]) for a in alarms.values()}
    assert watched >= {
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Throttles"),
        ("AWS/Lambda", "Invocations"),
        ("AWS/Lambda", "IteratorAge"),
        ("jobcore", "OldestDue"),
    }
    # A schedule that stands still sends no data, and that is what is to be told.
    assert alarms["jc-LaunchStands"]["TreatMissingData"] == "breaching"
    failing = {
        d["Value"] for a in alarms.values() if a["MetricName"] == "Errors" for d in a["Dimensions"]
    }
    assert failing == {f"jc-{label.lower()}" for label in FUNCTIONS}


def test_our_alarms_watch_metrics_that_the_functions_write(rendered):
    ours = [
        a
        for a in rendered.of_type("AWS::CloudWatch::Alarm").values()
        if a["Namespace"] == "jobcore"
    ]
    assert ours
    source = (TEMPLATE.parents[1] / "src/entrypoints/jobcore_lambda/_run.py").read_text("utf-8")
    for alarm in ours:
        assert f'"{alarm["MetricName"]}"' in source
        dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        assert dimensions["Stack"] == "jc"
        assert dimensions["Function"] in ("launch", "monitor", "notify")


def test_alarms_go_where_the_operator_says():
    topic = "arn:aws:sns:us-east-1:123456789012:ops"
    for alarm in render(AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]
    for alarm in render().of_type("AWS::CloudWatch::Alarm").values():
        assert "AlarmActions" not in alarm


def test_the_dashboard_is_json_and_shows_our_metrics(rendered):
    body = json.loads(rendered.properties("Dashboard")["DashboardBody"])
    titles = {w["properties"]["title"] for w in body["widgets"]}
    assert {"Jobs", "Oldest, seconds", "Function errors"} <= titles
    assert "${" not in json.dumps(body)


# --- secrets and emulators --------------------------------------------------------------


def test_nothing_points_at_an_emulator_unless_told_so(rendered):
    for label in FUNCTIONS:
        variables = rendered.properties(f"{label}Function")["Environment"]["Variables"]
        assert not [name for name in variables if name.startswith("AWS_")]
    on = render(EndpointUrl="http://127.0.0.1:4566", SageMakerEndpointUrl="http://127.0.0.1:1")
    variables = on.properties("LaunchFunction")["Environment"]["Variables"]
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert variables["AWS_ENDPOINT_URL_SAGEMAKER"] == "http://127.0.0.1:1"


def test_it_is_small_enough_for_cloudformation():
    assert len(text().encode()) < 1_000_000  # the limit of a template in S3
    assert len(raw()["Resources"]) < 500
    assert len(raw()["Parameters"]) < 200
