"""The profile's text. That openvpn reads it and that it does what its comments say is proven in the path tier."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from private_iot import ovpn_profile
from private_iot.ovpn_profile import Remote

CA = "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQ0VSVA==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nS0VZ\n-----END PRIVATE KEY-----\n"
DOMAIN = "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com"
REMOTE = Remote(
    dns_name="*.cvpn-endpoint-0123456789abcdef0.prod.clientvpn.ap-northeast-1.amazonaws.com",
    port=443,
    protocol="udp",
    ca_certificate_pem=CA,
    server_name="server.private-iot.internal",
    split_tunnel=True,
)
remotes = st.builds(
    Remote,
    dns_name=st.just(REMOTE.dns_name),
    port=st.sampled_from([443, 1194]),
    protocol=st.sampled_from(["udp", "tcp"]),
    ca_certificate_pem=st.sampled_from([CA, CA.strip(), f"\n{CA}\n"]),
    server_name=st.just(REMOTE.server_name),
    split_tunnel=st.booleans(),
)
domains = st.lists(st.sampled_from([DOMAIN, "c9.credentials.iot.ap-northeast-1.amazonaws.com"]), unique=True)


def device_profile(remote: Remote = REMOTE, private_domains: list[str] | None = None) -> str:
    return ovpn_profile.device_profile(
        remote,
        certificate_pem=CERTIFICATE,
        private_key_pem=KEY,
        private_domains=[DOMAIN] if private_domains is None else private_domains,
    )


def directives(text: str) -> list[str]:
    """The lines that openvpn acts on, inline blocks left out."""
    lines, block = [], None
    for line in text.splitlines():
        if block:
            block = None if line == f"</{block}>" else block
        elif line.startswith("<"):
            block = line[1:-1]
        elif line and not line.startswith("#"):
            lines.append(line)
    return lines


def test_the_export_is_awss_byte_for_byte() -> None:
    assert ovpn_profile.exported_profile(REMOTE) == (
        "client\n"
        "dev tun\n"
        "proto udp\n"
        "remote cvpn-endpoint-0123456789abcdef0.prod.clientvpn.ap-northeast-1.amazonaws.com 443\n"
        "remote-random-hostname\n"
        "resolv-retry infinite\n"
        "nobind\n"
        "remote-cert-tls server\n"
        "cipher AES-256-GCM\n"
        "verb 3\n"
        "<ca>\n"
        "-----BEGIN CERTIFICATE-----\n"
        "Q0E=\n"
        "-----END CERTIFICATE-----\n"
        "\n"
        "</ca>\n"
        "\n"
        "\n"
        "reneg-sec 0\n"
        "\n"
        "verify-x509-name server.private-iot.internal name\n"
    )


@given(remotes, domains)
def test_every_profile_begins_with_the_export_and_ends_with_a_line(remote: Remote, names: list[str]) -> None:
    text = device_profile(remote, names)
    assert text.startswith(ovpn_profile.exported_profile(remote))
    assert text.endswith("\n")
    assert "\r" not in text
    assert text.isascii()
    assert max(map(len, text.splitlines())) < 255, "openvpn reads lines of 255 characters"


@given(remotes, domains)
def test_every_added_line_has_its_reason_above_it(remote: Remote, names: list[str]) -> None:
    added = device_profile(remote, names).removeprefix(ovpn_profile.exported_profile(remote)).splitlines()
    same_reason = {"dhcp-option", "<key>"}
    for before, line in pairwise(added):
        if line in directives("\n".join(added)) or line in ("<cert>", "<key>"):
            assert before.startswith("#") or line.split()[0] in same_reason, line


@given(remotes, domains)
def test_no_directive_stands_there_twice(remote: Remote, names: list[str]) -> None:
    found = directives(device_profile(remote, names))
    assert len(found) == len(set(found))


def test_identity_and_authority_are_inline() -> None:
    text = device_profile()
    for tag, pem in (("ca", CA + "\n"), ("cert", CERTIFICATE), ("key", KEY)):
        assert f"<{tag}>\n{pem}</{tag}>\n" in text


def test_the_walk_throughs_lines_are_there_and_the_line_that_it_lacked() -> None:
    found = directives(device_profile())
    for line in (
        "script-security 2",
        "up /etc/openvpn/update-systemd-resolved",
        "down /etc/openvpn/update-systemd-resolved",
        "down-pre",
        "up-restart",
    ):
        assert line in found


def test_only_the_private_names_are_asked_in_the_tunnel() -> None:
    assert [line for line in directives(device_profile()) if line.startswith("dhcp-option")] == [
        f"dhcp-option DOMAIN-ROUTE {DOMAIN}"
    ]


def test_without_private_names_every_name_is_asked_in_the_tunnel() -> None:
    found = directives(device_profile(private_domains=[]))
    assert [line for line in found if line.startswith("dhcp-option")] == ["dhcp-option DOMAIN-ROUTE ."]


def test_silence_is_judged_as_the_endpoint_pushes_it() -> None:
    """A shorter time of our own would restart a tunnel whose resolver script has blocked OpenVPN for as long."""
    assert not [line for line in directives(device_profile()) if "ping-restart" in line]


def test_tcp_packets_fit_a_line_of_1280_bytes_over_ipv6() -> None:
    assert "mssfix 1232" in directives(device_profile())


def test_the_interface_stays_in_split_tunnel_only() -> None:
    full = Remote(**{**{name: getattr(REMOTE, name) for name in REMOTE.__slots__}, "split_tunnel": False})
    assert "persist-tun" in directives(device_profile())
    assert "persist-tun" not in directives(device_profile(full))


def test_the_exit_is_announced_over_udp_only() -> None:
    tcp = Remote(**{**{name: getattr(REMOTE, name) for name in REMOTE.__slots__}, "protocol": "tcp"})
    assert "explicit-exit-notify 1" in directives(device_profile())
    assert "explicit-exit-notify 1" not in directives(device_profile(tcp))
    assert "proto tcp" in directives(device_profile(tcp))
