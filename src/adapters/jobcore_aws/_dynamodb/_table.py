"""
The table and its indexes.

The base table finds an item by its id: the partition is the first two characters of the job id, the
sort key is the kind of item and the id. There are 1,024 partitions, evenly used, because ids are
hashes or random. Jobs are found by the beginning of their id without an index.

Every other query has a sparse index: a job is in it only while it has the index's sort (or
partition) attribute. An index costs one write when a row enters, leaves or changes, two when its
key changes, and none otherwise. The attributes are chosen so that a transition changes as few rows
as possible. Rows are spread over shards by the job's id, and a reader queries all shards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["INDEXES", "create_table", "table_definition"]

# index -> (partition, sort, further attributes of a row)
INDEXES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # New jobs, by lane and age; Held ones after them ("~"). Shard -1, which no job has, holds the
    # tallies of groups whose waiting jobs are to be held.
    "waiting": ("_shard", "_waiting", ("_lane", "_attempt", "_not_before", "_name")),
    # Jobs that have, or may have, a training: for usage, and for the launch and monitor ticks.
    "active": (
        "_shard",
        "_pool",
        ("JobStatus", "_attempt", "_due", "_share", "_slots", "_sort", "_name"),
    ),
    # New and Held jobs with a deadline.
    "deadline": ("_shard", "_deadline", ("JobStatus", "_attempt")),
    # Jobs with a message to send.
    "notify": ("_shard", "_notify", ("JobStatus", "_attempt")),
    # Terminal jobs, by status, newest first.
    "over": ("_over", "_sort", ("_name",)),
    # All jobs of an owner or a group, newest first. `_over` has the status of finished jobs, for counts.
    "owner": ("_owner", "_sort", ("_over", "_name")),
    "group": ("_group", "_sort", ("_name",)),
}

_NUMBERS = frozenset({"_shard"})


def table_definition(table: str) -> dict[str, Any]:
    """
    Make the arguments of CreateTable: keys, indexes, billing per request, and the stream.

    The CloudFormation template has the same keys and indexes; a test compares them with this.
    """
    keys = {"pk", "sk"} | {key for index in INDEXES.values() for key in index[:2]}
    return {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": key, "AttributeType": "N" if key in _NUMBERS else "S"}
            for key in sorted(keys)
        ],
        "KeySchema": _key_schema("pk", "sk"),
        "GlobalSecondaryIndexes": [
            {
                "IndexName": name,
                "KeySchema": _key_schema(partition, sort),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(others)},
            }
            for name, (partition, sort, others) in INDEXES.items()
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }


def _key_schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


def create_table(client: DynamoDBClient, table: str) -> None:
    """Create the table and wait for it: for tests and the sandbox; deployments use the template."""
    client.create_table(**table_definition(table))
    client.get_waiter("table_exists").wait(
        TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
