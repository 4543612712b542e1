"""Checks and preparations before the first visitor, for one process or several."""

from __future__ import annotations

import errno
import socket
import sys

import structlog
from sqlalchemy.exc import IntegrityError

from portal.db.session import session
from portal.errors import Invalid, PortalError
from portal.models import Role
from portal.runtime.logging import say
from portal.services.accounts import passwords, users
from portal.settings import Settings, SettingsError

log = structlog.get_logger(__name__)


class AddressInUse(PortalError):
    """Raised when another program listens there."""


def reserve(host: str, port: int) -> socket.socket:
    """Returns a socket that never listens, and keeps other portals from the address while open.

    Raises AddressInUse, or SettingsError where this machine has no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SettingsError(f"PORTAL_HOST: {host} is no address of this machine") from None
    family, kind, protocol, _, address = found[0]
    # The serving processes share the port by SO_REUSEPORT. Two portals would share it as well, and
    # nobody would notice; a bind without it fails if there is another.
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


def _can_say() -> bool:
    """Whether standard output takes a line. (Writing nothing succeeds even if it is closed.)"""
    try:
        print("First start: the user admin is made.", flush=True)  # noqa: T201
    except (OSError, ValueError):
        return False
    return sys.stdout is not None


def first_admin(settings: Settings) -> None:
    """Makes the user ``admin`` if there is no user yet, and prints a random password once."""
    try:
        if users.has_users():
            return
        if not settings.admin_password and not _can_say():
            raise SettingsError(
                "PORTAL_ADMIN_PASSWORD: standard output cannot be written, so that nobody would "
                "see the password that is generated for admin; set one"
            )
        password = settings.admin_password or passwords.generate()
        users.create_user("admin", Role.ADMIN, password)
    except (Invalid, IntegrityError):
        return  # another machine was first
    finally:
        session.remove()
    if settings.admin_password:
        if weakness := passwords.weakness(password, "admin", passwords.hosts_of(settings)):
            log.warning("PORTAL_ADMIN_PASSWORD is weak", reason=weakness)
    else:
        say(f"First start: sign in as admin with the password {password}")
