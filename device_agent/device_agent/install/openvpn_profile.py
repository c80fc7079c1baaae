"""Judging an OpenVPN profile before it is installed: OpenVPN runs it as root.

A list of what is allowed, not of what is forbidden: OpenVPN has some 300 directives, a few dozen of which run programs,
load libraries, open sockets or name files (openvpn(8)). Files are given inline only, and the only program is
update-systemd-resolved, as the profile from `pulumi up` has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from device_agent._exceptions import ProfileError

RESOLVER_SCRIPT = "/etc/openvpn/update-systemd-resolved"
"""What may run when the tunnel comes up and goes down; of the Debian package openvpn-systemd-resolved."""
SIZE_LIMIT = 64 * 1024
_LINE_LIMIT = 255  # OPTION_LINE_SIZE of openvpn's options.h, less the end of line
_INLINE = ("ca", "cert", "key")
_TOKEN = re.compile(r'"([^"]*)"|([^\s"]+)')
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def _pattern(*patterns: str, optional: int = 0) -> Callable[[Sequence[str]], bool]:
    """Make a check: each argument matches its pattern; the last `optional` ones may be absent."""

    def check(arguments: Sequence[str]) -> bool:
        return len(patterns) - optional <= len(arguments) <= len(patterns) and all(
            re.fullmatch(pattern, argument) for pattern, argument in zip(patterns, arguments, strict=False)
        )

    return check


_NOTHING = _pattern()
_NUMBER = _pattern(r"\d{1,7}")
_WORD = _pattern(r"[A-Za-z0-9:_-]{1,250}")
_PROTOCOL = r"(udp|tcp|tcp-client)[46]?|tcp[46]-client"
_ADDRESS = r"[0-9a-fA-F.:]{2,45}"
_SCRIPT = _pattern(re.escape(RESOLVER_SCRIPT))

_ALLOWED: dict[str, Callable[[Sequence[str]], bool]] = {
    "allow-compression": _pattern("no"),
    "auth": _WORD,
    "auth-nocache": _NOTHING,
    "block-ipv6": _NOTHING,
    "cipher": _WORD,
    "client": _NOTHING,
    "connect-retry": _pattern(r"\d{1,5}", r"\d{1,5}", optional=1),
    "connect-retry-max": _NUMBER,
    "connect-timeout": _NUMBER,
    "data-ciphers": _WORD,
    "data-ciphers-fallback": _WORD,
    "dev": _pattern(r"tun\d{0,3}"),
    "dev-type": _pattern("tun"),
    "dhcp-option": _pattern(r"DNS|DNS6|DOMAIN|DOMAIN-SEARCH|DOMAIN-ROUTE|DNSSEC", r"[A-Za-z0-9.:_-]{1,253}"),
    "down": _SCRIPT,
    "down-pre": _NOTHING,
    "explicit-exit-notify": _pattern(r"\d", optional=1),
    "fast-io": _NOTHING,
    "float": _NOTHING,
    "hand-window": _NUMBER,
    "keepalive": _pattern(r"\d{1,5}", r"\d{1,5}"),
    "mssfix": _pattern(r"\d{1,5}", "mtu|fixed", optional=2),
    "mute": _NUMBER,
    "nobind": _NOTHING,
    "persist-key": _NOTHING,
    "persist-tun": _NOTHING,
    "ping": _NUMBER,
    "ping-exit": _NUMBER,
    "ping-restart": _NUMBER,
    "ping-timer-rem": _NOTHING,
    "proto": _pattern(_PROTOCOL),
    "pull": _NOTHING,
    "pull-filter": _pattern("accept|ignore|reject", r"[A-Za-z0-9 .:_-]{1,200}"),
    "rcvbuf": _NUMBER,
    "remote": _pattern(_HOST.pattern, r"\d{1,5}", _PROTOCOL, optional=2),
    "remote-cert-tls": _pattern("server"),
    "remote-random": _NOTHING,
    "remote-random-hostname": _NOTHING,
    "reneg-sec": _pattern(r"\d{1,7}", r"\d{1,7}", optional=1),
    "resolv-retry": _pattern(r"infinite|\d{1,7}"),
    "route": _pattern(_ADDRESS, _ADDRESS, "vpn_gateway|default", r"\d{1,5}|default", optional=3),
    "route-metric": _NUMBER,
    "route-nopull": _NOTHING,
    "script-security": _pattern("[012]"),
    "server-poll-timeout": _NUMBER,
    "sndbuf": _NUMBER,
    "tls-cipher": _WORD,
    "tls-ciphersuites": _WORD,
    "tls-client": _NOTHING,
    "tls-version-min": _pattern(r"1\.[23]", "or-highest", optional=1),
    "topology": _pattern("subnet"),
    "tun-mtu": _NUMBER,
    "up": _SCRIPT,
    "up-delay": _pattern(r"\d{1,5}", optional=1),
    "up-restart": _NOTHING,
    "verb": _pattern(r"\d{1,2}"),
    "verify-x509-name": _pattern(r"[A-Za-z0-9 .:=,_-]{1,250}", "name|name-prefix|subject", optional=1),
}
_REQUIRED = ("client", "dev", "remote", "remote-cert-tls")


@dataclass(slots=True)
class Profile:
    """An OpenVPN profile that has passed.

    Attributes:
        directives: Each directive's arguments, in order, by its name.
        ca: PEM of the authorities that the server is checked against.
        cert: PEM of the client's certificate.
        key: PEM of its private key; kept out of the representation.
    """

    directives: dict[str, list[list[str]]] = field(default_factory=dict)
    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)

    @property
    def runs_resolver_script(self) -> bool:
        """Whether the profile calls update-systemd-resolved, which then has to be there."""
        return "up" in self.directives or "down" in self.directives


def parse_profile(text: str, source: str = "vpn.config", *, key_elsewhere: bool = False) -> Profile:
    """Read a profile and refuse everything that is not on the list.

    Args:
        text: The .conf, 64 KiB at most.
        source: What to call it in an error.
        key_elsewhere: Whether the private key may be absent, since the device has it.

    Returns:
        The profile.

    Raises:
        ProfileError: A directive, an argument or a block is not allowed, or something needed is missing. The message
            gives the line's number, never a block's content.
    """
    if len(text) > SIZE_LIMIT:
        raise ProfileError(f"{source} has {len(text)} characters; at most {SIZE_LIMIT} are allowed")
    unusual = re.search(r"[^\n\t\r\x20-\x7e]", text)
    if unusual:
        number = text.count("\n", 0, unusual.start()) + 1
        raise ProfileError(f"{source}, line {number} holds the character {unusual[0]!a}; plain ASCII is allowed")
    profile = Profile()
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        where = f"{source}, line {number}"
        words = _words(line, where)
        if not words:
            continue
        name, arguments = words[0], words[1:]
        block = re.fullmatch(r"<([^/].*)>", name)
        if block and not arguments:
            _add_block(profile, block[1], _read_block(lines, block[1], where), where)
        else:
            _check_directive(name, arguments, where)
            profile.directives.setdefault(name, []).append(arguments)
    _check_complete(profile, source, [name for name in _INLINE if name != "key" or not key_elsewhere])
    return profile


def _words(line: str, where: str) -> list[str]:
    """Split a line as OpenVPN does, but refuse its single quotes and escapes, which hide things."""
    stripped = line.strip()
    if not stripped or stripped[0] in "#;":
        return []
    if len(line) > _LINE_LIMIT:
        raise ProfileError(f"{where} has {len(line)} characters; OpenVPN reads {_LINE_LIMIT}")
    words: list[str] = []
    position = 0
    for match in _TOKEN.finditer(stripped):
        if stripped[position : match.start()].strip():
            break
        word = match[2]
        if word and word[0] in "#;":
            return words
        words.append(match[1] if word is None else word)
        position = match.end()
    if stripped[position:].strip() or "'" in stripped or "\\" in stripped:
        raise ProfileError(f"{where} has a quote or backslash that is refused; write the arguments plainly")
    return words


def _check_directive(name: str, arguments: list[str], where: str) -> None:
    shown = name if re.fullmatch(r"[A-Za-z0-9-]{1,40}", name) else ascii(name[:40])
    if name in _INLINE:
        raise ProfileError(f"{where}: '{shown}' names a file; give it inline, between <{name}> and </{name}>")
    check = _ALLOWED.get(name)
    if check is None:
        raise ProfileError(
            f"{where}: the directive '{shown}' is refused, since OpenVPN runs the profile as root and only what the"
            " private path needs is allowed; remove it"
        )
    if any(".." in argument.split("/") for argument in arguments):
        raise ProfileError(f"{where}: '{shown}' has a path with '..', which is refused")
    if not check(arguments):
        remedy = f"only {RESOLVER_SCRIPT} may run" if name in ("up", "down") else "see openvpn(8)"
        if name == "script-security":
            remedy = "2 at most"
        raise ProfileError(f"{where}: '{shown}' has an argument that is refused; {remedy}")


def _read_block(lines: Iterator[tuple[int, str]], name: str, where: str) -> str:
    if name not in _INLINE:
        raise ProfileError(
            f"{where}: the block <{ascii(name[:40])[1:-1]}> is refused; only <ca>, <cert> and <key> are allowed"
        )
    body: list[str] = []
    for number, line in lines:
        if len(line) > _LINE_LIMIT:
            raise ProfileError(f"line {number}, in the block of {where}, has {len(line)} characters; OpenVPN reads 255")
        if line.lstrip().startswith(f"</{name}>"):
            if line.strip() != f"</{name}>":
                raise ProfileError(f"{where}: something follows </{name}> on its line")
            return "\n".join(body) + "\n"
        body.append(line)
    raise ProfileError(f"{where}: <{name}> has no </{name}>; is the profile truncated?")


def _add_block(profile: Profile, name: str, body: str, where: str) -> None:
    if getattr(profile, name):
        raise ProfileError(f"{where}: a second <{name}>; one is allowed")
    setattr(profile, name, body)


def _check_complete(profile: Profile, source: str, blocks: Sequence[str]) -> None:
    for name in _REQUIRED:
        if name not in profile.directives:
            raise ProfileError(f"{source} has no '{name}'; it is not a Client VPN profile for this agent")
    for name in blocks:
        if not getattr(profile, name).strip():
            raise ProfileError(f"{source} has no <{name}> block, or an empty one")
    for arguments in profile.directives["remote"]:
        if len(arguments) > 1 and not 1 <= int(arguments[1]) <= 65535:
            raise ProfileError(f"{source}: 'remote' has port {arguments[1]}; a port is 1 to 65535")
