"""The confinement of rclone: it reaches the paths of its own job, its program, and what it needs of
the system. It does not reach the data folder or the other roots, even if somebody makes a link to
them while it runs."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from portal.engine.process import egress_proxy, landlock
from portal.engine.process.landlock import Access, Ruleset

if TYPE_CHECKING:
    from portal.engine.order.command import TransferOrder

_READ = Access.READ_FILE | Access.READ_DIR
_RUN = _READ | Access.EXECUTE
#: All that is done with files and folders. A link may not be made: it would lead others astray.
_CHANGE = (
    _READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REFER
    | Access.MAKE_REG
    | Access.MAKE_DIR
    | Access.REMOVE_FILE
    | Access.REMOVE_DIR
)

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local/lib")
#: Names, addresses, time zones, certificates, and the types of files that storages are told.
_SYSTEM = (
    "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path", "/etc/localtime", "/usr/share/zoneinfo",
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/nsswitch.conf",
    "/etc/services", "/etc/protocols", "/run/systemd/resolve",
    "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs", "/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted", "/usr/share/ca-certificates", "/usr/share/pki",
    "/usr/local/share/ca-certificates", "/usr/share/mime", "/etc/mime.types",
    "/etc/apache2/mime.types", "/etc/apache/mime.types", "/etc/httpd/conf/mime.types",
    "/dev/urandom", "/dev/random", "/sys/kernel/mm/transparent_hugepage",
)  # fmt: skip


def problem(rclone: Path, private: Iterable[Path] = ()) -> str | None:
    """Why rclone cannot be confined on this machine, in a few words; None if it is. ``private``:
    what no rclone may ever read."""
    if landlock.version() == 0:
        return "this kernel has no Landlock, or it is switched off"
    if not _is_program(rclone):
        return f"{rclone} is a script, of which nobody knows what it needs"
    for path in private:
        real = Path(os.path.realpath(path))
        for folder in (*_LIBRARIES, *_SYSTEM, *_python()):
            if real.is_relative_to(os.path.realpath(folder)):
                return f"{path} lies in {folder}, which every rclone may read; move it elsewhere"
    return None


def of_question(
    rclone: Path,
    setpriv: str,
    *,
    paths: Iterable[str],
    remote: bool,
    changed: Path | None = None,
) -> Ruleset | None:
    """Returns the rules for a question about these local ``paths`` or a ``remote``, or None if it
    cannot be confined. ``changed``: a folder that rclone may write to."""
    if problem(rclone) is not None:
        return None
    rules = _basis(rclone, setpriv, network=remote)
    for path in map(Path, paths):
        _allow_source(rules, path, None, takes=False)
    if changed is not None:
        rules.allow_path(str(changed), _CHANGE)
    return rules


def of_looking(
    rclone: Path, setpriv: str, order: TransferOrder, runtime_dir: Path
) -> Ruleset | None:
    """Returns the rules for questions about both sides of a transfer, which change no folder of
    this machine, or None if they cannot be confined."""
    return of_order(rclone, setpriv, replace(order, dry_run=True), runtime_dir)


def of_order(rclone: Path, setpriv: str, order: TransferOrder, runtime_dir: Path) -> Ruleset | None:
    """Returns the rules for a transfer and its folders as they are now, or None if it cannot be
    confined."""
    if problem(rclone) is not None:
        return None
    rules = _basis(rclone, setpriv, network=bool(order.remotes))
    rules.allow_path(str(runtime_dir), _CHANGE | Access.MAKE_SOCK)
    takes = order.moves and order.operation == "move" and not order.is_copied_first
    if order.local_source is not None and order.reads:
        _allow_source(rules, order.local_source, order.only, takes=takes)
    if order.local_destination is not None:
        _allow_destination(rules, order.local_destination, writes=order.writes)
    return rules


def _allow_destination(rules: Ruleset, folder: Path, *, writes: bool) -> None:
    if os.path.lexists(folder) or not writes:
        _allow(rules, folder, _CHANGE if writes else _READ)
        return
    # It could not be made. rclone meets the same obstacle, and says which. The folder above may
    # hold what is none of this job's: if rclone can make the destination after all, it can put
    # nothing into it.
    while not os.path.lexists(folder):
        folder = folder.parent
    _allow(rules, folder, Access.MAKE_DIR)


def _allow_source(rules: Ruleset, source: Path, only: str | None, *, takes: bool) -> None:
    # A file can be renamed only where no more is allowed at its new place than at its old one.
    access = _CHANGE if takes else _READ
    if only is None and _is_file(source):
        # rclone opens the file by its folder, from which a move takes it away.
        _allow(rules, source, access)
        _allow(rules, source.parent, access if takes else Access.READ_DIR)
    elif only is None or takes:
        _allow(rules, source, access)
    else:
        _allow(rules, source, Access.READ_DIR)
        _allow(rules, source / only, access)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # rclone will say why


def _allow(rules: Ruleset, path: Path, access: Access) -> None:
    """Not where the path has been made to lead elsewhere since it was checked."""
    real = os.path.normpath(path)
    try:
        handle = os.open(real, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.fspath(Path(f"/proc/self/fd/{handle}").readlink()) == real:
            rules.allow(handle, access)
    finally:
        os.close(handle)


def _basis(rclone: Path, setpriv: str, *, network: bool) -> Ruleset:
    rules = Ruleset(network=network)
    for path in (*_LIBRARIES, setpriv, str(rclone)):
        rules.allow_path(path, _RUN)
    for path in _SYSTEM:
        rules.allow_path(path, _READ)
    rules.allow_path("/dev/null", Access.READ_FILE | Access.WRITE_FILE)
    if network:
        # For the egress proxy.
        for path in _python():
            rules.allow_path(path, _RUN)
    return rules


@cache
def _python() -> tuple[str, ...]:
    return (
        *(sys.executable, os.path.realpath(sys.executable), egress_proxy.__file__),
        *(str(Path(sys.prefix) / "pyvenv.cfg"), sysconfig.get_path("stdlib")),
        *(
            sysconfig.get_path("platstdlib"),
            *map(str, Path(sys.base_prefix, "lib").glob("libpython*")),
        ),
    )


@cache
def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False
