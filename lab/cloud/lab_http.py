"""The lab's own HTTP, beside AWS's APIs: what AWS has no call for.

| request | does |
| --- | --- |
| ``GET /_lab/health`` | tells the process |
| ``GET /_lab/acm/private-key?arn=ARN`` | gives an imported key out, which AWS never does; the data plane needs it |
| ``GET /_lab/iot-data/publications?region=REGION&after=NUMBER`` | what the API published since, for the broker |
| ``GET /_lab/ec2/client-vpn-terminations?region=REGION&known=ID,ID`` | the connections that the data plane is to end |
| ``PUT /_lab/iot/provisioning`` | what a device asks of fleet provisioning over MQTT, handed on by the data plane |
| ``PUT /_lab/iot/provisioning-hook`` | whom a pre-provisioning hook denies, since the lab runs no function |
| ``PUT /_lab/ec2/client-vpn-connections`` | the data plane reports its connections, merged by connection id |
| ``PUT /_lab/iot/late-detachment`` | how many looks a thing's principal outlives its detachment; ``0``: none |
| ``PUT /_lab/faults`` | throttle or fail the next calls; ``[]`` clears |
| ``GET /_lab/calls``, ``DELETE /_lab/calls`` | the calls so far, in order; forget them |

The two that the data plane asks all the time take ``wait=SECONDS`` as well, up to 60: the answer is held back for so
long, or until it differs from what ``after`` or ``known`` says.

Every body is JSON. An error is ``{"error": TEXT}`` with status 400, 404 or 405.
"""

import base64
import json
import math
import os
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from moto.acm.models import acm_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.iot.models import iot_backends
from moto.iotdata.models import iotdata_backends
from werkzeug.wrappers import Request, Response

from lab.cloud.faults import Fault, FaultError, Faults, Journal
from lab.cloud.iot.models import IoTBackend
from lab.cloud.iot.provisioning import RejectedError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

WAIT_LIMIT = 60
"""Seconds that an answer may be held back: a thread of the server waits for it, though the asker may be gone."""
_T = TypeVar("_T")


class LabHttpError(Exception):
    """A request that cannot be served."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LabHttp:
    """Serves the paths under ``/_lab/``."""

    def __init__(self, faults: Faults, journal: Journal, state: threading.Condition) -> None:
        self._faults = faults
        self._journal = journal
        self._state = state
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "/_lab/health"): self._health,
            ("GET", "/_lab/acm/private-key"): self._private_key,
            ("GET", "/_lab/iot-data/publications"): self._publications,
            ("GET", "/_lab/ec2/client-vpn-terminations"): self._terminations,
            ("PUT", "/_lab/iot/provisioning"): self._provision,
            ("PUT", "/_lab/iot/provisioning-hook"): self._set_hook,
            ("PUT", "/_lab/ec2/client-vpn-connections"): self._report_connections,
            ("PUT", "/_lab/iot/late-detachment"): self._set_late_detachment,
            ("PUT", "/_lab/faults"): self._set_faults,
            ("GET", "/_lab/calls"): self._list_calls,
            ("DELETE", "/_lab/calls"): self._forget_calls,
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = Request(environ)
        try:
            body, status = self._route(request)(request), HTTPStatus.OK.value
        except LabHttpError as error:
            body, status = {"error": str(error)}, error.status
        return Response(json.dumps(body), status=status, mimetype="application/json")(environ, start_response)

    def _route(self, request: Request) -> Callable[[Request], Any]:
        route = self._routes.get((request.method, request.path))
        if route is not None:
            return route
        methods = [method for method, path in self._routes if path == request.path]
        if methods:
            raise LabHttpError(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} takes {' and '.join(methods)}")
        paths = sorted({path for _, path in self._routes})
        raise LabHttpError(HTTPStatus.NOT_FOUND, f"no such path; there are {', '.join(paths)}")

    def _health(self, _: Request) -> dict[str, int]:
        return {"pid": os.getpid()}

    def _private_key(self, request: Request) -> dict[str, str]:
        arn = request.args.get("arn", "")
        parts = arn.split(":")
        if len(parts) != 6 or parts[2] != "acm":
            raise LabHttpError(HTTPStatus.BAD_REQUEST, f"arn has to be that of an ACM certificate; got {arn!r}")
        with self._state:
            regions = acm_backends[parts[4]]
            certificate = regions[parts[3]]._certificates.get(arn) if parts[3] in regions else None
            if certificate is None:
                raise LabHttpError(HTTPStatus.NOT_FOUND, f"ACM has no certificate {arn}")
            return {"privateKeyPem": certificate.key.decode()}

    def _publications(self, request: Request) -> dict[str, Any]:
        """Answer with the last number, and what came after another: all that is retained, where that is 0."""
        try:
            after = int(request.args["after"])
            region = request.args["region"]
        except (KeyError, ValueError) as error:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, "give region and after, a number; 0 is all") from error
        with self._state:
            backend: Any = iotdata_backends[DEFAULT_ACCOUNT_ID][region]
            last = self._hold(request, lambda: backend.publications[-1].number if backend.publications else 0, after)
            found = backend.publications if after else list(backend.retained.values())
        return {
            "last": last,
            "publications": [
                {
                    "topic": one.topic,
                    "payload": base64.b64encode(one.payload).decode(),
                    "qos": one.qos,
                    "retain": one.retain,
                }
                for one in found
                if one.number > after
            ],
        }

    def _terminations(self, request: Request) -> dict[str, list[str]]:
        if "region" not in request.args:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, "give region, and known, the connection ids of the last answer")
        known = sorted(filter(None, request.args.get("known", "").split(",")))
        with self._state:
            backend: Any = ec2_backends[DEFAULT_ACCOUNT_ID][request.args["region"]]
            return {"terminating": self._hold(request, backend.terminating_client_vpn_connections, known)}

    def _hold(self, request: Request, look: Callable[[], _T], known: _T) -> _T:
        """Return what is seen now, or once it differs from what the asker knows, if that comes within ``wait``."""
        try:
            wait = float(request.args.get("wait", 0))
        except ValueError:
            wait = math.nan
        if not 0 <= wait <= WAIT_LIMIT:
            raise LabHttpError(
                HTTPStatus.BAD_REQUEST, f"wait is 0 to {WAIT_LIMIT} seconds; got {request.args['wait']!r}"
            )
        self._state.wait_for(lambda: look() != known, wait)
        return look()

    def _provision(self, request: Request) -> dict[str, Any]:
        """Answer with the payload, whether it goes to `accepted`, and what the data plane has to know from now on."""
        try:
            asked = _body(request)
            region, template, payload = asked["region"], asked["template"], asked["payload"]
        except (KeyError, TypeError) as error:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, "give region, template (or null) and payload") from error
        with self._state:
            backend: Any = iot_backends[DEFAULT_ACCOUNT_ID][region]
            known: dict[str, Any] = {}
            try:
                if template is None:
                    answer = backend.provisioning.create_certificate_from_csr(payload)
                else:
                    answer, known = backend.provisioning.register_thing(template, payload)
            except RejectedError as error:
                return {"accepted": False, "payload": error.payload, "known": {}}
        return {"accepted": True, "payload": answer, "known": known}

    def _set_hook(self, request: Request) -> dict[str, int]:
        try:
            asked = _body(request)
            region, arn, denied = asked["region"], asked["targetArn"], {str(one) for one in asked["denied"]}
        except (KeyError, TypeError) as error:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, "give region, targetArn and denied, serial numbers") from error
        with self._state:
            backend: Any = iot_backends[DEFAULT_ACCOUNT_ID][region]
            backend.denied_by_hook[arn] = denied
        return {"denied": len(denied)}

    def _report_connections(self, request: Request) -> dict[str, int]:
        report = _body(request)
        if not isinstance(report, dict):
            raise LabHttpError(
                HTTPStatus.BAD_REQUEST, "the body is an object with region, clientVpnEndpointId, connections"
            )
        try:
            region, endpoint_id, connections = report["region"], report["clientVpnEndpointId"], report["connections"]
            with self._state:
                backend: Any = ec2_backends[DEFAULT_ACCOUNT_ID][region]
                count = backend.report_client_vpn_connections(endpoint_id, connections)
                self._state.notify_all()
                return {"connections": count}
        except KeyError as error:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, f"missing or unknown {error}") from error
        except (ValueError, TypeError) as error:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, str(error)) from error

    def _set_late_detachment(self, request: Request) -> dict[str, int]:
        looks = _body(request)
        if not isinstance(looks, int) or isinstance(looks, bool) or looks < 0:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, f"the body is a number of looks, 0 or more; got {looks!r}")
        with self._state:
            IoTBackend.late_detachment = looks
        return {"looks": looks}

    def _set_faults(self, request: Request) -> dict[str, int]:
        rules = _body(request)
        if not isinstance(rules, list):
            raise LabHttpError(HTTPStatus.BAD_REQUEST, "the body is a list of faults; [] clears them")
        try:
            faults = [Fault.from_json(rule) for rule in rules]
        except FaultError as error:
            raise LabHttpError(HTTPStatus.BAD_REQUEST, str(error)) from error
        self._faults.replace(faults)
        return {"faults": len(faults)}

    def _list_calls(self, _: Request) -> list[dict[str, str | int]]:
        return self._journal.calls()

    def _forget_calls(self, _: Request) -> dict[str, int]:
        self._journal.clear()
        return {"calls": 0}


def _body(request: Request) -> Any:
    try:
        return json.loads(request.get_data())
    except ValueError as error:
        raise LabHttpError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error
