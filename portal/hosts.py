"""Which servers the portal may be sent to: not itself, and not what only the machine can see."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)
_LONGEST = 253
# Services of clouds that hand out credentials to whoever asks from inside; the well-known
# 169.254.169.254 is link-local.
_METADATA = {ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")}
# 64:ff9b::/96, by which gateways reach IPv4.
_NAT64 = b"\x00\x64\xff\x9b" + bytes(8)

Address = IPv4Address | IPv6Address


class HostRefused(Exception):
    """``reason`` is a sentence for the person who typed the name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_malformed(host: str) -> None:
    """Raises HostRefused unless it is a name or an address."""
    if not host:
        raise HostRefused("Give the name or address of a server.")
    if _literal(host) is not None:
        return
    if len(host) > _LONGEST or not _NAME.fullmatch(host):
        raise HostRefused("Write the name or address of a server, such as files.example.org.")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2], re.IGNORECASE):
        # 127.1, 2130706433 and 0x7f000001 are names to one program and this machine to another.
        raise HostRefused("Write the address in full, such as 192.0.2.7.")


def host_in(address: str) -> str:
    """The host of ``https://host:port/path`` or ``host:port``. Raises HostRefused."""
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise HostRefused("Write an address such as https://files.example.org.") from None
    if parts.scheme not in ("http", "https"):
        raise HostRefused("Write an address that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise HostRefused("Leave user and password out of the address; they have their own fields.")
    refuse_malformed(host)
    return host


def refuse_local(host: str, *, allow_local: bool) -> None:
    """Raises HostRefused if the name is unknown, or leads to this machine or its neighbourhood
    where that is not allowed. Asks the network for the addresses."""
    refuse_malformed(host)
    for address in _addresses(host):
        if not allow_local and _is_local(address):
            raise HostRefused(
                "This leads to the portal's own machine or to a service that only it can see. "
                "PORTAL_REMOTES_ALLOW_LOCAL would allow it."
            )


def _addresses(host: str) -> list[Address]:
    literal = _literal(host)
    if literal is not None:
        return [literal]
    try:
        # A dot at the end means the same name, which not every resolver knows.
        found = socket.getaddrinfo(host.rstrip("."), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HostRefused("No address is known for this name. Check its spelling.") from None
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _literal(host: str) -> Address | None:
    try:
        found = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return None
    return None if isinstance(found, IPv6Address) and found.scope_id else found


def _is_local(address: Address) -> bool:
    inner = _inner(address)
    if inner is not None and _is_local(inner):
        return True
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (isinstance(address, IPv4Address) and address.packed[0] == 0)
        or address in _METADATA
    )


def _inner(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address.packed[:12] in (_NAT64, bytes(12)):
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour
