"""Availability Zones: which of those that a service offers a network uses. No Pulumi here."""

from collections.abc import Sequence

from private_iot.errors import ArgumentError


def check_offered(argument: str, zones: Sequence[str], offered: Sequence[str], service: str) -> tuple[str, ...]:
    """Refuse zones that the endpoint service does not offer.

    Args:
        argument: The name of the argument that holds the zones.
        zones: The zones that the program chose.
        offered: The zones in which the service is offered.
        service: The service's name, for the message.

    Returns:
        The zones in the order given.

    Raises:
        ArgumentError: The service is not offered in one of them.
    """
    for zone in zones:
        if zone not in offered:
            raise ArgumentError(
                argument, zone, f"{service} is offered in {', '.join(offered)} only", "choose among those zones"
            )
    return tuple(zones)


def choose(argument: str, count: int, offered: Sequence[str], service: str) -> tuple[str, ...]:
    """Choose the first zones of those that the endpoint service offers.

    Args:
        argument: The name of the argument that holds the number.
        count: Number of zones.
        offered: The zones in which the service is offered.
        service: The service's name, for the message.

    Returns:
        The zones, sorted.

    Raises:
        ArgumentError: There are not so many.
    """
    if count > len(offered):
        raise ArgumentError(
            argument,
            count,
            f"{service} is offered in {len(offered)} zones of this account ({', '.join(offered) or 'none'})",
            f"ask for at most {len(offered)}" if offered else "choose another Region",
        )
    return tuple(sorted(offered)[:count])
