"""The data sources: Region, caller, zones, VPC, subnet, endpoint service, iot's getEndpoint and a private authority.

Source: terraform-provider-aws ``internal/service/{meta,sts,ec2,iot,acmpca}/*_data_source.go``. What a resource type
describes too is read by its description.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lab.providers.aws.clients import trying
from lab.providers.aws.description import Description, Operation
from lab.providers.aws.private_ca import AUTHORITY
from lab.providers.aws.shapes import Answer, from_api, from_pairs
from lab.providers.aws.subnet import SUBNET
from lab.providers.aws.vpc import VPC
from lab.providers.errors import ProviderError
from lab.providers.schema import Function, Property, boolean, list_of, map_of_strings, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_FILTERS = list_of(object_of({"name": string(required=True), "values": set_of(string(), required=True)}))


def _region(call: Call) -> str:
    return call.region or str(call.session.region)


def _get_region(call: Call, arguments: Properties) -> Properties:
    name = arguments.get("region") or arguments.get("name") or call.session.region
    return {**dict.fromkeys(("description", "id", "name", "region"), name), "endpoint": f"ec2.{name}.amazonaws.com"}


def _get_caller_identity(call: Call, _arguments: Properties) -> Properties:
    with trying("reading STS Caller Identity"):
        found = call.client("sts").get_caller_identity()
    return {"accountId": found["Account"], "arn": found["Arn"], "id": found["Account"], "userId": found["UserId"]}


def _get_availability_zones(call: Call, arguments: Properties) -> Properties:
    all_of_them = bool(arguments.get("allAvailabilityZones", False))
    filters = [{"Name": entry["name"], "Values": entry["values"]} for entry in arguments.get("filters") or []]
    filters += [{"Name": "state", "Values": [arguments["state"]]}] if arguments.get("state") else []
    with trying("reading EC2 Availability Zones"):
        found = call.client("ec2").describe_availability_zones(AllAvailabilityZones=all_of_them, Filters=filters)
    names, ids = arguments.get("excludeNames") or [], arguments.get("excludeZoneIds") or []
    zones = [z for z in found["AvailabilityZones"] if z["ZoneName"] not in names and z.get("ZoneId") not in ids]
    zones.sort(key=lambda zone: str(zone["ZoneName"]))
    region = _region(call)
    return {
        **arguments,
        "groupNames": sorted({zone.get("GroupName") or region for zone in zones}),
        "id": region,
        "names": [zone["ZoneName"] for zone in zones],
        "region": region,
        "zoneIds": [zone.get("ZoneId", "") for zone in zones],
    }


def _described(kind: Description, key: str, more: Callable[[Answer], Properties]) -> Any:
    """A data source that finds by id what a resource type describes."""

    def call_it(call: Call, arguments: Properties) -> Properties:
        op = Operation(call, kind, str(arguments[key]))
        thing = kind.found(op)
        if thing is None:
            raise ProviderError(f"reading {kind.title} ({op.id}): not found")
        seen = kind.properties(op, thing)
        return {**seen, **arguments, "tags": seen["tagsAll"], "region": op.region, **more(thing)}

    return call_it


_CIDR_BLOCK = dict.fromkeys(("associationId", "cidrBlock", "state"), string())


def _of_vpc(vpc: Answer) -> Properties:
    blocks = [
        from_api(_CIDR_BLOCK, block, {"state": "CidrBlockState.State"})
        for block in vpc.get("CidrBlockAssociationSet") or []
    ]
    return {"cidrBlockAssociations": blocks, "default": vpc.get("IsDefault", False)}


def _of_subnet(subnet: Answer) -> Properties:
    return {"availableIpAddressCount": subnet["AvailableIpAddressCount"], "state": subnet["State"]}


def _get_vpc_endpoint_service(call: Call, arguments: Properties) -> Properties:
    region = _region(call)
    name = arguments.get("serviceName") or f"com.amazonaws.{region}.{arguments['service']}"
    with trying("reading EC2 VPC Endpoint Services"):
        [found, *_] = call.client("ec2").describe_vpc_endpoint_services(ServiceNames=[name])["ServiceDetails"] or [None]
    if found is None:
        raise ProviderError("reading EC2 VPC Endpoint Services: no matching VPC Endpoint Service found")
    return {**arguments, **_service(call, found, region)}


def _service(call: Call, found: Answer, region: str) -> Properties:
    private = [entry["PrivateDnsName"] for entry in found.get("PrivateDnsNames") or []]
    kinds = [kind["ServiceType"] for kind in found.get("ServiceType") or []]
    lists = ("AvailabilityZones", "BaseEndpointDnsNames", "SupportedIpAddressTypes")
    switches = ("AcceptanceRequired", "ManagesVpcEndpoints", "VpcEndpointPolicySupported")
    return {
        **{name[0].lower() + name[1:]: sorted(found.get(name) or []) for name in lists},
        **{name[0].lower() + name[1:]: found.get(name, False) for name in switches},
        "arn": call.session.arn("ec2", f"vpc-endpoint-service/{found.get('ServiceId')}", region),
        "id": found.get("ServiceId") or found["ServiceName"],
        "owner": found.get("Owner"),
        "privateDnsName": found.get("PrivateDnsName") or next(iter(private), ""),
        "privateDnsNames": sorted(private),
        "region": region,
        "serviceId": found.get("ServiceId") or "",
        "serviceName": found["ServiceName"],
        "serviceRegion": found.get("ServiceRegion") or region,
        "serviceType": next(iter(kinds), ""),
        "tags": from_pairs(found.get("Tags")),
    }


def _get_endpoint(call: Call, arguments: Properties) -> Properties:
    kind = {"endpointType": arguments["endpointType"]} if arguments.get("endpointType") else {}
    with trying("reading IoT Endpoint"):
        address = call.client("iot").describe_endpoint(**kind)["endpointAddress"]
    return {**arguments, "endpointAddress": address, "id": address, "region": _region(call)}


_REGION = {"region": string()}
_BY_ID = {"id": string(required=True), **_REGION}
_SERVED: Mapping[str, tuple[Mapping[str, Property], Callable[[Call, Properties], Properties]]] = {
    "aws:index/getRegion:getRegion": (dict.fromkeys(("endpoint", "id", "name", "region"), string()), _get_region),
    "aws:index/getCallerIdentity:getCallerIdentity": ({"id": string()}, _get_caller_identity),
    "aws:index/getAvailabilityZones:getAvailabilityZones": (
        {
            **_REGION,
            "allAvailabilityZones": boolean(),
            "excludeNames": set_of(string()),
            "excludeZoneIds": set_of(string()),
            "filters": _FILTERS,
            "state": string(allowed=("available", "information", "impaired", "unavailable", "constrained")),
        },
        _get_availability_zones,
    ),
    "aws:ec2/getVpc:getVpc": (_BY_ID, _described(VPC, "id", _of_vpc)),
    "aws:ec2/getSubnet:getSubnet": (_BY_ID, _described(SUBNET, "id", _of_subnet)),
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": (
        {
            **_REGION,
            "service": string(conflicts=("serviceName",)),
            "serviceName": string(),
        },
        _get_vpc_endpoint_service,
    ),
    "aws:iot/getEndpoint:getEndpoint": (
        {
            **_REGION,
            "endpointType": string(allowed=("iot:CredentialProvider", "iot:Data", "iot:Data-ATS", "iot:Jobs")),
        },
        _get_endpoint,
    ),
    "aws:acmpca/getCertificateAuthority:getCertificateAuthority": (
        {**_REGION, "arn": string(required=True), "tags": map_of_strings()},
        _described(AUTHORITY, "arn", lambda authority: {"status": authority["Status"]}),
    ),
}
FUNCTIONS = {token: Function(token, inputs, call) for token, (inputs, call) in _SERVED.items()}
