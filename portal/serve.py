"""One serving process, from its lock to its orderly end."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from portal import database, lock, migrate, offload, sockets
from portal.errors import PortalError
from portal.executors.embedded import Embedded
from portal.extensions import socketio
from portal.factory import build_app
from portal.models import Role
from portal.services import accounts, audit, job_logs, passwords
from portal.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

_MOST_REQUESTS = 1_000
_REQUEST_TIMEOUT = 65.0
_REMOVE_EVERY = 3600.0


class AddressInUse(PortalError):
    """Something else listens there."""


class ServerEnded(PortalError):
    """It should serve for ever."""


def serve(
    settings: Settings,
    server: dict[str, Any],
    *,
    migrate_first: bool = True,
    prepare: Callable[[Settings], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. ``prepare`` runs once the database is ready."""
    settings.prepare()
    lock.acquire(settings.lock_file)
    _check_address(settings.host, settings.port)
    if migrate_first:
        migrate.upgrade(settings)
    offload.use(server["offload"])
    executor = Embedded(settings)
    app = build_app(settings, executor=executor, async_mode=server["async_mode"])
    if problem := app.extensions["rclone_problem"]:
        raise SettingsError(f"PORTAL_RCLONE: {problem}" if settings.rclone else problem)
    _first_admin(settings)
    if prepare is not None:
        prepare(settings)
    database.session.remove()
    executor.start()
    socketio.start_background_task(sockets.review_forever)
    if settings.audit_days:
        socketio.start_background_task(
            _remove_forever, "audit entries", audit.cut, settings.audit_days
        )
    if settings.log_days:
        socketio.start_background_task(
            _remove_forever, "logs of jobs", job_logs.remove_old, settings.log_days
        )
    try:
        _serve_until_signalled(app, settings)
    finally:
        executor.stop()
    log.info("stopped")


def _serve_until_signalled(app: Flask, settings: Settings) -> None:
    # A handler may run in the middle of anything, the event loop included, so it sets a flag and
    # nothing else. The first signal counts; more of them change nothing.
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: stopping.append(caught))
    server = threading.Thread(target=_listen, args=(app, settings), name="server", daemon=True)
    server.start()
    url = f"http://{settings.host}:{settings.port}"
    log.info("serving", url=url)
    print(f"Transfer Portal on {url}", flush=True)  # noqa: T201 - for the person who started it
    while not stopping:
        time.sleep(0.1)
        if not server.is_alive():
            raise ServerEnded("The server ended by itself; the log says why.")
    log.info("stopping", signal=signal.Signals(stopping[0]).name)


def _listen(app: Flask, settings: Settings) -> None:
    # Only here: importing it brings the cooperative loop with it.
    fanout = import_module("portal.fanout")
    fanout.serve(
        app,
        settings.host,
        settings.port,
        most_requests=_MOST_REQUESTS,
        request_timeout=_REQUEST_TIMEOUT,
    )


def _remove_forever(what: str, remove: Callable[[int], int], days: int) -> None:
    while True:
        try:
            if removed := remove(days):
                log.info("what was too old was removed", what=what, number=removed)
        except SQLAlchemyError:
            log.exception("what is too old could not be removed", what=what)
        finally:
            database.session.remove()
        socketio.sleep(_REMOVE_EVERY)


def _check_address(host: str, port: int) -> None:
    # The server shares its port by SO_REUSEPORT; two portals would split the visitors silently.
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise SettingsError(f"PORTAL_HOST: {host} is no address of this machine") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise AddressInUse(f"Cannot listen on {host}:{port}: {error.strerror}.") from None


def _first_admin(settings: Settings) -> None:
    if accounts.has_users():
        return
    password = settings.admin_password or passwords.generated()
    accounts.create_user("admin", Role.ADMIN, password)
    if settings.admin_password:
        if weakness := passwords.weakness(password, "admin"):
            log.warning("PORTAL_ADMIN_PASSWORD is weak", reason=weakness)
    else:
        print(f"First start: sign in as admin with the password {password}", flush=True)  # noqa: T201
