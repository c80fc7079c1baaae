"""``resolvectl``: status, dns, domain, default-route, revert, flush-caches and query (resolvectl(1))."""

import json
import socket
import sys
from typing import Any

from lab.path.stand_ins.ask import RESOLVED_SOCKET, AskError, ask


def _index(link: str) -> int:
    return int(link) if link.isdigit() else socket.if_nametoindex(link)


def _show(status: dict[str, Any], links: list[str]) -> None:
    for name, link in status.items():
        if links and name not in links:
            continue
        print(f"Link {socket.if_nametoindex(name)} ({name})")
        print(f"    Current Scopes: {'DNS' if link['servers'] else 'none'}")
        print(f"         Protocols: {'+' if link['defaultRoute'] else '-'}DefaultRoute")
        print(f"       DNS Servers: {' '.join(link['servers'])}")
        print(f"        DNS Domain: {' '.join(link['domains'])}\n")


def _run(words: list[str], *, as_json: bool) -> int:
    command, arguments = (words[0], words[1:]) if words else ("status", [])
    match command:
        case "status":
            status = ask(RESOLVED_SOCKET, {"command": "status"})
            if as_json:
                print(json.dumps(status))
            else:
                _show(status, arguments)
        case "flush-caches":
            ask(RESOLVED_SOCKET, {"command": "FlushCaches"})
        case "revert":
            ask(RESOLVED_SOCKET, {"command": "RevertLink", "index": _index(arguments[0])})
        case "dns" if len(arguments) > 1:
            servers = [server for server in arguments[1:] if server]
            ask(RESOLVED_SOCKET, {"command": "SetLinkDNS", "index": _index(arguments[0]), "servers": servers})
        case "domain" if len(arguments) > 1:
            domains = [[name.removeprefix("~").rstrip("."), name.startswith("~")] for name in arguments[1:] if name]
            ask(RESOLVED_SOCKET, {"command": "SetLinkDomains", "index": _index(arguments[0]), "domains": domains})
        case "default-route" if len(arguments) > 1:
            value = arguments[1] in ("yes", "true", "1", "on")
            ask(RESOLVED_SOCKET, {"command": "SetLinkDefaultRoute", "index": _index(arguments[0]), "value": value})
        case "dns" | "domain" | "default-route":
            key = {"dns": "servers", "domain": "domains", "default-route": "defaultRoute"}[command]
            for name, link in ask(RESOLVED_SOCKET, {"command": "status"}).items():
                if not arguments or name == arguments[0]:
                    value = link[key]
                    text = " ".join(value) if isinstance(value, list) else ("yes" if value else "no")
                    print(f"Link {socket.if_nametoindex(name)} ({name}): {text}")
        case "query":
            for address in sorted({str(entry[4][0]) for entry in socket.getaddrinfo(arguments[0], None)}):
                print(f"{arguments[0]}: {address}")
        case _:
            print(f"resolvectl: {command} is not known here", file=sys.stderr)
            return 1
    return 0


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    try:
        return _run(words, as_json=any(word.startswith("--json") or word == "-j" for word in sys.argv[1:]))
    except (OSError, AskError, IndexError) as error:
        print(f"resolvectl: {error}", file=sys.stderr)
        return 1
