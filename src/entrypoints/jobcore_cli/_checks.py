"""The check of a job against what the chosen backend can run, before its submission."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jobcore
    from jobcore.errors import Problem

    from ._session import Session

__all__ = ["backend_check"]


def backend_check(session: Session) -> Callable[[jobcore.Spec], Sequence[Problem]]:
    """
    Make the check of jobs for the session's backend. It finds no problem if a job can be submitted.

    One check is for all jobs of a call: what they share is looked at once.
    """
    if session.is_aws:
        from jobcore_aws import check

        settings = session.aws
        return lambda spec: check(spec, settings)
    from jobcore_local import Checker, read_pools

    return Checker(read_pools(session.home_path))
