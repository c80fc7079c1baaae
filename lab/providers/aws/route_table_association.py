"""`aws:ec2/routeTableAssociation:RouteTableAssociation`.

Source: terraform-provider-aws ``internal/service/ec2/vpc_route_table_association.go``.
"""

from typing import Any

from lab.providers.aws.common import REGION, attempt, picked, split_id, unless_gone
from lab.providers.aws.route_table import find_route_table
from lab.providers.schema import Resource, Timeouts, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidAssociationID.NotFound", "InvalidRouteTableID.NotFound")


def _find(call: Call, identifier: str) -> dict[str, Any] | None:
    ec2 = call.client("ec2")
    by_association = [{"Name": "association.route-table-association-id", "Values": [identifier]}]
    tables = attempt(
        f"reading Route Table Association ({identifier})",
        lambda: ec2.describe_route_tables(Filters=by_association)["RouteTables"],
    )
    for table in tables:
        for association in table.get("Associations") or []:
            state = (association.get("AssociationState") or {}).get("State", "associated")
            if association.get("RouteTableAssociationId") == identifier and state != "disassociated":
                return dict(association)
    return None


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    arguments = picked(inputs, {"RouteTableId": "routeTableId", "SubnetId": "subnetId", "GatewayId": "gatewayId"})
    answer = attempt("creating Route Table Association", lambda: ec2.associate_route_table(**arguments))
    return str(answer["AssociationId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    del inputs
    call.wait_until(f"Route Table Association ({identifier}) create", lambda: _find(call, identifier))


def _current(call: Call, identifier: str, state: Properties) -> dict[str, Any] | None:
    """The association by its id or, since a change of the table gives it a new one, by what it joins."""
    found = _find(call, identifier)
    target = state.get("subnetId") or state.get("gatewayId")
    if found is None and target and state.get("routeTableId"):
        return _joining(call, target, state["routeTableId"])
    return found


def _joining(call: Call, target: str, table_id: str) -> dict[str, Any] | None:
    table = find_route_table(call, table_id)
    for association in (table or {}).get("Associations") or []:
        if target in (association.get("SubnetId"), association.get("GatewayId")):
            return dict(association)
    return None


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    if "/" in identifier:
        target, table = split_id(identifier, "/", 2, "subnet-id/route-table-id or gateway-id/route-table-id")
        association = _joining(call, target, table)
    else:
        association = _current(call, identifier, state)
    if association is None:
        return None
    return {
        "id": association["RouteTableAssociationId"],
        "gatewayId": association.get("GatewayId"),
        "routeTableId": association["RouteTableId"],
        "subnetId": association.get("SubnetId"),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del changed
    ec2 = call.client("ec2")
    association = _current(call, identifier, state) or {"RouteTableAssociationId": identifier}
    link, table = association["RouteTableAssociationId"], inputs["routeTableId"]
    attempt(
        f"updating Route Table Association ({link})",
        lambda: ec2.replace_route_table_association(AssociationId=link, RouteTableId=table),
    )


def _delete(call: Call, identifier: str, state: Properties) -> None:
    ec2 = call.client("ec2")
    association = _current(call, identifier, state)
    if association is not None:
        link = association["RouteTableAssociationId"]
        unless_gone(
            f"deleting Route Table Association ({link})",
            _GONE,
            lambda: ec2.disassociate_route_table(AssociationId=link),
        )


RESOURCES = {
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Resource(
        type="aws:ec2/routeTableAssociation:RouteTableAssociation",
        title="Route Table Association",
        inputs={
            **REGION,
            "gatewayId": string(force_new=True),
            "routeTableId": string(required=True),
            "subnetId": string(force_new=True),
        },
        outputs={},
        exactly_one_of=(("subnetId", "gatewayId"),),
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=300, update=120, delete=300),
        import_id="subnet-id/route-table-id",
    )
}
