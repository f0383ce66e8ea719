"""The routes of the HTTP API; imported at the first HTTP event, because its library is slow to import."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from jobcore import CorruptRecord, Unavailable

from . import _api
from ._report import Context, reporter
from ._wiring import wiring

__all__ = ["respond"]

_app = APIGatewayHttpResolver()


def respond(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Answer an HTTP API event of payload format 2.0."""
    return _app.resolve(cast("dict[str, Any]", event), cast("Any", context))


def _answer(status: int, document: Mapping[str, Any]) -> Response[str]:
    return Response(
        status_code=status,
        content_type="application/json",
        body=json.dumps(document),
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _guarded(work: Callable[[str], Mapping[str, Any]], *, status: int = 200) -> Response[str]:
    """Do *work* for the caller; convert an error to an answer, and a log line without values."""
    wired = wiring()
    report = reporter("submit", wired, cast("Context", _app.lambda_context))
    route = f"{_app.current_event.http_method} {_app.current_event.raw_event.get('routeKey', '')}"
    try:
        caller = _app.current_event.raw_event["requestContext"].get("authorizer") or {}
        account = wired.environ.get("JOBCORE_ACCOUNT", "")
        owner = _api.owner_of(caller.get("iam"), account=account)
        document = work(owner)
        if "created" in document:
            report.line("INFO", "submitted", created=document["created"], known=document["known"])
            report.count("Submitted", document["created"])
        return _answer(status, document)
    except _api.ApiError as error:
        report.line("INFO", "refused", route=route, status=error.status, code=error.code)
        report.count("RequestsRefused")
        return _answer(error.status, error.document())
    except Unavailable as error:  # before CorruptRecord: SpecUnavailable is both
        report.trouble(getattr(error, "job_id", ""), f"Unavailable: {error}")
        report.count("Troubles")
        message = "not available for the moment; repeat the request (with its token)"
        return _answer(503, _api.ApiError(503, "unavailable", message).document())
    except CorruptRecord as error:
        report.trouble(error.job_id, f"CorruptRecord: {error}")
        report.count("Troubles")
        message = "the job's stored record cannot be read; tell the operator"
        return _answer(500, _api.ApiError(500, "corrupt", message).document())
    except Exception as error:
        report.trouble("", f"{type(error).__name__}: ")
        report.count("Troubles")
        message = "an error of the service; see its log"
        return _answer(500, _api.ApiError(500, "internal", message).document())
    finally:
        report.flush(wired.clock.now())


def _body() -> Mapping[str, Any]:
    try:
        body = _app.current_event.decoded_body
    except ValueError:  # not base64, or not UTF-8
        raise _api.ApiError(400, "no_json", "the body is not UTF-8") from None
    return _api.read_json(body)


@_app.post("/jobs")
def _submit() -> Response[str]:
    return _guarded(lambda owner: _api.submit(wiring(), owner, _body()), status=201)


@_app.get("/jobs")
def _list() -> Response[str]:
    query = dict(_app.current_event.query_string_parameters)
    return _guarded(lambda owner: _api.list_jobs(wiring(), owner, query))


@_app.get("/jobs/<job_id>")
def _show(job_id: str) -> Response[str]:
    return _guarded(lambda owner: _api.get_job(wiring(), owner, job_id))


@_app.post("/jobs/<job_id>/<action>")
def _change(job_id: str, action: str) -> Response[str]:
    return _guarded(
        lambda owner: _api.change_job(
            wiring(), owner, job_id, action, _body() if _app.current_event.body else {}
        )
    )


@_app.not_found
def _not_found(error: Exception) -> Response[str]:
    message = "known: POST /jobs, GET /jobs, GET /jobs/{id}, POST /jobs/{id}/stop|hold|release"
    return _answer(404, _api.ApiError(404, "not_found", message).document())
