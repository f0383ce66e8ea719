"""The DynamoDB store: one table, seven sparse indexes (see docs/reference/dynamodb.md)."""

from __future__ import annotations

from ._specs import check_item_size
from ._store import DynamoStore
from ._table import create_table, table_definition

__all__ = ["DynamoStore", "check_item_size", "create_table", "table_definition"]
