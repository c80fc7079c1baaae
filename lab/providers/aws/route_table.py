"""`aws:ec2/routeTable:RouteTable`. Source: terraform-provider-aws ``internal/service/ec2/vpc_route_table.go``."""

from typing import Any

from lab.providers.aws.common import (
    REGION,
    TAGS,
    attempt,
    tag_specifications,
    unless_gone,
    update_ec2_tags,
)
from lab.providers.aws.tags import from_list
from lab.providers.schema import Resource, Timeouts, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidRouteTableID.NotFound",)
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


def find_route_table(call: Call, identifier: str) -> dict[str, Any] | None:
    """A route table as DescribeRouteTables gives it, or None."""
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading Route Table ({identifier})",
        _GONE,
        lambda: ec2.describe_route_tables(RouteTableIds=[identifier])["RouteTables"],
    )
    return found[0] if found else None


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    vpc = inputs["vpcId"]
    answer = attempt(
        "creating Route Table", lambda: ec2.create_route_table(VpcId=vpc, **tag_specifications("route-table", inputs))
    )
    return str(answer["RouteTable"]["RouteTableId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    call.wait_until(f"Route Table ({identifier}) create", lambda: find_route_table(call, identifier))
    for gateway in inputs.get("propagatingVgws") or []:
        _propagate(call, identifier, gateway, enable=True)
    for route in inputs.get("routes") or []:
        _add_route(call, identifier, route)


def _arguments(route: Properties, names: dict[str, str]) -> dict[str, str]:
    return {argument: route[name] for name, argument in names.items() if route.get(name)}


def _add_route(call: Call, identifier: str, route: Properties) -> None:
    ec2 = call.client("ec2")
    arguments = _arguments(route, {**_DESTINATIONS, **_TARGETS})
    attempt(
        f"creating Route in Route Table ({identifier}) with destination ({_destination(route)})",
        lambda: ec2.create_route(RouteTableId=identifier, **arguments),
    )


def _delete_route(call: Call, identifier: str, route: Properties) -> None:
    ec2 = call.client("ec2")
    arguments = _arguments(route, _DESTINATIONS)
    unless_gone(
        f"deleting Route in Route Table ({identifier}) with destination ({_destination(route)})",
        ("InvalidRoute.NotFound",),
        lambda: ec2.delete_route(RouteTableId=identifier, **arguments),
    )


def _destination(route: Properties) -> str:
    return next((str(route[name]) for name in _DESTINATIONS if route.get(name)), "none")


def _propagate(call: Call, identifier: str, gateway: str, *, enable: bool) -> None:
    ec2 = call.client("ec2")
    action = ec2.enable_vgw_route_propagation if enable else ec2.disable_vgw_route_propagation
    attempt(
        f"{'enabling' if enable else 'disabling'} Route Table ({identifier}) propagation of ({gateway})",
        lambda: action(RouteTableId=identifier, GatewayId=gateway),
    )


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    table = find_route_table(call, identifier)
    if table is None:
        return None
    owner = table.get("OwnerId") or call.session.account
    region = call.region or call.session.region
    return {
        "arn": f"arn:{call.session.partition}:ec2:{region}:{owner}:route-table/{identifier}",
        "ownerId": owner,
        "propagatingVgws": [gateway["GatewayId"] for gateway in table.get("PropagatingVgws") or []],
        "routes": _routes(table),
        "tagsAll": from_list(table.get("Tags")),
        "vpcId": table["VpcId"],
    }


def _routes(table: dict[str, Any]) -> list[Properties]:
    """The routes that a program can set: not the local ones, not those of gateway endpoints, not the propagated."""
    routes = []
    for route in table.get("Routes") or []:
        gateway = route.get("GatewayId") or ""
        if gateway == "local" or gateway.startswith("vpce-") or route.get("Origin") == "EnableVgwRoutePropagation":
            continue
        seen = {
            name: route[argument] for name, argument in {**_DESTINATIONS, **_TARGETS}.items() if route.get(argument)
        }
        routes.append(seen)
    return routes


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    if "propagatingVgws" in changed:
        old, new = set(state.get("propagatingVgws") or []), set(inputs.get("propagatingVgws") or [])
        for gateway in sorted(old - new):
            _propagate(call, identifier, gateway, enable=False)
        for gateway in sorted(new - old):
            _propagate(call, identifier, gateway, enable=True)
    if "routes" in changed:
        wanted = [_filled(route) for route in inputs.get("routes") or []]
        present = [_filled(route) for route in state.get("routes") or []]
        for route in present:
            if route not in wanted:
                _delete_route(call, identifier, route)
        for route in wanted:
            if route not in present:
                _add_route(call, identifier, route)
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "Route Table", state, inputs)


def _filled(route: Properties) -> Properties:
    return {name: value for name, value in route.items() if value}


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    table = find_route_table(call, identifier)
    for association in (table or {}).get("Associations") or []:
        _disassociate(call, identifier, association["RouteTableAssociationId"])
    ec2 = call.client("ec2")
    unless_gone(f"deleting Route Table ({identifier})", _GONE, lambda: ec2.delete_route_table(RouteTableId=identifier))


def _disassociate(call: Call, identifier: str, association: str) -> None:
    ec2 = call.client("ec2")
    unless_gone(
        f"deleting Route Table ({identifier}): disassociating ({association})",
        ("InvalidAssociationID.NotFound",),
        lambda: ec2.disassociate_route_table(AssociationId=association),
    )


RESOURCES = {
    "aws:ec2/routeTable:RouteTable": Resource(
        type="aws:ec2/routeTable:RouteTable",
        title="Route Table",
        inputs={
            **REGION,
            **TAGS,
            "propagatingVgws": set_of(string(), computed=True),
            "routes": set_of(object_of({name: string() for name in (*_DESTINATIONS, *_TARGETS)}), computed=True),
            "vpcId": string(required=True, force_new=True),
        },
        outputs={"arn": string(), "ownerId": string()},
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=300, update=120, delete=300),
    )
}
