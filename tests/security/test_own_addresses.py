"""A remote that leads to the portal's own machine by an address that looks like one elsewhere, to
the metadata service of a cloud, or into a network that the settings exclude."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.engine import Remote, list_folder, rclone_path
from portal.engine.process import egress_proxy
from portal.engine.process.egress_proxy import Address, is_local
from portal.models import Remote as StoredRemote
from portal.remotes.hosts import HostRefused, refuse_local
from portal.services.storage import connections
from portal.settings import Settings, load_settings
from tests.support.job_pages import errors_in
from tests.support.project import ROOT
from tests.support.remotes import add, stored

HERE = "127.0.0.1"
ELSEWHERE = IPv4Address("198.51.100.7")
LOCAL = tuple(map(IPv4Address, (HERE, "169.254.169.254", "100.100.100.200")))


def own_addresses() -> set[Address]:
    """As other files of the kernel have them."""
    table = Path("/proc/net/fib_trie").read_text()
    found: set[Address] = {
        ip_address(text) for text in re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table)
    }
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        found.add(IPv6Address(bytes.fromhex(line.split()[0])))
    return found


def neighbours(own: set[Address]) -> Iterator[Address]:
    for address in own:
        if not (address.is_loopback or address.is_link_local):
            yield next(one for one in (address + 2, address + 3, address + 4) if one not in own)


# --- addresses of this machine ------------------------------------------------------------------


@pytest.mark.parametrize("netlink", ["asked", "forbidden"])
def test_every_address_of_this_machine_is_refused_and_its_neighbours_are_not(
    monkeypatch: pytest.MonkeyPatch, netlink: str
) -> None:
    if netlink == "forbidden":
        monkeypatch.setattr(egress_proxy.socket, "AF_NETLINK", 99)
    own = own_addresses()
    assert IPv4Address(HERE) in own
    for address in own:
        with pytest.raises(HostRefused, match="own machine"):
            refuse_local(str(address), allow_local=False)
        refuse_local(str(address), allow_local=True)
    for address in (ELSEWHERE, *neighbours(own)):
        assert refuse_local(str(address), allow_local=False) == str(address)


#: In a network of its own, where nothing is but what the script makes.
SCRIPT = """
import ctypes, fcntl, ipaddress, socket, struct, sys
sys.path.insert(0, sys.argv[1])
from portal.engine.process.egress_proxy import is_local

libc = ctypes.CDLL(None, use_errno=True)
NEW_USER, NEW_NET, SET_ADDRESS, SET_FLAGS, UP = 0x10000000, 0x40000000, 0x8916, 0x8914, 1
if libc.unshare(NEW_NET) and libc.unshare(NEW_USER | NEW_NET):
    sys.exit("no network of its own")
card = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(card, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
address = ipaddress.ip_address("198.51.100.7")
mapped = ipaddress.ip_address("::ffff:198.51.100.7")
before = is_local(address), is_local(mapped)
request = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, address.packed)
fcntl.ioctl(card, SET_ADDRESS, request)
print(before, (is_local(address), is_local(mapped)))
"""


def test_address_that_came_a_moment_ago_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT)], capture_output=True, text=True, check=False
    )
    if "no network of its own" in done.stderr:
        pytest.skip("this machine lets nobody make a network of its own")
    assert done.stdout.strip() == "(False, False) (True, True)", done.stderr


def listener(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, 0), family=family)
    made.settimeout(0.1)
    return made


def was_asked(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


def ask(host: str, port: int, **rules: Any) -> str:
    """What rclone says of a storage there."""
    name = f"[{host}]" if ":" in host else host
    remote = Remote("there", "webdav", {"url": f"http://{name}:{port}"}, **rules)
    found = list_folder(rclone_path(None), remote, "folder", seconds=30)
    return str(found.problem or found.unknown)


def test_real_rclone_is_kept_from_the_own_address_of_this_machine() -> None:
    for address in own_addresses():
        if address.is_link_local:
            continue
        with closing(listener(str(address))) as server:
            port = server.getsockname()[1]
            told = ask(str(address), port, confined=True)
            assert told.startswith("The storage leads to the portal's own machine"), address
            assert not was_asked(server), address


# --- what stands for another address ------------------------------------------------------------


def with_ipv4(address: IPv4Address) -> list[IPv6Address]:
    """Every way in which an IPv6 address may stand for this one."""
    bits = int(address)
    high, low = bits >> 16, bits & 0xFFFF
    flipped = bits ^ 0xFFFFFFFF
    texts = [
        f"::{address}",
        f"::ffff:{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        f"64:ff9b:1:2:3:4:{address}",
        f"64:ff9b:1:{high:x}:{low >> 8:x}:{(low & 0xFF) << 8:x}::",
        f"64:ff9b:1:{bits >> 24:x}:{bits >> 16 & 0xFF:x}:{low:x}::",
        f"64:ff9b:1:0:{bits >> 24:x}:{bits >> 8 & 0xFFFF:x}:{(bits & 0xFF) << 8:x}:0",
        f"2002:{high:x}:{low:x}::",
        f"2002:{high:x}:{low:x}:1::7",
        f"2001:0:{high:x}:{low:x}:0:ffff:3bcc:95f8",
        f"2001:0:c633:6408:0:ffff:{flipped >> 16:x}:{flipped & 0xFFFF:x}",
        f"2001:db8::5efe:{address}",
        f"2001:db8::200:5efe:{address}",
    ]
    return list(map(IPv6Address, texts))


@pytest.mark.parametrize("local", LOCAL, ids=str)
def test_address_that_carries_a_local_one_is_refused(local: IPv4Address) -> None:
    assert [str(one) for one in with_ipv4(local) if not is_local(one)] == []


def test_address_that_carries_one_elsewhere_is_not_refused() -> None:
    assert [str(one) for one in with_ipv4(ELSEWHERE) if is_local(one)] == []


def test_address_that_carries_that_of_the_network_card_is_refused() -> None:
    for own in own_addresses():
        if isinstance(own, IPv4Address):
            assert [str(one) for one in with_ipv4(own) if not is_local(one)] == []


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fd00:ec2::254", "fd00:ec2:0::254"),  # Amazon EC2
        *("169.254.170.2", "169.254.170.23", "fd00:ec2::23"),  # Amazon ECS, EKS Pod Identity
        *("fd20:ce::254", "168.63.129.16", "fe80::a9fe:a9fe"),  # Google, Azure, OpenStack
        *("192.0.0.192", "fd00:c1::a9fe:a9fe"),  # Oracle
        *("100.100.100.200", "fd00:100::100:200"),  # Alibaba
        *("169.254.42.42", "fd00:42::42"),  # Scaleway
        *("169.254.0.23", "fd00:a9fe:a9fe::1"),  # Tencent, Akamai
    ],
)
def test_service_of_a_cloud_is_refused(address: str) -> None:
    with pytest.raises(HostRefused, match="own machine"):
        refuse_local(address, allow_local=False)


# --- networks that the settings exclude ---------------------------------------------------------

REFUSED = "198.51.100.0/24, fd12::/16"


@pytest.fixture
def settings(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PORTAL_REMOTES_REFUSE", REFUSED)
    return load_settings(
        data_dir=tmp_path / "data", transfer_roots=(root,), remotes_allow_local=True
    )


@pytest.mark.parametrize("host", ["198.51.100.7", "::ffff:198.51.100.7", "fd12:3::4"])
def test_network_that_is_refused_is_reached_by_no_remote(
    browser: Callable[..., Any], host: str
) -> None:
    alice = browser("alice")
    answer = add(alice, {"host": host, "user": "bob", "pass": "x"})
    assert answer.status_code == 422
    assert "PORTAL_REMOTES_REFUSE" in errors_in(answer.text)["option_host"]
    assert stored() is None
    old = StoredRemote(name="old", backend="sftp", options={"host": host}, secrets={})
    with pytest.raises(connections.Unusable, match="PORTAL_REMOTES_REFUSE"):
        connections.engine_remote(old)


def test_local_address_stays_allowed_beside_it(app: Flask) -> None:
    old = StoredRemote(name="old", backend="sftp", options={"host": HERE}, secrets={})
    made = connections.engine_remote(old)
    assert (made.confined, made.refused) == (False, ("198.51.100.0/24", "fd12::/16"))
    share = StoredRemote(name="nas", backend="smb", options={"host": "localhost"}, secrets={})
    told = connections.engine_remote(share).parameters["host"]
    assert told in (HERE, "[::1]"), "rclone can be sent through no proxy for SMB"


@pytest.mark.parametrize(
    ("rules", "reached"),
    [
        ({"refused": ("127.0.0.0/8",)}, False),
        ({"refused": ("198.51.100.0/24",)}, True),
        ({"refused": ("198.51.100.0/24",), "confined": True}, False),
        ({"refused": ("198.51.100.0/24", "127.0.0.1/32", "fd12::/16")}, False),
    ],
)
def test_networks_are_refused_at_each_connection_too(rules: dict[str, Any], reached: bool) -> None:
    """As if the name had led elsewhere when the portal looked."""
    with closing(listener(HERE)) as server:
        server.settimeout(30 if reached else 0.1)
        with ThreadPoolExecutor(1) as beside:
            # It takes the connection and closes it at once.
            asked = beside.submit(was_asked, server) if reached else None
            told = ask("localhost", server.getsockname()[1], **rules)
        assert (asked.result() if asked else was_asked(server)) is reached, told
        assert told.startswith("The storage leads to the portal's own machine") is not reached
