"""The MQTT codec: round trips, cut and damaged packets.

What this cannot prove: that a real client writes such packets; the path tier has real ones.
"""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.path.gateway import packets
from lab.path.gateway.packets import V5, V311, Connect, MalformedPacketError, Reader, Subscribe, Will

levels = st.sampled_from([V311, V5])
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
raws = st.binary(max_size=20)
identifiers = st.integers(1, 65535)
property_lists = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([0x01, 0x17, 0x25]), st.integers(0, 255)),
        st.tuples(st.sampled_from([0x13, 0x21, 0x23]), st.integers(0, 65535)),
        st.tuples(st.sampled_from([0x02, 0x11, 0x27]), st.integers(0, 2**32 - 1)),
        st.tuples(st.just(0x0B), st.integers(0, 2**28 - 1)),
        st.tuples(st.sampled_from([0x03, 0x08, 0x09, 0x1F]), raws),
        st.tuples(st.just(0x26), st.tuples(raws, raws)),
    ),
    max_size=4,
    unique_by=lambda item: item[0],
).map(tuple)


def whole(raw: bytes) -> packets.Frame:
    """The frame of a buffer that holds exactly one packet."""
    at = packets.frame(raw, 0)
    assert at is not None
    assert at.end == len(raw)
    return at


@st.composite
def connects(draw: st.DrawFn) -> Connect:
    level = draw(levels)
    properties = property_lists if level == V5 else st.just(())
    will = draw(st.none() | st.builds(Will, texts, raws, st.integers(0, 2), st.booleans(), properties))
    username = draw(st.none() | raws)
    password = draw(st.none() | raws) if username is not None or level == V5 else None
    return Connect(
        level, draw(texts), draw(st.booleans()), draw(st.integers(0, 65535)), will, username, password, draw(properties)
    )


@given(connects())
def test_a_connect_comes_back_as_it_was_written(connect: Connect) -> None:
    raw = packets.write_connect(connect)
    assert packets.protocol_of(raw, whole(raw)) == ("MQTT", connect.level)
    assert packets.read_connect(raw, whole(raw)) == connect


@given(
    levels, identifiers, st.lists(st.tuples(texts, st.sampled_from([0, 1, 2, 4, 8, 41])), min_size=1), property_lists
)
def test_a_subscribe_comes_back_as_it_was_written(level: int, number: int, filters: list[Any], properties: Any) -> None:
    subscribe = Subscribe(number, tuple(filters), properties if level == V5 else ())
    raw = packets.write_subscribe(subscribe, level)
    assert packets.read_subscribe(raw, whole(raw), level) == subscribe


@given(levels, texts, st.none() | identifiers, st.binary(max_size=50), property_lists)
def test_a_publish_is_read_where_its_parts_lie(
    level: int, topic: str, number: int | None, payload: bytes, properties: Any
) -> None:
    body = packets.binary(topic.encode()) + (number.to_bytes(2, "big") if number else b"")
    body += packets.write_properties(properties) if level == V5 else b""
    raw = packets.packet(packets.PUBLISH, 2 if number else 0, body + payload)
    publish = packets.read_publish(raw, whole(raw), level)
    assert publish.topic == topic.encode()
    assert publish.packet_id == (number or 0)
    assert raw[publish.payload :] == payload
    assert publish.alias == (dict(properties).get(0x23) if level == V5 else None)


@given(property_lists, raws)
def test_properties_come_back_and_leave_the_reader_behind_them(properties: Any, rest: bytes) -> None:
    raw = packets.write_properties(properties) + rest
    reader = Reader(raw, 0, len(raw))
    assert tuple(packets.read_properties(reader)) == properties
    assert reader.take(len(rest)) == rest
    assert not reader.more()


@given(levels, identifiers, st.binary(min_size=1, max_size=8), property_lists)
def test_a_suback_comes_back_as_it_was_written(level: int, number: int, codes: bytes, properties: Any) -> None:
    raw = packets.write_suback(number, codes, level, properties)
    expected = list(properties) if level == V5 else []
    assert packets.read_acknowledgement(raw, whole(raw), level) == (number, expected, codes)


@given(levels, st.integers(0, 255), st.booleans(), property_lists)
def test_a_connack_comes_back_as_it_was_written(level: int, code: int, present: bool, properties: Any) -> None:
    raw = packets.write_connack(level, code, session_present=present, properties=properties)
    assert packets.read_connack(raw, whole(raw), level) == (present, code, list(properties) if level == V5 else [])


@given(st.integers(0, 2**28 - 1))
def test_a_variable_byte_integer_comes_back(value: int) -> None:
    raw = packets.variable(value)
    assert Reader(raw, 0, len(raw)).variable() == value
    assert len(raw) <= 4


@given(st.lists(connects(), min_size=1, max_size=3), st.data())
def test_frames_are_found_however_a_stream_is_cut(stream: list[Connect], data: st.DataObject) -> None:
    raws = [packets.write_connect(connect) for connect in stream]
    raw = b"".join(raws)
    cut = data.draw(st.integers(0, len(raw)))
    found, position = [], 0
    for held in (raw[:cut], raw):
        while (at := packets.frame(held, position)) is not None and at.end <= len(held):
            found.append(held[at.start : at.end])
            position = at.end
    assert found == raws


READERS = [
    packets.read_publish,
    packets.read_subscribe,
    packets.read_unsubscribe,
    packets.read_acknowledgement,
    packets.read_connack,
    lambda raw, at, _: packets.protocol_of(raw, at),
    lambda raw, at, _: packets.read_connect(raw, at),
]


@given(st.sampled_from(READERS), levels, st.integers(0x10, 0xFF), st.binary(max_size=60))
def test_damaged_bytes_are_malformed_and_nothing_else(read: Any, level: int, first: int, body: bytes) -> None:
    raw = bytes([first]) + packets.variable(len(body)) + body
    with contextlib.suppress(MalformedPacketError):
        read(raw, whole(raw), level)


@pytest.mark.parametrize("raw", [b"\x00\x00", b"\x30\xff\xff\xff\xff\x01"])
def test_a_fixed_header_that_cannot_be_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        packets.frame(raw, 0)


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a\0b"])
def test_a_string_that_is_no_utf8_or_holds_a_zero_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        packets.text_of(raw)


def test_a_property_twice_is_a_protocol_error() -> None:
    raw = packets.write_properties([(0x21, 1), (0x21, 2)])
    with pytest.raises(MalformedPacketError, match="property 0x21 twice") as caught:
        packets.read_properties(Reader(raw, 0, len(raw)))
    assert caught.value.reason_code == 0x82


def test_a_puback_says_why_only_in_mqtt_5() -> None:
    assert packets.write_puback(7, V311, 0x87) == b"\x40\x02\x00\x07"
    assert packets.write_puback(7, V5, 0x87) == b"\x40\x03\x00\x07\x87"
    assert packets.write_puback(7, V5) == b"\x40\x02\x00\x07"
