"""The provider's own configuration, and which module describes which resource type."""

import contextlib
import importlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lab.providers.aws import tags
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Function, Resource
from lab.providers.values import UNKNOWN, Properties

_RESOURCES: Final = {
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:ec2/subnet:Subnet": "subnet",
    "aws:ec2/routeTable:RouteTable": "route_table",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "route_table",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "security_group",
    "aws:ec2/securityGroup:SecurityGroup": "security_group",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "security_group_rule",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "security_group_rule",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "vpc_endpoint",
    "aws:ec2clientvpn/endpoint:Endpoint": "client_vpn_endpoint",
    "aws:ec2clientvpn/networkAssociation:NetworkAssociation": "client_vpn_networks",
    "aws:ec2clientvpn/authorizationRule:AuthorizationRule": "client_vpn_networks",
    "aws:ec2clientvpn/route:Route": "client_vpn_route",
    "aws:route53/zone:Zone": "route53_zone",
    "aws:route53/record:Record": "route53_record",
    "aws:acm/certificate:Certificate": "acm_certificate",
    "aws:acmpca/certificateAuthority:CertificateAuthority": "private_ca",
    "aws:acmpca/certificate:Certificate": "private_ca",
    "aws:acmpca/certificateAuthorityCertificate:CertificateAuthorityCertificate": "private_ca",
    "aws:acmpca/permission:Permission": "private_ca",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "metric_alarm",
    "aws:cloudwatch/logGroup:LogGroup": "log_group",
    "aws:iot/policy:Policy": "iot_things",
    "aws:iot/thing:Thing": "iot_things",
    "aws:iot/certificate:Certificate": "iot_things",
    "aws:iot/roleAlias:RoleAlias": "iot_things",
    "aws:iot/provisioningTemplate:ProvisioningTemplate": "iot_fleet",
    "aws:iot/thingGroup:ThingGroup": "iot_fleet",
    "aws:iam/role:Role": "iam_role",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "iam_role",
    "aws:iam/rolePolicy:RolePolicy": "iam_role",
    "aws:ec2/flowLog:FlowLog": "flow_log",
    "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList": "resolver_firewall",
    "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup": "resolver_firewall",
    "aws:route53/resolverFirewallRule:ResolverFirewallRule": "resolver_firewall",
    "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation": "resolver_firewall",
    "aws:route53/resolverFirewallConfig:ResolverFirewallConfig": "resolver_firewall",
    "aws:iot/policyAttachment:PolicyAttachment": "iot_things",
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment": "iot_things",
}
_FUNCTIONS: Final = (
    "aws:index/getRegion:getRegion",
    "aws:index/getCallerIdentity:getCallerIdentity",
    "aws:index/getAvailabilityZones:getAvailabilityZones",
    "aws:ec2/getSubnet:getSubnet",
    "aws:ec2/getVpc:getVpc",
    "aws:ec2/getVpcEndpointService:getVpcEndpointService",
    "aws:iot/getEndpoint:getEndpoint",
    "aws:acmpca/getCertificateAuthority:getCertificateAuthority",
)
_SERVICES_OF_ENDPOINTS: Final = {"cloudwatchlogs": "logs", "cloudwatchlog": "logs"}
# pulumi_aws/provider.py: the configuration that is text
_STRINGS: Final = frozenset(
    (
        "accessKey",
        "customCaBundle",
        "ec2MetadataServiceEndpoint",
        "ec2MetadataServiceEndpointMode",
        "httpProxy",
        "httpsProxy",
        "noProxy",
        "profile",
        "region",
        "retryMode",
        "s3UsEast1RegionalEndpoint",
        "secretKey",
        "stsRegion",
        "tagPolicyCompliance",
        "token",
    )
)
# pulumi_aws/provider.py: the configuration that travels as JSON
_OTHERS: Final = frozenset(
    (
        "allowedAccountIds",
        "assumeRoleWithWebIdentity",
        "assumeRoles",
        "defaultTags",
        "endpoints",
        "forbiddenAccountIds",
        "ignoreTags",
        "insecure",
        "maxRetries",
        "s3UsePathStyle",
        "sharedConfigFiles",
        "sharedCredentialsFiles",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "tokenBucketRateLimiterCapacity",
        "useDualstackEndpoint",
        "useFipsEndpoint",
        "userAgents",
    )
)
_BOOKKEEPING: Final = frozenset({"version", "pluginDownloadURL"})


class AwsProvider:
    """The stand-in for `pulumi-resource-aws`."""

    name = "aws"
    version = "7.51.1"
    configuration_that_replaces = frozenset({"region"})

    def __init__(self) -> None:
        self._session: Any = None
        self._configuration: Properties = {}
        self.resources: Mapping[str, Resource] = _Lazy(_RESOURCES, "RESOURCES")
        self.functions: Mapping[str, Function] = _Lazy(dict.fromkeys(_FUNCTIONS, "functions"), "FUNCTIONS")

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
        failures = [
            Failure(
                name,
                f'could not validate provider configuration: Invalid or unknown key. "{name}" is not expected here',
            )
            for name in sorted(given)
            if name not in _STRINGS | _OTHERS | _BOOKKEEPING and not name.startswith("__")
        ]
        if _region(given) is None:
            failures.append(
                Failure(
                    "region", "Missing region configuration: set `aws:region` or the environment variable AWS_REGION"
                )
            )
        return failures

    def configure(self, given: Properties) -> None:
        """Takes the configuration and begins to load what the first calls need.

        Raises:
            ProviderError: Without a Region, or where no credentials can be found.
        """
        configuration = {name: _parsed(name, value) for name, value in given.items()}
        region = _region(configuration)
        if region is None:
            raise ProviderError("Missing region configuration: set `aws:region` or the environment variable AWS_REGION")
        self._configuration = {**configuration, "region": region}
        if region is not UNKNOWN:
            self._session = _session(self._configuration)
            threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def before_check(self, resource: Resource, given: Properties) -> Properties:
        """Adds the Region and all tags, as pulumi-aws does (``provider/region.go``, ``provider/tags.go``)."""
        inputs = dict(given)
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
        return {name: value for name, value in state.items() if value is not None}

    def explain(self, error: Exception) -> str:
        """One line: what was done, AWS's code and message."""
        from lab.providers.aws.clients import explain  # noqa: PLC0415  # botocore loads while the program runs

        return explain(error)

    def _warm_up(self) -> None:
        """Loads the largest of botocore's models (EC2's takes half a second) while the engine runs the program."""
        with contextlib.suppress(Exception):  # the first real call meets the same error and tells it
            self._session.client("ec2")
            self._session.account  # noqa: B018  # asked for by most calls


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


def _session(configuration: Properties) -> Any:
    from lab.providers.aws.clients import MAXIMUM_RETRIES, Session  # noqa: PLC0415  # as above

    endpoints = {
        _SERVICES_OF_ENDPOINTS.get(service, service): url
        for entry in configuration.get("endpoints") or []
        for service, url in entry.items()
    }
    retries = configuration.get("maxRetries")
    return Session(
        configuration["region"],
        access_key=configuration.get("accessKey"),
        secret_key=configuration.get("secretKey"),
        token=configuration.get("token"),
        profile=configuration.get("profile"),
        endpoints=endpoints,
        maximum_retries=MAXIMUM_RETRIES if retries is None else int(retries),
    )


def _region(configuration: Properties) -> Any:
    return configuration.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _parsed(name: str, value: Any) -> Any:
    """What is no string comes as JSON text from stack configuration and from SDKs."""
    if name in _STRINGS | _BOOKKEEPING or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ProviderError(f"provider configuration `{name}`: not JSON") from None
