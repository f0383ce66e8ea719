"""
The errors that callers of the core and of its ports handle.

`Unavailable` and `CorruptRecord` cross ports: a read or a write did not take place.
`InvalidJob` and `InvalidSetting` refuse input; each names every field that is wrong.
Programming errors raise the usual `TypeError`, `ValueError` or `KeyError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["CorruptRecord", "InvalidJob", "InvalidSetting", "Problem", "Unavailable"]


class Problem(NamedTuple):
    """A problem of an input: the *field*, and a *message* with the fault and the way to correct it."""

    field: str
    message: str

    def __str__(self) -> str:
        """Return the problem as one line; the message alone if it is about the input as a whole."""
        return f"{self.field}: {self.message}" if self.field else self.message


class _Invalid(ValueError):  # noqa: N818  (the base of the two below)
    """
    An input that was refused. The text has every problem on one line.

    Args:
        problems: everything that was found, as `Problem` or as pairs of field and message.
        where: the source of the input, such as a file's path; empty for none.
    """

    def __init__(self, problems: Iterable[tuple[str, str]], where: str = "") -> None:
        """Keep the problems in their order."""
        self.problems = tuple(Problem(*problem) for problem in problems)
        self.where = where
        super().__init__(self.problems, where)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        """Return every problem on one line, with the source in front."""
        text = "; ".join(map(str, self.problems))
        return f"{self.where}: {text}" if self.where else text


class InvalidJob(_Invalid):
    """A job that cannot be run as it is described; *problems* lists everything that was found."""


class InvalidSetting(_Invalid):
    """A setting that cannot work; *problems* lists everything that was found."""


class Unavailable(Exception):  # noqa: N818  (a condition, not a bug)
    """The port did not answer, or refused for now. The state of every job is unknown; try again later."""


class CorruptRecord(ValueError):  # noqa: N818
    """
    A stored record cannot be read; other records are not affected.

    Args:
        key: names the record: a job's id, a pool's or a share's name, a group.
        why: the fault of the record.
        kind: "job", "pool", "share" or "group".
    """

    def __init__(self, key: str, why: str, kind: str = "job") -> None:
        """Keep the record's kind and key, and the fault."""
        super().__init__(f"{kind} {key}: stored record cannot be read: {why}")
        self.key = key
        self.why = why
        self.kind = kind

    @property
    def job_id(self) -> str:
        """The job's id; empty if the record is not a job's."""
        return self.key if self.kind == "job" else ""
