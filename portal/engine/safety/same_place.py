"""Whether both ends are one place, or one contains the other, as far as that can be known without
writing.

A folder of this machine is identified by device and inode (see ``places``), a storage by its server
and path. A probe finds out the rest.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from portal.engine.order.remotes import Remote
from portal.engine.safety import places

_OVERLAP = (
    "The source and the destination are the same place under two names, or one lies inside the "
    "other. Nothing was done. Choose two folders, neither inside the other."
)
_MOUNTED = (
    "A folder below the source or the destination is a mount that leads to the other one. Nothing "
    "was done. Unmount it, or choose folders that do not hold one another."
)
#: The server in the source of a mount: ``nas:/export``, ``//nas/share``, ``bob@nas:/home``.
_SERVER = re.compile(r"//(?P<share>[^/]+)/|(?:[^@/:]*@)?(?P<export>\[[^\]]+\]|[^/:]+):/")
#: These decide, together with the server, where a path leads for this account.
ACCOUNT = (
    "user",
    "bearer_token",
    "account",
    "access_key_id",
    "sas_url",
    "service_account_credentials",
)


def refusal(
    source: str, destination: str, remotes: Mapping[str, Remote], *, deletes: bool
) -> str | None:
    """A sentence, where it is certain. ``deletes``: something may be deleted or overwritten."""
    begin, end = _remote(source, remotes), _remote(destination, remotes)
    if (begin is None) != (end is None):
        return None
    one, other = _path(source), _path(destination)
    if begin is None or end is None:
        return _of_folders(one, other, deletes)
    if same_account(begin, end) and places.overlap(places.key(one, begin), places.key(other, end)):
        return _OVERLAP
    return None


def same_account(one: Remote, other: Remote) -> bool:
    """Whether one path is one place for both."""
    return account(one) == account(other)


def account(remote: Remote) -> str:
    """Returns a text that distinguishes the account and its server from others. Passwords and keys
    are not part of it."""
    return "\0".join(
        [places.key("", remote), *(remote.parameters.get(name, "") for name in ACCOUNT)]
    )


def _of_folders(source: str, destination: str, deletes: bool) -> str | None:
    begin, end = places.of_local(source), places.of_local(destination)
    if places.overlap(begin, end) or _holds(source, destination) or _holds(destination, source):
        return _OVERLAP
    if not deletes:
        return None
    mounted = any(places.overlap(one, end) for one in places.of_mounts_below(source)) or any(
        places.overlap(one, begin) for one in places.of_mounts_below(destination)
    )
    return _MOUNTED if mounted else None


def _holds(outer: str, inner: str) -> bool:
    """Whether ``outer`` contains ``inner``. It compares device and inode of each existing folder
    on the way up, so names and mounts do not matter."""
    try:
        wanted = _number(outer)
    except OSError:
        return False
    path = Path(os.path.realpath(inner))
    for folder in (path, *path.parents):
        try:
            if _number(str(folder)) == wanted:
                return True
        except OSError:
            continue
    return False


def _number(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def _remote(text: str, remotes: Mapping[str, Remote]) -> Remote | None:
    return None if text.startswith("/") else remotes.get(text.partition(":")[0])


def _path(text: str) -> str:
    return text if text.startswith("/") else text.partition(":")[2]


def addresses(remote: Remote) -> frozenset[str]:
    """The server, as names and as numbers."""
    server = places.of_remote(remote.backend, remote.parameters, "").partition(":")[2]
    return _addresses_of(server.partition("/")[0].rpartition(":")[0])


def addresses_of_mount(path: str) -> frozenset[str]:
    """The server whose disk is mounted at a local path, if it is one; as ``addresses``."""
    real = os.path.realpath(path)
    mount = places.mount_of(real, places.mounts())
    if not mount.is_of_network:
        return frozenset()
    found = _SERVER.match(mount.source)
    host = found["share"] or found["export"] if found else ""
    return _addresses_of(host.strip("[]").lower())


def _addresses_of(host: str) -> frozenset[str]:
    if not host:
        return frozenset()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return frozenset({host})
    return frozenset({host, *(str(one[4][0]) for one in found)})


def is_own(address: str) -> bool:
    """Whether it is one of this machine: no other can be bound to."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as trial:
                trial.bind((address, 0))
        except OSError:
            continue
        return True
    return False
