"""
The ports on AWS: a DynamoDB store, a SageMaker trainer, an SNS notifier (extra: aws).

Names are loaded when they are used, so that a function pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._clients import client
    from ._dynamodb import DynamoStore, create_table, table_definition
    from ._request import BadRequest, build_request, create_shape, validate_request
    from ._sagemaker import SageMakerTrainer
    from ._settings import AwsSettings, Pool, SageMakerSettings, parse_pool, settings_from
    from ._sns import SnsNotifier

_HOMES = {
    "AwsSettings": "_settings",
    "BadRequest": "_request",
    "DynamoStore": "_dynamodb",
    "Pool": "_settings",
    "SageMakerSettings": "_settings",
    "SageMakerTrainer": "_sagemaker",
    "build_request": "_request",
    "client": "_clients",
    "SnsNotifier": "_sns",
    "create_shape": "_request",
    "create_table": "_dynamodb",
    "parse_pool": "_settings",
    "settings_from": "_settings",
    "table_definition": "_dynamodb",
    "validate_request": "_request",
}

__all__ = [
    "AwsSettings",
    "BadRequest",
    "DynamoStore",
    "Pool",
    "SageMakerSettings",
    "SageMakerTrainer",
    "SnsNotifier",
    "build_request",
    "client",
    "create_shape",
    "create_table",
    "parse_pool",
    "settings_from",
    "table_definition",
    "validate_request",
]


def __getattr__(name: str) -> Any:
    """Load the module that a public name lives in."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
