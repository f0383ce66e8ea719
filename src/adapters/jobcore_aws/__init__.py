"""
The ports on AWS: a DynamoDB store, a SageMaker trainer, an SNS notifier (extra: aws).

The module of a name is imported on first use, so that a Lambda function imports only its own part.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._check import check
    from ._clients import client
    from ._dynamodb import DynamoStore, check_item_size, create_table, table_definition
    from ._failures import failure_rules
    from ._pools import Market, Pool, resolve_pools
    from ._request import BadRequest, build_request
    from ._sagemaker import SageMakerTrainer
    from ._settings import AwsSettings, SageMakerSettings, settings_from
    from ._sns import SnsNotifier
    from ._validate import check_request, create_shape, validate_request

#: The tables of a job file that this adapter reads; for `jobcore.parse_job`.
JOB_TABLES = ("sagemaker",)

_HOMES = {
    "AwsSettings": "_settings",
    "BadRequest": "_request",
    "DynamoStore": "_dynamodb",
    "Market": "_pools",
    "Pool": "_pools",
    "SageMakerSettings": "_settings",
    "SageMakerTrainer": "_sagemaker",
    "build_request": "_request",
    "client": "_clients",
    "SnsNotifier": "_sns",
    "check": "_check",
    "check_item_size": "_dynamodb",
    "check_request": "_validate",
    "create_shape": "_validate",
    "create_table": "_dynamodb",
    "failure_rules": "_failures",
    "resolve_pools": "_pools",
    "settings_from": "_settings",
    "table_definition": "_dynamodb",
    "validate_request": "_validate",
}

__all__ = [
    "JOB_TABLES",
    "AwsSettings",
    "BadRequest",
    "DynamoStore",
    "Market",
    "Pool",
    "SageMakerSettings",
    "SageMakerTrainer",
    "SnsNotifier",
    "build_request",
    "check",
    "check_item_size",
    "check_request",
    "client",
    "create_shape",
    "create_table",
    "failure_rules",
    "resolve_pools",
    "settings_from",
    "table_definition",
    "validate_request",
]


def __getattr__(name: str) -> Any:
    """Import the module of a public name."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
