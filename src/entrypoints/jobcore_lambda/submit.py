"""The submit function: behind the HTTP API (IAM authorisation), or invoked directly.

The event of a direct invocation is ``{"jobs": [...], "token": ..., "group": ...}``. Lambda does not
pass the caller's identity to a function, so all direct callers are one owner, the deployment's
``JOBCORE_DIRECT_OWNER``. For separate owners use the HTTP API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._wiring import prepare, wiring

if TYPE_CHECKING:
    from ._report import Context

prepare("store")


def handler(event: object, context: Context) -> dict[str, Any]:
    """Answer one request: an HTTP API event (payload 2.0), or a direct invocation."""
    if isinstance(event, Mapping) and "requestContext" in event:
        from ._http import respond

        return respond(event, context)
    return _direct(event, context)


def _direct(event: object, context: Context) -> dict[str, Any]:
    from jobcore import Unavailable

    from . import _api
    from ._report import reporter

    wired = wiring()
    report = reporter("submit", wired, context)
    try:
        # Encode the event again, so that the limits of a body apply.
        document = _api.read_json(json.dumps(event))
        owner = wired.environ.get("JOBCORE_DIRECT_OWNER") or "direct"
        answer = _api.submit(wired, owner, document)
        report.line("INFO", "submitted", created=answer["created"], known=answer["known"])
        report.count("Submitted", answer["created"])
    except _api.ApiError as error:
        report.line("INFO", "refused", code=error.code, status=error.status)
        report.count("RequestsRefused")
        return {"status": error.status, **error.document()}
    except Unavailable as error:
        report.trouble("", f"Unavailable: {error}")
        report.count("Troubles")
        raise
    finally:
        report.flush(wired.clock.now())
    return answer
