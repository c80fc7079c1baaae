"""What a profile may hold.

It cannot prove that OpenVPN reads a profile as this parser does; the path tests run the accepted one.
"""

from __future__ import annotations

import pytest
from device_agent._exceptions import ProfileError
from device_agent.install.openvpn_profile import SIZE_LIMIT, parse_profile
from hypothesis import given, settings
from hypothesis import strategies as st

from .material import DIRECTIVES, SCRIPTS, message_of, profile, vpn_authority, vpn_client

# openvpn(8): each of these runs a program, loads a library, opens a socket, or reads or writes a file.
DANGEROUS = [
    "plugin /usr/lib/openvpn/plugins/openvpn-plugin-down-root.so /bin/sh",
    "management 127.0.0.1 7505",
    "management-client",
    "config /etc/shadow",
    "up /bin/sh",
    "up '/bin/sh -c id'",
    'up "/bin/sh -c id"',
    "up /etc/openvpn/update-systemd-resolved extra",
    "up /etc/openvpn/../../bin/sh",
    "--up /bin/sh",
    "down /bin/sh",
    "route-up /bin/sh",
    "route-pre-down /bin/sh",
    "ipchange /bin/sh",
    "tls-verify /bin/sh",
    "auth-user-pass-verify /bin/sh via-env",
    "client-connect /bin/sh",
    "learn-address /bin/sh",
    "tls-crypt-v2-verify /bin/sh",
    "iproute /bin/sh",
    "script-security 3",
    "setenv LD_PRELOAD /tmp/x.so",
    "pkcs11-providers /tmp/x.so",
    "engine /tmp/x.so",
    "providers /tmp/x.so",
    "log /etc/passwd",
    "log-append /etc/passwd",
    "status /etc/passwd",
    "writepid /etc/passwd",
    "tmp-dir /",
    "cd /",
    "chroot /",
    "daemon",
    "auth-user-pass /etc/shadow",
    "askpass /etc/shadow",
    "ca /etc/openvpn/ca.crt",
    "cert ../x.crt",
    "key /srv/x.key",
    "http-proxy 10.0.0.1 80",
    "ignore-unknown-option up",
    "dev tap",
    "dev-node /dev/sda",
    "remote-cert-tls client",
    "remote host.example 99999999",
    "verb 3 /bin/sh",
    "reneg-sec 0 ../x",
]


def test_the_walk_throughs_profile_passes() -> None:
    found = parse_profile(profile())
    assert found.directives["up"] == [["/etc/openvpn/update-systemd-resolved"]]
    assert found.ca == vpn_authority().certificate_pem
    assert found.cert == vpn_client().certificate_pem
    assert found.key == vpn_client().key_pem
    assert found.runs_resolver_script


@pytest.mark.parametrize("line", DANGEROUS)
@pytest.mark.parametrize("before", ["", "  ", "\t"])
def test_a_directive_that_runs_or_opens_anything_is_refused_with_its_line(line: str, before: str) -> None:
    with pytest.raises(ProfileError, match=r"^vpn\.config, line 11"):
        parse_profile(profile(directives=f"{DIRECTIVES}{before}{line}\n"))


@pytest.mark.parametrize("line", ["# up /bin/sh", "; up /bin/sh", "verb 4 # up /bin/sh", ""])
def test_comments_are_passed_over(line: str) -> None:
    parse_profile(profile(directives=f"{DIRECTIVES}{line}\n"))


@pytest.mark.parametrize(
    "line",
    [
        "connect-retry 1 10",
        "explicit-exit-notify 1",
        "dhcp-option DOMAIN-ROUTE iot.ap-northeast-1.amazonaws.com",
        'pull-filter ignore "redirect-gateway"',
        "route 10.0.0.0 255.255.0.0",
        "persist-tun",
        "verify-x509-name server name",
        "data-ciphers AES-256-GCM:AES-128-GCM",
        "ping-restart 20",
    ],
)
def test_directives_that_a_private_path_may_need_pass(line: str) -> None:
    parse_profile(profile(directives=f"{DIRECTIVES}{line}\n"))


@pytest.mark.parametrize("missing", ["client", "dev tun", "remote cvpn", "remote-cert-tls server"])
def test_a_profile_without_what_a_client_needs_is_refused(missing: str) -> None:
    kept = "".join(f"{line}\n" for line in DIRECTIVES.splitlines() if not line.startswith(missing))
    with pytest.raises(ProfileError, match=f"has no '{missing.split(maxsplit=1)[0]}'"):
        parse_profile(profile(directives=kept if missing != "client" else kept.replace("client\n", "")))


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_an_empty_block_is_refused(name: str) -> None:
    with pytest.raises(ProfileError, match=f"has no <{name}> block, or an empty one"):
        parse_profile(profile(**{name: ""}))


def test_a_block_of_another_kind_is_refused() -> None:
    with pytest.raises(ProfileError, match="line 11: the block <connection> is refused"):
        parse_profile(profile(directives=f"{DIRECTIVES}<connection>\nremote x 1\n</connection>\n"))


def test_a_block_that_does_not_end_is_refused_as_truncated() -> None:
    text = profile()
    with pytest.raises(ProfileError, match="<ca> has no </ca>; is the profile truncated"):
        parse_profile(text[: text.index("</ca>")])


def test_a_second_block_of_a_kind_is_refused() -> None:
    with pytest.raises(ProfileError, match="a second <ca>"):
        parse_profile(f"{profile()}<ca>\n{vpn_authority().certificate_pem}</ca>\n")


def test_a_directive_behind_a_blocks_end_is_refused() -> None:
    with pytest.raises(ProfileError, match="something follows </ca> on its line"):
        parse_profile(profile().replace("</ca>", "</ca> up /bin/sh"))


def test_a_block_line_that_openvpn_would_cut_in_two_is_refused() -> None:
    with pytest.raises(ProfileError, match="OpenVPN reads 255"):
        parse_profile(profile().replace("</ca>", f"{'A' * 255}</ca>\nup /bin/sh\n</ca>"))


@pytest.mark.parametrize("text", ["verb 3\x00", "verb\u00a03", "\ufeffverb 3", "verb 3\x0bup /bin/sh"])
def test_unusual_characters_are_refused(text: str) -> None:
    with pytest.raises(ProfileError, match="line 11 holds the character"):
        parse_profile(profile(directives=f"{DIRECTIVES}{text}\n"))


def test_an_oversized_profile_is_refused() -> None:
    with pytest.raises(ProfileError, match=f"at most {SIZE_LIMIT} are allowed"):
        parse_profile(profile(scripts=SCRIPTS + "#\n" * SIZE_LIMIT))


def test_no_error_shows_a_keys_content() -> None:
    body = vpn_client().key_pem.splitlines()[1]
    text = profile().replace("<key>\n", "<key>\n</key>\n", 1)
    with pytest.raises(ProfileError) as caught:
        parse_profile(text)
    assert body not in str(caught.value)
    assert vpn_client().key_pem not in repr(parse_profile(profile()))


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(st.data())
def test_a_mutated_profile_passes_or_is_refused_in_one_line(data: st.DataObject) -> None:
    text = profile()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 200)))
    insert = data.draw(st.one_of(st.text(max_size=30), st.sampled_from(DANGEROUS).map(lambda line: f"\n{line}\n")))
    mutated = text[:start] + insert + text[end:]
    message = message_of(lambda: parse_profile(mutated))
    assert "\n" not in message
    if not message:
        directives = parse_profile(mutated).directives
        programs = {program for name in ("up", "down") for found in directives.get(name, []) for program in found}
        assert programs <= {"/etc/openvpn/update-systemd-resolved"}
        assert not {"plugin", "management", "config", "route-up", "setenv"} & set(directives)
