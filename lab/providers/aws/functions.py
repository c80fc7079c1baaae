"""The data sources: Region, caller, zones, VPC, subnet, endpoint service, and iot's getEndpoint.

Source: terraform-provider-aws ``internal/service/{meta,sts,ec2,iot}/*_data_source.go``.
"""

from typing import Any

from lab.providers.aws.clients import attempt
from lab.providers.aws.tags import from_list
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Function, boolean, list_of, map_of_strings, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_FILTERS = list_of(object_of({"name": string(required=True), "values": set_of(string(), required=True)}))


def _filters(arguments: Properties) -> list[dict[str, Any]]:
    return [{"Name": entry["name"], "Values": entry["values"]} for entry in arguments.get("filters") or []]


def _get_region(call: Call, arguments: Properties) -> Properties:
    name = arguments.get("region") or arguments.get("name") or call.session.region
    return {
        "description": name,
        "endpoint": f"ec2.{name}.amazonaws.com",
        "id": name,
        "name": name,
        "region": name,
    }


def _get_caller_identity(call: Call, arguments: Properties) -> Properties:
    del arguments
    sts = call.client("sts")
    found = attempt("reading STS Caller Identity", sts.get_caller_identity)
    return {
        "accountId": found["Account"],
        "arn": found["Arn"],
        "id": found["Account"],
        "userId": found["UserId"],
    }


def _get_availability_zones(call: Call, arguments: Properties) -> Properties:
    ec2 = call.client("ec2")
    filters = _filters(arguments)
    if arguments.get("state"):
        filters.append({"Name": "state", "Values": [arguments["state"]]})
    zones = attempt(
        "reading EC2 Availability Zones",
        lambda: ec2.describe_availability_zones(
            AllAvailabilityZones=bool(arguments.get("allAvailabilityZones", False)), Filters=filters
        )["AvailabilityZones"],
    )
    zones = sorted(
        (
            zone
            for zone in zones
            if zone["ZoneName"] not in (arguments.get("excludeNames") or [])
            and zone.get("ZoneId") not in (arguments.get("excludeZoneIds") or [])
        ),
        key=lambda zone: str(zone["ZoneName"]),
    )
    region = call.region or call.session.region
    return {
        **{name: value for name, value in arguments.items() if name != "region"},
        "groupNames": sorted({zone.get("GroupName") or region for zone in zones}),
        "id": region,
        "names": [zone["ZoneName"] for zone in zones],
        "region": region,
        "zoneIds": [zone.get("ZoneId", "") for zone in zones],
    }


def _get_vpc(call: Call, arguments: Properties) -> Properties:
    ec2, identifier = call.client("ec2"), arguments["id"]
    what = f"reading EC2 VPC ({identifier})"
    [vpc] = attempt(what, lambda: ec2.describe_vpcs(VpcIds=[identifier])["Vpcs"])

    def is_on(name: str) -> bool:
        answer = attempt(what, lambda: ec2.describe_vpc_attribute(VpcId=identifier, Attribute=name))
        return bool(answer[name[0].upper() + name[1:]]["Value"])

    return {
        **arguments,
        "arn": call.session.arn("ec2", f"vpc/{identifier}", call.region or call.session.region),
        "cidrBlock": vpc["CidrBlock"],
        "cidrBlockAssociations": [
            {
                "associationId": block["AssociationId"],
                "cidrBlock": block["CidrBlock"],
                "state": block["CidrBlockState"]["State"],
            }
            for block in vpc.get("CidrBlockAssociationSet") or []
        ],
        "default": vpc.get("IsDefault", False),
        "dhcpOptionsId": vpc.get("DhcpOptionsId", ""),
        "enableDnsHostnames": is_on("enableDnsHostnames"),
        "enableDnsSupport": is_on("enableDnsSupport"),
        "instanceTenancy": vpc.get("InstanceTenancy", ""),
        "tags": from_list(vpc.get("Tags")),
    }


def _get_subnet(call: Call, arguments: Properties) -> Properties:
    ec2, identifier = call.client("ec2"), arguments["id"]
    [subnet] = attempt(
        f"reading EC2 Subnet ({identifier})", lambda: ec2.describe_subnets(SubnetIds=[identifier])["Subnets"]
    )
    return {
        **arguments,
        "arn": call.session.arn("ec2", f"subnet/{identifier}", call.region or call.session.region),
        "availabilityZone": subnet["AvailabilityZone"],
        "availableIpAddressCount": subnet["AvailableIpAddressCount"],
        "cidrBlock": subnet["CidrBlock"],
        "state": subnet["State"],
        "tags": from_list(subnet.get("Tags")),
        "vpcId": subnet["VpcId"],
    }


def _get_vpc_endpoint_service(call: Call, arguments: Properties) -> Properties:
    ec2 = call.client("ec2")
    region = call.region or call.session.region
    filters = _filters(arguments)
    names: dict[str, Any] = {}
    if arguments.get("serviceName"):
        names["ServiceNames"] = [arguments["serviceName"]]
    elif arguments.get("service"):
        names["ServiceNames"] = [f"com.amazonaws.{region}.{arguments['service']}"]
    if arguments.get("serviceType"):
        filters.append({"Name": "service-type", "Values": [arguments["serviceType"]]})
    for key, value in (arguments.get("tags") or {}).items():
        filters.append({"Name": f"tag:{key}", "Values": [value]})
    if arguments.get("serviceRegions"):
        names["ServiceRegions"] = arguments["serviceRegions"]
    if filters:
        names["Filters"] = filters
    found = attempt(
        "reading EC2 VPC Endpoint Services", lambda: ec2.describe_vpc_endpoint_services(**names)["ServiceDetails"]
    )
    if not found:
        raise ProviderError("reading EC2 VPC Endpoint Services: no matching VPC Endpoint Service found")
    if len(found) > 1:
        kinds = ", ".join(sorted({kind["ServiceType"] for entry in found for kind in entry.get("ServiceType") or []}))
        raise ProviderError(
            f"reading EC2 VPC Endpoint Services: multiple VPC Endpoint Services matched ({kinds}); "
            "use additional constraints, such as serviceType, to reduce matches to a single VPC Endpoint Service"
        )
    return {**arguments, **_service(call, found[0], region)}


def _service(call: Call, found: dict[str, Any], region: str) -> Properties:
    identifier, private = (
        found.get("ServiceId"),
        [entry["PrivateDnsName"] for entry in found.get("PrivateDnsNames") or []],
    )
    first = found.get("PrivateDnsName") or (private[0] if private else "")
    kinds = found.get("ServiceType") or []
    return {
        "acceptanceRequired": found.get("AcceptanceRequired", False),
        "arn": call.session.arn("ec2", f"vpc-endpoint-service/{identifier}", region),
        "availabilityZones": sorted(found.get("AvailabilityZones") or []),
        "baseEndpointDnsNames": sorted(found.get("BaseEndpointDnsNames") or []),
        "id": identifier or found["ServiceName"],
        "managesVpcEndpoints": found.get("ManagesVpcEndpoints", False),
        "owner": found.get("Owner"),
        "privateDnsName": first,
        "privateDnsNames": sorted(private),
        "region": region,
        "serviceId": identifier or "",
        "serviceName": found["ServiceName"],
        "serviceRegion": found.get("ServiceRegion") or region,
        "serviceType": kinds[0]["ServiceType"] if kinds else "",
        "supportedIpAddressTypes": sorted(found.get("SupportedIpAddressTypes") or []),
        "tags": from_list(found.get("Tags")),
        "vpcEndpointPolicySupported": found.get("VpcEndpointPolicySupported", False),
    }


def _get_endpoint(call: Call, arguments: Properties) -> Properties:
    iot = call.client("iot")
    kind = {"endpointType": arguments["endpointType"]} if arguments.get("endpointType") else {}
    address = attempt("reading IoT Endpoint", lambda: iot.describe_endpoint(**kind)["endpointAddress"])
    return {**arguments, "endpointAddress": address, "id": address, "region": call.region or call.session.region}


def _one_service(arguments: Properties) -> list[Failure]:
    if arguments.get("service") and arguments.get("serviceName"):
        return [Failure("service", '"service": conflicts with serviceName')]
    return []


def _get_certificate_authority(call: Call, arguments: Properties) -> Properties:
    """Source: terraform-provider-aws ``internal/service/acmpca/certificate_authority_data_source.go``."""
    pca, arn = call.client("acm-pca"), arguments["arn"]
    what = f"reading ACM PCA Certificate Authority ({arn})"
    found = attempt(
        what, lambda: pca.describe_certificate_authority(CertificateAuthorityArn=arn)["CertificateAuthority"]
    )
    own = (
        attempt(what, lambda: pca.get_certificate_authority_certificate(CertificateAuthorityArn=arn))
        if found["Status"] == "ACTIVE"
        else {}
    )
    return {
        "arn": arn,
        "id": arn,
        "certificate": own.get("Certificate", ""),
        "certificateChain": own.get("CertificateChain", ""),
        "certificateSigningRequest": pca.get_certificate_authority_csr(CertificateAuthorityArn=arn)["Csr"],
        "status": found["Status"],
        "type": found["Type"],
        "usageMode": found["UsageMode"],
    }


FUNCTIONS = {
    "aws:index/getRegion:getRegion": Function(
        "aws:index/getRegion:getRegion",
        {"endpoint": string(), "id": string(), "name": string(), "region": string()},
        _get_region,
    ),
    "aws:index/getCallerIdentity:getCallerIdentity": Function(
        "aws:index/getCallerIdentity:getCallerIdentity", {"id": string()}, _get_caller_identity
    ),
    "aws:index/getAvailabilityZones:getAvailabilityZones": Function(
        "aws:index/getAvailabilityZones:getAvailabilityZones",
        {
            "allAvailabilityZones": boolean(),
            "excludeNames": set_of(string()),
            "excludeZoneIds": set_of(string()),
            "filters": _FILTERS,
            "region": string(),
            "state": string(allowed=("available", "information", "impaired", "unavailable", "constrained")),
        },
        _get_availability_zones,
    ),
    "aws:ec2/getVpc:getVpc": Function(
        "aws:ec2/getVpc:getVpc", {"id": string(required=True), "region": string()}, _get_vpc
    ),
    "aws:ec2/getSubnet:getSubnet": Function(
        "aws:ec2/getSubnet:getSubnet", {"id": string(required=True), "region": string()}, _get_subnet
    ),
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": Function(
        "aws:ec2/getVpcEndpointService:getVpcEndpointService",
        {
            "filters": _FILTERS,
            "region": string(),
            "service": string(),
            "serviceName": string(),
            "serviceRegions": set_of(string()),
            "serviceType": string(allowed=("Interface", "Gateway", "GatewayLoadBalancer")),
            "tags": map_of_strings(),
        },
        _get_vpc_endpoint_service,
        _one_service,
    ),
    "aws:iot/getEndpoint:getEndpoint": Function(
        "aws:iot/getEndpoint:getEndpoint",
        {
            "endpointType": string(allowed=("iot:CredentialProvider", "iot:Data", "iot:Data-ATS", "iot:Jobs")),
            "region": string(),
        },
        _get_endpoint,
    ),
    "aws:acmpca/getCertificateAuthority:getCertificateAuthority": Function(
        "aws:acmpca/getCertificateAuthority:getCertificateAuthority",
        {"arn": string(required=True), "region": string(), "tags": map_of_strings()},
        _get_certificate_authority,
    ),
}
