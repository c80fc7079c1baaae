"""DNS Firewall: which names a VPC's resolver may answer.

Source: Route 53 developer guide, "How Resolver DNS Firewall works" and "DNS Firewall rule actions": the groups of a VPC
and the rules of a group are asked in the order of their priority, the first that names the domain decides, and a name
that none names is answered. In a domain list `*` is every name and `*.example.com` every one below example.com.
"""

from collections.abc import Sequence

from lab.path.model import FirewallRule
from lab.path.resolver import Zone

# Stands for any label that no list names by itself.
_ANY = "\0"


def is_blocked(name: str, rules: Sequence[FirewallRule]) -> bool:
    """Whether the first rule that names a domain blocks it."""
    rule = next((rule for rule in rules if any(_names(domain, name) for domain in rule.domains)), None)
    return rule is not None and rule.action == "BLOCK"


def _names(domain: str, name: str) -> bool:
    return domain in ("*", name) or (domain.startswith("*.") and name.endswith(domain[1:]))


def filtered(zone: Zone, rules: Sequence[FirewallRule]) -> Zone:
    """Return what is left of a zone's answers.

    A block is an NXDOMAIN here, whatever response the rule asks for.

    Args:
        zone: What the resolver would answer.
        rules: Of the VPC, in the order in which they are asked.
    """
    if not rules:
        return zone
    named = {domain for rule in rules for domain in rule.domains if not domain.startswith("*")}
    kept = Zone(
        addresses={name: value for name, value in zone.addresses.items() if not is_blocked(name, rules)},
        aliases={name: value for name, value in zone.aliases.items() if not is_blocked(name, rules)},
        texts={name: value for name, value in zone.texts.items() if not is_blocked(name, rules)},
        unsupported=zone.unsupported,
    )
    for base, value in zone.wildcards.items():
        below = {name for name in named if name == base or name.endswith(f".{base}")}
        if is_blocked(f"{_ANY}.{base}", rules):
            kept.addresses.update({name: value for name in below if not is_blocked(name, rules)})
        else:
            kept.wildcards[base] = value
            kept.refused |= {name for name in below if is_blocked(name, rules)}
    return kept
