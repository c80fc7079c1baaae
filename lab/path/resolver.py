"""What the resolvers answer, as dnsmasq's configuration and hosts file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.path.model import PrivateHostedZone


@dataclass
class Zone:
    """Names and what they resolve to.

    Attributes:
        addresses: Addresses of each name.
        wildcards: Address of every name below a name.
        aliases: Canonical name of each name (CNAME).
        texts: Text records of each name.
        refused: Names that are not answered though a wildcard would.
        unsupported: Records that the lab leaves out, for people to read.
    """

    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wildcards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unsupported: list[str] = field(default_factory=list)


def vpc_zone(internet: Zone, zones: Sequence[PrivateHostedZone], endpoint_names: Mapping[str, Sequence[str]]) -> Zone:
    """Return what the resolver of a VPC answers: its private zones, and otherwise what the internet answers.

    A name below a private zone is answered from that zone alone, even where it has no such record; of two zones that
    match, the more specific one counts (Route 53 developer guide, "Considerations when working with a private hosted
    zone").

    Args:
        internet: What everyone sees.
        zones: The private zones that are associated with the VPC.
        endpoint_names: Addresses of the names of VPC endpoints, for aliases.
    """
    names = [zone.name for zone in zones]
    result = Zone(
        addresses={name: value for name, value in internet.addresses.items() if not _owner(name, names)},
        wildcards={name: value for name, value in internet.wildcards.items() if not _owner(name, names)},
    )
    for zone in zones:
        for record in zone.records:
            if record.type in ("NS", "SOA") or _owner(record.name.removeprefix("*."), names) != zone.name:
                continue
            if record.alias is not None:
                values = tuple(endpoint_names.get(record.alias, ())) if record.type == "A" else ()
            else:
                values = record.values
            wildcard = record.name.startswith("*.")
            if record.type in ("A", "AAAA") and wildcard:
                base = record.name.removeprefix("*.")
                result.wildcards[base] = result.wildcards.get(base, ()) + values
            elif record.type in ("A", "AAAA"):
                result.addresses[record.name] = result.addresses.get(record.name, ()) + values
            elif record.type == "CNAME" and not wildcard and values:
                result.aliases[record.name] = values[0].rstrip(".").lower()
            elif record.type == "TXT" and not wildcard:
                result.texts[record.name] = values
            else:
                result.unsupported.append(f"{record.type} {record.name} of zone {zone.name}")
    return result


def _owner(name: str, zones: Iterable[str]) -> str | None:
    """Return the most specific zone that a name lies in."""
    matching = [zone for zone in zones if name == zone or name.endswith(f".{zone}")]
    return max(matching, key=len, default=None)


def dnsmasq_configuration(zone: Zone, *, addresses: Sequence[str], hosts_file: str) -> str:
    """Return dnsmasq's configuration.

    Args:
        addresses: Where to listen; everywhere where there are none.
        hosts_file: Path of the file with the plain names, which dnsmasq reads again on SIGHUP.
    """
    lines = ["no-resolv", "no-hosts", "cache-size=0", "local-ttl=60"]
    # Without it dnsmasq answers REFUSED for every name and type that it does not have.
    lines.append("local=/#/")
    lines.append(f"addn-hosts={hosts_file}")
    if addresses:
        lines += ["bind-interfaces", "except-interface=lo", *(f"listen-address={address}" for address in addresses)]
    lines += [f"address=/{name}/{address}" for name, values in sorted(zone.wildcards.items()) for address in values]
    lines += [f"local=/{name}/" for name in sorted(zone.refused)]
    lines += [f"cname={name},{target}" for name, target in sorted(zone.aliases.items())]
    lines += [f"txt-record={name},{','.join(values)}" for name, values in sorted(zone.texts.items())]
    return "\n".join(lines) + "\n"


def hosts_file(zone: Zone) -> str:
    """Return the plain names with their addresses, one pair a line."""
    pairs = [f"{address} {name}" for name, values in sorted(zone.addresses.items()) for address in values]
    return "\n".join([*pairs, ""])
