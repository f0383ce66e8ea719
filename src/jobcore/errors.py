"""
The errors that callers of the core and of its ports handle.

`Unavailable` and `CorruptRecord` cross ports: a read or a write did not take place.
`InvalidJob` and `InvalidSetting` refuse input; each names every field that is wrong.
Programming errors raise the usual `TypeError`, `ValueError` or `KeyError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CorruptRecord", "InvalidJob", "InvalidSetting", "Problem", "Unavailable"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: the *field*, and a *message* that says what is wrong and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        """Give the problem as one line."""
        return f"{self.field}: {self.message}"


class _Invalid(ValueError):
    """An input that was refused; *problems* lists everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class InvalidJob(_Invalid):
    """A job that cannot be run as it is described; *problems* lists everything that was found."""


class InvalidSetting(_Invalid):
    """A setting that cannot work; *problems* lists everything that was found."""


class Unavailable(Exception):
    """The port did not answer, or refused for now. Nothing may be concluded about any job; try again later."""


class CorruptRecord(ValueError):
    """A stored job cannot be read. *job_id* names it, *why* says what is wrong; other jobs are not affected."""

    def __init__(self, job_id: str, why: str) -> None:
        """Name the record and the trouble."""
        super().__init__(f"job {job_id}: stored record cannot be read: {why}")
        self.job_id = job_id
        self.why = why
