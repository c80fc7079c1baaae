"""Networks for property tests."""

from ipaddress import IPv4Network

from hypothesis import strategies as st


@st.composite
def networks(draw: st.DrawFn, shortest: int, longest: int) -> IPv4Network:
    """Any IPv4 network with a prefix length between the two."""
    length = draw(st.integers(shortest, longest))
    address = draw(st.integers(0, 2**32 - 1))
    return IPv4Network((address >> (32 - length) << (32 - length), length))
