"""Every argument that is refused: the error names argument, value, limit and remedy, and nothing was registered.

Cannot prove that the list is AWS's own; each limit carries its source where it is checked.
"""

from typing import Any

import pytest
from private_iot import ArgumentError, ClientVpnAccess, IotDevice, IotPrivateLink, PrivateIotNetwork

from tests.unit.components.monitor import deploy

LINK: Any = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]}
LINK_PATH: Any = {
    "policy_name": "p",
    "region": "r",
    "iot_endpoint": "e",
    "topic_prefix": "t",
    "vpc_endpoint_id": "vpce-1",
}
VPN: Any = {
    **LINK,
    "subnet_ids": {"ap-northeast-1a": "subnet-1"},
    "vpc_cidr_block": "10.0.0.0/16",
    "clients": ["pi-1"],
    "path": LINK_PATH,
}
DEVICE: Any = {
    "path": {**LINK_PATH, "vpc_cidr_block": "10.0.0.0/16", "dns_server": "10.0.0.2", "vpn_config": "c"},
}
COMPONENTS: dict[str, tuple[type, dict[str, Any]]] = {
    "network": (PrivateIotNetwork, {}),
    "link": (IotPrivateLink, LINK),
    "vpn": (ClientVpnAccess, VPN),
    "device": (IotDevice, DEVICE),
}

NETWORK_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"vpc_cidr_block": "10.0.0.0/8"}, "vpc_cidr_block is '10.0.0.0/8': a VPC is a /16 to a /28; write 10.0.0.0/16 or"),
    ({"vpc_cidr_block": "10.0.0.0/29"}, "vpc_cidr_block is '10.0.0.0/29': a VPC is a /16 to a /28; write"),
    ({"vpc_cidr_block": "10.0.1.0/16"}, "is no network address, host bits are set; write 10.0.0.0/16"),
    ({"vpc_cidr_block": "ten"}, "vpc_cidr_block is 'ten': it must be an IPv4 network in CIDR notation; write it as"),
    ({"vpc_cidr_block": "2001:db8::/32"}, "it must be an IPv4 network in CIDR notation"),
    ({"vpc_cidr_block": 10}, "vpc_cidr_block is 10: it must be an IPv4 network"),
    ({"subnet_cidr_blocks": ["192.168.0.0/24"]}, "it lies outside the VPC 10.0.0.0/16; choose a part of 10.0.0.0/16"),
    ({"subnet_cidr_blocks": ["10.0.0.0/15"]}, "subnet_cidr_blocks is '10.0.0.0/15': it lies outside the VPC"),
    (
        {"subnet_cidr_blocks": ["10.0.1.0/24", "10.0.1.128/25"]},
        "subnet_cidr_blocks is '10.0.1.128/25': it overlaps 10.0.1.0/24; choose subnets that are disjoint",
    ),
    ({"subnet_cidr_blocks": ["10.0.1.0/28"]}, "Client VPN associates subnets of /27 or larger; choose a larger one"),
    ({"subnet_cidr_blocks": "10.0.1.0/24"}, "it must be a list of texts; put it into brackets"),
    (
        {"subnet_cidr_blocks": ["10.0.1.0/24"], "availability_zones": ["ap-northeast-1a", "ap-northeast-1c"]},
        "it has to agree with availability_zones, which makes 2 subnets; give as many or leave subnet_cidr_blocks out",
    ),
    ({"availability_zone_count": 2, "availability_zones": ["ap-northeast-1a"]}, "which makes 1 subnets; give as many"),
    (
        {"availability_zone_count": 3},
        "availability_zone_count is 3: com.amazonaws.ap-northeast-1.iot.data is offered in 2",
    ),
    (
        {"availability_zone_count": 257},
        "256 subnets of /24 fit into 10.0.0.0/16; ask for at most 256 or choose a larger",
    ),
    (
        {"availability_zone_count": 0},
        "availability_zone_count is 0: a network needs at least 1 zone; ask for 1 or more",
    ),
    ({"availability_zone_count": -1}, "a network needs at least 1 zone"),
    ({"availability_zone_count": 1.5}, "availability_zone_count is 1.5: it must be a whole number"),
    ({"availability_zone_count": True}, "availability_zone_count is True: it must be a whole number"),
    (
        {"vpc_cidr_block": "10.0.0.0/27", "availability_zones": ["ap-northeast-1a", "ap-northeast-1c"]},
        "availability_zones is 2: 1 subnets of /27 fit into 10.0.0.0/27",
    ),
    ({"vpc_cidr_block": "10.0.0.0/28"}, "0 subnets of /27 fit into 10.0.0.0/28; choose a VPC of /27 or larger"),
    (
        {"availability_zones": ["ap-northeast-1d"]},
        "availability_zones is 'ap-northeast-1d': com.amazonaws.ap-northeast-1.iot.data is offered in ap-northeast-1a,",
    ),
    ({"availability_zones": ["ap-northeast-1a", "ap-northeast-1a"]}, "each item may stand there once; remove the rep"),
    ({"credentials_endpoint": "false"}, "credentials_endpoint is 'false': it must be true or false; write it without"),
    ({"cidr_blok": "x"}, "cidr_blok is no argument of PrivateIotNetwork: it takes authorized_cidr_blocks, "),
    ({"vpc_cidr": "10.0.0.0/16"}, "did you mean vpc_cidr_block?"),
    ({"zzz": 1}, "zzz is no argument of PrivateIotNetwork: it takes"),
    (
        {"authorized_cidr_blocks": ["10.0.9.0/24"]},
        "authorized_cidr_blocks is '10.0.9.0/24': it overlaps the VPC 10.0.0.0/16, which clients may reach; leave it",
    ),
    ({"authorized_cidr_blocks": ["10.1.0.1/16"]}, "host bits are set; write 10.1.0.0/16"),
    ({"log_retention_days": 2}, "log_retention_days is 2: CloudWatch Logs takes 1, 3, 5, 7"),
    ({"tags": ["a=b"]}, "tags is ['a=b']: it must be a map; write it as {key: value}"),
    ({"vpc_id": "10.0.0.0/16"}, "vpc_id is '10.0.0.0/16': it must be a VPC's identifier"),
    ({"vpc_id": "vpc-1"}, "subnet_ids is None: vpc_id is given, and each needs the other; pass subnet_ids as well"),
    ({"subnet_ids": ["subnet-1"]}, "vpc_id is None: subnet_ids is given, and each needs the other; pass vpc_id"),
    (
        {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "availability_zone_count": 2},
        "availability_zone_count is 2: vpc_id names a VPC that has its networks and zones; leave availability_zone",
    ),
]
LINK_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"topic_prefix": "a/+"}, "topic_prefix is 'a/+': + is a wildcard of MQTT; leave out the +"),
    ({"topic_prefix": "#"}, "topic_prefix is '#': # is a wildcard of MQTT"),
    ({"topic_prefix": "*"}, "topic_prefix is '*': * is a wildcard of IoT policies"),
    ({"topic_prefix": "$aws/things"}, "topics that begin with $ are reserved by AWS IoT; begin with a letter"),
    ({"topic_prefix": "a/b/c/d/e/f/g"}, "which leaves 6 levels to the prefix, not 7; use fewer levels"),
    ({"topic_prefix": 3}, "topic_prefix is 3: it must be a text"),
    ({"publish_topics": ["a", "a"]}, "publish_topics is 'a': each item may stand there once"),
    ({"subscribe_topics": [1]}, "subscribe_topics is 1: each item must be a text"),
    ({"publish_topics": ["fleet/#"]}, "publish_topics is 'fleet/#': an IoT policy takes # literally; write *"),
    (
        {"subscribe_topics": [f"fleet/{number:030}" for number in range(20)]},
        "characters and AWS IoT takes 2048; use fewer or shorter ones; * covers several",
    ),
    ({"publish_topics": ["a"], "allow_all_iot_actions": True}, "already allows every topic; leave one of the two out"),
    ({"jobs_topics": True, "allow_all_iot_actions": True}, "already allows every topic; leave one of the two out"),
    ({"extra_topics": ["a"]}, "write publish_topics and subscribe_topics instead"),
    ({"role_aliases": ["a"]}, "through the private endpoint only, and there is none; set credentials_endpoint to true"),
    ({"role_aliases": ["a/b"]}, "role_aliases is 'a/b': a role alias's name is 1 to 128 of a-z A-Z 0-9 _ = , @ -"),
    ({"topic": "a"}, "topic is no argument of IotPrivateLink"),
    ({"vpc_id": None}, "vpc_id is missing: IotPrivateLink cannot do without it; pass vpc_id"),
]
VPN_ROWS: list[tuple[dict[str, Any], str]] = [
    (
        {"client_cidr_block": "172.0.0.0/11"},
        "client_cidr_block is '172.0.0.0/11': the clients' network is a /12 to a /22",
    ),
    ({"client_cidr_block": "172.31.0.0/23"}, "the clients' network is a /12 to a /22; write 172.31.0.0/22"),
    ({"client_cidr_block": "172.31.0.1/16"}, "is no network address, host bits are set; write 172.31.0.0/16"),
    (
        {"client_cidr_block": "10.0.0.0/16"},
        "client_cidr_block is '10.0.0.0/16': it overlaps the VPC 10.0.0.0/16; choose",
    ),
    ({"client_cidr_block": "10.0.0.0/12"}, "it overlaps the VPC 10.0.0.0/16"),
    ({"vpc_cidr_block": "10.0.0.0/8"}, "vpc_cidr_block is '10.0.0.0/8': a VPC is a /16 to a /28"),
    ({"clients": [""]}, "clients is '': a device needs a name of at least 1 character; name the device"),
    ({"clients": ["pi-1", "pi-1"]}, "clients is 'pi-1': each item may stand there once; remove the repetition"),
    ({"clients": ["pi 1"]}, "clients is 'pi 1': a thing's name is made of a-z A-Z 0-9 : _ -; replace the others by -"),
    ({"clients": ["pi.1"]}, "a thing's name is made of a-z A-Z 0-9 : _ -"),
    ({"clients": ["p" * 129]}, "a thing's name has at most 128 characters, not 129; shorten it"),
    ({"clients": ["p" * 65]}, "a certificate's common name has at most 64 characters, not 65; shorten it"),
    ({"clients": "pi-1"}, "clients is 'pi-1': it must be a list of texts"),
    ({"dns_servers": ["10.0.0.2", "10.0.0.3", "10.0.0.4"]}, "takes 1 to 2 DNS servers; leave it out for the VPC's own"),
    ({"dns_servers": []}, "dns_servers is []: a Client VPN endpoint takes 1 to 2 DNS servers"),
    ({"dns_servers": ["resolver"]}, "dns_servers is 'resolver': it is no IPv4 address; write it as 10.0.0.2"),
    ({"dns_servers": ["10.0.0.256"]}, "it is no IPv4 address"),
    ({"dns_servers": ["10.8.0.53"]}, "dns_servers is '10.8.0.53': devices take a resolver inside the VPC 10.0.0.0/16"),
    ({"vpn_port": 1195}, "vpn_port is 1195: AWS Client VPN takes 443, 1194; choose one of them"),
    ({"vpn_port": "443"}, "vpn_port is '443': it must be a whole number; write it without quotes and fractions"),
    ({"transport_protocol": "sctp"}, "transport_protocol is 'sctp': AWS Client VPN takes udp, tcp; choose one of them"),
    ({"session_timeout_hours": 9}, "session_timeout_hours is 9: AWS Client VPN takes 8, 10, 12, 24"),
    ({"log_retention_days": 2}, "log_retention_days is 2: CloudWatch Logs takes 1, 3, 5, 7"),
    ({"login_banner": "x" * 1401}, "AWS Client VPN takes a text of 1 to 1400 characters; shorten it"),
    ({"login_banner": ""}, "login_banner is '': AWS Client VPN takes a text of 1 to 1400 characters"),
    ({"split_tunnel": "no"}, "split_tunnel is 'no': it must be true or false"),
    ({"server_name": "server"}, "server_name is 'server': it must be a DNS name in lower case with a dot; write it as"),
    ({"server_name": "Server.Example.com"}, "it must be a DNS name in lower case with a dot"),
    ({"server_name": f"{'s' * 60}.example"}, "a certificate's common name has at most 64 characters; shorten it"),
    (
        {"ca_validity_days": 0},
        "ca_validity_days is 0: a certificate is valid for 1 to 36500 days; choose a number there",
    ),
    ({"certificate_validity_days": 0}, "certificate_validity_days is 0: a certificate is valid for 1 to 36500 days"),
    ({"certificate_validity_days": 0.5}, "certificate_validity_days is 0.5: it must be a whole number"),
    (
        {"ca_validity_days": 365, "certificate_validity_days": 366},
        "certificate_validity_days is 366: a certificate ends with its authority, after 365 days; lower it or raise",
    ),
    ({"subnet_ids": {}}, "subnet_ids is {}: without an association no client can connect; pass a subnet of at least 1"),
    (
        {"subnet_ids": ["subnet-1"]},
        "subnet_ids is 'list': it must be a map from zone to subnet, since it decides which associations",
    ),
    ({"vpn_port": float("inf")}, "vpn_port is inf: it must be a whole number"),
    (
        {"split_tunel": False},
        "split_tunel is no argument of ClientVpnAccess: it takes alarm_topic_arn, authorized_cidr_blocks, ",
    ),
    ({"clients": None}, "clients is missing: ClientVpnAccess cannot do without it"),
]
DEVICE_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"thing_name": "a/b"}, "thing_name is 'a/b': a thing's name is made of a-z A-Z 0-9 : _ -"),
    ({"thing_name": "d" * 65}, "a certificate's common name has at most 64 characters"),
    ({"vpn_conf": "secret"}, "vpn_conf is no argument of IotDevice: it takes active, "),
    ({"path": None}, "path is missing: IotDevice cannot do without it; pass path"),
    ({"path": LINK_PATH}, "path lacks "),
]
ROWS = [
    pytest.param(component, arguments, message, id=f"{component}-{message[:60]}")
    for component, rows in (("network", NETWORK_ROWS), ("link", LINK_ROWS), ("vpn", VPN_ROWS), ("device", DEVICE_ROWS))
    for arguments, message in rows
]


@pytest.mark.parametrize(("component", "arguments", "message"), ROWS)
def test_it_is_refused_in_words_before_anything_is_registered(
    component: str, arguments: dict[str, Any], message: str
) -> None:
    kind, valid = COMPONENTS[component]
    refused = deploy(lambda: kind("name", {**valid, **arguments}), refused=ArgumentError)
    assert refused.registrations == []
    assert message in refused.logged[0]


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_arguments_that_the_rows_start_from_are_accepted(component: str) -> None:
    kind, valid = COMPONENTS[component]
    deployed = deploy(lambda: kind("name", valid))
    assert len(deployed.registrations) > 1


def test_whole_numbers_may_come_as_floats_as_other_languages_send_them() -> None:
    arguments: Any = {**VPN, "vpn_port": 1194.0, "session_timeout_hours": 8.0}
    deployed = deploy(lambda: ClientVpnAccess("vpn", arguments))
    endpoint = deployed.one("Endpoint").inputs
    assert (endpoint["vpnPort"], endpoint["sessionTimeoutHours"]) == (1194, 8)


@pytest.mark.parametrize("name", ["", "pi 1", "p" * 65])
def test_a_components_name_that_is_no_device_name_is_refused_too(name: str) -> None:
    assert deploy(lambda: IotDevice(name, DEVICE), refused=ArgumentError).registrations == []


def test_an_unknown_argument_is_refused_without_its_value_which_may_be_a_secret() -> None:
    arguments: Any = {**DEVICE, "vpn_conf": "hush"}
    refused = deploy(lambda: IotDevice("pi-1", arguments), refused=TypeError)
    assert "hush" not in refused.logged[0]


def test_a_policy_that_is_too_large_only_where_names_are_long_is_refused_there_and_accepted_elsewhere() -> None:
    topics = [f"fleet/topic-{number:02}" for number in range(8)] + ["x" * 75]
    arguments: Any = {**LINK, "publish_topics": topics, "subscribe_topics": topics}
    refused = deploy(lambda: IotPrivateLink("link", arguments), region="ap-northeast-1", refused=ArgumentError)
    assert refused.registrations == []
    assert "AWS IoT takes 2048" in refused.logged[0]
    assert len(deploy(lambda: IotPrivateLink("link", arguments), region="eu-west-1").of("Policy")) == 1


def test_a_vpc_network_that_is_known_only_later_is_still_compared_with_the_clients() -> None:
    def program() -> None:
        network = PrivateIotNetwork("net", {"vpc_cidr_block": "172.31.0.0/16"})
        arguments: Any = {**VPN, "vpc_cidr_block": network.vpc_cidr_block}
        ClientVpnAccess("vpn", arguments)

    refused = deploy(program, refused=ValueError)
    assert "client_cidr_block is '172.31.0.0/16': it overlaps the VPC" in refused.logged[0]
    assert refused.of("Endpoint") == []


def test_check_refuses_what_construction_refuses_without_a_monitor() -> None:
    for component, rows in (("network", NETWORK_ROWS), ("link", LINK_ROWS), ("vpn", VPN_ROWS)):
        kind, valid = COMPONENTS[component]
        for arguments, message in rows:
            if (
                "is missing" in message
                or "is offered in" in message
                or "overlaps the VPC 10.0.0.0/16, which" in message
            ):
                continue
            with pytest.raises(ArgumentError) as refused:
                kind.check({**valid, **arguments})  # type: ignore[attr-defined] # each of the three has it
            assert message in str(refused.value)
