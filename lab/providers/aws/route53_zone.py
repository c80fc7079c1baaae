"""`aws:route53/zone:Zone`. Source: terraform-provider-aws ``internal/service/route53/zone.go``."""

import time
from typing import Any

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.schema import AutoName, Timeouts, boolean, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("NoSuchHostedZone",)


def clean_zone_id(identifier: str) -> str:
    """`/hostedzone/Z…` without what stands before the id."""
    return identifier.removeprefix("/hostedzone/")


def wait_in_sync(call: Call, change: dict[str, Any]) -> None:
    """Waits until a change has reached all of Route 53's name servers."""
    route53 = call.client("route53")
    identifier = change["Id"].removeprefix("/change/")

    def in_sync() -> bool | None:
        what = f"reading Route 53 Change ({identifier})"
        status = attempt(what, lambda: route53.get_change(Id=identifier)["ChangeInfo"]["Status"])
        return True if status == "INSYNC" else None

    if change.get("Status") != "INSYNC":
        call.wait_until(f"Route 53 Change ({identifier}) to be in sync", in_sync)


def _create(call: Call, inputs: Properties) -> str:
    route53, vpcs, name = call.client("route53"), inputs.get("vpcs") or [], inputs["name"]
    arguments: dict[str, Any] = {"HostedZoneConfig": {"Comment": inputs.get("comment", ""), "PrivateZone": bool(vpcs)}}
    if vpcs:
        arguments["VPC"] = _vpc(call, vpcs[0])
    if inputs.get("delegationSetId"):
        arguments["DelegationSetId"] = inputs["delegationSetId"]
    answer = attempt(
        f"creating Route53 Hosted Zone ({name})",
        lambda: route53.create_hosted_zone(Name=name, CallerReference=f"private-iot-{time.time_ns()}", **arguments),
    )
    wait_in_sync(call, answer["ChangeInfo"])
    return clean_zone_id(answer["HostedZone"]["Id"])


def _vpc(call: Call, entry: Properties) -> dict[str, str]:
    return {"VPCId": entry["vpcId"], "VPCRegion": entry.get("vpcRegion") or call.session.region}


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    for entry in (inputs.get("vpcs") or [])[1:]:
        _associate(call, identifier, entry, associate=True)
    _ZONE.change_tags(call, identifier, {}, inputs)


def _associate(call: Call, identifier: str, entry: Properties, *, associate: bool) -> None:
    route53, vpc = call.client("route53"), _vpc(call, entry)
    action = route53.associate_vpc_with_hosted_zone if associate else route53.disassociate_vpc_from_hosted_zone
    answer = unless_gone(
        f"updating Route53 Hosted Zone ({identifier}): VPC ({vpc['VPCId']})",
        ("VPCAssociationNotFound",),
        lambda: action(HostedZoneId=identifier, VPC=vpc),
    )
    if answer:
        wait_in_sync(call, answer["ChangeInfo"])


def _seen(call: Call, answer: Answer, state: Properties) -> Properties:
    del state
    zone = answer["HostedZone"]
    identifier, servers = clean_zone_id(zone["Id"]), _name_servers(call, zone, answer)
    vpcs = [{"vpcId": vpc["VPCId"], "vpcRegion": vpc["VPCRegion"]} for vpc in answer.get("VPCs") or []]
    delegation = ((answer.get("DelegationSet") or {}).get("Id") or "").removeprefix("/delegationset/")
    return {
        "arn": f"arn:{call.session.partition}:route53:::hostedzone/{identifier}",
        "comment": (zone.get("Config") or {}).get("Comment", ""),
        "delegationSetId": delegation,
        "enableAcceleratedRecovery": False,
        "id": identifier,
        "name": zone["Name"].removesuffix("."),
        "nameServers": sorted(servers),
        "primaryNameServer": servers[0] if servers else "",
        "vpcs": sorted(vpcs, key=lambda entry: entry["vpcId"]),
        "zoneId": identifier,
    }


def _name_servers(call: Call, zone: Answer, answer: Answer) -> list[str]:
    """A public zone's from its delegation set, a private one's from its own NS record."""
    if not (zone.get("Config") or {}).get("PrivateZone"):
        return list((answer.get("DelegationSet") or {}).get("NameServers") or [])
    records = call.client("route53").list_resource_record_sets(
        HostedZoneId=zone["Id"], StartRecordName=zone["Name"], StartRecordType="NS", MaxItems="1"
    )["ResourceRecordSets"]
    if not records or records[0]["Type"] != "NS" or records[0]["Name"] != zone["Name"]:
        return []
    return [record["Value"] for record in records[0].get("ResourceRecords") or []]


def _more(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    if "vpcs" in changed:
        old, new = ({entry["vpcId"]: entry for entry in given.get("vpcs") or []} for given in (state, inputs))
        # The new ones first: a private zone without a VPC cannot be.
        for vpc in sorted(new.keys() - old.keys()):
            _associate(call, identifier, new[vpc], associate=True)
        for vpc in sorted(old.keys() - new.keys()):
            _associate(call, identifier, old[vpc], associate=False)


def _delete_records(call: Call, identifier: str, state: Properties) -> None:
    """Before a forced removal: all records but the zone's own NS and SOA."""
    answer = _ZONE.found(call, identifier, state) if state.get("forceDestroy") else None
    if answer is None:
        return
    zone, route53 = answer["HostedZone"], call.client("route53")
    pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=identifier)
    batch = [
        {"Action": "DELETE", "ResourceRecordSet": record}
        for page in pages
        for record in page["ResourceRecordSets"]
        if not (record["Name"] == zone["Name"] and record["Type"] in ("NS", "SOA"))
    ]
    if batch:
        attempt(
            f"deleting Route53 Hosted Zone ({identifier}) records",
            lambda: route53.change_resource_record_sets(HostedZoneId=identifier, ChangeBatch={"Changes": batch}),
        )


def _delete(call: Call, identifier: str, _state: Properties) -> None:
    wait_in_sync(call, call.client("route53").delete_hosted_zone(Id=identifier)["ChangeInfo"])


def _comment(value: str) -> str | None:
    return None if len(value) <= 256 else f"expected length of comment to be in the range (0 - 256), got {len(value)}"


def same_name(old: str, new: str) -> bool:
    """Names without regard to case and to the final dot (NormalizeZoneName in the provider)."""
    return old.lower().removesuffix(".") == new.lower().removesuffix(".")


_ZONE = Description(
    type="aws:route53/zone:Zone",
    title="Route53 Hosted Zone",
    service="route53",
    regional=False,
    inputs={
        # pulumi-aws provider/resources.go: "Managed by Pulumi" where Terraform says "Managed by Terraform".
        "comment": string(default="Managed by Pulumi", validate=_comment),
        "delegationSetId": string(force_new=True, conflicts=("vpcs",)),
        "enableAcceleratedRecovery": boolean(computed=True),
        "forceDestroy": boolean(default=False),
        "name": string(force_new=True, same=same_name),
        "vpcs": set_of(
            object_of({"vpcId": string(required=True), "vpcRegion": string(computed=True)}),
            minimum=1,
            conflicts=("delegationSetId",),
        ),
    },
    outputs={"arn": string(), "nameServers": set_of(string()), "primaryNameServer": string(), "zoneId": string()},
    find=("get_hosted_zone", "Id", ""),
    gone=_GONE,
    create=_create,
    modify=("update_hosted_zone_comment", "Id"),
    changed_arguments=lambda _state, inputs, changed: (
        {"Comment": inputs.get("comment", "")} if "comment" in changed else {}
    ),
    kept=("forceDestroy",),
    tags="route53",
    settle=_settle,
    seen=_seen,
    more=_more,
    before_delete=_delete_records,
    delete=_delete,
    identify=lambda _call, identifier, _state: clean_zone_id(identifier),
)

RESOURCES = settled([_ZONE.resource(autoname=AutoName(), timeouts=Timeouts(create=1800, update=1800, delete=1800))])
