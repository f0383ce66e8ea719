"""Exceptions for calls that end in an injected fault: a cut connection, an error answer."""

from __future__ import annotations

__all__ = ["ConnectionCut", "Denied", "throttled"]


class ConnectionCut(Exception):  # noqa: N818  (an injected fault, not a bug)
    """The connection ends without an answer."""

    def __init__(self, *, reset: bool) -> None:
        """End with a TCP reset, or orderly."""
        self.reset = reset


class Denied(Exception):  # noqa: N818  (an answer)
    """An error answer with a status of its own; *code* and *text* as AWS writes them."""

    def __init__(self, status: int, code: str, text: str) -> None:
        """Keep status, code and text."""
        self.status, self.code, self.text = status, code, text


def throttled() -> Denied:
    """Make the answer to a call beyond the rate."""
    return Denied(400, "ThrottlingException", "Rate exceeded")
