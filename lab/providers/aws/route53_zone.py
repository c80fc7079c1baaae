"""`aws:route53/zone:Zone`. Source: terraform-provider-aws ``internal/service/route53/zone.go``."""

import time
from typing import Any

from lab.providers.aws.common import TAGS, attempt, unless_gone
from lab.providers.aws.tags import changes, from_list, to_list
from lab.providers.schema import AutoName, Resource, Timeouts, boolean, object_of, set_of, string
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
    route53 = call.client("route53")
    vpcs = inputs.get("vpcs") or []
    arguments: dict[str, Any] = {"HostedZoneConfig": {"Comment": inputs.get("comment", ""), "PrivateZone": bool(vpcs)}}
    if vpcs:
        arguments["VPC"] = _vpc(call, vpcs[0])
    if inputs.get("delegationSetId"):
        arguments["DelegationSetId"] = inputs["delegationSetId"]
    name = inputs["name"]
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
        _associate(call, identifier, entry)
    if inputs.get("tagsAll"):
        _tag(call, identifier, {}, inputs)


def _associate(call: Call, identifier: str, entry: Properties) -> None:
    route53 = call.client("route53")
    vpc = _vpc(call, entry)
    answer = attempt(
        f"associating Route53 Hosted Zone ({identifier}) with VPC ({vpc['VPCId']})",
        lambda: route53.associate_vpc_with_hosted_zone(HostedZoneId=identifier, VPC=vpc),
    )
    wait_in_sync(call, answer["ChangeInfo"])


def _disassociate(call: Call, identifier: str, entry: Properties) -> None:
    route53 = call.client("route53")
    vpc = _vpc(call, entry)
    answer = unless_gone(
        f"disassociating Route53 Hosted Zone ({identifier}) from VPC ({vpc['VPCId']})",
        ("VPCAssociationNotFound",),
        lambda: route53.disassociate_vpc_from_hosted_zone(HostedZoneId=identifier, VPC=vpc),
    )
    if answer:
        wait_in_sync(call, answer["ChangeInfo"])


def _tag(call: Call, identifier: str, state: Properties, inputs: Properties) -> None:
    route53 = call.client("route53")
    put, removed = changes(state, inputs)
    arguments: dict[str, Any] = {"AddTags": to_list(put)} if put else {}
    if removed:
        arguments["RemoveTagKeys"] = removed
    if arguments:
        attempt(
            f"updating tags of Route53 Hosted Zone ({identifier})",
            lambda: route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=identifier, **arguments),
        )


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    identifier = clean_zone_id(identifier)
    route53 = call.client("route53")
    what = f"reading Route53 Hosted Zone ({identifier})"
    answer = unless_gone(what, _GONE, lambda: route53.get_hosted_zone(Id=identifier))
    if answer is None:
        return None
    zone = answer["HostedZone"]
    tags = attempt(what, lambda: route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=identifier))
    servers = _name_servers(call, identifier, zone, answer)
    vpcs = [{"vpcId": vpc["VPCId"], "vpcRegion": vpc["VPCRegion"]} for vpc in answer.get("VPCs") or []]
    return {
        "arn": f"arn:{call.session.partition}:route53:::hostedzone/{identifier}",
        "comment": (zone.get("Config") or {}).get("Comment", ""),
        "delegationSetId": ((answer.get("DelegationSet") or {}).get("Id") or "").removeprefix("/delegationset/")
        or None,
        "enableAcceleratedRecovery": False,
        "forceDestroy": state.get("forceDestroy", False),
        "name": zone["Name"].removesuffix("."),
        "nameServers": sorted(servers),
        "primaryNameServer": servers[0] if servers else "",
        "tagsAll": from_list(tags["ResourceTagSet"].get("Tags")),
        "vpcs": sorted(vpcs, key=lambda entry: entry["vpcId"]),
        "zoneId": identifier,
    }


def _name_servers(call: Call, identifier: str, zone: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    """A public zone's from its delegation set, a private one's from its own NS record."""
    if not (zone.get("Config") or {}).get("PrivateZone"):
        return list((answer.get("DelegationSet") or {}).get("NameServers") or [])
    route53 = call.client("route53")
    records = attempt(
        f"reading Route53 Hosted Zone ({identifier}) name servers",
        lambda: route53.list_resource_record_sets(
            HostedZoneId=identifier, StartRecordName=zone["Name"], StartRecordType="NS", MaxItems="1"
        )["ResourceRecordSets"],
    )
    if not records or records[0]["Type"] != "NS" or records[0]["Name"] != zone["Name"]:
        return []
    return [record["Value"] for record in records[0].get("ResourceRecords") or []]


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    route53 = call.client("route53")
    if "comment" in changed:
        comment = inputs.get("comment", "")
        attempt(
            f"updating Route53 Hosted Zone ({identifier}) comment",
            lambda: route53.update_hosted_zone_comment(Id=identifier, Comment=comment),
        )
    if "tagsAll" in changed:
        _tag(call, identifier, state, inputs)
    if "vpcs" in changed:
        old = {entry["vpcId"]: entry for entry in state.get("vpcs") or []}
        new = {entry["vpcId"]: entry for entry in inputs.get("vpcs") or []}
        # The new ones first: a private zone without a VPC cannot be.
        for vpc in sorted(new.keys() - old.keys()):
            _associate(call, identifier, new[vpc])
        for vpc in sorted(old.keys() - new.keys()):
            _disassociate(call, identifier, old[vpc])


def _delete(call: Call, identifier: str, state: Properties) -> None:
    route53 = call.client("route53")
    if state.get("forceDestroy"):
        _delete_records(call, identifier)
    answer = unless_gone(
        f"deleting Route53 Hosted Zone ({identifier})", _GONE, lambda: route53.delete_hosted_zone(Id=identifier)
    )
    if answer:
        wait_in_sync(call, answer["ChangeInfo"])


def _delete_records(call: Call, identifier: str) -> None:
    """All records but the zone's own NS and SOA."""
    route53 = call.client("route53")
    what = f"deleting Route53 Hosted Zone ({identifier}) records"
    zone = unless_gone(what, _GONE, lambda: route53.get_hosted_zone(Id=identifier)["HostedZone"])
    if zone is None:
        return
    pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=identifier)
    records = attempt(what, lambda: [record for page in pages for record in page["ResourceRecordSets"]])
    batch = [
        {"Action": "DELETE", "ResourceRecordSet": record}
        for record in records
        if not (record["Name"] == zone["Name"] and record["Type"] in ("NS", "SOA"))
    ]
    if batch:
        attempt(
            what,
            lambda: route53.change_resource_record_sets(HostedZoneId=identifier, ChangeBatch={"Changes": batch}),
        )


def _comment(value: str) -> str | None:
    return None if len(value) <= 256 else f"expected length of comment to be in the range (0 - 256), got {len(value)}"


def same_name(old: str, new: str) -> bool:
    """Names without regard to case and to the final dot (NormalizeZoneName in the provider)."""
    return old.lower().removesuffix(".") == new.lower().removesuffix(".")


RESOURCES = {
    "aws:route53/zone:Zone": Resource(
        type="aws:route53/zone:Zone",
        title="Route53 Hosted Zone",
        inputs={
            **TAGS,
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
        outputs={
            "arn": string(),
            "nameServers": set_of(string()),
            "primaryNameServer": string(),
            "zoneId": string(),
        },
        autoname=AutoName(),
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=1800, update=1800, delete=1800),
    )
}
