"""AWS IoT's wire format where moto's differs from AWS."""

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.iot import responses as moto
from moto.iot.exceptions import InvalidRequestException

from lab.cloud.iot.models import IoTBackend
from lab.cloud.iot.provisioning import Provisioning
from lab.cloud.iot.provisioning_responses import ProvisioningResponse

MAX_PAGE = 250
"""The most that pageSize and maxResults take (AWS IoT API reference)."""


class IoTResponse(ProvisioningResponse, moto.IoTResponse):
    @property
    def backend(self) -> IoTBackend:
        """AWS IoT of the request's account and Region."""
        backend = self.iot_backend
        assert isinstance(backend, IoTBackend)  # noqa: S101 - extensions.register puts it there
        return backend

    @property
    def _provisioning(self) -> Provisioning:
        return self.backend.provisioning

    def create_thing_group(self) -> ActionResult:
        """Answer CreateThingGroup, with tags."""
        answer = super().create_thing_group()
        self._tag(self.backend.describe_thing_group(self.path.rpartition("/")[2]).arn)
        return answer

    def create_certificate_from_csr(self) -> ActionResult:
        """Answer CreateCertificateFromCsr; moto takes ``setAsActive=false`` of the query string for true."""
        certificate = self.backend.create_certificate_from_csr(
            self._get_param("certificateSigningRequest"), set_as_active=self._get_bool_param("setAsActive", False)
        )
        return ActionResult(
            {
                "certificateId": certificate.certificate_id,
                "certificateArn": certificate.arn,
                "certificatePem": certificate.certificate_pem,
            }
        )

    def create_policy(self) -> ActionResult:
        """Answer CreatePolicy, with tags."""
        name = self._get_param("policyName")
        policy = self.backend.create_policy(name, self._get_param("policyDocument"))
        self._tag(policy.arn)
        return ActionResult(policy.to_dict_at_creation())

    def create_role_alias(self) -> ActionResult:
        """Answer CreateRoleAlias, with tags."""
        answer = super().create_role_alias()
        self._tag(self.backend.describe_role_alias(self._get_param("roleAlias")).arn)
        return answer

    def list_policies(self) -> ActionResult:
        """Answer ListPolicies, in pages."""
        return self._page("policies", [one.to_dict() for one in self.backend.list_policies()], "pageSize", "marker")

    def list_certificates(self) -> ActionResult:
        """Answer ListCertificates, in pages."""
        return self._page(
            "certificates", [one.to_dict() for one in self.backend.list_certificates()], "pageSize", "marker"
        )

    def list_attached_policies(self) -> ActionResult:
        """Answer ListAttachedPolicies, in pages."""
        policies = self.backend.list_attached_policies(self._get_param("target"))
        return self._page("policies", [one.to_dict() for one in policies], "pageSize", "marker")

    def list_targets_for_policy(self) -> ActionResult:
        """Answer ListTargetsForPolicy, in pages."""
        targets = self.backend.list_targets_for_policy(self._get_param("policyName"))
        return self._page("targets", targets, "pageSize", "marker")

    def attach_thing_principal(self) -> ActionResult:
        """Answer AttachThingPrincipal, with the type of the attachment."""
        self.backend.attach_thing_principal_as(
            self._get_param("thingName"), self._principal(), self._get_param("thingPrincipalType")
        )
        return EmptyResult()

    def list_thing_principals(self) -> ActionResult:
        """Answer ListThingPrincipals, in pages."""
        principals = self.backend.list_thing_principals(self._get_param("thingName"))
        return self._page("principals", principals, "maxResults", "nextToken")

    def list_thing_principals_v2(self) -> ActionResult:
        """Answer ListThingPrincipalsV2, with the type of each attachment."""
        thing_name = self._get_param("thingName")
        types = {arn: kind for (arn, name), kind in self.backend.thing_principal_types.items() if name == thing_name}
        attached = self.backend.list_thing_principals(thing_name)
        items = [{"principal": arn, "thingPrincipalType": types[arn]} for arn in attached if self._wanted(types[arn])]
        return self._page("thingPrincipalObjects", items, "maxResults", "nextToken")

    def list_principal_things(self) -> ActionResult:
        """Answer ListPrincipalThings, in pages."""
        return self._page("things", self.backend.list_principal_things(self._principal()), "maxResults", "nextToken")

    def list_principal_things_v2(self) -> ActionResult:
        """Answer ListPrincipalThingsV2, with the type of each attachment."""
        arn = self._principal()
        types = {name: kind for (one, name), kind in self.backend.thing_principal_types.items() if one == arn}
        things = self.backend.list_principal_things(arn)
        items = [{"thingName": name, "thingPrincipalType": types[name]} for name in things if self._wanted(types[name])]
        return self._page("principalThingObjects", items, "maxResults", "nextToken")

    def list_tags_for_resource(self) -> ActionResult:
        tags = self.backend.taggable(self._get_param("resourceArn"))
        return ActionResult({"tags": [{"Key": key, "Value": value} for key, value in tags.items()]})

    def tag_resource(self) -> ActionResult:
        self._tag(self._get_param("resourceArn"))
        return EmptyResult()

    def untag_resource(self) -> ActionResult:
        tags = self.backend.taggable(self._get_param("resourceArn"))
        for key in self._get_param("tagKeys", []):
            tags.pop(key, None)
        return EmptyResult()

    def _tag(self, arn: str) -> None:
        tags = self.backend.taggable(arn)
        tags.update({tag["Key"]: tag.get("Value", "") for tag in self._get_param("tags", [])})

    def _untag_all(self, arn: str) -> None:
        self.backend.tags.pop(arn, None)

    def _principal(self) -> str:
        return str(self.headers.get("x-amzn-principal"))

    def _wanted(self, kind: str) -> bool:
        return self._get_param("thingPrincipalType") in (None, kind)

    def _page(self, member: str, items: list[Any], size_name: str, token_name: str) -> ActionResult:
        """Answer with the page that the request asks for; a token is the number of items before the page."""
        size = self._get_int_param(size_name) or MAX_PAGE
        token = self._get_param(token_name) or "0"
        if not token.isdecimal() or int(token) > len(items) or not 1 <= size <= MAX_PAGE:
            raise InvalidRequestException(f"{token_name} or {size_name} is not valid.")
        end = int(token) + size
        answer: dict[str, Any] = {member: items[int(token) : end]}
        if end < len(items):
            answer["nextMarker" if size_name == "pageSize" else "nextToken"] = str(end)
        return ActionResult(answer)
