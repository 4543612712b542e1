"""The one way out of an rclone that may not reach this machine: it looks up a name once, and
connects to what it has found there or refuses.

rclone would look a name up by itself after the portal has, follow a redirect to wherever it leads,
and open the data connections that a server of FTP asks for. All of these go through here.

Run as a program, with rclone's command line behind it, it leaves a child that answers as a SOCKS
proxy and becomes rclone itself: same process, same group, same exit code. It stands on the standard
library alone, since it is started before each rclone.
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
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

# Services of clouds that hand out credentials to whoever asks from inside; the well-known
# 169.254.169.254 is link-local.
_METADATA = {ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")}
# 64:ff9b::/96, by which gateways reach IPv4.
_NAT64 = b"\x00\x64\xff\x9b" + bytes(8)

_USER = b"portal"
_PATIENCE = 15.0
_PIPE = 256 * 1024
# Answers of SOCKS 5. rclone repeats them in words; see ``engine.storage_errors``.
_OK, _FORBIDDEN, _NO_NETWORK, _NO_HOST, _REFUSED, _LATE = 0, 2, 3, 4, 5, 6
_CONNECT, _BY_IPV4, _BY_NAME, _BY_IPV6 = 1, 1, 3, 4


def is_local(address: Address) -> bool:
    """Whether it is this machine, one that only it can see, or what hands out credentials."""
    inner = _inner(address)
    if inner is not None and is_local(inner):
        return True
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (isinstance(address, IPv4Address) and address.packed[0] == 0)
        or address in _METADATA
    )


def addresses(host: str) -> list[Address]:
    """Raises OSError or UnicodeError for a name that nobody knows."""
    # A dot at the end means the same name, which not every resolver knows.
    found = socket.getaddrinfo(host.rstrip("."), None, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _inner(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address.packed[:12] in (_NAT64, bytes(12)):
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


class Refusal(Exception):
    """``answer`` is SOCKS' number for it."""

    def __init__(self, answer: int) -> None:
        super().__init__(answer)
        self.answer = answer


class Gate:
    """``serve()`` answers until the listener is closed. Whoever does not know the ``word`` gets
    nothing: the port is open to all of this machine."""

    def __init__(self, word: bytes, refused: Callable[[Address], bool] = is_local) -> None:
        self._word = word
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
            threading.Thread(target=self._attend, args=(client,), daemon=True).start()

    def _attend(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.settimeout(_PATIENCE)
            if not self._knows_the_word(client):
                return
            try:
                server = self._connected(*_asked(client))
            except Refusal as refusal:
                client.sendall(_answer(refusal.answer))
                return
            with server:
                client.sendall(_answer(_OK))
                client.settimeout(None)
                server.settimeout(None)
                _join(client, server)

    def _knows_the_word(self, client: socket.socket) -> bool:
        _, count = _read(client, 2)
        if 2 not in _read(client, count):  # by user and password
            client.sendall(b"\x05\xff")
            return False
        client.sendall(b"\x05\x02")
        _read(client, 1)
        user = _read(client, _read(client, 1)[0])
        word = _read(client, _read(client, 1)[0])
        right = user == _USER and hmac.compare_digest(word, self._word)
        client.sendall(b"\x01\x00" if right else b"\x01\x01")
        return right

    def _connected(self, host: str, port: int) -> socket.socket:
        try:
            found = addresses(host)
        except (OSError, UnicodeError):
            raise Refusal(_NO_HOST) from None
        # One that leads astray spoils the others: which of them is taken would be left to chance.
        if any(self._refused(address) for address in found):
            raise Refusal(_FORBIDDEN)
        answer = _NO_HOST
        for address in found:
            try:
                server = socket.create_connection((str(address), port), _PATIENCE)
            except OSError as error:
                answer = _meaning(error)
                continue
            server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return server
        raise Refusal(answer)


def _asked(client: socket.socket) -> tuple[str, int]:
    _, command, _, kind = _read(client, 4)
    if command != _CONNECT or kind not in (_BY_IPV4, _BY_NAME, _BY_IPV6):
        raise Refusal(7)
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
    told = b""
    while len(told) < length:
        part = client.recv(length - len(told))
        if not part:
            raise EOFError
        told += part
    return told


def _join(client: socket.socket, server: socket.socket) -> None:
    up = threading.Thread(target=_carry, args=(client, server), daemon=True)
    up.start()
    _carry(server, client)
    up.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Until the source ends; the kernel carries the bytes, which never come to Python."""
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
        # Broken, not ended: both sides are to know.
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(reading)
        os.close(writing)


# --- as a program -------------------------------------------------------------------------------


def variables(port: int, word: bytes) -> dict[str, str]:
    """What makes every connection of rclone come here."""
    way = f"{_USER.decode()}:{word.decode()}@127.0.0.1:{port}"
    return {
        "RCLONE_HTTP_PROXY": f"socks5://{way}",
        "RCLONE_SFTP_SOCKS_PROXY": way,
        "RCLONE_FTP_SOCKS_PROXY": way,
    }


def main(command: list[str]) -> None:
    word = os.urandom(16).hex().encode()
    gate = Gate(word)
    parent = os.getpid()
    if os.fork() == 0:
        _stay(gate, parent)
    told = {**os.environ, **variables(gate.port, word)}
    gate.listener.close()
    try:
        os.execve(command[0], command, told)  # noqa: S606 - no shell is meant
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


def _stay(gate: Gate, parent: int) -> None:
    """Until rclone has ended; however that is asked to, since what it tidies up goes through here
    as well."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    with contextlib.suppress(ProcessLookupError):
        ended = os.pidfd_open(parent)
        threading.Thread(target=gate.serve, daemon=True).start()
        watch = select.poll()
        watch.register(ended, select.POLLIN)
        if os.getppid() == parent:
            watch.poll()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
