"""The plan of the network: a pure function of what the cloud says."""

import ipaddress
import sys
from collections.abc import Iterator, Sequence

from lab.path import addresses, firewall, nftables, openvpn, resolver, site
from lab.path.addresses import AddressError
from lab.path.iot_services import Listener, gives_credentials, iot_services
from lab.path.model import Association, ClientVpnEndpoint, Cloud, Vpc, VpcEndpoint
from lab.path.nftables import GroupedInterface
from lab.path.parts import (
    HOME_INTERFACE,
    INTERNET,
    IOT,
    End,
    File,
    Host,
    IotServer,
    Link,
    Plan,
    Service,
    service_directory,
)
from lab.path.site import Site


def vpc_hosts(cloud: Cloud) -> dict[str, str]:
    """Return the name of each VPC's host, by its id: ``vpc``, then ``vpc-2`` and so on.

    Only a VPC that something of the path is in gets one.
    """
    used = sorted(
        {association.vpc_id for endpoint in cloud.client_vpn_endpoints for association in endpoint.associations}
        | {endpoint.vpc_id for endpoint in cloud.vpc_endpoints}
    )
    return {vpc_id: "vpc" if number == 1 else f"vpc-{number}" for number, vpc_id in enumerate(used, start=1)}


def resolver_address(vpc: Vpc) -> str:
    """Return the address of a VPC's resolver: its primary CIDR's base plus two (VPC user guide, "DNS attributes")."""
    return str(ipaddress.IPv4Network(vpc.cidr_blocks[0])[2])


def association_address(cloud: Cloud, endpoint: ClientVpnEndpoint, association: Association) -> str:
    """Return the address of the network interface of an association, which clients' packets carry inside the VPC."""
    for interface in cloud.network_interfaces:
        if interface.subnet_id == association.subnet_id and endpoint.client_vpn_endpoint_id in interface.description:
            return interface.address
    return addresses.free_address(
        cloud.subnet(association.subnet_id).cidr_block,
        association.association_id,
        (interface.address for interface in cloud.network_interfaces),
    )


def plan(cloud: Cloud, server: IotServer, lan: Site | None = None, *, python: str = sys.executable) -> Plan:
    """Turn what the cloud says into the plan of a network.

    Args:
        lan: The site, where there is one.
        python: The interpreter that runs the gateway.

    Raises:
        AddressError: Networks overlap that the lab cannot keep apart, or an address range is exhausted.
    """
    return _Planner(cloud, server, lan, python).plan()


class _Planner:
    def __init__(self, cloud: Cloud, server: IotServer, lan: Site | None, python: str) -> None:
        self.notes: list[str] = []
        self.cloud = cloud
        self.server = server
        self.python = python
        self.vpc_hosts = vpc_hosts(cloud)
        self.vpcs = [vpc for vpc in cloud.vpcs if vpc.vpc_id in self.vpc_hosts]
        self.public = addresses.public_addresses(
            endpoint.client_vpn_endpoint_id for endpoint in cloud.client_vpn_endpoints
        )
        self.reserved = {INTERNET, IOT, *self.vpc_hosts.values(), *self.public}
        self.reserved |= {site.LAN, site.SENSOR} if lan else set()
        self.site = self._present(lan) if lan else None
        self.credentials = gives_credentials(cloud)
        self.endpoint_names = {
            name: tuple(interface.address for interface in cloud.interfaces_of(endpoint))
            for endpoint in cloud.vpc_endpoints
            if endpoint.state == "available"
            for name in endpoint.dns_names
        }
        self.internet_zone = resolver.Zone(
            addresses={
                cloud.iot.endpoint: (addresses.IOT_PUBLIC,),
                **({cloud.iot.credentials_endpoint: (addresses.CREDENTIALS_PUBLIC,)} if self.credentials else {}),
                **self.endpoint_names,
            },
            wildcards={
                addresses.NAMES_OF_ANYBODY: (addresses.INTERNET_DNS,),
                **{
                    endpoint.dns_name: (self.public[endpoint.client_vpn_endpoint_id],)
                    for endpoint in cloud.client_vpn_endpoints
                },
            },
        )

    def plan(self) -> Plan:
        self._refuse_overlaps()
        hosts = [Host(INTERNET, "internet", addresses.INTERNET_DNS), Host(IOT, "iot", None)]
        links = list(self._iot_links())
        filters: list[tuple[str, str]] = []
        loopback: list[tuple[str, tuple[str, ...]]] = [
            (INTERNET, (f"{addresses.ROUTER}/32", f"{addresses.INTERNET_DNS}/32"))
        ]
        services = [self._resolver("internet-dns", INTERNET, self.internet_zone, ())]
        for vpc in self.vpcs:
            host = self.vpc_hosts[vpc.vpc_id]
            subnets = [subnet for subnet in self.cloud.subnets if subnet.vpc_id == vpc.vpc_id]
            routers = {f"{ipaddress.IPv4Network(subnet.cidr_block)[1]}/32" for subnet in subnets}
            hosts.append(Host(host, "vpc", resolver_address(vpc) if vpc.dns_support else None))
            loopback.append((host, (f"{resolver_address(vpc)}/32", *sorted(routers))))
            filters.append((host, self._vpc_table(vpc)))
            services += self._vpc_resolver(vpc, host)
            self._note_routes(vpc)
        for endpoint in self.cloud.client_vpn_endpoints:
            hosts.append(Host(endpoint.client_vpn_endpoint_id, "client-vpn", None))
            links += self._client_vpn_links(endpoint)
            filters.append((endpoint.client_vpn_endpoint_id, self._client_vpn_table(endpoint)))
            services += self._client_vpn_service(endpoint)
        for name, network in self._homes().items():
            if self.site and name == site.LAN:
                hosts += site.hosts(self.site, network)
                links += site.links(self.site, network)
                continue
            hosts.append(Host(name, "device", str(network[1])))
            links.append(
                Link(
                    End(INTERNET, f"lan-{addresses.short(name)}", (f"{network[1]}/24",)),
                    End(name, HOME_INTERFACE, (f"{network[2]}/24",), (f"default via {network[1]}",)),
                )
            )
        front, notes = iot_services(self.cloud, self.server, self._iot_listeners(), python=self.python)
        services += front
        self.notes += notes
        return Plan(tuple(hosts), tuple(links), tuple(loopback), tuple(filters), tuple(services), tuple(self.notes))

    def _present(self, lan: Site) -> Site | None:
        """Return what there is of a site: a device may have gone from the cloud, or not have come yet."""
        things = {thing.name for thing in self.cloud.iot.things} - self.reserved
        absent = sorted({*lan.gateways, *lan.neighbours} - things)
        self.notes += [f"{name} of the site is no thing that has a host: the site is without it" for name in absent]
        gateways = tuple(name for name in lan.gateways if name in things)
        return Site(gateways, tuple(name for name in lan.neighbours if name in things)) if gateways else None

    def _homes(self) -> dict[str, ipaddress.IPv4Network]:
        """Return the network of each home, and that of the site's LAN."""
        names = [site.LAN] if self.site else []
        for thing in (thing.name for thing in self.cloud.iot.things):
            if thing in self.reserved:
                self.notes.append(f"thing {thing} has the name of another host of the lab: it gets no host")
            elif not (self.site and thing in self.site.neighbours):
                names.append(thing)
        taken = [cidr for vpc in self.vpcs for cidr in vpc.cidr_blocks]
        taken += [endpoint.client_cidr for endpoint in self.cloud.client_vpn_endpoints]
        return dict(addresses.home_networks(names, taken))

    def _refuse_overlaps(self) -> None:
        blocks = [(vpc.vpc_id, ipaddress.IPv4Network(block)) for vpc in self.vpcs for block in vpc.cidr_blocks]
        for number, (vpc_id, block) in enumerate(blocks):
            for other_id, other in blocks[:number]:
                if vpc_id != other_id and block.overlaps(other):
                    raise AddressError(
                        f"VPC {other_id} ({other}) and VPC {vpc_id} ({block}) overlap: the lab carries one of them; "
                        "put the other into a lab of its own (--lab NAME)"
                    )

    # -- AWS IoT ---------------------------------------------------------------------------------------------------

    def _iot_endpoints(self, vpc: Vpc) -> Iterator[VpcEndpoint]:
        for endpoint in self.cloud.vpc_endpoints:
            if endpoint.vpc_id == vpc.vpc_id and endpoint.state == "available":
                yield endpoint

    def _iot_listeners(self) -> Iterator[tuple[str, Listener]]:
        for vpc in self.vpcs:
            for endpoint in self._iot_endpoints(vpc):
                for item in self.cloud.interfaces_of(endpoint):
                    yield (
                        endpoint.service_name,
                        {"address": item.address, "vpcEndpointId": endpoint.vpc_endpoint_id, "vpcId": vpc.vpc_id},
                    )

    def _iot_links(self) -> Iterator[Link]:
        public = tuple(
            f"{address}/32"
            for address in (addresses.IOT_PUBLIC, *((addresses.CREDENTIALS_PUBLIC,) if self.credentials else ()))
        )
        yield Link(
            End(INTERNET, "iot", routes=public),
            End(
                IOT,
                nftables.PUBLIC,
                public,
                (f"default via {addresses.ROUTER} onlink quickack 1",),
            ),
        )
        for vpc in self.vpcs:
            interfaces = [item for endpoint in self._iot_endpoints(vpc) for item in self.cloud.interfaces_of(endpoint)]
            if interfaces:
                router = ipaddress.IPv4Network(self.cloud.subnet(interfaces[0].subnet_id).cidr_block)[1]
                own = tuple(f"{interface.address}/32" for interface in interfaces)
                yield Link(
                    End(self.vpc_hosts[vpc.vpc_id], "privatelink", routes=own),
                    End(
                        IOT,
                        f"vpc-{addresses.short(vpc.vpc_id)}",
                        own,
                        # Delayed acknowledgement against Nagle's algorithm would make steps of 40 ms.
                        tuple(f"{block} via {router} onlink quickack 1" for block in vpc.cidr_blocks),
                    ),
                )

    # -- VPC -------------------------------------------------------------------------------------------------------

    def _grouped_interfaces(self, vpc: Vpc) -> Iterator[GroupedInterface]:
        for endpoint in self._iot_endpoints(vpc):
            for interface in self.cloud.interfaces_of(endpoint):
                yield GroupedInterface(endpoint.vpc_endpoint_id, interface.address, interface.group_ids)
        for client_vpn in self.cloud.client_vpn_endpoints:
            for association in client_vpn.associations:
                if association.vpc_id == vpc.vpc_id:
                    yield GroupedInterface(
                        client_vpn.client_vpn_endpoint_id,
                        association_address(self.cloud, client_vpn, association),
                        association.group_ids,
                    )

    def _vpc_table(self, vpc: Vpc) -> str:
        groups = {group.group_id: group for group in self.cloud.security_groups if group.vpc_id == vpc.vpc_id}
        return nftables.vpc_table(list(self._grouped_interfaces(vpc)), groups)

    def _vpc_resolver(self, vpc: Vpc, host: str) -> Iterator[Service]:
        if not vpc.dns_support:
            self.notes.append(f"{vpc.vpc_id}: enableDnsSupport is off, so nothing answers on {resolver_address(vpc)}")
            return
        # Both attributes are needed for private zones (Route 53 developer guide, "VPC settings").
        zones = [zone for zone in self.cloud.hosted_zones if vpc.vpc_id in zone.vpc_ids and vpc.dns_hostnames]
        zone = resolver.vpc_zone(self.internet_zone, zones, self.endpoint_names)
        rules = [rule for rule in self.cloud.firewall_rules if rule.vpc_id == vpc.vpc_id]
        zone = firewall.filtered(zone, rules)
        self.notes += [f"not answered: {name}" for name in zone.unsupported]
        yield self._resolver(f"{host}-dns", host, zone, (resolver_address(vpc),))

    def _resolver(self, name: str, host: str, zone: resolver.Zone, listen: Sequence[str]) -> Service:
        directory = service_directory(name)
        hosts = f"{directory}/hosts"
        configuration = resolver.dnsmasq_configuration(zone, addresses=listen, hosts_file=hosts)
        return Service(
            name,
            host,
            # In the foreground, as the user who started it, with no file of the machine's own.
            ("dnsmasq", "--no-daemon", f"--conf-file={directory}/dnsmasq.conf", "--pid-file="),
            (
                File(f"{directory}/dnsmasq.conf", configuration),
                File(hosts, resolver.hosts_file(zone), "hangup"),
            ),
        )

    def _note_routes(self, vpc: Vpc) -> None:
        for table in self.cloud.route_tables:
            if table.vpc_id == vpc.vpc_id:
                self.notes += [
                    f"route {destination} to {target} of {table.route_table_id} is not carried: only the local one is"
                    for destination, target in table.routes
                    if target != "local"
                ]

    # -- Client VPN ------------------------------------------------------------------------------------------------

    def _source_addresses(self, endpoint: ClientVpnEndpoint) -> dict[str, str]:
        return {
            f"eni-{addresses.short(item.association_id)}": association_address(self.cloud, endpoint, item)
            for item in endpoint.associations
        }

    def _client_vpn_links(self, endpoint: ClientVpnEndpoint) -> Iterator[Link]:
        host, public = endpoint.client_vpn_endpoint_id, self.public[endpoint.client_vpn_endpoint_id]
        yield Link(
            End(INTERNET, f"cv-{addresses.short(host)}", routes=(f"{public}/32",)),
            End(host, nftables.PUBLIC, (f"{public}/32",), (f"default via {addresses.ROUTER} onlink",)),
        )
        vpcs = {vpc.vpc_id: vpc for vpc in self.vpcs}
        for metric, association in enumerate(endpoint.associations, start=1):
            name = f"eni-{addresses.short(association.association_id)}"
            own = f"{association_address(self.cloud, endpoint, association)}/32"
            router = ipaddress.IPv4Network(self.cloud.subnet(association.subnet_id).cidr_block)[1]
            blocks = vpcs[association.vpc_id].cidr_blocks
            yield Link(
                End(self.vpc_hosts[association.vpc_id], name, routes=(own,)),
                End(host, name, (own,), tuple(f"{block} via {router} onlink metric {metric}" for block in blocks)),
            )

    def _client_vpn_table(self, endpoint: ClientVpnEndpoint) -> str:
        return nftables.client_vpn_table(
            listening=(endpoint.transport_protocol, endpoint.port) if endpoint.associations else None,
            client_cidr=endpoint.client_cidr,
            authorized=[
                rule.destination_cidr
                for rule in endpoint.authorization_rules
                # Groups come from a directory or an identity provider, which certificates do not have.
                if rule.status == "active" and rule.access_all
            ],
            source_addresses=self._source_addresses(endpoint),
        )

    def _client_vpn_service(self, endpoint: ClientVpnEndpoint) -> Iterator[Service]:
        identifier = endpoint.client_vpn_endpoint_id
        if not endpoint.associations:
            self.notes.append(f"{identifier} has no association: it does not answer")
            return
        name = f"client-vpn {identifier}"
        directory = service_directory(name)
        management = f"{directory}/management.sock"
        configuration = openvpn.server_configuration(
            endpoint, address=self.public[identifier], management=management, status=f"{directory}/status"
        )
        yield Service(
            name,
            identifier,
            ("openvpn", "--config", f"{directory}/server.conf"),
            (File(f"{directory}/server.conf", configuration),),
            ready=management,
        )
