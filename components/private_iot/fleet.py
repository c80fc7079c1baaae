"""Devices that get their identity at their first connection: a stack that does not grow with them."""

import hashlib
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from private_iot import endpoint_service, fleet_policy, names
from private_iot.arguments import (
    Setting,
    boolean,
    checked_arguments,
    one_of,
    require_arguments,
    string_list,
    string_map,
)
from private_iot.device import BUNDLE_VERSION_WITHOUT
from private_iot.device_path import DevicePath
from private_iot.errors import ArgumentError, UnknownArgumentError
from private_iot.template_versions import TemplateVersions

TYPE = "private-iot:index:IotFleetProvisioning"
MANAGED_POLICY = "service-role/AWSIoTThingsRegistration"
"""What AWS IoT needs to provision (AWS IoT developer guide, "Provisioning by claim")."""
_LONGEST = "x" * 128
"""A name of the longest that a thing group or a policy has, for the template's size before they exist."""


class IotFleetProvisioningArgs(TypedDict):
    """Arguments of `IotFleetProvisioning`."""

    batches: dict[str, DevicePath]
    """Batch → its way to AWS IoT: the VPN's `paths[BATCH]`, with the batch's certificate. Each gets a claim."""
    template_name: NotRequired[str]
    """The provisioning template's name, one of its account and Region; claims hold it. Default: the component's name
    and the stack's."""
    thing_name_pattern: NotRequired[str]
    """Names of the things: the device's serial number stands for `{SerialNumber}`. Default: {SerialNumber}."""
    serial_numbers: NotRequired[list[str]]
    """The only serial numbers that may be provisioned, some 150; a hook has no such limit. Default: every one."""
    existing_thing: NotRequired[str]
    """What it means that there is a thing of the name already: `FAIL` refuses the device, `DO_NOTHING` gives it a
    certificate of that thing, so that whoever has a claim can become any device of the fleet. Default: FAIL."""
    pre_provisioning_hook_arn: NotRequired[pulumi.Input[str]]
    """A Lambda function that AWS IoT asks before it provisions; it must let iot.amazonaws.com invoke it.
    Default: none."""
    delete_old_versions: NotRequired[bool]
    """Whether the oldest of the template's five versions goes before a change makes the sixth, which AWS IoT refuses;
    asked with boto3's own credentials. Default: true."""
    revoked: NotRequired[list[str]]
    """Batches whose claims are refused; the VPN's `revoked` takes their tunnels. Default: none."""
    root_ca_pem: NotRequired[pulumi.Input[str]]
    """Authorities that the devices trust for the data endpoint, PEM. Default: the device's own list."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name. Default: none."""


def batch_names(argument: str, values: object) -> list[str]:
    """Return names of batches, which are common names of their VPN certificates."""
    return [*names.device_names(argument, values)]


SETTINGS: dict[str, Setting] = {
    "template_name": Setting(read=fleet_policy.template_name, default_text="the component's name and the stack's"),
    "thing_name_pattern": Setting(read=fleet_policy.thing_name_pattern, default=fleet_policy.SERIAL_NUMBER),
    "serial_numbers": Setting(read=fleet_policy.serial_numbers, default=[], default_text="every one"),
    "existing_thing": Setting(read=one_of("FAIL", "DO_NOTHING", source="OverrideSettings"), default="FAIL"),
    "pre_provisioning_hook_arn": Setting(read=fleet_policy.hook_arn, default_text="none"),
    "delete_old_versions": Setting(read=boolean, default=True),
    "revoked": Setting(read=string_list, default=[], default_text="none"),
    "root_ca_pem": Setting(read=lambda _, value: value, default_text="the device's own list"),
    "tags": Setting(read=string_map, default={}, default_text="none"),
}


class IotFleetProvisioning(pulumi.ComponentResource):
    """A provisioning template, and for each batch of devices a claim to be provisioned by it."""

    template_name: pulumi.Output[str]
    """The provisioning template."""
    thing_group_name: pulumi.Output[str]
    """The group that every provisioned thing joins."""
    claims: pulumi.Output[dict[str, Any]]
    """Batch → the claim bundle, which `device-agent provision -` takes. Secret."""

    def __init__(self, name: str, args: IotFleetProvisioningArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the template and the claims.

        Args:
            name: The first part of every child's name and Name tag.
            args: Which batches there are, and who may be provisioned.
            opts: Options of the component; its children use its aws and tls providers.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = self.check(args)
        require_arguments("IotFleetProvisioning", args, IotFleetProvisioningArgs)
        if "template_name" not in arguments:
            default = f"{name}-{pulumi.get_stack()}".replace(".", "-")
            arguments["template_name"] = fleet_policy.template_name("template_name", default)
        caller = endpoint_service.caller(endpoint_service.invoke_options(opts))
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._arguments = arguments
        self._children = pulumi.ResourceOptions(parent=self)
        first = next(iter(arguments["batches"].values()))
        self.thing_group = aws.iot.ThingGroup(f"{name}-things", tags=self._tags("things"), opts=self._children)
        self.template = self._template(caller, first)
        self.claim_policy = aws.iot.Policy(
            f"{name}-claim-policy",
            policy=pulumi.Output.all(self.template.name, first["vpc_endpoint_id"]).apply(
                lambda known: fleet_policy.claim_document(
                    arn=f"arn:{caller.partition}:iot:{caller.region}:{caller.account_id}",
                    template=known[0],
                    vpc_endpoint_id=known[1],
                )
            ),
            tags=self._tags("claim-policy"),
            opts=self._children,
        )
        self.template_name = self.template.name
        self.thing_group_name = self.thing_group.name
        self.claims = pulumi.Output.secret(
            {batch: self._claim(batch, path) for batch, path in arguments["batches"].items()}
        )
        # Without the claims: the state would keep each secret once more.
        self.register_outputs({"templateName": self.template_name, "thingGroupName": self.thing_group_name})

    @staticmethod
    def check(args: Mapping[str, Any]) -> IotFleetProvisioningArgs:
        """Refuse bad arguments without registering anything.

        Args:
            args: Arguments of this component; those that are still to come may be missing.

        Returns:
            The arguments with their defaults.

        Raises:
            ArgumentError: One is refused.
        """
        arguments = checked_arguments("IotFleetProvisioning", args, IotFleetProvisioningArgs, SETTINGS)
        listed = arguments["serial_numbers"]
        fleet_policy.check_body("serial_numbers", _body(arguments, _LONGEST, _LONGEST, {}), listed)
        batches: Any = arguments.get("batches")
        if batches is None:
            return arguments
        if not isinstance(batches, Mapping) or not batches:
            raise ArgumentError(
                "batches", batches, "it must be a map with a batch at least", "pass {'first': vpn.paths['first']}"
            )
        for batch, path in batches.items():
            names.device_name("batches", batch)
            for part in ("vpn_config", *DevicePath.__required_keys__):
                if path.get(part) is None:
                    raise UnknownArgumentError("batches", f"batches.{batch} lacks {part}: pass vpn.paths[{batch!r}]")
        for batch in arguments["revoked"]:
            if batch not in batches:
                raise ArgumentError("revoked", batch, f"the batches are {', '.join(batches)}", "correct the name")
        return arguments

    def _tags(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**self._arguments["tags"], "Name": f"{self._prefix}-{suffix}"}

    def _template(self, caller: endpoint_service.Caller, path: DevicePath) -> "aws.iot.ProvisioningTemplate":
        arguments = self._arguments
        trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = aws.iam.Role(
            f"{self._prefix}-provisioning",
            assume_role_policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [trust]}),
            tags=self._tags("provisioning"),
            opts=self._children,
        )
        before: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{self._prefix}-provisioning-policy",
                role=role.name,
                policy_arn=f"arn:{caller.partition}:iam::aws:policy/{MANAGED_POLICY}",
                opts=self._children,
            )
        ]
        owner = {"project": pulumi.get_project(), "stack": pulumi.get_stack()}
        body = pulumi.Output.all(path["policy_name"], self.thing_group.name).apply(
            lambda known: fleet_policy.check_body(
                "serial_numbers", _body(arguments, known[0], known[1], owner), arguments["serial_numbers"]
            )
        )
        if arguments["delete_old_versions"]:
            before.append(
                TemplateVersions(
                    f"{self._prefix}-template-versions",
                    template=arguments["template_name"],
                    body_hash=body.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()),
                    region=caller.region,
                    opts=self._children,
                )
            )
        hook = arguments.get("pre_provisioning_hook_arn")
        return aws.iot.ProvisioningTemplate(
            f"{self._prefix}-template",
            name=arguments["template_name"],
            type="FLEET_PROVISIONING",
            description="Provisions devices by claim",
            enabled=True,
            provisioning_role_arn=role.arn,
            pre_provisioning_hook=(
                aws.iot.ProvisioningTemplatePreProvisioningHookArgs(target_arn=hook) if hook is not None else None
            ),
            template_body=body,
            tags=self._tags("template"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=before),
        )

    def _claim(self, batch: str, path: DevicePath) -> dict[str, Any]:
        key = tls.PrivateKey(f"{batch}-claim-key", algorithm="ECDSA", ecdsa_curve="P256", opts=self._children)
        request = tls.CertRequest(
            f"{batch}-claim-request",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=batch),
            opts=self._children,
        )
        certificate = aws.iot.Certificate(
            f"{batch}-claim",
            csr=request.cert_request_pem,
            active=batch not in self._arguments["revoked"],
            opts=self._children,
        )
        aws.iot.PolicyAttachment(
            f"{batch}-claim-policy-attachment",
            policy=self.claim_policy.name,
            target=certificate.arn,
            opts=self._children,
        )
        iot: dict[str, Any] = {"endpoint": path["iot_endpoint"]}
        if "root_ca_pem" in self._arguments:
            iot["rootCaPem"] = self._arguments["root_ca_pem"]
        return {
            "version": BUNDLE_VERSION_WITHOUT,
            "name": batch,
            "region": path["region"],
            "vpn": {"config": path["vpn_config"]},
            "iot": iot,
            "network": {
                "vpcCidr": path["vpc_cidr_block"],
                "dnsServer": path["dns_server"],
                "vpcEndpointId": path["vpc_endpoint_id"],
            },
            "topicPrefix": path["topic_prefix"],
            "claim": {
                "templateName": self.template.name,
                "thingNamePattern": self._arguments["thing_name_pattern"],
                "certificatePem": certificate.certificate_pem,
                "privateKeyPem": key.private_key_pem_pkcs8,
            },
        }


def _body(arguments: IotFleetProvisioningArgs, policy_name: str, thing_group: str, attributes: dict[str, str]) -> str:
    return fleet_policy.template_body(
        pattern=arguments["thing_name_pattern"],
        listed=arguments["serial_numbers"],
        existing_thing=arguments["existing_thing"],
        attributes=attributes,
        policy_name=policy_name,
        thing_group=thing_group,
    )
