"""`aws:ec2/routeTable:RouteTable` and `aws:ec2/routeTableAssociation:RouteTableAssociation`.

Source: terraform-provider-aws ``internal/service/ec2/{vpc_route_table,vpc_route_table_association}.go``. Left out:
virtual private gateways that propagate routes.
"""

from lab.providers.aws.clients import tolerated, trying
from lab.providers.aws.common import split_id
from lab.providers.aws.description import Description, Operation, served
from lab.providers.aws.shapes import Answer, arguments, at, from_api
from lab.providers.schema import Timeouts, object_of, present, set_of, string
from lab.providers.values import Properties

_TIMEOUTS = Timeouts(create=300, update=120, delete=300)
_FIELDS = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
}
_ROUTE = dict.fromkeys(
    (
        *("cidrBlock", "ipv6CidrBlock", "destinationPrefixListId", "carrierGatewayId", "coreNetworkArn", "gatewayId"),
        *("egressOnlyGatewayId", "localGatewayId", "natGatewayId", "networkInterfaceId", "odbNetworkArn"),
        *("transitGatewayId", "vpcEndpointId", "vpcPeeringConnectionId"),
    ),
    string(),
)


def _routes(_op: Operation, table: Answer) -> Properties:
    """The routes that a program can set: not the local ones, not those of gateway endpoints, not the propagated."""
    settable = [
        route
        for route in table.get("Routes") or []
        if not (route.get("GatewayId") or "").startswith(("local", "vpce-"))
        and route.get("Origin") != "EnableVgwRoutePropagation"
    ]
    return {"routes": [present(from_api(_ROUTE, route, _FIELDS)) for route in settable]}


def _change_routes(op: Operation) -> None:
    old, new = (
        [{name: value for name, value in route.items() if value} for route in given.get("routes") or []]
        for given in (op.state, op.inputs)
    )
    for route in (route for route in old if route not in new):
        destination = arguments(op.api, "delete_route", route, _FIELDS)
        what = f"deleting Route in Route Table ({op.id}) with destination {destination}"
        with tolerated("InvalidRoute.NotFound"), trying(what):
            op.api.delete_route(RouteTableId=op.id, **destination)
    for route in (route for route in new if route not in old):
        destination = arguments(op.api, "delete_route", route, _FIELDS)
        with trying(f"creating Route in Route Table ({op.id}) with destination {destination}"):
            op.api.create_route(RouteTableId=op.id, **arguments(op.api, "create_route", route, _FIELDS))


def _disassociate(op: Operation, association: str) -> None:
    with tolerated("InvalidAssociationID.NotFound", "InvalidRouteTableID.NotFound"):
        op.api.disassociate_route_table(AssociationId=association)


def _disassociate_all(op: Operation) -> None:
    for association in op.thing.get("Associations") or []:
        _disassociate(op, association["RouteTableAssociationId"])


_TABLE = Description(
    type="aws:ec2/routeTable:RouteTable",
    title="Route Table",
    timeouts=_TIMEOUTS,
    service="ec2",
    inputs={
        "routes": set_of(object_of(_ROUTE), computed=True),
        "vpcId": string(required=True, force_new=True),
    },
    outputs={"ownerId": string()},
    find=("describe_route_tables", "RouteTableIds[]", "RouteTables[]"),
    gone=("InvalidRouteTableID.NotFound",),
    create=("create_route_table", "RouteTable.RouteTableId"),
    arn="route-table/{id}",
    tags="route-table",
    settle=_change_routes,
    seen=_routes,
    more=_change_routes,
    before_delete=_disassociate_all,
    delete=("delete_route_table", "RouteTableId"),
)


def _find(op: Operation) -> Answer | None:
    """By the id or, since a change of the table gives the association a new one, by what it joins."""
    by_id = [{"Name": "association.route-table-association-id", "Values": [op.id]}]
    for table in op.api.describe_route_tables(Filters=by_id)["RouteTables"]:
        for association in table.get("Associations") or []:
            gone = at(association, "AssociationState.State") == "disassociated"
            if association.get("RouteTableAssociationId") == op.id and not gone:
                return dict(association)
    target, table_id = op.known.get("subnetId") or op.known.get("gatewayId"), op.known.get("routeTableId")
    return _joining(op, target, table_id) if target and table_id else None


def _joining(op: Operation, target: str, table_id: str) -> Answer | None:
    for association in Operation(op.call, _TABLE, table_id).thing.get("Associations") or []:
        if target in (association.get("SubnetId"), association.get("GatewayId")):
            return dict(association)
    return None


def _identify(op: Operation) -> str:
    if "/" in op.id:
        found = _joining(op, *split_id(op.id, "/", 2, "subnet-id/route-table-id or gateway-id/route-table-id"))
    else:
        found = _find(op)
    return str((found or {}).get("RouteTableAssociationId", op.id))


def _move(op: Operation) -> None:
    # What joins it now: the state's table, not the one that it is to have.
    now = _identify(Operation(op.call, op.kind, op.id, op.state))
    op.api.replace_route_table_association(AssociationId=now, RouteTableId=op.inputs["routeTableId"])


_ASSOCIATION = Description(
    type="aws:ec2/routeTableAssociation:RouteTableAssociation",
    title="Route Table Association",
    timeouts=_TIMEOUTS,
    exactly_one_of=(("subnetId", "gatewayId"),),
    service="ec2",
    inputs={
        "gatewayId": string(force_new=True),
        "routeTableId": string(required=True),
        "subnetId": string(force_new=True),
    },
    find=_find,
    gone=(),
    create=("associate_route_table", "AssociationId"),
    identify=_identify,
    more=_move,
    delete=lambda op: _disassociate(op, _identify(op)),
)

RESOURCES = served(_TABLE, _ASSOCIATION)
