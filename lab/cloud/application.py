"""The WSGI application: the lab's own HTTP, the journal, faults, and then moto, one call at a time."""

import functools
import io
import json
import logging
import re
import threading
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from lab.cloud.faults import Faults, Journal
from lab.cloud.lab_http import LabHttp

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

CREDENTIAL = re.compile(r"Credential=[^/]*/[^/]*/[^/]*/(?P<service>[^/]+)/")
"""Scope of a request's signature (Signature Version 4): key/date/Region/service/aws4_request."""


class _Dispatcher(DomainDispatcherApplication):
    """moto's, which lists its package's folders and tries its patterns anew at every call."""

    def __init__(self, create_app: Any) -> None:
        super().__init__(create_app)
        self.get_backend_for_host = functools.cache(super().get_backend_for_host)  # type: ignore[method-assign]


class Application:
    """Serves AWS's APIs and the lab's own paths under ``/_lab/``."""

    def __init__(self) -> None:
        self._moto = _Dispatcher(create_backend_app)
        # moto's backends are plain dictionaries: one call at a time keeps each change whole.
        self._state = threading.Condition()
        self._faults = Faults()
        self._journal = Journal()
        self._lab = LabHttp(self._faults, self._journal, self._state)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        if environ["PATH_INFO"].startswith("/_lab/"):
            return self._lab(environ, start_response)
        # The body is read before the lock is taken: a slow client must not hold up the others.
        length = None if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length is not None else environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        service, operation = identify(environ, body)
        environ["wsgi.input"] = io.BytesIO(body)
        fault = self._faults.take(service, operation)
        if fault is not None:
            response = error_response(service, fault.code, "The lab was told to fail this call.", fault.status)
        else:
            response = self._answer(environ, service, operation)
        self._journal.add(service, operation, response.status_code)
        return response(environ, start_response)

    def _answer(self, environ: "WSGIEnvironment", service: str, operation: str) -> Response:
        try:
            with self._state:
                response = Response.from_app(self._moto, environ, buffered=True)
                self._state.notify_all()
                return response
        except NotImplementedError as error:
            message = f"The lab does not have {service} {operation}: {error}"
            return error_response(service, "NotImplemented", message, HTTPStatus.NOT_IMPLEMENTED)
        except Exception:
            log.exception("%s %s", service, operation)
            message = f"The lab's {service} {operation} failed; see the server's log."
            return error_response(service, "InternalFailure", message, HTTPStatus.INTERNAL_SERVER_ERROR)


def identify(environ: "WSGIEnvironment", body: bytes) -> tuple[str, str]:
    """Tell which operation a request calls.

    Args:
        environ: of the request; its input may be consumed.
        body: of the request.

    Returns:
        Service as boto3 names it and operation as AWS names it, each empty where the request does not tell.
    """
    scope = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = scope["service"] if scope else ""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return service, target.rpartition(".")[2]
    form: dict[str, list[str]] = {}
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(body.decode(errors="replace"))
    action = form.get("Action") or parse_qs(environ.get("QUERY_STRING", "")).get("Action")
    if action:
        return service, action[0]
    try:
        operation, _ = get_service_router(service).match(Request(environ))
    except (NotFound, UnknownServiceError, NotImplementedError):
        return service, ""
    return service, str(operation.name)


def error_response(service: str, code: str, message: str, status: int) -> Response:
    """Build an error in the form that a service's protocol has.

    Args:
        service: boto3's name.
        code: AWS's error code.
        message: for the reader.
        status: HTTP status.

    Returns:
        The response.
    """
    try:
        protocol: Any = get_service_model(service).metadata["protocol"]
    except UnknownServiceError:
        protocol = "query"
    request_id = str(uuid.uuid4())
    if "json" in protocol:
        return Response(
            response=json.dumps({"__type": code, "message": message}),
            status=status,
            headers={"x-amzn-errortype": code, "x-amzn-requestid": request_id},
            mimetype="application/json",
        )
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if protocol == "ec2":
        document = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    else:
        error = f"<Error><Type>Sender</Type>{error}</Error>"
        document = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
    return Response(response=f'<?xml version="1.0" encoding="UTF-8"?>\n{document}', status=status, mimetype="text/xml")
