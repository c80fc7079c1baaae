"""DNS questions and answers, byte for byte (RFC 1035); the path tests ask real servers."""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import IPv4Address, IPv6Address

import pytest
from device_agent.dns import DnsError, query, read_answer, write_query
from hypothesis import given
from hypothesis import strategies as st

from device_agent import dns

QUESTION = b"\4pi-1\7example\0\0\1\0\1"
IDENTIFIER = 0x1234
QUERY = struct.pack(">HHHHHH", IDENTIFIER, 0x0100, 1, 0, 0, 0) + QUESTION


def answer(*records: tuple[int, bytes], flags: int = 0x8180, identifier: int = IDENTIFIER) -> bytes:
    packet = struct.pack(">HHHHHH", identifier, flags, 1, len(records), 0, 0) + QUESTION
    for kind, data in records:
        packet += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
    return packet


@given(st.lists(st.ip_addresses(v=4), max_size=5))
def test_every_a_record_is_read(addresses: list[IPv4Address]) -> None:
    packet = answer(*[(1, address.packed) for address in addresses])
    assert read_answer(packet, QUERY) == [str(address) for address in addresses]


@given(st.lists(st.ip_addresses(v=6), max_size=5))
def test_every_aaaa_record_is_read(addresses: list[IPv6Address]) -> None:
    packet = answer(*[(28, address.packed) for address in addresses])
    found = read_answer(packet, QUERY, "AAAA")
    assert [IPv6Address(address) for address in found] == addresses


def test_an_alias_before_the_address_is_passed_over() -> None:
    packet = answer((5, b"\1x\xc0\x11"), (1, bytes([10, 0, 1, 105])))
    assert read_answer(packet, QUERY) == ["10.0.1.105"]


def test_a_name_that_does_not_exist_has_no_address() -> None:
    assert read_answer(answer(flags=0x8183), QUERY) == []


@pytest.mark.parametrize(("flags", "code"), [(0x8182, 2), (0x8185, 5)])
def test_a_failure_of_the_server_is_named(flags: int, code: int) -> None:
    with pytest.raises(DnsError, match=f"^the server answers with error {code}$"):
        read_answer(answer(flags=flags), QUERY)


@pytest.mark.parametrize("packet", [answer(identifier=1), answer(flags=0x0100)])
def test_an_answer_to_another_question_is_refused(packet: bytes) -> None:
    with pytest.raises(DnsError, match=r"^the answer is not to the question$"):
        read_answer(packet, QUERY)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_a_malformed_answer_raises_nothing_else(junk: bytes, keep: int) -> None:
    packet = answer((1, bytes(4)))[:keep] + junk
    try:
        read_answer(packet, QUERY)
    except DnsError:
        return


def test_the_query_is_one_that_dns_servers_understand() -> None:
    assert write_query("ab.example")[2:] == bytes.fromhex(
        "0100 0001 0000 0000 0000 02 6162 07 6578616d706c65 00 0001 0001"
    )


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(DnsError, match="is not a host name"):
        write_query(name)


def test_a_question_reaches_a_server_and_its_answer_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(dns, "PORT", server.getsockname()[1])

        def serve() -> None:
            packet, client = server.recvfrom(512)
            header = packet[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([10, 0, 1, 105])
            server.sendto(header + packet[12:] + record, client)

        thread = threading.Thread(target=serve)
        thread.start()
        assert query("127.0.0.1", "pi-1.example") == ["10.0.1.105"]
        thread.join()


def test_a_server_that_is_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(dns, "PORT", server.getsockname()[1])
        with pytest.raises(DnsError, match=r"^127\.0\.0\.1 does not answer$"):
            query("127.0.0.1", "pi-1.example", timeout=0.05)
