"""The error of a job that cannot be started by the contract."""

from __future__ import annotations


class BadInput(ValueError):  # noqa: N818  (a condition; reads well in `except`)
    """
    A job that cannot be started as it is.

    Attributes:
        field: the job file's field.
        message: what is wrong with it, and what to do.
    """

    def __init__(self, *, field: str, message: str) -> None:
        """Store both parts; as text they are ``field: message``."""
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")
