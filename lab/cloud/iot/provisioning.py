"""Fleet provisioning: the templates of an account, and what devices ask for over MQTT.

Sources: AWS IoT API reference (CreateProvisioningTemplate and its kin), AWS IoT developer guide ("Device provisioning
MQTT API", "Provisioning devices that don't have device certificates using fleet provisioning", "Pre-provisioning
hooks"), AWS IoT Core endpoints and quotas.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.iot.exceptions import (
    InvalidRequestException,
    IoTClientError,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)

from lab.cloud.iot.exceptions import DeleteConflictError, VersionsLimitExceededError
from lab.cloud.iot.provisioning_template import Evaluated, TemplateError, evaluate, parse

FLEET_PROVISIONING = "FLEET_PROVISIONING"
BODY_LIMIT = 10_240
"""Characters of a template's body (API reference, CreateProvisioningTemplate)."""
DESCRIPTION_LIMIT = 500
MAX_VERSIONS = 5
"""Versions of a template (AWS IoT Core endpoints and quotas)."""
TOKEN_SECONDS = 3600
"""Seconds that a certificate's ownership token is good for; then the certificate is deleted (MQTT API)."""
_NAME = re.compile(r"[0-9A-Za-z_-]{1,36}")
_THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_NEEDED = ("iot:CreateThing", "iot:AttachThingPrincipal", "iot:AttachPolicy", "iot:UpdateCertificate")
"""Of what AWSIoTThingsRegistration allows, what every provisioning here needs."""


class RejectedError(Exception):
    """A request over MQTT that AWS IoT answers on the topic `…/rejected`."""

    def __init__(self, status_code: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.payload = {"statusCode": status_code, "errorCode": error_code, "errorMessage": message}


@dataclass
class ProvisioningTemplate:
    """One template with its versions; their number is never used twice."""

    name: str
    arn: str
    role_arn: str
    description: str | None
    enabled: bool
    hook: dict[str, str] | None
    versions: dict[int, str]
    default_version: int = 1
    last_version: int = 1
    created: datetime = field(default_factory=utcnow)
    modified: datetime = field(default_factory=utcnow)

    def described(self) -> dict[str, Any]:
        """Return what DescribeProvisioningTemplate gives."""
        described = {
            "templateArn": self.arn,
            "templateName": self.name,
            "description": self.description,
            "creationDate": self.created,
            "lastModifiedDate": self.modified,
            "defaultVersionId": self.default_version,
            "templateBody": self.versions[self.default_version],
            "enabled": self.enabled,
            "provisioningRoleArn": self.role_arn,
            "preProvisioningHook": self.hook,
            "type": FLEET_PROVISIONING,
        }
        return {name: value for name, value in described.items() if value is not None}


class Provisioning:
    """The templates of one account and Region, and the tokens that are out.

    Args:
        iot: The `IoTBackend` that they belong to, whose module imports this one.
    """

    def __init__(self, iot: Any) -> None:
        self.templates: dict[str, ProvisioningTemplate] = {}
        self._iot = iot
        self._tokens: dict[str, tuple[str, float]] = {}

    # --- control plane ----------------------------------------------------------------------------------------------

    def create(self, name: str, body: str, given: Mapping[str, Any]) -> ProvisioningTemplate:
        """Create a template; `given` is the request."""
        if not _NAME.fullmatch(name or ""):
            raise InvalidRequestException(f"templateName has 1 to 36 of 0-9 A-Z a-z _ -; got {name!r}")
        if given.get("type") not in (None, FLEET_PROVISIONING):
            raise InvalidRequestException(f"the lab provisions fleets; type {given['type']} is not there")
        arn = f"arn:aws:iot:{self._iot.region_name}:{self._iot.account_id}:provisioningtemplate/{name}"
        if name in self.templates:
            raise ResourceAlreadyExistsException(f"Provisioning template {name} already exists", name, arn)
        description = given.get("description")
        self._check(body=body, role_arn=given.get("provisioningRoleArn"), description=description)
        template = ProvisioningTemplate(
            name=name,
            arn=arn,
            role_arn=given["provisioningRoleArn"],
            description=description,
            enabled=bool(given.get("enabled", False)),
            hook=_hook(given.get("preProvisioningHook")),
            versions={1: body},
        )
        self.templates[name] = template
        return template

    def get(self, name: str) -> ProvisioningTemplate:
        if name not in self.templates:
            raise ResourceNotFoundException(f"Provisioning template {name} not found")
        return self.templates[name]

    def update(self, name: str, given: Mapping[str, Any]) -> None:
        """Change what a request names."""
        template = self.get(name)
        role_arn = given.get("provisioningRoleArn") or template.role_arn
        description = given.get("description", template.description)
        version = given.get("defaultVersionId") or template.default_version
        if version not in template.versions:
            raise InvalidRequestException(f"Provisioning template {name} has no version {version}")
        self._check(role_arn=role_arn, description=description)
        template.role_arn, template.description, template.default_version = role_arn, description, version
        if given.get("enabled") is not None:
            template.enabled = bool(given["enabled"])
        if given.get("removePreProvisioningHook"):
            template.hook = None
        elif given.get("preProvisioningHook"):
            template.hook = _hook(given["preProvisioningHook"])
        template.modified = utcnow()

    def create_version(self, name: str, body: str, *, default: bool) -> tuple[ProvisioningTemplate, int]:
        """Add a version, of which there may be five."""
        template = self.get(name)
        self._check(body=body)
        if len(template.versions) >= MAX_VERSIONS:
            raise VersionsLimitExceededError(f"Provisioning template {name} already has {MAX_VERSIONS} versions")
        template.last_version += 1
        template.versions[template.last_version] = body
        if default:
            template.default_version = template.last_version
        template.modified = utcnow()
        return template, template.last_version

    def delete_version(self, name: str, version: int) -> None:
        """Delete a version that is not the default."""
        template = self.get(name)
        if version not in template.versions:
            raise ResourceNotFoundException(f"Provisioning template {name} has no version {version}")
        if version == template.default_version:
            raise DeleteConflictError(f"Version {version} is the default of {name}")
        del template.versions[version]

    def delete(self, name: str) -> None:
        """Delete a template with its versions."""
        self.get(name)
        del self.templates[name]

    def _check(self, *, body: str | None = None, role_arn: str | None = "", description: str | None = None) -> None:
        if body is not None:
            if len(body) > BODY_LIMIT:
                raise InvalidRequestException(f"templateBody has {len(body)} characters; at most {BODY_LIMIT}")
            try:
                parse(body)
            except TemplateError as error:
                raise InvalidRequestException(f"Invalid template body: {error}") from None
        if len(description or "") > DESCRIPTION_LIMIT:
            raise InvalidRequestException(f"description has at most {DESCRIPTION_LIMIT} characters")
        if role_arn != "" and not self._trusts_iot(role_arn):
            raise InvalidRequestException(f"The provisioning role {role_arn} cannot be assumed by AWS IoT")

    # --- MQTT -------------------------------------------------------------------------------------------------------

    def create_certificate_from_csr(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `$aws/certificates/create-from-csr/json`.

        Raises:
            RejectedError: The request is none.
        """
        try:
            made = self._iot.create_certificate_from_csr(
                str(payload.get("certificateSigningRequest", "")), set_as_active=False
            )
        except IoTClientError as error:
            raise RejectedError(400, "InvalidCsr", str(error.message)) from None
        made.status = "PENDING_ACTIVATION"
        self._forget_expired()
        token = secrets.token_urlsafe(48)
        self._tokens[token] = (made.certificate_id, time.monotonic() + TOKEN_SECONDS)
        return {
            "certificateId": made.certificate_id,
            "certificatePem": made.certificate_pem,
            "certificateOwnershipToken": token,
        }

    def register_thing(self, name: str, payload: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Answer `$aws/provisioning-templates/NAME/provision/json`.

        Returns:
            The answer, and what the data plane has to know from now on: the certificate as its table has it.

        Raises:
            RejectedError: The template, the token, the hook or a resource is against it; then nothing has changed.
        """
        template = self.templates.get(name)
        if template is None or not template.enabled:
            raise RejectedError(400, "InvalidTemplate", f"Provisioning template {name} does not exist or is disabled")
        self._forget_expired()
        token = str(payload.get("certificateOwnershipToken") or "")
        if not token:
            raise RejectedError(400, "InvalidCertificateOwnershipToken", "Certificate ownership token cannot be empty.")
        if token not in self._tokens:
            raise RejectedError(400, "InvalidCertificateOwnershipToken", "Certificate ownership token is not valid.")
        parameters = payload.get("parameters") or {}
        if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
            raise RejectedError(400, "InvalidParameters", "parameters have to be texts")
        if template.hook is not None and not self._iot.hook_allows(template.hook["targetArn"], parameters):
            raise RejectedError(403, "AccessDenied", "The pre-provisioning hook did not allow the provisioning.")
        try:
            asked = evaluate(parse(template.versions[template.default_version]), parameters, self._tokens[token][0])
        except TemplateError as error:
            raise RejectedError(400, "InvalidParameters", str(error)) from None
        self._check_asked(template, asked)
        known = self._apply(asked)
        del self._tokens[token]
        answer = {"deviceConfiguration": asked.device_configuration}
        if asked.thing is not None:
            answer["thingName"] = asked.thing["ThingName"]
        return answer, known

    def _check_asked(self, template: ProvisioningTemplate, asked: Evaluated) -> None:
        iot = self._iot
        documents = self._role_documents(template.role_arn)
        denied = [action for action in _NEEDED if not any(_allows(document, action) for document in documents)]
        if denied:
            raise RejectedError(403, "AccessDenied", f"The provisioning role does not allow {', '.join(denied)}.")
        if asked.certificate_id not in iot.certificates:
            raise RejectedError(400, "InvalidParameters", f"There is no certificate {asked.certificate_id}.")
        for policy in asked.policies:
            if "PolicyName" in policy and policy["PolicyName"] not in iot.policies:
                raise RejectedError(400, "ResourceNotFound", f"There is no policy {policy['PolicyName']}.")
        if asked.thing is None:
            return
        thing_name = asked.thing.get("ThingName")
        if not isinstance(thing_name, str) or not _THING_NAME.fullmatch(thing_name):
            raise RejectedError(400, "InvalidParameters", f"The thing's name {thing_name!r} is not valid.")
        groups = {group.thing_group_name for group in iot.thing_groups.values()}
        for group in asked.thing.get("ThingGroups", []):
            if group not in groups:
                raise RejectedError(400, "ResourceNotFound", f"There is no thing group {group}.")
        if "FAIL" in asked.thing["OverrideSettings"].values() and self._thing_exists(thing_name):
            raise RejectedError(409, "ResourceConflict", f"Thing {thing_name} already exists.")

    def _apply(self, asked: Evaluated) -> dict[str, Any]:
        iot = self._iot
        certificate = iot.certificates[asked.certificate_id]
        certificate.status = asked.status
        policies = []
        for policy in asked.policies:
            name = policy.get("PolicyName") or self._policy_of(policy["PolicyDocument"])
            iot.attach_policy(name, certificate.arn)
            policies.append(name)
        things: dict[str, Any] = {}
        if asked.thing is not None:
            thing_name = asked.thing["ThingName"]
            attributes = {name: str(value) for name, value in asked.thing.get("AttributePayload", {}).items()}
            if not self._thing_exists(thing_name):
                iot.create_thing(thing_name, asked.thing.get("ThingTypeName", ""), {"attributes": attributes})
            elif asked.thing["OverrideSettings"].get("AttributePayload") in ("REPLACE", "MERGE"):
                thing = iot.describe_thing(thing_name)
                merge = asked.thing["OverrideSettings"]["AttributePayload"] == "MERGE"
                thing.attributes = {**(thing.attributes if merge else {}), **attributes}
                thing.version += 1
            for group in asked.thing.get("ThingGroups", []):
                iot.add_thing_to_thing_group(group, None, thing_name, None)
            iot.attach_thing_principal_as(thing_name, certificate.arn, None)
            thing = iot.describe_thing(thing_name)
            type_name = thing.thing_type.thing_type_name if thing.thing_type else None
            things[thing_name] = {"thingTypeName": type_name, "attributes": dict(thing.attributes)}
        documents = {name: json.loads(iot.policies[name].document) for name in policies}
        entry = {
            "status": certificate.status,
            "policies": policies,
            "things": list(things),
            "certificatePem": certificate.certificate_pem,
        }
        return {"certificates": {asked.certificate_id: entry}, "things": things, "policies": documents}

    def _thing_exists(self, name: str) -> bool:
        return self._iot.thing_arn(name) in self._iot.things

    def _policy_of(self, document: Any) -> str:
        """The policy of a document; the guide: its name "defaults to a hash of the policy document"."""
        text = document if isinstance(document, str) else json.dumps(document)
        name = hashlib.sha256(text.encode()).hexdigest()
        if name not in self._iot.policies:
            self._iot.create_policy(name, text)
        return name

    def _forget_expired(self) -> None:
        now = time.monotonic()
        for token, (certificate_id, end) in list(self._tokens.items()):
            if end <= now:
                del self._tokens[token]
                self._iot.certificates.pop(certificate_id, None)

    def _trusts_iot(self, role_arn: str | None) -> bool:
        role = self._role(role_arn)
        return role is not None and "iot.amazonaws.com" in role.assume_role_policy_document

    def _role_documents(self, role_arn: str) -> list[dict[str, Any]]:
        role = self._role(role_arn)
        if role is None:
            return []
        versions = [version for policy in role.managed_policies.values() for version in policy.versions]
        documents = [json.loads(version.document) for version in versions if version.is_default]
        return documents + [json.loads(text) for text in role.policies.values()]

    def _role(self, role_arn: str | None) -> Any:
        roles = iam_backends[self._iot.account_id]["aws"].roles.values()
        return next((role for role in roles if role.arn == role_arn), None)


def _allows(document: Mapping[str, Any], action: str) -> bool:
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        actions = statement.get("Action", [])
        for pattern in actions if isinstance(actions, list) else [actions]:
            expression = re.escape(pattern).replace(r"\*", ".*")
            if statement.get("Effect") == "Allow" and re.fullmatch(expression, action, re.IGNORECASE):
                return True
    return False


def _hook(given: Mapping[str, str] | None) -> dict[str, str] | None:
    if not given:
        return None
    if not re.fullmatch(r"arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:.+", given.get("targetArn", "")):
        raise InvalidRequestException(f"targetArn has to be that of a Lambda function; got {given.get('targetArn')!r}")
    return {"payloadVersion": given.get("payloadVersion", "2020-04-01"), "targetArn": given["targetArn"]}
