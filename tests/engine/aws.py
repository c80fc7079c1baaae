"""What a boto3 client sees of a cloud."""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

REGION = "ap-northeast-1"


@dataclass(frozen=True)
class Cloud:
    """A cloud server, through boto3 and through the lab's own HTTP."""

    url: str

    def client(self, service: str, region: str = REGION) -> Any:
        return _client(self.url, service, region)

    def calls(self, *operations: str) -> list[dict[str, Any]]:
        """Return the calls that the cloud has answered, in order; those of some operations only, when named."""
        calls: list[dict[str, Any]] = self._lab("GET", "calls")
        return [call for call in calls if not operations or call["operation"] in operations]

    def forget_calls(self) -> None:
        self._lab("DELETE", "calls")

    def faults(self, *faults: dict[str, Any]) -> None:
        """Let the next calls that fit fail; no fault clears those that are left."""
        self._lab("PUT", "faults", list(faults))

    def detach_late(self, looks: int) -> None:
        """Let each later detachment of a thing's principal outlive some looks at it; 0 detaches at once again."""
        self._lab("PUT", "iot/late-detachment", looks)

    def called(self, *operations: str) -> Callable[[], bool]:
        """Return a condition: one of the operations was answered. The condition itself waits a moment."""

        def reached() -> bool:
            time.sleep(0.02)
            return bool(self.calls(*operations))

        return reached

    def _lab(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_lab/{path}", data=data, method=method)  # noqa: S310  # loopback
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  # loopback
            return json.load(response)

    def inventory(self) -> dict[str, list[str]]:
        """Return everything that a stack can leave behind: kind → the identifiers, with what belongs to each.

        Two inventories are equal exactly when nothing was left and nothing was taken.
        """
        ec2, iot, dns = self.client("ec2"), self.client("iot"), self.client("route53")
        firewall = self.client("route53resolver")
        zones = dns.list_hosted_zones()["HostedZones"]
        return {
            "vpc": _texts(ec2.describe_vpcs()["Vpcs"]),
            "subnet": _texts(ec2.describe_subnets()["Subnets"]),
            "routeTable": _texts(ec2.describe_route_tables()["RouteTables"]),
            # The rules, in an order that means nothing here, are a kind of their own below.
            "securityGroup": _texts(
                {name: value for name, value in group.items() if not name.startswith("IpPermissions")}
                for group in ec2.describe_security_groups()["SecurityGroups"]
            ),
            "securityGroupRule": _texts(ec2.describe_security_group_rules()["SecurityGroupRules"]),
            "vpcEndpoint": _texts(ec2.describe_vpc_endpoints()["VpcEndpoints"]),
            "networkInterface": _texts(ec2.describe_network_interfaces()["NetworkInterfaces"]),
            # An endpoint passes through pending-associate on its own.
            "clientVpnEndpoint": _texts(
                {name: value for name, value in endpoint.items() if name != "Status"}
                for endpoint in ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
            ),
            "hostedZone": _texts(zones),
            "record": _texts(
                {"zone": zone["Id"], **record}
                for zone in zones
                for record in dns.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
            ),
            "acmCertificate": _texts(self.client("acm").list_certificates()["CertificateSummaryList"]),
            "logGroup": _texts(self.client("logs").describe_log_groups()["logGroups"]),
            "iamRole": _texts(self.client("iam").list_roles()["Roles"]),
            "thingGroup": _texts(iot.list_thing_groups()["thingGroups"]),
            "provisioningTemplate": _texts(iot.list_provisioning_templates()["templates"]),
            "iotRoleAlias": _texts(iot.list_role_aliases()["roleAliases"]),
            "flowLog": _texts(ec2.describe_flow_logs()["FlowLogs"]),
            "firewallDomainList": _texts(firewall.list_firewall_domain_lists()["FirewallDomainLists"]),
            "firewallRuleGroup": _texts(firewall.list_firewall_rule_groups()["FirewallRuleGroups"]),
            "firewallAssociation": _texts(
                firewall.list_firewall_rule_group_associations()["FirewallRuleGroupAssociations"]
            ),
            "iotPolicy": _texts(iot.list_policies()["policies"]),
            "thing": _texts(iot.list_things()["things"]),
            "iotCertificate": _texts(iot.list_certificates()["certificates"]),
        }


def _texts(things: Any) -> list[str]:
    return sorted(json.dumps(thing, sort_keys=True, default=str) for thing in things)


@cache
def _client(url: str, service: str, region: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="lab",
        aws_secret_access_key="lab",
        config=Config(retries={"max_attempts": 2}, connect_timeout=60, read_timeout=60),
    )
