"""The provider's own configuration, and which module describes which resource type."""

import contextlib
import importlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lab.providers.aws import tags
from lab.providers.definition import BOOKKEEPING, Provider
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Resource
from lab.providers.values import UNKNOWN, Properties

# Module → the resource types that it describes; `ec2/vpc` is the token `aws:ec2/vpc:Vpc`.
_MODULES: Final = {
    "acm_certificate": ("acm/certificate",),
    "client_vpn_endpoint": ("ec2clientvpn/endpoint",),
    "client_vpn_networks": ("ec2clientvpn/networkAssociation", "ec2clientvpn/authorizationRule", "ec2clientvpn/route"),
    "flow_log": ("ec2/flowLog",),
    "iam_role": ("iam/role", "iam/rolePolicyAttachment", "iam/rolePolicy"),
    "iot_fleet": ("iot/provisioningTemplate", "iot/thingGroup"),
    "iot_things": (
        *("iot/policy", "iot/thing", "iot/certificate", "iot/roleAlias"),
        *("iot/policyAttachment", "iot/thingPrincipalAttachment"),
    ),
    "log_group": ("cloudwatch/logGroup",),
    "metric_alarm": ("cloudwatch/metricAlarm",),
    "private_ca": (
        *("acmpca/certificateAuthority", "acmpca/certificate"),
        *("acmpca/certificateAuthorityCertificate", "acmpca/permission"),
    ),
    "resolver_firewall": (
        *("route53/resolverFirewallDomainList", "route53/resolverFirewallRuleGroup", "route53/resolverFirewallRule"),
        *("route53/resolverFirewallRuleGroupAssociation", "route53/resolverFirewallConfig"),
    ),
    "route53_record": ("route53/record",),
    "route53_zone": ("route53/zone",),
    "route_table": ("ec2/routeTable", "ec2/routeTableAssociation"),
    "security_group": ("ec2/defaultSecurityGroup", "ec2/securityGroup"),
    "security_group_rule": ("vpc/securityGroupIngressRule", "vpc/securityGroupEgressRule"),
    "subnet": ("ec2/subnet",),
    "vpc": ("ec2/vpc",),
    "vpc_endpoint": ("ec2/vpcEndpoint",),
}
_FUNCTIONS: Final = (
    *("index/getRegion", "index/getCallerIdentity", "index/getAvailabilityZones", "ec2/getSubnet", "ec2/getVpc"),
    *("ec2/getVpcEndpointService", "iot/getEndpoint", "acmpca/getCertificateAuthority"),
)
# pulumi_aws/provider.py: the configuration that is text, and that which travels as JSON
_STRINGS: Final = frozenset(
    (
        *("accessKey", "customCaBundle", "ec2MetadataServiceEndpoint", "ec2MetadataServiceEndpointMode", "httpProxy"),
        *("httpsProxy", "noProxy", "profile", "region", "retryMode", "s3UsEast1RegionalEndpoint", "secretKey"),
        *("stsRegion", "tagPolicyCompliance", "token"),
    )
)
_OTHERS: Final = frozenset(
    (
        *("allowedAccountIds", "assumeRoleWithWebIdentity", "assumeRoles", "defaultTags", "endpoints"),
        *("forbiddenAccountIds", "ignoreTags", "insecure", "maxRetries", "s3UsePathStyle", "sharedConfigFiles"),
        *("sharedCredentialsFiles", "skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation"),
        *("skipRequestingAccountId", "tokenBucketRateLimiterCapacity", "useDualstackEndpoint", "useFipsEndpoint"),
        "userAgents",
    )
)
_NO_REGION: Final = "Missing region configuration: set `aws:region` or the environment variable AWS_REGION"


class AwsProvider(Provider):
    """The stand-in for `pulumi-resource-aws`."""

    name = "aws"
    version = "7.51.1"
    configuration = _STRINGS | _OTHERS
    configuration_that_replaces = frozenset({"region"})

    def __init__(self) -> None:
        self._session: Any = None
        self._configuration: Properties = {}
        types = {_token(path): module for module, paths in _MODULES.items() for path in paths}
        functions = {f"aws:{path}:{path.rpartition('/')[2]}": "functions" for path in _FUNCTIONS}
        self.resources = _Lazy(types, "RESOURCES")
        self.functions = _Lazy(functions, "FUNCTIONS")

    @property
    def session(self) -> Any:
        """The clients.

        Raises:
            ProviderError: Before the configuration came.
        """
        if self._session is None:
            raise ProviderError("the aws provider is not configured yet")
        return self._session

    def check_configuration(self, given: Properties) -> list[Failure]:
        """Refuses names that the provider does not have, and a configuration without a Region."""
        failures = super().check_configuration(given)
        return failures if _region(given) is not None else [*failures, Failure("region", _NO_REGION)]

    def configure(self, given: Properties) -> None:
        """Takes the configuration and begins to load what the first calls need.

        Raises:
            ProviderError: Without a Region, or where no credentials can be found.
        """
        configuration = {name: _parsed(name, value) for name, value in given.items()}
        region = _region(configuration)
        if region is None:
            raise ProviderError(_NO_REGION)
        self._configuration = {**configuration, "region": region}
        if region is not UNKNOWN:
            from lab.providers.aws.clients import Session  # noqa: PLC0415  # botocore loads while the program runs

            self._session = Session(self._configuration)
            threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def before_check(self, resource: Resource, given: Properties) -> Properties:
        """Adds the Region and all tags, as pulumi-aws does (``provider/region.go``, ``provider/tags.go``)."""
        inputs = super().before_check(resource, given)
        if "region" in resource.inputs and inputs.get("region") is None:
            inputs["region"] = self._configuration.get("region")
        return inputs if resource.framework else self._all_tags(resource, inputs)

    def complete(self, resource: Resource, inputs: Properties) -> Properties:
        """The tags of a framework type, which has no `tagsAll` among its inputs (terraform-provider-aws plans it)."""
        return self._all_tags(resource, inputs) if resource.framework else inputs

    def _all_tags(self, resource: Resource, inputs: Properties) -> Properties:
        if "tagsAll" not in resource.inputs:
            return inputs
        return {**inputs, "tagsAll": tags.merged(self._configuration, inputs.get("tags"))}

    def after_read(self, resource: Resource, state: Properties, inputs: Properties) -> Properties:
        """Splits the tags that AWS has into all and own, and adds the Region."""
        if "tagsAll" in resource.inputs:
            everything = tags.visible(self._configuration, state.get("tagsAll") or {})
            own = tags.own_tags(self._configuration, everything, inputs.get("tags"))
            state = {**state, "tagsAll": everything, "tags": own or None}
        if "region" in resource.inputs:
            state["region"] = inputs.get("region") or self.session.region
        return super().after_read(resource, state, inputs)

    def explain(self, error: Exception) -> str:
        """One line: what was done, AWS's code and message."""
        from lab.providers.aws.clients import explain  # noqa: PLC0415  # as above

        return explain(error)

    def _warm_up(self) -> None:
        """Loads the largest of botocore's models (EC2's takes half a second) while the engine runs the program."""
        with contextlib.suppress(Exception):  # the first real call meets the same error and tells it
            self._session.client("ec2")
            self._session.account  # noqa: B018  # asked for by most calls


def _token(path: str) -> str:
    name = path.rpartition("/")[2]
    return f"aws:{path}:{name[0].upper()}{name[1:]}"


class _Lazy(Mapping[str, Any]):
    """Token → description; the module of a type is imported when it is first used."""

    def __init__(self, modules: dict[str, str], attribute: str) -> None:
        self._modules = modules
        self._attribute = attribute

    def __getitem__(self, token: str) -> Any:
        module = importlib.import_module(f"lab.providers.aws.{self._modules[token]}")
        return getattr(module, self._attribute)[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def _region(configuration: Properties) -> Any:
    return configuration.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _parsed(name: str, value: Any) -> Any:
    """What is no string comes as JSON text from stack configuration and from SDKs."""
    if name in _STRINGS | BOOKKEEPING or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ProviderError(f"provider configuration `{name}`: not JSON") from None
