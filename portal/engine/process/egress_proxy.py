"""The egress proxy: the only way out for an rclone that must not reach this machine. It resolves a
name once, then connects to the address that it found, or refuses.

Without it, rclone would resolve a name again after the portal has checked it, follow redirects
anywhere, and open the data connections that an FTP server asks for. All of these come through here.

Run as a program, with rclone's command line behind it, it leaves a child that answers as a SOCKS
proxy and becomes rclone itself: same process, same group, same exit code. It imports the standard
library only, because it is started before each rclone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import os
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# Services of clouds that give credentials to any program on the machine, each from its provider's
# own documents. Link-local ones are not listed, since all of these are refused: 169.254.169.254
# (most clouds), 169.254.170.2 (Amazon ECS), 169.254.170.23 (Amazon EKS Pod Identity),
# 169.254.42.42 (Scaleway), 169.254.0.23 (Tencent) and their like.
_SERVICES = tuple(
    map(
        ip_network,
        (
            "fd00:ec2::/32",  # Amazon: instance metadata (::254), EKS Pod Identity (::23), DNS
            "fd20:ce::254",  # Google: metadata server of instances with IPv6 alone
            "168.63.129.16",  # Azure: WireServer, "What is IP address 168.63.129.16?"
            "fd00:c1::a9fe:a9fe",  # Oracle: instance metadata service
            "192.0.0.192",  # Oracle Cloud Infrastructure Classic
            "100.100.100.200",  # Alibaba: instance metadata
            "fd00:100::100:200",  # Alibaba, by IPv6
            "fd00:42::42",  # Scaleway: cloud-init's "Scaleway" datasource
            "fd00:a9fe:a9fe::1",  # Akamai (Linode): metadata service
        ),
    )
)
# What stands before an IPv4 address at the end of an IPv6 one that leads there: compatible and
# mapped (RFC 4291), translated without state (SIIT, RFC 2765), by NAT64 (RFC 6052).
_BEFORE_IPV4 = (
    bytes(12),
    bytes(10) + b"\xff\xff",
    bytes(8) + b"\xff\xff\0\0",
    b"\0\x64\xff\x9b" + bytes(8),
)
_ISATAP = (b"\0\0\x5e\xfe", b"\2\0\x5e\xfe")  # RFC 5214
_LOCAL_NAT64 = b"\0\x64\xff\x9b\0\1"  # 64:ff9b:1::/48, RFC 8215

# See rtnetlink(7).
_NETLINK_ROUTE, _GET_ROUTE, _REQUEST, _ERROR, _DESTINATION = 0, 26, 1, 2, 1
_HEAD, _ROUTE, _ATTRIBUTE = "=IHHII", "=BBBBBBBBI", "=HH"
#: Kinds of routes to this machine: its own addresses, broadcast, anycast.
_HERE = {2, 3, 4}

_USER = b"portal"
_TIMEOUT = 15.0
_PIPE = 256 * 1024
# Answers of SOCKS 5. rclone turns them into words; see ``engine.failures.storage_errors``.
_OK, _FORBIDDEN, _NO_NETWORK, _NO_HOST, _REFUSED, _LATE = 0, 2, 3, 4, 5, 6
_CONNECT, _BY_IPV4, _BY_NAME, _BY_IPV6 = 1, 1, 3, 4


def is_local(address: Address) -> bool:
    """Whether the address is this machine, a link-local one, or a service of credentials."""
    return any(map(_is_local, (address, *_embedded(address))))


def is_in(networks: Iterable[str], address: Address) -> bool:
    """Whether the address leads into one of these networks."""
    reached = (address, *_embedded(address))
    return any(one in ip_network(network) for network in networks for one in reached)


def _is_local(address: Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (isinstance(address, IPv4Address) and address.packed[0] == 0)
        or any(address in service for service in _SERVICES)
        or _is_own(address)
    )


def _is_own(address: Address) -> bool:
    """Whether the kernel keeps what is sent there on this machine. It is asked each time: addresses
    come and go."""
    try:
        return _kind_of_route(address) in _HERE
    except OSError:
        # There is no route, or netlink is forbidden.
        return _can_be_bound(address)


def _kind_of_route(address: Address) -> int:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    route = struct.pack(_ROUTE, family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0)
    route += struct.pack(_ATTRIBUTE, 4 + len(packed), _DESTINATION) + packed
    head = struct.pack(_HEAD, struct.calcsize(_HEAD) + len(route), _GET_ROUTE, _REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT)
        kernel.send(head + route)
        answer = kernel.recv(8192)
    start = struct.calcsize(_HEAD)
    if struct.unpack_from(_HEAD, answer)[1] == _ERROR:
        code = -struct.unpack_from("=i", answer, start)[0]
        raise OSError(code, os.strerror(code))
    return int(struct.unpack_from(_ROUTE, answer, start)[7])


def _can_be_bound(address: Address) -> bool:
    """Whether a program of this machine may receive what is sent there. Where ``ip_nonlocal_bind``
    is set, that is so of every address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as unused:
            unused.bind((str(address), 0))
    except OSError:
        return False
    return True


def addresses(host: str) -> list[Address]:
    """Raises OSError or UnicodeError for an unknown name."""
    # Some resolvers do not understand a dot at the end, which means the same name.
    found = socket.getaddrinfo(host.rstrip("."), None, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Yields the IPv4 addresses to which translators and tunnels may bring what is sent to an IPv6
    address."""
    if isinstance(address, IPv4Address):
        return
    packed = address.packed
    if packed[:12] in _BEFORE_IPV4 or packed[8:12] in _ISATAP:
        yield IPv4Address(packed[12:])
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if packed[:6] == _LOCAL_NAT64:
        yield from _by_local_nat64(packed)


def _by_local_nat64(packed: bytes) -> list[IPv4Address]:
    """The network chooses how long its prefix is, which decides where the IPv4 address stands (RFC
    6052). Without a route to 0.0.0.0/8 a place that would give one is taken for empty."""
    places = (
        packed[6:8] + packed[9:11],
        packed[7:8] + packed[9:12],
        packed[9:13],
        packed[12:16],
    )
    return [IPv4Address(one) for one in places if one[0]] or [IPv4Address(0)]


class SocksError(Exception):
    """``answer``: the number that SOCKS has for this error."""

    def __init__(self, answer: int) -> None:
        super().__init__(answer)
        self.answer = answer


class EgressProxy:
    """``serve()`` answers until the listener is closed. Every program of this machine can reach the
    port; those that do not know the ``secret`` get nothing."""

    def __init__(self, secret: bytes, refused: Callable[[Address], bool] = is_local) -> None:
        self._secret = secret
        self._refused = refused
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.settimeout(_TIMEOUT)
            if not self._knows_the_secret(client):
                return
            try:
                server = self._connect(*_read_request(client))
            except SocksError as refusal:
                client.sendall(_answer(refusal.answer))
                return
            with server:
                client.sendall(_answer(_OK))
                client.settimeout(None)
                server.settimeout(None)
                _join(client, server)

    def _knows_the_secret(self, client: socket.socket) -> bool:
        _, count = _read(client, 2)
        if 2 not in _read(client, count):  # by user and password
            client.sendall(b"\x05\xff")
            return False
        client.sendall(b"\x05\x02")
        _read(client, 1)
        user = _read(client, _read(client, 1)[0])
        secret = _read(client, _read(client, 1)[0])
        right = user == _USER and hmac.compare_digest(secret, self._secret)
        client.sendall(b"\x01\x00" if right else b"\x01\x01")
        return right

    def _connect(self, host: str, port: int) -> socket.socket:
        try:
            found = addresses(host)
        except (OSError, UnicodeError):
            raise SocksError(_NO_HOST) from None
        # Refuse if any address is forbidden: otherwise chance would decide which one is used.
        if any(self._refused(address) for address in found):
            raise SocksError(_FORBIDDEN)
        answer = _NO_HOST
        for address in found:
            try:
                server = socket.create_connection((str(address), port), _TIMEOUT)
            except OSError as error:
                answer = _meaning(error)
                continue
            server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return server
        raise SocksError(answer)


def _read_request(client: socket.socket) -> tuple[str, int]:
    _, command, _, kind = _read(client, 4)
    if command != _CONNECT or kind not in (_BY_IPV4, _BY_NAME, _BY_IPV6):
        raise SocksError(7)
    if kind == _BY_NAME:
        host = _read(client, _read(client, 1)[0]).decode("ascii", "replace")
    else:
        host = str(ip_address(_read(client, 4 if kind == _BY_IPV4 else 16)))
    (port,) = struct.unpack("!H", _read(client, 2))
    return host, port


def _answer(number: int) -> bytes:
    return bytes((5, number, 0, _BY_IPV4)) + bytes(6)


def _meaning(error: OSError) -> int:
    if isinstance(error, ConnectionRefusedError):
        return _REFUSED
    return _LATE if isinstance(error, TimeoutError) else _NO_NETWORK


def _read(client: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = client.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return received


def _join(client: socket.socket, server: socket.socket) -> None:
    up = threading.Thread(target=_relay, args=(client, server), daemon=True)
    up.start()
    _relay(server, client)
    up.join()


def _relay(source: socket.socket, target: socket.socket) -> None:
    """Copies until the source ends. The kernel moves the bytes; Python never sees them."""
    reading, writing = os.pipe()
    try:
        with contextlib.suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
        with contextlib.suppress(OSError):
            while count := os.splice(source.fileno(), writing, _PIPE):
                while count:
                    count -= os.splice(reading, target.fileno(), count)
            target.shutdown(socket.SHUT_WR)
            return
        # The connection broke: tell both sides.
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(reading)
        os.close(writing)


# --- as a program -------------------------------------------------------------------------------


def variables(port: int, secret: bytes) -> dict[str, str]:
    """The environment variables that send every connection of rclone through the proxy."""
    address = f"{_USER.decode()}:{secret.decode()}@127.0.0.1:{port}"
    return {
        "RCLONE_HTTP_PROXY": f"socks5://{address}",
        "RCLONE_SFTP_SOCKS_PROXY": address,
        "RCLONE_FTP_SOCKS_PROXY": address,
    }


#: Options before the program, see ``options``.
_ALLOW_LOCAL, _REFUSE = "--allow-local", "--refuse="


def options(*, allow_local: bool, networks: Iterable[str]) -> list[str]:
    """The options of this program: ``networks`` are refused, and this machine unless it is
    allowed."""
    named = ",".join(networks)
    return [*([_ALLOW_LOCAL] if allow_local else []), *([f"{_REFUSE}{named}"] if named else [])]


def _rules(command: list[str]) -> tuple[Callable[[Address], bool], list[str]]:
    """What is refused, and the program with its arguments."""
    allows_local, networks = False, []
    while command and command[0].startswith("--"):
        option, *command = command
        allows_local |= option == _ALLOW_LOCAL
        networks += option.removeprefix(_REFUSE).split(",") if option.startswith(_REFUSE) else []

    def refused(address: Address) -> bool:
        return is_in(networks, address) or (not allows_local and is_local(address))

    return refused, command


def main(command: list[str]) -> None:
    secret = os.urandom(16).hex().encode()
    refused, command = _rules(command)
    proxy = EgressProxy(secret, refused)
    parent = os.getpid()
    if os.fork() == 0:
        _serve_until_exit(proxy, parent)
    environment = {**os.environ, **variables(proxy.port, secret)}
    proxy.listener.close()
    try:
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is meant
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


def _serve_until_exit(proxy: EgressProxy, parent: int) -> None:
    """Serves until rclone has ended. Ignores signals: rclone still needs the proxy to tidy up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    with contextlib.suppress(ProcessLookupError):
        ended = os.pidfd_open(parent)
        threading.Thread(target=proxy.serve, daemon=True).start()
        watch = select.poll()
        watch.register(ended, select.POLLIN)
        if os.getppid() == parent:
            watch.poll()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
