"""The private door of AWS IoT Core: interface endpoint, the name that leads to it, and the policy bound to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, Self, TypedDict

import pulumi
import pulumi_aws as aws

from private_iot import iot_policy, lookups
from private_iot.arguments import flag, given, require
from private_iot.endpoint_dns import regional_entry
from private_iot.errors import ArgumentError

TYPE = "private-iot:index:IotPrivateLink"


class IotPrivateLinkArgs(TypedDict):
    """Arguments of `IotPrivateLink`."""

    vpc_id: pulumi.Input[str]
    """The VPC that the private hosted zone is visible in."""
    subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Where the endpoint gets its addresses, one subnet a zone."""
    security_group_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Groups of the endpoint's interfaces."""
    topic_prefix: NotRequired[str]
    """A device may use the topics `PREFIX/THING/…` only. Default: private-iot."""
    extra_topics: NotRequired[list[str]]
    """Further topics for every device, as IoT policies write them (`*` stands for anything). Default: none."""
    allow_all_iot_actions: NotRequired[bool]
    """Whether the policy is the walk-through's `iot:*` on `*`, through the endpoint only. Default: false."""
    credentials_endpoint: NotRequired[bool]
    """Whether the credential provider gets an interface endpoint and a private name too. Default: false."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments:
    topic_prefix: str
    extra_topics: tuple[str, ...]
    allow_all_iot_actions: bool
    credentials_endpoint: bool
    tags: dict[str, pulumi.Input[str]]

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Self:
        values = given("IotPrivateLink", args, IotPrivateLinkArgs)
        arguments = cls(
            topic_prefix=iot_policy.topic_prefix("topic_prefix", values.get("topic_prefix", "private-iot")),
            extra_topics=iot_policy.extra_topics("extra_topics", values.get("extra_topics", [])),
            allow_all_iot_actions=flag("allow_all_iot_actions", values.get("allow_all_iot_actions", False)),
            credentials_endpoint=flag("credentials_endpoint", values.get("credentials_endpoint", False)),
            tags=dict(values.get("tags", {})),
        )
        if arguments.allow_all_iot_actions and arguments.extra_topics:
            raise ArgumentError(
                "extra_topics",
                list(arguments.extra_topics),
                "allow_all_iot_actions already allows every topic",
                "leave one of the two out",
            )
        iot_policy.check_before_placement("extra_topics", arguments.topic_prefix, arguments.extra_topics)
        return arguments

    def check_in(self, place: lookups.Place) -> None:
        iot_policy.check_placed(
            "extra_topics",
            self.topic_prefix,
            self.extra_topics,
            partition=place.partition,
            region=place.region,
            account_id=place.account_id,
        )


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
        arguments = _Arguments.of(args)
        require("IotPrivateLink", args, IotPrivateLinkArgs)
        options = lookups.invoke_options(opts)
        place = lookups.place(options)
        arguments.check_in(place)
        data_address = lookups.iot_endpoint("iot:Data-ATS", options)
        credentials_address = (
            lookups.iot_endpoint("iot:CredentialProvider", options) if arguments.credentials_endpoint else None
        )
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._args = args
        self._tags = arguments.tags

        data = self._private_endpoint("privatelink", lookups.service_name(place.region, lookups.IOT_DATA), data_address)
        self.credential_provider_endpoint = None
        if credentials_address is not None:
            service = lookups.service_name(place.region, lookups.IOT_CREDENTIALS)
            self._private_endpoint("privatelink-credentials", service, credentials_address)
            self.credential_provider_endpoint = pulumi.Output.from_input(credentials_address)
        policy = self._policy(arguments, place, data.id)

        self.region = pulumi.Output.from_input(place.region)
        self.iot_endpoint = pulumi.Output.from_input(data_address)
        self.vpc_endpoint_id = data.id
        self.policy_name = policy.name
        self.policy_document = policy.policy
        self.topic_prefix = pulumi.Output.from_input(arguments.topic_prefix)
        self.register_outputs(
            {
                "region": self.region,
                "iotEndpoint": self.iot_endpoint,
                "credentialProviderEndpoint": self.credential_provider_endpoint,
                "vpcEndpointId": self.vpc_endpoint_id,
                "policyName": self.policy_name,
                "policyDocument": self.policy_document,
                "topicPrefix": self.topic_prefix,
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any]) -> None:
        """Refuse bad arguments without asking AWS or registering anything.

        Args:
            args: Arguments of this component; those that are still to come may be missing.

        Raises:
            ArgumentError: One is refused.
        """
        _Arguments.of(args)

    def _private_endpoint(self, suffix: str, service_name: str, address: str) -> aws.ec2.VpcEndpoint:
        """Make an interface endpoint, and a private hosted zone that is the address and leads to it.

        AWS IoT does not support private DNS for these services: the zone has the full address as its name and one
        alias at its apex (AWS IoT developer guide, "Using AWS IoT Core with interface VPC endpoints").
        """
        children = pulumi.ResourceOptions(parent=self)
        endpoint = aws.ec2.VpcEndpoint(
            f"{self._prefix}-{suffix}",
            vpc_id=self._args["vpc_id"],
            service_name=service_name,
            vpc_endpoint_type="Interface",
            private_dns_enabled=False,
            subnet_ids=self._args["subnet_ids"],
            security_group_ids=self._args["security_group_ids"],
            tags={**self._tags, "Name": f"{self._prefix}-{suffix}"},
            opts=children,
        )
        zone = aws.route53.Zone(
            f"{self._prefix}-{suffix}-zone",
            name=address,
            comment=f"{address} through {self._prefix}-{suffix}",
            vpcs=[aws.route53.ZoneVpcArgs(vpc_id=self._args["vpc_id"])],
            tags={**self._tags, "Name": f"{self._prefix}-{suffix}-zone"},
            opts=children,
        )
        regional = endpoint.dns_entries.apply(
            lambda entries: regional_entry((entry.dns_name or "", entry.hosted_zone_id or "") for entry in entries)
        )
        aws.route53.Record(
            f"{self._prefix}-{suffix}-alias",
            zone_id=zone.zone_id,
            name=address,
            type="A",
            aliases=[aws.route53.RecordAliasArgs(name=regional[0], zone_id=regional[1], evaluate_target_health=False)],
            opts=children,
        )
        return endpoint

    def _policy(
        self, arguments: _Arguments, place: lookups.Place, vpc_endpoint_id: pulumi.Output[str]
    ) -> aws.iot.Policy:
        def written(endpoint_id: str) -> str:
            text = iot_policy.document(
                partition=place.partition,
                region=place.region,
                account_id=place.account_id,
                vpc_endpoint_id=endpoint_id,
                topic_prefix=arguments.topic_prefix,
                extra_topics=arguments.extra_topics,
                allow_all_iot_actions=arguments.allow_all_iot_actions,
            )
            return iot_policy.check_size("extra_topics", text, arguments.extra_topics)

        return aws.iot.Policy(
            f"{self._prefix}-policy",
            policy=vpc_endpoint_id.apply(written),
            tags={**self._tags, "Name": f"{self._prefix}-policy"},
            opts=pulumi.ResourceOptions(parent=self),
        )
