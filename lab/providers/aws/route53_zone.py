"""`aws:route53/zone:Zone`. Source: terraform-provider-aws ``internal/service/route53/zone.go``.

Left out: delegation sets and accelerated recovery.
"""

import time
from typing import Any

from lab.providers.aws.clients import tolerated, trying
from lab.providers.aws.common import length
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer, at
from lab.providers.schema import AutoName, Timeouts, boolean, object_of, set_of, string
from lab.providers.values import Properties


def clean_zone_id(identifier: str) -> str:
    """`/hostedzone/Z…` without what stands before the id."""
    return identifier.removeprefix("/hostedzone/")


def wait_in_sync(op: Operation, answer: Answer) -> None:
    """Waits until a change has reached all of Route 53's name servers."""
    change = answer["ChangeInfo"]
    identifier = change["Id"].removeprefix("/change/")

    def in_sync() -> bool | None:
        return True if op.api.get_change(Id=identifier)["ChangeInfo"]["Status"] == "INSYNC" else None

    if change.get("Status") != "INSYNC":
        op.call.wait_until(f"Route 53 Change ({identifier}) to be in sync", in_sync)


def _arguments(op: Operation) -> Answer:
    vpcs = op.inputs.get("vpcs") or []
    return {
        "CallerReference": f"private-iot-{time.time_ns()}",
        "HostedZoneConfig": {"Comment": op.inputs.get("comment", ""), "PrivateZone": bool(vpcs)},
        "VPC": _vpc(op, vpcs[0]) if vpcs else None,
    }


def _created(op: Operation, answer: Answer) -> str:
    wait_in_sync(op, answer)
    return clean_zone_id(answer["HostedZone"]["Id"])


def _vpc(op: Operation, entry: Properties) -> dict[str, str]:
    return {"VPCId": entry["vpcId"], "VPCRegion": entry.get("vpcRegion") or op.call.session.region}


def _associate_others(op: Operation) -> None:
    for entry in (op.inputs.get("vpcs") or [])[1:]:
        _associate(op, entry, op.api.associate_vpc_with_hosted_zone)


def _associate(op: Operation, entry: Properties, action: Any) -> None:
    vpc = _vpc(op, entry)
    with (
        tolerated("VPCAssociationNotFound"),
        trying(f"updating Route53 Hosted Zone ({op.id}): VPC ({vpc['VPCId']})"),
    ):
        wait_in_sync(op, action(HostedZoneId=op.id, VPC=vpc))


def _seen(op: Operation, answer: Answer) -> Properties:
    zone, servers = answer["HostedZone"], _name_servers(op, answer)
    return {
        "arn": f"arn:{op.call.session.partition}:route53:::hostedzone/{op.id}",
        "name": zone["Name"].removesuffix("."),
        "nameServers": sorted(servers),
        "primaryNameServer": servers[0] if servers else "",
    }


def _name_servers(op: Operation, answer: Answer) -> list[str]:
    """A public zone's from its delegation set, a private one's from its own NS record."""
    zone = answer["HostedZone"]
    if not at(zone, "Config.PrivateZone"):
        return list(at(answer, "DelegationSet.NameServers") or [])
    [record, *_] = op.api.list_resource_record_sets(
        HostedZoneId=zone["Id"], StartRecordName=zone["Name"], StartRecordType="NS", MaxItems="1"
    )["ResourceRecordSets"] or [{}]
    own = (record.get("Type"), record.get("Name")) == ("NS", zone["Name"])
    return [entry["Value"] for entry in record.get("ResourceRecords") or []] if own else []


def _change_vpcs(op: Operation) -> None:
    if "vpcs" in op.changed:
        old, new = ({entry["vpcId"]: entry for entry in given.get("vpcs") or []} for given in (op.state, op.inputs))
        # The new ones first: a private zone without a VPC cannot be.
        for vpc in sorted(new.keys() - old.keys()):
            _associate(op, new[vpc], op.api.associate_vpc_with_hosted_zone)
        for vpc in sorted(old.keys() - new.keys()):
            _associate(op, old[vpc], op.api.disassociate_vpc_from_hosted_zone)


def _delete_records(op: Operation) -> None:
    """Before a forced removal: all records but the zone's own NS and SOA."""
    answer = op.thing if op.state.get("forceDestroy") else None
    if not answer:
        return
    pages = op.api.get_paginator("list_resource_record_sets").paginate(HostedZoneId=op.id)
    batch = [
        {"Action": "DELETE", "ResourceRecordSet": record}
        for page in pages
        for record in page["ResourceRecordSets"]
        if not (record["Name"] == answer["HostedZone"]["Name"] and record["Type"] in ("NS", "SOA"))
    ]
    if batch:
        op.api.change_resource_record_sets(HostedZoneId=op.id, ChangeBatch={"Changes": batch})


def same_name(old: str, new: str) -> bool:
    """Names without regard to case and to the final dot (NormalizeZoneName in the provider)."""
    return old.lower().removesuffix(".") == new.lower().removesuffix(".")


_ZONE = Description(
    type="aws:route53/zone:Zone",
    title="Route53 Hosted Zone",
    autoname=AutoName(),
    timeouts=Timeouts(create=1800, update=1800, delete=1800),
    service="route53",
    regional=False,
    inputs={
        # pulumi-aws provider/resources.go: "Managed by Pulumi" where Terraform says "Managed by Terraform".
        "comment": string(default="Managed by Pulumi", validate=length(0, 256)),
        "forceDestroy": boolean(default=False),
        "name": string(force_new=True, same=same_name),
        "vpcs": set_of(
            object_of({"vpcId": string(required=True), "vpcRegion": string(computed=True)}),
            minimum=1,
        ),
    },
    outputs={"arn": string(), "nameServers": set_of(string()), "primaryNameServer": string(), "zoneId": string()},
    find=("get_hosted_zone", "Id", ""),
    gone=("NoSuchHostedZone",),
    create=("create_hosted_zone", _created),
    modify=("update_hosted_zone_comment", "Id"),
    emptied=("comment",),
    fields={"comment": "HostedZone.Config.Comment"},
    kept=("forceDestroy",),
    key="zoneId",
    tags=True,
    tags_after=True,
    arguments=_arguments,
    settle=_associate_others,
    seen=_seen,
    more=_change_vpcs,
    before_delete=_delete_records,
    delete=lambda op: wait_in_sync(op, op.api.delete_hosted_zone(Id=op.id)),
    identify=lambda op: clean_zone_id(op.id),
)

RESOURCES = served(_ZONE)
