"""The check of a job against the limits of the chosen backend, before its submission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jobcore
    from jobcore.errors import Problem

    from ._session import Session


def backend_problems(session: Session, spec: jobcore.Spec) -> Sequence[Problem]:
    """Check a job against the limits of the session's backend; empty if it can be submitted."""
    if session.is_aws:
        from jobcore_aws import check

        return check(spec, session.aws)
    from jobcore_local import check as check_here

    return check_here(spec)
