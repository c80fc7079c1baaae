"""The private door of AWS IoT Core: interface endpoint, the name that leads to it, and the policy bound to it."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from private_iot import dns_firewall, endpoint_service, iot_policy
from private_iot.arguments import (
    InstalledDevices,
    Setting,
    boolean,
    checked_arguments,
    require_arguments,
    string_map,
)
from private_iot.deployed import PRIVATE_LINK, DeployedResource, deployed_resources, warn_of_new_bundles
from private_iot.device_path import PrivateLinkPath
from private_iot.errors import ArgumentError

TYPE = PRIVATE_LINK
_EARLIER_TOPIC_PREFIX = "private-iot"
"""The default of releases that knew no other; a stack that has it keeps it."""


class IotPrivateLinkArgs(TypedDict):
    """Arguments of `IotPrivateLink`."""

    vpc_id: pulumi.Input[str]
    """The VPC that the private hosted zone is visible in."""
    subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Where the endpoint gets its addresses, one subnet a zone."""
    security_group_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Groups of the endpoint's interfaces."""
    topic_prefix: NotRequired[str]
    """A device may use the topics `PREFIX/THING/…` only. Default: the stack's name."""
    publish_topics: NotRequired[list[str]]
    """Further topics that every device may publish to, as IoT policies write them (`*` stands for anything).
    Default: none."""
    subscribe_topics: NotRequired[list[str]]
    """Further topics that every device may subscribe to and receive from. Default: none."""
    shadow_topics: NotRequired[bool]
    """Whether a device may use the topics of its thing's own shadows. Default: false."""
    jobs_topics: NotRequired[bool]
    """Whether a device may use the topics of its thing's own jobs. Default: false."""
    allow_all_iot_actions: NotRequired[bool]
    """Whether the policy is the walk-through's `iot:*` on `*`, through the endpoint only. Default: false."""
    credentials_endpoint: NotRequired[bool]
    """Whether the credential provider gets an interface endpoint and a private name too. Default: false."""
    role_aliases: NotRequired[list[str]]
    """Names of AWS IoT role aliases whose credentials a device may take, through that endpoint only. Default: none."""
    dns_firewall: NotRequired[bool]
    """Whether the VPC's resolver answers these private names only, and no public one. Default: false."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name. Default: none."""


SETTINGS: dict[str, Setting] = {
    "topic_prefix": Setting(
        read=iot_policy.topic_prefix,
        default_text="the stack's name",
        installed_devices=InstalledDevices.NEED_BUNDLE,
    ),
    "publish_topics": Setting(read=iot_policy.further_topics, default=[], default_text="none"),
    "subscribe_topics": Setting(read=iot_policy.further_topics, default=[], default_text="none"),
    "shadow_topics": Setting(read=boolean, default=False),
    "jobs_topics": Setting(read=boolean, default=False),
    "allow_all_iot_actions": Setting(read=boolean, default=False),
    "credentials_endpoint": Setting(read=boolean, default=False, installed_devices=InstalledDevices.WORK_AS_BEFORE),
    "role_aliases": Setting(read=iot_policy.role_aliases, default=[], default_text="none"),
    "dns_firewall": Setting(read=boolean, default=False),
    "tags": Setting(read=string_map, default={}, default_text="none"),
}


class IotPrivateLink(pulumi.ComponentResource):
    """AWS IoT Core inside a VPC: the account's usual endpoint name, answered by a private address."""

    region: pulumi.Output[str]
    """The Region of the endpoint."""
    iot_endpoint: pulumi.Output[str]
    """The account's data endpoint, `…-ats.iot.REGION.amazonaws.com`: the same name as on the internet."""
    credential_provider_endpoint: pulumi.Output[str] | None
    """The account's credential provider endpoint, if it was asked for."""
    vpc_endpoint_id: pulumi.Output[str]
    """The interface endpoint of AWS IoT data that the policy is bound to."""
    credentials_vpc_endpoint_id: pulumi.Output[str] | None
    """The interface endpoint of the credential provider, if it was asked for."""
    policy_name: pulumi.Output[str]
    """The IoT policy to attach to device certificates."""
    policy_document: pulumi.Output[str]
    """That policy as JSON."""
    topic_prefix: pulumi.Output[str]
    """The prefix: a device's own topics begin with `PREFIX/THING/`."""

    def __init__(self, name: str, args: IotPrivateLinkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the endpoint, its private name and the policy.

        Args:
            name: The first part of every child's name and Name tag.
            args: Where it should be, and what devices may do.
            opts: Options of the component; its children use its aws provider.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = self.check(args)
        require_arguments("IotPrivateLink", args, IotPrivateLinkArgs)
        options = endpoint_service.invoke_options(opts)
        caller = endpoint_service.caller(options)
        before = next((one for one in deployed_resources(TYPE) if one.name == name), None)
        default_prefix = _default_topic_prefix(before)
        rights = _rights(arguments, default_prefix)
        iot_policy.check_in(rights, partition=caller.partition, region=caller.region, account_id=caller.account_id)
        data_address = endpoint_service.iot_endpoint("iot:Data-ATS", options)
        credentials_address = (
            endpoint_service.iot_endpoint("iot:CredentialProvider", options)
            if arguments["credentials_endpoint"]
            else None
        )
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._arguments = arguments
        self._children = pulumi.ResourceOptions(parent=self)

        data_service = endpoint_service.service_name(caller.region, endpoint_service.IOT_DATA)
        self.vpc_endpoint, self.zone = self._private_endpoint("privatelink", data_service, data_address)
        self.credentials_vpc_endpoint: aws.ec2.VpcEndpoint | None = None
        self.credential_provider_endpoint = None
        self.credentials_vpc_endpoint_id = None
        if credentials_address is not None:
            service = endpoint_service.service_name(caller.region, endpoint_service.IOT_CREDENTIALS)
            self.credentials_vpc_endpoint, _ = self._private_endpoint(
                "privatelink-credentials", service, credentials_address
            )
            self.credential_provider_endpoint = pulumi.Output.from_input(credentials_address)
            self.credentials_vpc_endpoint_id = self.credentials_vpc_endpoint.id
        self.policy = self._policy(rights, caller)
        if arguments["dns_firewall"]:
            dns_firewall.answer_only(
                name,
                [address for address in (data_address, credentials_address) if address],
                vpc_id=arguments["vpc_id"],
                tags=arguments["tags"],
                parent=self,
            )

        self.region = pulumi.Output.from_input(caller.region)
        self.iot_endpoint = pulumi.Output.from_input(data_address)
        self.vpc_endpoint_id = self.vpc_endpoint.id
        self.policy_name = self.policy.name
        self.policy_document = self.policy.policy
        self.topic_prefix = pulumi.Output.from_input(rights.topic_prefix)
        self.path = self._path()
        known = warn_of_new_bundles(self, before, SETTINGS, {**arguments, "topic_prefix": rights.topic_prefix})
        self.register_outputs(
            {
                "region": self.region,
                "iotEndpoint": self.iot_endpoint,
                "credentialProviderEndpoint": self.credential_provider_endpoint,
                "vpcEndpointId": self.vpc_endpoint_id,
                "credentialsVpcEndpointId": self.credentials_vpc_endpoint_id,
                "policyName": self.policy_name,
                "policyDocument": self.policy_document,
                "topicPrefix": self.topic_prefix,
                "defaultTopicPrefix": default_prefix,
                "knownToDevices": known,
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any]) -> IotPrivateLinkArgs:
        """Return the arguments with their defaults, before AWS is asked; required ones may be missing still.

        Raises:
            ArgumentError: One is refused.
        """
        arguments = checked_arguments("IotPrivateLink", args, IotPrivateLinkArgs, SETTINGS)
        if arguments["allow_all_iot_actions"]:
            for name in ("publish_topics", "subscribe_topics", "shadow_topics", "jobs_topics"):
                if args.get(name):
                    raise ArgumentError(
                        name, args[name], "allow_all_iot_actions already allows every topic", "leave one of the two out"
                    )
        if arguments["role_aliases"] and not arguments["credentials_endpoint"]:
            raise ArgumentError(
                "role_aliases",
                arguments["role_aliases"],
                "devices take credentials through the private endpoint only, and there is none",
                "set credentials_endpoint to true",
            )
        iot_policy.check_smallest(_rights(arguments, "p"))
        return arguments

    def _path(self) -> PrivateLinkPath:
        path: PrivateLinkPath = {
            "region": self.region,
            "iot_endpoint": self.iot_endpoint,
            "vpc_endpoint_id": self.vpc_endpoint_id,
            "policy_name": self.policy_name,
            "topic_prefix": self.topic_prefix,
        }
        if self.credential_provider_endpoint is not None:
            path["credential_provider_endpoint"] = self.credential_provider_endpoint
        return path

    def _private_endpoint(
        self, suffix: str, service_name: str, address: str
    ) -> "tuple[aws.ec2.VpcEndpoint, aws.route53.Zone]":
        """Make an interface endpoint, and a private hosted zone that is the address and leads to it.

        AWS IoT does not support private DNS for these services: the zone has the full address as its name and one
        alias at its apex (AWS IoT developer guide, "Using AWS IoT Core with interface VPC endpoints").
        """
        vpc_id = self._arguments["vpc_id"]
        endpoint = aws.ec2.VpcEndpoint(
            f"{self._prefix}-{suffix}",
            vpc_id=vpc_id,
            service_name=service_name,
            vpc_endpoint_type="Interface",
            private_dns_enabled=False,
            subnet_ids=self._arguments["subnet_ids"],
            security_group_ids=self._arguments["security_group_ids"],
            tags=self._tags(suffix),
            opts=self._children,
        )
        zone = aws.route53.Zone(
            f"{self._prefix}-{suffix}-zone",
            name=address,
            comment=f"{address} through {self._prefix}-{suffix}",
            vpcs=[aws.route53.ZoneVpcArgs(vpc_id=vpc_id)],
            tags=self._tags(f"{suffix}-zone"),
            opts=self._children,
        )
        regional = endpoint.dns_entries.apply(
            lambda entries: endpoint_service.regional_entry(
                (entry.dns_name or "", entry.hosted_zone_id or "") for entry in entries
            )
        )
        aws.route53.Record(
            f"{self._prefix}-{suffix}-alias",
            zone_id=zone.zone_id,
            name=address,
            type="A",
            aliases=[aws.route53.RecordAliasArgs(name=regional[0], zone_id=regional[1], evaluate_target_health=False)],
            opts=self._children,
        )
        return endpoint, zone

    def _tags(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**self._arguments["tags"], "Name": f"{self._prefix}-{suffix}"}

    def _policy(self, rights: iot_policy.Rights, caller: endpoint_service.Caller) -> "aws.iot.Policy":
        def written(endpoint_ids: list[str]) -> str:
            text = iot_policy.document(
                rights,
                partition=caller.partition,
                region=caller.region,
                account_id=caller.account_id,
                vpc_endpoint_id=endpoint_ids[0],
                credentials_vpc_endpoint_id=endpoint_ids[1],
            )
            return iot_policy.check_size(text, rights)

        endpoint_ids = pulumi.Output.all(self.vpc_endpoint.id, self.credentials_vpc_endpoint_id or "")
        return aws.iot.Policy(
            f"{self._prefix}-policy",
            policy=endpoint_ids.apply(written),
            tags=self._tags("policy"),
            opts=self._children,
        )


def _rights(arguments: IotPrivateLinkArgs, default_prefix: str) -> iot_policy.Rights:
    return iot_policy.Rights(
        topic_prefix=arguments.get("topic_prefix", default_prefix),
        publish_topics=arguments["publish_topics"],
        subscribe_topics=arguments["subscribe_topics"],
        shadow_topics=arguments["shadow_topics"],
        jobs_topics=arguments["jobs_topics"],
        allow_all_iot_actions=arguments["allow_all_iot_actions"],
        role_aliases=arguments["role_aliases"],
    )


def _default_topic_prefix(before: DeployedResource | None) -> str:
    """The prefix where none is given: the stack's name, since topics are the whole account's; once chosen, it stays."""
    if before and before.outputs:
        return str(before.outputs.get("defaultTopicPrefix", _EARLIER_TOPIC_PREFIX))
    return iot_policy.topic_prefix("topic_prefix", pulumi.get_stack())
