"""Which of an interface endpoint's DNS names is the regional one. No Pulumi here."""

import re
from collections.abc import Iterable

_REGIONAL_LABEL = re.compile(r"vpce-[0-9a-f]+-[0-9a-z]+")


def regional_entry(entries: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Choose the regional DNS entry by its form.

    An interface endpoint has one regional name (`vpce-ID-HASH.data.iot.REGION.vpce.amazonaws.com`) and one a zone
    (`vpce-ID-HASH-ZONE.…`); no page of AWS promises their order (AWS PrivateLink guide, "DNS hostnames").

    Args:
        entries: Pairs of DNS name and hosted zone ID.

    Returns:
        The pair whose name is the regional one.

    Raises:
        ValueError: None has that form.
    """
    listed = list(entries)
    for name, zone_id in listed:
        if _REGIONAL_LABEL.fullmatch(name.split(".")[0]):
            return name, zone_id
    names = ", ".join(name for name, _ in listed) or "none at all"
    raise ValueError(f"the VPC endpoint has no regional DNS name vpce-ID-HASH.…: it has {names}")
