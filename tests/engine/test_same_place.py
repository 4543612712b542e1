"""Whether a folder of this machine and a remote may be one machine's."""

from __future__ import annotations

import pytest

from portal.engine.order.remotes import Remote
from portal.engine.safety import places, same_place
from portal.engine.safety.places import Mount


@pytest.mark.parametrize(
    ("kind", "source", "server"),
    [
        ("nfs4", "192.0.2.7:/export/photos", "192.0.2.7"),
        ("nfs", "[2001:db8::7]:/export", "2001:db8::7"),
        ("cifs", "//192.0.2.7/share", "192.0.2.7"),
        ("fuse.sshfs", "bob@192.0.2.7:/home/bob", "192.0.2.7"),
        ("fuse.mergerfs", "disk1:disk2", None),
        ("fuse.mergerfs", "/mnt/disk1:/mnt/disk2", None),
        ("fuse.rclone", "{nas}", None),
        ("ext4", "/dev/sda1", None),
    ],
)
def test_server_of_a_mount_is_known(
    monkeypatch: pytest.MonkeyPatch, kind: str, source: str, server: str | None
) -> None:
    mount = Mount(1, "0:50", "/", "/", kind, source)
    monkeypatch.setattr(places, "mounts", lambda: [mount])
    monkeypatch.setattr(places, "_mount_number", lambda path: 1)
    found = same_place.addresses_of_mount("/")
    assert (server in found) if server else found == frozenset()


def test_mount_and_remote_of_one_server_are_of_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    mount = Mount(1, "0:50", "/", "/", "nfs4", "192.0.2.7:/export")
    monkeypatch.setattr(places, "mounts", lambda: [mount])
    monkeypatch.setattr(places, "_mount_number", lambda path: 1)
    of_mount = same_place.addresses_of_mount("/")
    nas, other = (Remote("nas", "sftp", {"host": f"192.0.2.{last}"}) for last in (7, 8))
    assert same_place.addresses(nas) & of_mount
    assert not same_place.addresses(other) & of_mount
