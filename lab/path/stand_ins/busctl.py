"""``busctl call`` to systemd-resolved, as ``update-systemd-resolved`` makes it (org.freedesktop.resolve1(5))."""

import ipaddress
import sys
from typing import Any

from lab.path.stand_ins.ask import AskError, ask
from lab.path.stand_ins.resolved import SOCKET

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


def main() -> int:
    try:
        ask(SOCKET, request(sys.argv[1:]))
    except (ValueError, IndexError, AskError) as error:
        print(f"Call failed: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Failed to connect to bus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
