"""The wait between a certificate's detachment from its thing and the deletion of both, which no provider has.

AWS detaches later than it answers: "This call is asynchronous. It might take several seconds for the detachment to
propagate" (AWS IoT API reference, DetachThingPrincipal). The provider does not wait for it
(terraform-provider-aws, `internal/service/iot/thing_principal_attachment.go`), so that the deletions that follow at
once are refused. As a dynamic resource it runs in the Python process that the engine starts for those, whose `python`
has to find this package, also for a program in another language; `wait_for_detachment: false` does without.
"""

import time
from typing import Any

import pulumi
from pulumi import dynamic

_ASK_EVERY = 1.0
_GIVE_UP_AFTER = 60.0
_WITHOUT_AN_ANSWER = 10.0
"""Seconds to wait where boto3 may not ask, or has no credentials: AWS speaks of several."""


class _DetachmentProvider(dynamic.ResourceProvider):
    """Makes nothing; its deletion ends when AWS has detached."""

    serialize_as_secret_always = False

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaces = [name for name in ("thing", "principal") if olds.get(name) != news.get(name)]
        changed = bool(replaces) or olds.get("region") != news.get("region")
        return dynamic.DiffResult(changes=changed, replaces=replaces)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        return dynamic.CreateResult(f"{props['thing']}|{props['principal']}", dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        return dynamic.UpdateResult(dict(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        # Here, since to create, which every device needs, takes neither.
        import boto3  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        # After the deadline the provider's own deletion says what is wrong.
        deadline = time.monotonic() + _GIVE_UP_AFTER
        try:
            iot = boto3.client("iot", region_name=props["region"])
            while _attached(iot, props) and time.monotonic() < deadline:
                time.sleep(_ASK_EVERY)
        except (BotoCoreError, ClientError):
            time.sleep(_WITHOUT_AN_ANSWER)


def _attached(iot: Any, props: dict[str, Any]) -> bool:
    pages = iot.get_paginator("list_thing_principals").paginate(thingName=props["thing"])
    return any(props["principal"] in page["principals"] for page in pages)


class ThingDetachment(dynamic.Resource, module="private-iot", name="ThingDetachment"):
    """Between an attachment, which depends on it, and the thing and the certificate, which it depends on."""

    def __init__(
        self,
        name: str,
        *,
        thing: pulumi.Input[str],
        principal: pulumi.Input[str],
        region: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Register the wait.

        Args:
            name: The resource's name.
            thing: The thing's name.
            principal: The certificate's ARN.
            region: Where AWS IoT is asked, with boto3's own credentials.
            opts: Options of the resource.
        """
        super().__init__(_DetachmentProvider(), name, {"thing": thing, "principal": principal, "region": region}, opts)
