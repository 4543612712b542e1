"""Which servers the portal may be sent to: not itself, and not what only the machine can see."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from portal.engine.process.egress_proxy import Address, addresses, is_in, is_local

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)
_MAX_LENGTH = 253


class HostRefused(Exception):
    """``reason`` is a sentence for the person who typed the name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_malformed(host: str) -> None:
    """Raises HostRefused unless it is a name or an address."""
    if not host:
        raise HostRefused("Enter the name or address of a server.")
    if _literal(host) is not None:
        return
    if len(host) > _MAX_LENGTH or not _NAME.fullmatch(host):
        raise HostRefused("Enter the name or address of a server, such as files.example.org.")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2], re.IGNORECASE):
        # 127.1, 2130706433 and 0x7f000001 are names to one program and this machine to another.
        raise HostRefused("Enter the full address, such as 192.0.2.7.")


def host_in(address: str) -> str:
    """The host of ``https://host:port/path`` or ``host:port``. Raises HostRefused."""
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise HostRefused("Use an address such as https://files.example.org.") from None
    if parts.scheme not in ("http", "https"):
        raise HostRefused("Use an address that starts with https:// or http://.")
    if "@" in parts.netloc:
        raise HostRefused(
            "Leave the user and password out of the address; they have their own fields."
        )
    refuse_malformed(host)
    return host


def refuse_local(host: str, *, allow_local: bool, refused: Collection[str] = ()) -> str:
    """One of the host's addresses. Raises HostRefused if the name is unknown, or leads to this
    machine or its neighbourhood where that is not allowed, or into one of the ``refused`` networks.
    Asks the network."""
    refuse_malformed(host)
    found = _addresses(host)
    for address in found:
        if is_in(refused, address):
            raise HostRefused("This leads to a network that PORTAL_REMOTES_REFUSE excludes.")
        if not allow_local and is_local(address):
            raise HostRefused(
                "This leads to the portal's own machine or to a service only it can reach. "
                "PORTAL_REMOTES_ALLOW_LOCAL would allow it."
            )
    return str(found[0])


def _addresses(host: str) -> list[Address]:
    literal = _literal(host)
    if literal is not None:
        return [literal]
    try:
        return addresses(host)
    except (OSError, UnicodeError):
        raise HostRefused("This name has no address. Check the spelling.") from None


def _literal(host: str) -> Address | None:
    try:
        found = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return None
    return None if isinstance(found, IPv6Address) and found.scope_id else found
