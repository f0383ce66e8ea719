"""What each function may do, judged on the template's policies: the calls it makes, and no attack."""

from __future__ import annotations

import pytest

from iam_tools import Call, allowed
from template_tools import ACCOUNT, REGION, render

ROLES = tuple(f"{n}Role" for n in ("Submit", "Launch", "Monitor", "Notify", "Stream", "Reap"))

R = render()
TABLE = R.arn("Table")
TOPIC = R.arn("Topic")
BUCKET = R.arn("SpecBucket")
OURS = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/jc-0123456789abcdefghjkmnpqrs-1"
THEIRS = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/nightly-bert"
TRAIN = f"arn:aws:iam::{ACCOUNT}:role/train-small"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/Admin"

HERE = {"aws:RequestedRegion": REGION}
CREATE = HERE | {
    "aws:RequestTag/jobcore:managed": "true",
    "aws:TagKeys": ["jobcore:managed", "jobcore:job-id", "jobcore:attempt", "jobcore:spec-hash"],
    "sagemaker:InstanceTypes": ["ml.m5.large"],
    "sagemaker:MaxRuntimeInSeconds": "3600",
}
MANAGED = HERE | {"aws:ResourceTag/jobcore:managed": "true"}
PASS = {"iam:PassedToService": "sagemaker.amazonaws.com"}


def create(**changes: object) -> Call:
    """A CreateTrainingJob; a condition key that is None is absent."""
    names = {
        "managed": "aws:RequestTag/jobcore:managed",
        "types": "sagemaker:InstanceTypes",
        "runtime": "sagemaker:MaxRuntimeInSeconds",
        "debug": "sagemaker:EnableRemoteDebug",
        "subnets": "sagemaker:VpcSubnets",
        "isolated": "sagemaker:NetworkIsolation",
        "region": "aws:RequestedRegion",
    }
    resource = str(changes.pop("resource", OURS))
    context = CREATE | {names[name]: value for name, value in changes.items()}
    present = {name: value for name, value in context.items() if value is not None}
    return Call("sagemaker:CreateTrainingJob", resource, present)


NEEDED = {
    "SubmitRole": [
        Call("dynamodb:BatchGetItem", TABLE),
        Call("dynamodb:PutItem", TABLE),
        Call("dynamodb:UpdateItem", TABLE),
        Call("dynamodb:Query", f"{TABLE}/index/owner"),
        Call("s3:PutObject", f"{BUCKET}/specs/x"),
        Call("logs:PutLogEvents", f"{R.arn('SubmitLog')[:-2]}:log-stream:x"),
    ],
    "LaunchRole": [
        Call("dynamodb:Query", f"{TABLE}/index/waiting"),
        Call("dynamodb:Query", TABLE),
        Call("dynamodb:UpdateItem", TABLE),
        Call("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["#shares"]}),
        create(),
        create(types=["ml.m5.large", "ml.g5.xlarge"]),
        Call("sagemaker:AddTags", OURS, HERE | {"sagemaker:TaggingAction": "CreateTrainingJob"}),
        Call("sagemaker:DescribeTrainingJob", OURS, HERE),
        Call("sagemaker:StopTrainingJob", OURS, MANAGED),
        Call("iam:PassRole", TRAIN, PASS),
    ],
    "MonitorRole": [
        Call("dynamodb:Query", f"{TABLE}/index/active"),
        Call("dynamodb:Query", f"{TABLE}/index/deadline"),
        Call("dynamodb:UpdateItem", TABLE),
        Call("sagemaker:DescribeTrainingJob", OURS, HERE),
        Call("sagemaker:Search"),
        Call("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["#pools"]}),
        Call("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["#group/sweep"]}),
        Call("sagemaker:StopTrainingJob", OURS, MANAGED),
    ],
    "NotifyRole": [
        Call("dynamodb:Query", f"{TABLE}/index/notify"),
        Call("dynamodb:UpdateItem", TABLE),
        Call("sns:Publish", TOPIC),
    ],
    "StreamRole": [
        Call("dynamodb:GetRecords", f"{TABLE}/stream/2026-01-01T00:00:00.000"),
        Call("lambda:InvokeFunction", R.arn("LaunchFunction")),
        Call("lambda:InvokeFunction", R.arn("NotifyFunction")),
        Call("sqs:SendMessage", R.arn("DeadLetters")),
    ],
    "ReapRole": [
        Call("sagemaker:ListTrainingJobs"),
        Call("sagemaker:DescribeTrainingJob", OURS, HERE),
        Call("sagemaker:StopTrainingJob", OURS, MANAGED),
        Call("dynamodb:BatchGetItem", TABLE),
    ],
    "SchedulerRole": [
        Call("lambda:InvokeFunction", R.arn("LaunchFunction")),
        Call("sqs:SendMessage", R.arn("DeadLetters")),
    ],
}


# S3 answers a missing key with 404 where the caller may list it (the key is the prefix then),
# else with 403, which does not tell it from a denied one.
for _role in ("SubmitRole", "LaunchRole", "MonitorRole", "NotifyRole", "ReapRole"):
    NEEDED[_role] += [
        Call("s3:GetObject", f"{BUCKET}/specs/x"),
        Call("s3:ListBucket", BUCKET, {"s3:prefix": "specs/x"}),
    ]


@pytest.mark.parametrize(
    ("role", "call"), [(role, call) for role, calls in NEEDED.items() for call in calls], ids=str
)
def test_a_function_may_do_its_work(role, call):
    assert allowed(R.statements(role), call)


# What somebody who has taken over a function would try; each of the roles named must refuse.
ATTACKS = {
    "destroy the evidence": (ROLES, Call("sagemaker:DeleteTrainingJob", OURS, MANAGED)),
    "keep a warm pool for later": (ROLES, Call("sagemaker:UpdateTrainingJob", OURS, MANAGED)),
    "drop the table": (ROLES, Call("dynamodb:DeleteTable", TABLE)),
    "delete jobs": (ROLES, Call("dynamodb:DeleteItem", TABLE)),
    "read all jobs at once": (ROLES, Call("dynamodb:Scan", TABLE)),
    "run SQL": (ROLES, Call("dynamodb:PartiQLSelect", TABLE)),
    "export the table": (ROLES, Call("dynamodb:ExportTableToPointInTime", TABLE)),
    "turn the backups off": (ROLES, Call("dynamodb:UpdateContinuousBackups", TABLE)),
    "let items expire": (ROLES, Call("dynamodb:UpdateTimeToLive", TABLE)),
    "read another table": (ROLES, Call("dynamodb:GetItem", f"{TABLE}-2")),
    "write another table": (ROLES, Call("dynamodb:PutItem", TABLE.replace("jc-", "payroll-"))),
    "read in another account": (
        ROLES,
        Call("dynamodb:GetItem", TABLE.replace(ACCOUNT, "999999999999")),
    ),
    "pass a role that is not listed": (ROLES, Call("iam:PassRole", ADMIN, PASS)),
    "pass a role whose name begins alike": (ROLES, Call("iam:PassRole", TRAIN + "-admin", PASS)),
    "pass a listed role to EC2": (
        ROLES,
        Call("iam:PassRole", TRAIN, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ),
    "pass a listed role to whoever": (ROLES, Call("iam:PassRole", TRAIN)),
    "make a user": (ROLES, Call("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x")),
    "make a key": (ROLES, Call("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/alice")),
    "widen its own policy": (ROLES, Call("iam:PutRolePolicy", R.arn("LaunchRole"))),
    "become the training role": (ROLES, Call("sts:AssumeRole", TRAIN)),
    "change a function's code": (
        ROLES,
        Call("lambda:UpdateFunctionCode", R.arn("LaunchFunction")),
    ),
    "read a function's settings": (
        ROLES,
        Call("lambda:GetFunctionConfiguration", R.arn("LaunchFunction")),
    ),
    "stop the reaper": (ROLES, Call("lambda:InvokeFunction", R.arn("ReapFunction"))),
    "submit as the pipeline": (ROLES, Call("lambda:InvokeFunction", R.arn("SubmitFunction"))),
    "stop a schedule": (
        ROLES,
        Call("scheduler:UpdateSchedule", f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/x"),
    ),
    "put false events": (
        ROLES,
        Call("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"),
    ),
    "read the dead letters": (ROLES, Call("sqs:ReceiveMessage", R.arn("DeadLetters"))),
    "purge the dead letters": (ROLES, Call("sqs:PurgeQueue", R.arn("DeadLetters"))),
    "subscribe to everybody's messages": (ROLES, Call("sns:Subscribe", TOPIC)),
    "delete the topic": (ROLES, Call("sns:DeleteTopic", TOPIC)),
    "send text messages": (ROLES, Call("sns:Publish", "+491234567")),
    "read another bucket": (ROLES, Call("s3:GetObject", "arn:aws:s3:::payroll/2026.csv")),
    "read beside the specs": (ROLES, Call("s3:GetObject", f"{BUCKET}/other/x")),
    "delete specs": (ROLES, Call("s3:DeleteObject", f"{BUCKET}/specs/x")),
    "list the specs": (ROLES, Call("s3:ListBucket", BUCKET)),
    "list beside the specs": (ROLES, Call("s3:ListBucket", BUCKET, {"s3:prefix": "other/"})),
    "list all of the bucket": (ROLES, Call("s3:ListBucket", BUCKET, {"s3:prefix": ""})),
    "list another bucket": (
        ROLES,
        Call("s3:ListBucket", "arn:aws:s3:::payroll", {"s3:prefix": "specs/x"}),
    ),
    "learn of specs from the stream": (
        ("StreamRole",),
        Call("s3:ListBucket", BUCKET, {"s3:prefix": "specs/x"}),
    ),
    "read old versions of specs": (ROLES, Call("s3:GetObjectVersion", f"{BUCKET}/specs/x")),
    "open the bucket": (ROLES, Call("s3:PutBucketPolicy", BUCKET)),
    "forge another's log": (
        tuple(r for r in ROLES if r != "ReapRole"),
        Call("logs:PutLogEvents", f"{R.arn('ReapLog')[:-2]}:log-stream:x"),
    ),
    "wipe the traces": (ROLES, Call("logs:DeleteLogGroup", R.arn("LaunchLog"))),
    "run a processing job": (
        ROLES,
        Call("sagemaker:CreateProcessingJob", OURS.replace("training-job", "processing-job")),
    ),
    "open a notebook": (
        ROLES,
        Call(
            "sagemaker:CreatePresignedNotebookInstanceUrl",
            f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/x",
        ),
    ),
    "start an EC2 instance": (
        ROLES,
        Call("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"),
    ),
    "read a secret": (
        ROLES,
        Call(
            "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:x"
        ),
    ),
    "decrypt with any key": (ROLES, Call("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k")),
    # Trainings: only launch creates, and only what the deployment allows.
    "create without being launch": (tuple(r for r in ROLES if r != "LaunchRole"), create()),
    "pass a role without being launch": (
        tuple(r for r in ROLES if r != "LaunchRole"),
        Call("iam:PassRole", TRAIN, PASS),
    ),
    "create under a stranger's name": (ROLES, create(resource=THEIRS)),
    "create without our tag": (ROLES, create(managed=None)),
    "create with a false tag": (ROLES, create(managed="no")),
    "create on a type that is not allowed": (ROLES, create(types=["ml.p5.48xlarge"])),
    "hide a type among allowed ones": (ROLES, create(types=["ml.m5.large", "ml.p5.48xlarge"])),
    "create without naming a type": (ROLES, create(types=None)),
    "create for longer than allowed": (ROLES, create(runtime="86401")),
    "create without a limit of time": (ROLES, create(runtime=None)),
    "create with a shell": (ROLES, create(debug="true")),
    "create in another region": (
        ROLES,
        create(region="eu-west-1", resource=OURS.replace(REGION, "eu-west-1")),
    ),
    "tag a training later": (ROLES, Call("sagemaker:AddTags", THEIRS)),
    "take over a training by tagging it": (
        ROLES,
        Call("sagemaker:AddTags", OURS, HERE | {"sagemaker:TaggingAction": "CreateModel"}),
    ),
    "take the tags off": (ROLES, Call("sagemaker:DeleteTags", OURS)),
    "stop a stranger's training": (ROLES, Call("sagemaker:StopTrainingJob", THEIRS, MANAGED)),
    "stop a training without our tag": (ROLES, Call("sagemaker:StopTrainingJob", OURS)),
    "describe a stranger's training": (ROLES, Call("sagemaker:DescribeTrainingJob", THEIRS, HERE)),
    # Each to its own.
    "list trainings without being the reaper": (
        tuple(r for r in ROLES if r != "ReapRole"),
        Call("sagemaker:ListTrainingJobs"),
    ),
    "search trainings without being the monitor": (
        tuple(r for r in ROLES if r != "MonitorRole"),
        Call("sagemaker:Search"),
    ),
    "publish without being the notifier": (
        tuple(r for r in ROLES if r != "NotifyRole"),
        Call("sns:Publish", TOPIC),
    ),
    "touch trainings from submit, notify or stream": (
        ("SubmitRole", "NotifyRole", "StreamRole"),
        Call("sagemaker:StopTrainingJob", OURS, MANAGED),
    ),
    "put whole items without being submit": (
        tuple(r for r in ROLES if r != "SubmitRole"),
        Call("dynamodb:PutItem", TABLE),
    ),
    "write jobs from the reaper or the stream": (
        ("ReapRole", "StreamRole"),
        Call("dynamodb:UpdateItem", TABLE),
    ),
    "read jobs from the stream function": (("StreamRole",), Call("dynamodb:GetItem", TABLE)),
    "list owners from the ticks": (
        ("LaunchRole", "MonitorRole", "NotifyRole", "ReapRole", "StreamRole"),
        Call("dynamodb:Query", f"{TABLE}/index/owner"),
    ),
    "write specs from the ticks": (
        ("LaunchRole", "MonitorRole", "NotifyRole", "ReapRole", "StreamRole"),
        Call("s3:PutObject", f"{BUCKET}/specs/x"),
    ),
    "invoke functions from the ticks": (
        ("SubmitRole", "LaunchRole", "MonitorRole", "NotifyRole", "ReapRole"),
        Call("lambda:InvokeFunction", R.arn("LaunchFunction")),
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(attack):
    roles, call = ATTACKS[attack]
    assert roles
    assert [role for role in roles if allowed(R.statements(role), call)] == []


def test_there_are_enough_attacks_to_mean_something():
    assert len(ATTACKS) >= 40


def test_what_the_operator_demands_of_trainings_is_enforced():
    strict = render(RequireVpc="true", RequireNetworkIsolation="true").statements("LaunchRole")
    inside = create(subnets=["subnet-1"], isolated="true")
    assert allowed(strict, inside)
    assert not allowed(strict, create(isolated="true"))
    assert not allowed(strict, create(subnets=["subnet-1"], isolated="false"))
    assert allowed(R.statements("LaunchRole"), create())


def test_trainings_may_run_in_the_regions_that_the_operator_names():
    wide = render(TrainingRegions="us-east-1,eu-west-1").statements("LaunchRole")
    there = OURS.replace(REGION, "eu-west-1")
    assert allowed(wide, create(region="eu-west-1", resource=there))
    assert allowed(wide, create())
    assert not allowed(wide, create(region="ap-south-1", resource=there))


PUT = {
    "LaunchRole": {"#pools", "#shares", "#group/sweep"},
    "MonitorRole": {"#pools", "#group/sweep"},
}


@pytest.mark.parametrize("role", PUT)
def test_the_ticks_put_records_beside_jobs_and_no_other_item(role):
    for key in ("#pools", "#shares", "#group/sweep", "#group", "#table", "0a", "#pools2"):
        for keys, expected in (([key], key in PUT[role]), ([key, "0a"], False)):
            call = Call("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": keys})
            assert allowed(R.statements(role), call) is expected, keys


def test_the_keys_may_be_used_through_their_service_only():
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
    keyed = render(TableKmsKeyArn=key, TopicKmsKeyArn=key)
    through = {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}
    assert allowed(keyed.statements("LaunchRole"), Call("kms:Decrypt", key, through))
    assert not allowed(keyed.statements("LaunchRole"), Call("kms:Decrypt", key))
    assert not allowed(keyed.statements("StreamRole"), Call("kms:Decrypt", key))


# What knows neither a resource nor a condition, by AWS's service authorization reference.
WITHOUT_RESOURCES = {"sagemaker:ListTrainingJobs", "sagemaker:Search", "dynamodb:ListStreams"}


@pytest.mark.parametrize("role", [*ROLES, "SchedulerRole"])
def test_no_statement_allows_more_than_it_names(role):
    for statement in R.statements(role):
        actions = statement["Action"]
        actions = actions if isinstance(actions, list) else [actions]
        assert not [a for a in actions if "*" in a], statement["Sid"]
        resources = statement["Resource"]
        resources = resources if isinstance(resources, list) else [resources]
        if statement["Effect"] == "Allow" and "*" in resources:
            assert set(actions) <= WITHOUT_RESOURCES, statement["Sid"]


@pytest.mark.parametrize("role", ROLES)
def test_every_function_is_denied_to_destroy_trainings_whatever_else_it_is_given(role):
    generous = [{"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}]
    for action in ("sagemaker:DeleteTrainingJob", "sagemaker:UpdateTrainingJob"):
        assert not allowed([*generous, *R.statements(role)], Call(action, OURS))


@pytest.mark.parametrize("role", ROLES)
def test_only_lambda_may_take_a_functions_role(role):
    (statement,) = R.properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_a_permissions_boundary_is_put_on_every_role():
    arn = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    for name, role in render(PermissionsBoundaryArn=arn).of_type("AWS::IAM::Role").items():
        assert role["PermissionsBoundary"] == arn, name


# --- the evaluator itself ---------------------------------------------------------------


def _statement(**fields: object) -> dict:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"} | fields


@pytest.mark.parametrize(
    ("statements", "context", "expected"),
    [
        ([], {}, False),
        ([_statement()], {}, True),
        ([_statement(), _statement(Effect="Deny")], {}, False),
        ([_statement(Action="S3:get*")], {}, True),
        ([_statement(Resource="arn:?")], {}, False),
        ([_statement(Condition={"StringEquals": {"k": "v"}})], {}, False),
        ([_statement(Condition={"StringEquals": {"K": ["w", "v"]}})], {"k": "v"}, True),
        ([_statement(Condition={"StringEquals": {"a": "1", "b": "2"}})], {"a": "1"}, False),
        ([_statement(Condition={"ForAllValues:StringEquals": {"k": "v"}})], {}, True),
        (
            [_statement(Condition={"ForAllValues:StringEquals": {"k": "v"}})],
            {"k": ["v", "w"]},
            False,
        ),
        ([_statement(Condition={"ForAnyValue:StringEquals": {"k": "v"}})], {"k": ["v", "w"]}, True),
        ([_statement(Condition={"Null": {"k": "false"}})], {}, False),
        ([_statement(Condition={"StringNotEquals": {"k": "v"}})], {}, True),
        ([_statement(Condition={"StringNotEquals": {"k": ["v", "w"]}})], {"k": "w"}, False),
        ([_statement(Condition={"BoolIfExists": {"k": "true"}})], {}, True),
        ([_statement(Condition={"Bool": {"k": "true"}})], {"k": "false"}, False),
        ([_statement(Condition={"NumericLessThanEquals": {"k": "5"}})], {"k": "10"}, False),
    ],
)
def test_the_evaluator_follows_the_policy_language(statements, context, expected):
    assert allowed(statements, Call("s3:GetObject", "arn:aws:s3:::b/k", context)) is expected


def test_the_evaluator_does_not_guess():
    with pytest.raises(KeyError):
        allowed(
            [_statement(Condition={"DateGreaterThan": {"k": "v"}})],
            Call("s3:GetObject", "x", {"k": "v"}),
        )
