"""Keys of places: a key says where one side of a job really is, whatever it is called.

If one key begins with another, their places overlap: the same folder, or one inside the other. Each
key ends with a slash; otherwise `/photos-old/` would seem to be inside `/photos/`.

Keys do not contain users. Two users of one server may see the same folder; as two places, two jobs
could write there at once, or a folder could be moved onto itself. If they see two folders, one job
waits without need, and no more. Some things no key can tell (a server with two names, two protocols
for one disk): a marker file finds them out.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from portal.engine.order.remotes import Remote
from portal.engine.process.egress_proxy import addresses

_MOUNTS = Path("/proc/self/mountinfo")
#: Their device numbers are made up by each machine; what they show is named by their source.
_OF_NETWORKS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs"})
#: Their names differ by more than by case, always.
_WITHOUT_CASE = frozenset({"vfat", "msdos", "exfat", "hfs", "hfsplus"})

#: Addresses of one name that are looked at.
_ADDRESSES = 8
#: Replaces the server in the keys of a provider that has many servers.
_CLOUDS = frozenset(
    {"amazonaws.com", "amazonaws.com.cn", "api.backblazeb2.com", "storage.googleapis.com"}
)
_PORTS = {"ftp": 21, "sftp": 22, "smb": 445, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo: ``root`` is the folder of the file system that is seen at ``point``."""

    number: int
    device: str
    root: str
    point: str
    kind: str
    source: str

    @property
    def is_of_network(self) -> bool:
        """Whether another machine may hold the files."""
        return self.kind in _OF_NETWORKS or self.kind.startswith("fuse")

    def key(self, path: str) -> str:
        """The key of a real path below its mount point."""
        inner = _slashed(self.root, os.path.relpath(path, self.point))
        if self.kind in _OF_NETWORKS:
            host, colon, export = self.source.rpartition(":/")
            source = f"{host.lower()}{colon}{export}" if colon else self.source.lower()
            return f"{self.kind.removesuffix('4')}:{source.rstrip('/')}{inner}"
        if self.kind in _WITHOUT_CASE:
            inner = inner.casefold()
        return f"local:{self.device}:{inner}"


def key(path: str, remote: Remote | None) -> str:
    """The key of one side. ``path`` is a local path, or the part behind the remote's name."""
    return of_local(path) if remote is None else of_remote(remote.backend, remote.parameters, path)


def overlap(one: str, other: str) -> bool:
    """Whether two keys are the same place, or one of them holds the other."""
    return one.startswith(other) or other.startswith(one)


def holders(place: str) -> list[str]:
    """The key itself and those of all places that hold it."""
    return [place[: found.end()] for found in re.finditer("/", place)]


# --- folders of this machine --------------------------------------------------------------------


def of_local(path: str, table: Iterable[Mount] | None = None) -> str:
    """The key of a local path: the device and the path on it. Bind mounts, links and mounts of a
    part of one file system give the same key. A path that does not exist yet belongs to the next
    folder above it that exists. ``table``: what ``mounts`` has just said."""
    real = os.path.realpath(path)
    return _readable(mount_of(real, mounts() if table is None else table).key(real))


def by_path(path: str) -> str:
    """Returns a key made from the path alone, which is the same on every machine that sees the
    folder under this name."""
    return _readable(_slashed(os.path.realpath(path)))


def mounted_in_one(source: str, destination: str) -> list[str]:
    """Paths below both ends where a disk is mounted in one of them: it may be a pool that shows the
    folder of the other."""
    tails: dict[str, None] = {}
    for end in map(os.path.realpath, (source, destination)):
        below = end.rstrip("/") + "/"
        points = [one.point for one in mounts() if one.point.startswith(below)]
        tails |= dict.fromkeys(point.removeprefix(below) for point in points)
    return [
        tail for tail in tails if all(Path(end, tail).is_dir() for end in (source, destination))
    ]


def kind_of_local(path: str) -> str:
    """The type of the file system, such as ``ext4``, that holds a local path."""
    return mount_of(os.path.realpath(path), mounts()).kind


def of_mounts_below(path: str, table: Iterable[Mount] | None = None) -> list[str]:
    """The keys of what is mounted somewhere below a local path: rclone goes into that too.
    ``table``: what ``mounts`` has just said."""
    inside = os.path.realpath(path).rstrip("/") + "/"
    found = mounts() if table is None else table
    return [_readable(one.key(one.point)) for one in found if one.point.startswith(inside)]


def _readable(place: str) -> str:
    """A name that is no UTF-8 must not keep the key out of a database."""
    return os.fsencode(place).decode("utf-8", "backslashreplace")


def mounts(text: str | None = None) -> list[Mount]:
    """All mounts that this process sees, in the order in which they were made."""
    lines = os.fsdecode(_MOUNTS.read_bytes()) if text is None else text
    return [_mount(line) for line in lines.split("\n") if line]


@lru_cache(1000)
def _mount(line: str) -> Mount:
    fields = line.split(" ")
    kind, source = fields[fields.index("-") + 1 :][:2]
    return Mount(
        number=int(fields[0]),
        device=fields[2],
        root=_unescaped(fields[3]).removesuffix("//deleted"),
        point=_unescaped(fields[4]),
        kind=kind,
        source=_unescaped(source),
    )


def _unescaped(text: str) -> str:
    """Decodes spaces and the like, which are octal numbers of bytes there."""
    return os.fsdecode(
        re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), os.fsencode(text))
    )


def mount_of(real: str, table: Iterable[Mount]) -> Mount:
    """The mount of this table that a real path lies on."""
    number = _mount_number(real)
    best: Mount | None = None
    for mount in table:
        if mount.number == number:
            return mount
        inside = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        # If two are mounted at one point, the later one hides the earlier.
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best or Mount(0, "0:0", "/", "/", "unknown", "")


def _mount_number(path: str) -> int | None:
    """The kernel's own answer about what is mounted at the path, or at the part of it that exists:
    if two mounts cover one another, the name alone does not tell which it is."""
    while True:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            path = str(Path(path).parent)
            continue
        except OSError:
            return None
        try:
            found = re.search(r"^mnt_id:\s*(\d+)", _information(handle), re.MULTILINE)
        finally:
            os.close(handle)
        return int(found[1]) if found else None


def _information(handle: int) -> str:
    try:
        return Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii")
    except OSError:
        return ""


# --- storages elsewhere -------------------------------------------------------------------------


def of_remote(
    backend: str, parameters: Mapping[str, str], path: str, *, address: str | None = None
) -> str:
    """``backend`` and ``parameters`` by rclone's names. The only secret that is read is Azure's
    ``sas_url``, and only its address. ``address`` replaces the server's name."""
    kind, server, inner = _server(backend, parameters)
    if address is not None:
        server = f"{address}:{server.rpartition(':')[2]}"
    place = _slashed(inner, path)
    # Nearly every server of SMB takes names that differ in case for one.
    if backend == "smb" and parameters.get("case_insensitive", "true") != "false":
        place = place.casefold()
    return f"{kind}:{server}{place}"


def by_address(backend: str, parameters: Mapping[str, str], path: str) -> list[str]:
    """The keys by each address that the server's name has now: of `nas` and `192.168.1.5` the names
    alone tell nothing. Asks the network. None of a public cloud, whose addresses belong to many."""
    host = _server(backend, parameters)[1].rpartition(":")[0]
    if not host or host in _CLOUDS or host.endswith(".blob.core.windows.net"):
        return []
    try:
        found = addresses(host)
    except (OSError, UnicodeError):
        return []
    return [
        of_remote(backend, parameters, path, address=str(address))
        for address in dict.fromkeys(found[:_ADDRESSES])
    ]


def _server(backend: str, parameters: Mapping[str, str]) -> tuple[str, str, str]:
    """Kind, host and port, and the path at which all others begin."""
    if backend in ("sftp", "ftp", "smb"):
        implicit = backend == "ftp" and parameters.get("tls") == "true"
        usual = "990" if implicit else str(_PORTS[backend])
        port = parameters.get("port") or usual
        return backend, f"{_host(parameters.get('host', ''))}:{port}", ""
    if backend == "webdav":
        return backend, *_of_url(parameters.get("url", ""))
    if backend == "azureblob":
        return "azure", *_of_azure(parameters)
    endpoint = parameters.get("endpoint", "")
    if backend == "s3":
        return _of_s3(endpoint, parameters.get("provider", ""))
    if backend == "google cloud storage":
        return "gcs", *_of_url(endpoint or "https://storage.googleapis.com")
    if backend == "b2":
        return "b2", *_of_url(endpoint or "https://api.backblazeb2.com")
    # One that is not known here: the more falls together, the safer.
    return backend, "", ""


def _of_s3(endpoint: str, provider: str) -> tuple[str, str, str]:
    """Names of buckets are unique at Amazon, Backblaze and Google, whatever the region and by
    whatever protocol they are reached."""
    if not endpoint:
        name = provider.lower()
        return "s3", "amazonaws.com:443" if name in ("", "aws") else f"{name}:443", ""
    server, inner = _of_url(endpoint)
    host = server.rpartition(":")[0]
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return "s3", f"{host[host.index('amazonaws') :]}:443", inner
    if host.endswith(".backblazeb2.com"):
        return "b2", "api.backblazeb2.com:443", inner
    if host == "storage.googleapis.com":
        return "gcs", server, inner
    return "s3", server, inner


def _of_azure(parameters: Mapping[str, str]) -> tuple[str, str]:
    if sas := parameters.get("sas_url"):
        # It may name a container, which the path behind the remote's name does again.
        return _of_url(sas)[0], ""
    if endpoint := parameters.get("endpoint"):
        return _of_url(endpoint)
    return f"{parameters.get('account', '').lower()}.blob.core.windows.net:443", ""


def _of_url(url: str) -> tuple[str, str]:
    """Host and port, and the path. rclone takes one without a scheme for HTTPS."""
    if "://" not in url:
        url = f"https://{url}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url.lower(), ""
    scheme = parts.scheme.lower()
    return f"{_host(parts.hostname or '')}:{port or _PORTS.get(scheme, 443)}", unquote(parts.path)


def _host(name: str) -> str:
    return name.strip().strip("[]").lower().rstrip(".")


def _slashed(*parts: str) -> str:
    """One path of all parts, from a slash to a slash, without empty or dotted steps."""
    joined = posixpath.normpath("/" + "/".join(parts)).lstrip("/")
    return f"/{joined}/" if joined else "/"
