"""`aws:ec2/routeTable:RouteTable` and `aws:ec2/routeTableAssociation:RouteTableAssociation`.

Source: terraform-provider-aws ``internal/service/ec2/{vpc_route_table,vpc_route_table_association}.go``.
"""

from functools import partial

from lab.providers.aws.clients import attempt, unless_gone
from lab.providers.aws.common import split_id
from lab.providers.aws.description import Answer, Description, settled
from lab.providers.schema import Timeouts, object_of, present, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_DESTINATIONS = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
_TARGETS = {
    "carrierGatewayId": "CarrierGatewayId",
    "coreNetworkArn": "CoreNetworkArn",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "gatewayId": "GatewayId",
    "localGatewayId": "LocalGatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "odbNetworkArn": "OdbNetworkArn",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
_TIMEOUTS = Timeouts(create=300, update=120, delete=300)


def _seen(call: Call, table: Answer, state: Properties) -> Properties:
    """The routes that a program can set: not the local ones, not those of gateway endpoints, not the propagated."""
    del call, state
    routes = []
    for route in table.get("Routes") or []:
        gateway = route.get("GatewayId") or ""
        if gateway == "local" or gateway.startswith("vpce-") or route.get("Origin") == "EnableVgwRoutePropagation":
            continue
        routes.append(present({name: route.get(field) for name, field in {**_DESTINATIONS, **_TARGETS}.items()}))
    gateways = [gateway["GatewayId"] for gateway in table.get("PropagatingVgws") or []]
    return {"propagatingVgws": gateways, "routes": routes}


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    _more(call, identifier, {}, inputs, frozenset(inputs))


def _more(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    ec2 = call.client("ec2")
    if "propagatingVgws" in changed:
        old, new = (set(given.get("propagatingVgws") or []) for given in (state, inputs))
        what = f"updating Route Table ({identifier}) propagation"
        for gateway in sorted(old - new):
            attempt(what, partial(ec2.disable_vgw_route_propagation, RouteTableId=identifier, GatewayId=gateway))
        for gateway in sorted(new - old):
            attempt(what, partial(ec2.enable_vgw_route_propagation, RouteTableId=identifier, GatewayId=gateway))
    if "routes" in changed:
        before, after = (
            [{name: value for name, value in route.items() if value} for route in given.get("routes") or []]
            for given in (state, inputs)
        )
        for route in before:
            if route not in after:
                arguments = _arguments(route, _DESTINATIONS)
                what = f"deleting Route in Route Table ({identifier}) with destination {arguments}"
                gone = ("InvalidRoute.NotFound",)
                unless_gone(what, gone, partial(ec2.delete_route, RouteTableId=identifier, **arguments))
        for route in after:
            if route not in before:
                what = (
                    f"creating Route in Route Table ({identifier}) with destination {_arguments(route, _DESTINATIONS)}"
                )
                arguments = _arguments(route, {**_DESTINATIONS, **_TARGETS})
                attempt(what, partial(ec2.create_route, RouteTableId=identifier, **arguments))


def _arguments(route: Properties, names: dict[str, str]) -> dict[str, str]:
    return {argument: route[name] for name, argument in names.items() if route.get(name)}


def _disassociate_all(call: Call, identifier: str, state: Properties) -> None:
    table = _TABLE.found(call, identifier, state)
    for association in (table or {}).get("Associations") or []:
        _disassociate(call, association["RouteTableAssociationId"])


def _disassociate(call: Call, association: str) -> None:
    ec2 = call.client("ec2")
    unless_gone(
        f"deleting Route Table Association ({association})",
        ("InvalidAssociationID.NotFound", "InvalidRouteTableID.NotFound"),
        lambda: ec2.disassociate_route_table(AssociationId=association),
    )


_TABLE = Description(
    type="aws:ec2/routeTable:RouteTable",
    title="Route Table",
    service="ec2",
    inputs={
        "propagatingVgws": set_of(string(), computed=True),
        "routes": set_of(object_of({name: string() for name in (*_DESTINATIONS, *_TARGETS)}), computed=True),
        "vpcId": string(required=True, force_new=True),
    },
    outputs={"ownerId": string()},
    find=("describe_route_tables", "RouteTableIds[]", "RouteTables[]"),
    gone=("InvalidRouteTableID.NotFound",),
    create=("create_route_table", "RouteTable.RouteTableId"),
    sent=("vpcId",),
    arn="route-table/{id}",
    tags="ec2:route-table",
    settle=_settle,
    seen=_seen,
    more=_more,
    before_delete=_disassociate_all,
    delete=("delete_route_table", "RouteTableId"),
)


def _find(call: Call, identifier: str, known: Properties) -> Answer | None:
    """By the id or, since a change of the table gives the association a new one, by what it joins."""
    ec2 = call.client("ec2")
    by_id = [{"Name": "association.route-table-association-id", "Values": [identifier]}]
    tables = ec2.describe_route_tables(Filters=by_id)["RouteTables"]
    for association in (each for table in tables for each in table.get("Associations") or []):
        state = (association.get("AssociationState") or {}).get("State", "associated")
        if association.get("RouteTableAssociationId") == identifier and state != "disassociated":
            return dict(association)
    target, table_id = known.get("subnetId") or known.get("gatewayId"), known.get("routeTableId")
    return _joining(call, target, table_id) if target and table_id else None


def _joining(call: Call, target: str, table_id: str) -> Answer | None:
    table = _TABLE.found(call, table_id, {})
    for association in (table or {}).get("Associations") or []:
        if target in (association.get("SubnetId"), association.get("GatewayId")):
            return dict(association)
    return None


def _identify(call: Call, identifier: str, state: Properties) -> str:
    if "/" in identifier:
        target, table = split_id(identifier, "/", 2, "subnet-id/route-table-id or gateway-id/route-table-id")
        found = _joining(call, target, table)
    else:
        found = _find(call, identifier, state)
    return str((found or {}).get("RouteTableAssociationId", identifier))


def _move(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    del changed
    ec2, link, table = call.client("ec2"), _identify(call, identifier, state), inputs["routeTableId"]
    attempt(
        f"updating Route Table Association ({link})",
        lambda: ec2.replace_route_table_association(AssociationId=link, RouteTableId=table),
    )


_ASSOCIATION = Description(
    type="aws:ec2/routeTableAssociation:RouteTableAssociation",
    title="Route Table Association",
    service="ec2",
    inputs={
        "gatewayId": string(force_new=True),
        "routeTableId": string(required=True),
        "subnetId": string(force_new=True),
    },
    find=_find,
    gone=(),
    create=("associate_route_table", "AssociationId"),
    sent=("gatewayId", "routeTableId", "subnetId"),
    identify=_identify,
    more=_move,
    delete=lambda call, identifier, state: _disassociate(call, _identify(call, identifier, state)),
)

RESOURCES = settled(
    (
        _TABLE.resource(timeouts=_TIMEOUTS),
        _ASSOCIATION.resource(exactly_one_of=(("subnetId", "gatewayId"),), timeouts=_TIMEOUTS),
    )
)
