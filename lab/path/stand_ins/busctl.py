"""``busctl call`` to systemd-resolved and to systemd.

To the one as ``update-systemd-resolved`` makes it (org.freedesktop.resolve1(5)), to the other the call that starts a
scope (org.freedesktop.systemd1(5), ``StartTransientUnit``).
"""

import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

from lab.path.stand_ins.ask import RESOLVED_SOCKET, SYSTEMD_SOCKET, AskError, ask

_SYSTEMD = [
    *("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"),
    *("StartTransientUnit", "ssa(sv)a(sa(sv))"),
]
_ADDRESS = ["org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager"]


def request(arguments: list[str]) -> dict[str, Any]:
    """Return what a call asks for.

    Raises:
        ValueError: It is no call to systemd-resolved, or its words do not fit the signature.
    """
    words = [word for word in arguments if not word.startswith("--")]
    if words[:1] != ["call"] or words[1:4] != _ADDRESS or len(words) < 5:
        raise ValueError("only calls to org.freedesktop.resolve1.Manager are known here")
    method, signature, rest = words[4], words[5] if len(words) > 5 else "", words[6:]
    result: dict[str, Any] = {"command": method}
    match signature:
        case "":
            pass
        case "i":
            result["index"] = int(rest[0])
        case "is":
            result |= {"index": int(rest[0]), "value": rest[1]}
        case "ib":
            result |= {"index": int(rest[0]), "value": rest[1] in ("true", "yes", "1")}
        case "ia(iay)":
            result |= {"index": int(rest[0]), "servers": _servers(rest[1:])}
        case "ia(sb)":
            count, pairs = int(rest[1]), rest[2:]
            if len(pairs) != 2 * count:
                raise ValueError(f"{count} domains announced, {len(pairs) / 2:g} given")
            result |= {
                "index": int(rest[0]),
                "domains": [[pairs[at], pairs[at + 1] == "true"] for at in range(0, len(pairs), 2)],
            }
        case _:
            raise ValueError(f"signature {signature} is not known here")
    return result


def _servers(words: list[str]) -> list[str]:
    numbers = [int(word) for word in words]
    count, position, servers = numbers[0], 1, []
    for _ in range(count):
        length = numbers[position + 1]
        servers.append(str(ipaddress.ip_address(bytes(numbers[position + 2 : position + 2 + length]))))
        position += 2 + length
    if position != len(numbers):
        raise ValueError(f"{len(numbers) - position} numbers too many for {count} servers")
    return servers


def scope(words: list[str]) -> dict[str, Any]:
    """Return what a call asks for that starts a scope: the words after its signature.

    Raises:
        ValueError: They do not fit the signature, or have a property that is not known here.
    """
    following = iter(words)
    name, _mode, count = next(following), next(following), int(next(following))
    result: dict[str, Any] = {"command": "StartTransientUnit", "units": [name], "pids": [], "allowed": [], "denied": []}
    networks = {"IPAddressAllow": "allowed", "IPAddressDeny": "denied"}
    for _ in range(count):
        match next(following), next(following):
            case "Description", "s":
                next(following)
            case "PIDs", "au":
                result["pids"] = [int(next(following)) for _ in range(int(next(following)))]
            case ("IPAddressAllow" | "IPAddressDeny") as key, "a(iayu)":
                result[networks[key]] = [_network(following) for _ in range(int(next(following)))]
            case other:
                raise ValueError(f"the property {other} of a scope is not known here")
    if [*following] != ["0"]:
        raise ValueError("a scope without auxiliary units alone is known here")
    return result


def _network(words: Iterator[str]) -> str:
    _family, length = int(next(words)), int(next(words))
    address = ipaddress.ip_address(bytes(int(next(words)) for _ in range(length)))
    return f"{address}/{int(next(words))}"


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    try:
        if words[1:6] == _SYSTEMD:
            ask(SYSTEMD_SOCKET, scope(words[6:]))
        else:
            ask(RESOLVED_SOCKET, request(sys.argv[1:]))
    except (ValueError, IndexError, StopIteration, AskError) as error:
        print(f"Call failed: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Failed to connect to bus: {error}", file=sys.stderr)
        return 1
    return 0
