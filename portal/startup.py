"""What has to be right before the first visitor comes, whoever serves them then."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress

import structlog
from sqlalchemy.exc import IntegrityError

from portal.database import session
from portal.engine import KnownMounts, confinement_problem, rclone_path
from portal.errors import Invalid, PortalError
from portal.models import Role
from portal.own_files import OwnFiles
from portal.services import accounts, passwords
from portal.settings import Settings, SettingsError

log = structlog.get_logger(__name__)


class AddressInUse(PortalError):
    """Something else listens there."""


def look_at_roots(settings: Settings) -> None:
    """Raises SettingsError where a transfer could reach what is the portal's own; remembers which
    disks are mounted, and warns of those that are away."""
    OwnFiles(settings).refuse_roots(settings)
    mounts = KnownMounts(settings.data_dir, settings.transfer_roots)
    try:
        mounts.note()
    except OSError as error:
        log.warning("the mounted disks were not written down", error=error.strerror)
    if problem := confinement_problem(rclone_path(settings.rclone)):
        log.warning("rclone is not confined", reason=problem)
    for problem in mounts.problems():
        log.warning("a folder that is open to transfers is not there", problem=problem)


def accept_mount(settings: Settings, point: str) -> bool:
    """What is mounted there now, or that nothing is, is right; whether that is news."""
    return KnownMounts(settings.data_dir, settings.transfer_roots).accept(point)


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps the address from other portals while it is open, and never listens.

    Raises AddressInUse, or SettingsError where this machine has no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SettingsError(f"PORTAL_HOST: {host} is no address of this machine") from None
    family, kind, protocol, _, address = found[0]
    # Those who serve share the port by SO_REUSEPORT, and so would two portals, silently. Who binds
    # without it is told.
    _bound(family, kind, protocol, address).close()
    return _bound(family, kind, protocol, address, shared=True)


def _bound(
    family: int, kind: int, protocol: int, address: tuple[object, ...], *, shared: bool = False
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        raise AddressInUse(_refusal(error, *address[:2])) from None
    return made


def _refusal(error: OSError, host: object, port: object) -> str:
    where = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    about_the_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
    variable = "PORTAL_PORT" if about_the_port else "PORTAL_HOST"
    return f"{variable}: cannot listen on {where}: {error.strerror}."


def say(line: str) -> None:
    """To the person who started it, on standard output; nobody may be there to read it."""
    with suppress(OSError, ValueError):  # such as a full disk, or a stream that was closed
        print(line, flush=True)  # noqa: T201


def _can_say() -> bool:
    """Whether standard output takes a line. Without one an empty write would not tell."""
    try:
        print("First start: the user admin is made.", flush=True)  # noqa: T201
    except (OSError, ValueError):
        return False
    return sys.stdout is not None


def first_admin(settings: Settings) -> None:
    """With no user in the database: makes ``admin``, and prints a random password once."""
    try:
        if accounts.has_users():
            return
        if not settings.admin_password and not _can_say():
            raise SettingsError(
                "PORTAL_ADMIN_PASSWORD: standard output cannot be written, so that nobody would "
                "see the password that is generated for admin; set one"
            )
        password = settings.admin_password or passwords.generated()
        accounts.create_user("admin", Role.ADMIN, password)
    except (Invalid, IntegrityError):
        return  # another machine was first
    finally:
        session.remove()
    if settings.admin_password:
        if weakness := passwords.weakness(password, "admin"):
            log.warning("PORTAL_ADMIN_PASSWORD is weak", reason=weakness)
    else:
        say(f"First start: sign in as admin with the password {password}")
