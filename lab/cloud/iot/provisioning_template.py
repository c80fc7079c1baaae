"""Provisioning templates: what AWS IoT takes as one, and what one makes of a device's parameters. No state here.

Source: AWS IoT developer guide, "Provisioning templates" (sections, properties, override settings, functions).
Where that page is silent, docs/fidelity/cloud.md says what is assumed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CERTIFICATE_ID = "AWS::IoT::Certificate::Id"
"""The parameter that AWS IoT fills in with the certificate that the device's token stands for."""
_SECTIONS = frozenset({"Parameters", "Mappings", "Resources", "DeviceConfiguration"})
_PROPERTIES = {
    "AWS::IoT::Thing": {
        "ThingName",
        "AttributePayload",
        "ThingTypeName",
        "ThingGroups",
        "BillingGroup",
        "PackageVersions",
    },
    "AWS::IoT::Certificate": {"CertificateId", "Status", "ThingPrincipalType"},
    "AWS::IoT::Policy": {"PolicyName", "PolicyDocument"},
}
_OVERRIDES = {
    "AttributePayload": {"DO_NOTHING", "REPLACE", "FAIL", "MERGE"},
    "ThingTypeName": {"DO_NOTHING", "REPLACE", "FAIL"},
    "ThingGroups": {"DO_NOTHING", "REPLACE", "FAIL", "MERGE"},
}
_SUB = re.compile(r"\$\{([^}!]+)\}")


class TemplateError(ValueError):
    """A template is none, or cannot be evaluated with these parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What a template asks for.

    Attributes:
        thing: The thing's properties, and its override settings under `OverrideSettings`; None where it names none.
        certificate_id: The certificate's.
        status: `ACTIVE` or `INACTIVE`.
        policies: Each policy's properties.
        device_configuration: What the device is told.
    """

    thing: dict[str, Any] | None
    certificate_id: str
    status: str
    policies: tuple[dict[str, Any], ...]
    device_configuration: dict[str, Any]


def parse(body: str) -> dict[str, Any]:
    """Read a template's body and refuse what AWS IoT would refuse of a fleet provisioning template.

    Raises:
        TemplateError: It is no template.
    """
    try:
        template = json.loads(body)
    except ValueError as error:
        raise TemplateError(f"the template body is not JSON: {error}") from None
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise TemplateError("the template body has to be an object with Resources")
    unknown = sorted(template.keys() - _SECTIONS)
    if unknown:
        raise TemplateError(f"unknown section {unknown[0]}")
    resources = template["Resources"].values()
    for resource in resources:
        kind = resource.get("Type") if isinstance(resource, dict) else None
        if kind not in _PROPERTIES:
            raise TemplateError(f"a resource's Type has to be one of {', '.join(_PROPERTIES)}; got {kind!r}")
        properties = resource.get("Properties", {})
        unknown = sorted(properties.keys() - _PROPERTIES[kind])
        if unknown:
            raise TemplateError(f"{kind} has no property {unknown[0]}")
        for name, action in resource.get("OverrideSettings", {}).items():
            if action not in _OVERRIDES.get(name, ()):
                raise TemplateError(f"OverrideSettings: {name} cannot be {action}")
        if kind == "AWS::IoT::Policy" and ("PolicyName" in properties) == ("PolicyDocument" in properties):
            raise TemplateError("a policy needs PolicyName or PolicyDocument, and not both")
    certificates = [one for one in resources if one["Type"] == "AWS::IoT::Certificate"]
    if len(certificates) != 1 or "CertificateId" not in certificates[0].get("Properties", {}):
        raise TemplateError("a fleet provisioning template names one certificate, by its CertificateId")
    return template


def evaluate(template: Mapping[str, Any], given: Mapping[str, str], certificate_id: str) -> Evaluated:
    """Put a device's parameters into a template.

    Args:
        template: From `parse`.
        given: The device's parameters; those that the template does not declare are the hook's alone.
        certificate_id: The certificate that the device's token stands for.

    Raises:
        TemplateError: A parameter is missing, or a function has no value.
    """
    parameters = {CERTIFICATE_ID: certificate_id}
    for name, declared in template.get("Parameters", {}).items():
        value = given.get(name, declared.get("Default"))
        if name != CERTIFICATE_ID:
            if value is None:
                raise TemplateError(f"Required parameter {name} was not supplied")
            parameters[name] = value
    resolve = _Resolver(parameters, template.get("Mappings", {}))
    thing, certificate, policies = None, {}, []
    for resource in template["Resources"].values():
        properties = {name: resolve(value) for name, value in resource.get("Properties", {}).items()}
        if resource["Type"] == "AWS::IoT::Thing":
            thing = {**properties, "OverrideSettings": resource.get("OverrideSettings", {})}
        elif resource["Type"] == "AWS::IoT::Certificate":
            certificate = properties
        else:
            policies.append(properties)
    return Evaluated(
        thing=thing,
        certificate_id=str(certificate["CertificateId"]),
        status=str(certificate.get("Status", "ACTIVE")).upper(),
        policies=tuple(policies),
        device_configuration=resolve(template.get("DeviceConfiguration", {})),
    )


@dataclass(frozen=True, slots=True)
class _Resolver:
    parameters: Mapping[str, str]
    mappings: Mapping[str, Any]

    def __call__(self, value: Any) -> Any:
        """Return a value with its references and functions replaced."""
        if isinstance(value, list):
            return [self(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref":
                return self._parameter(argument)
            if name.startswith("Fn::"):
                return self._function(name, argument)
        return {name: self(item) for name, item in value.items()}

    def _parameter(self, name: Any) -> str:
        if name not in self.parameters:
            raise TemplateError(f"Ref: there is no parameter {name}")
        return self.parameters[name]

    def _function(self, name: str, argument: Any) -> Any:
        values = self(argument)
        try:
            if name == "Fn::Join":
                return str(values[0]).join(map(str, values[1]))
            if name == "Fn::Select":
                return values[1][int(values[0])]
            if name == "Fn::Split":
                return str(values[1]).split(values[0])
            if name == "Fn::FindInMap":
                return self.mappings[values[0]][values[1]][values[2]]
            if name == "Fn::Sub":
                text, own = (values, {}) if isinstance(values, str) else values
                return _SUB.sub(lambda found: str(own.get(found[1]) or self._parameter(found[1])), text)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise TemplateError(f"{name} has no value for {json.dumps(values)}") from None
        raise TemplateError(f"unknown function {name}")
