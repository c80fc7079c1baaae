"""Which DNS entry is the regional one, and which zones are refused. Cannot prove what AWS lists on a given day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_iot import ArgumentError
from private_iot.endpoint_service import check_offered, regional_entry

REGION = "ap-northeast-1"
SUFFIX = f"data.iot.{REGION}.vpce.amazonaws.com"
REGIONAL = (f"vpce-0bae8fd9e8c2b2879-1a2b3c4d.{SUFFIX}", "Z1")
OTHERS = [
    (f"vpce-0bae8fd9e8c2b2879-1a2b3c4d-{REGION}a.{SUFFIX}", "Z1"),
    (f"vpce-0bae8fd9e8c2b2879-1a2b3c4d-{REGION}c.{SUFFIX}", "Z1"),
    (f"vpce-0bae8fd9e8c2b2879-1a2b3c4d-us-west-2-lax-1a.{SUFFIX}", "Z1"),
    (f"a1b2c3-ats.iot.{REGION}.amazonaws.com", "Z2"),
]
SERVICE = f"com.amazonaws.{REGION}.iot.data"
OFFERED = [f"{REGION}a", f"{REGION}c"]


@given(st.permutations([REGIONAL, *OTHERS]))
def test_the_regional_entry_is_chosen_wherever_it_stands(entries: list[tuple[str, str]]) -> None:
    assert regional_entry(entries) == REGIONAL


def test_an_endpoint_without_a_regional_entry_is_named_with_what_it_has() -> None:
    with pytest.raises(ValueError, match=rf"no regional DNS name .*{REGION}a\.data"):
        regional_entry(OTHERS)
    with pytest.raises(ValueError, match="it has none at all"):
        regional_entry([])


def test_a_zone_the_service_does_not_offer_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError) as refused:
        check_offered("availability_zones", [f"{REGION}a", f"{REGION}d"], OFFERED, SERVICE)
    assert str(refused.value) == (
        "availability_zones is 'ap-northeast-1d': com.amazonaws.ap-northeast-1.iot.data is offered in "
        "ap-northeast-1a, ap-northeast-1c only; choose among those zones"
    )
