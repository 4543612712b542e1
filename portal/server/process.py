"""One serving process, from its lock to its orderly end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from flask_socketio import SocketIO
from sqlalchemy.exc import SQLAlchemyError

from portal import engine
from portal.app import Portal, build_app
from portal.db import migrate, session
from portal.db.instance_lock import DatabaseLock
from portal.errors import PortalError
from portal.runtime import (
    file_lock,
    resources,
    stopping,
    thread_offload,
)
from portal.runtime.context import current, in_same_context
from portal.runtime.file_lock import Locked
from portal.runtime.logging import say
from portal.server import startup
from portal.server.supervisor_pipe import SupervisorPipe
from portal.services import audit
from portal.services.jobs import logs, statistics
from portal.services.runtime import Executor, keys_of
from portal.services.storage import key_agreement
from portal.settings import Settings, SettingsError
from portal.web import security_headers
from portal.web.metrics import ProcessFigures
from portal.web.sockets import handlers
from portal.web.sockets.handshake import HandshakeGuard
from portal.worker.executors.in_process import InProcessExecutor
from portal.worker.roots import look_at_roots

log = structlog.get_logger(__name__)

_MAX_REQUESTS = 1_000
_REQUEST_TIMEOUT = 65.0
#: Seconds in which the last requests are still answered.
_LAST_ANSWERS = 1.5
_REMOVE_EVERY = 3600.0
#: How many days of minutes are kept. No page looks back more than two days, in any time zone.
_ACTIVITY_DAYS = 32


class ServerEnded(PortalError):
    """Raised when the server thread ends unexpectedly."""


def serve(
    settings: Settings,
    server: dict[str, Any],
    *,
    migrate_first: bool = True,
    prepare: Callable[[Settings], None] | None = None,
    pipe: SupervisorPipe | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP. ``prepare`` runs when the database is ready. With
    ``pipe``, the supervisor has already seen to address, database and first user."""
    pipe = pipe or SupervisorPipe()
    stopping.install_handlers(hangup_ends=not pipe.supervised)
    settings.prepare()
    resources.refuse_incomplete()
    settings.signing_key()
    embedded = not settings.scale_out
    lock = DatabaseLock(settings.database_url, alone=embedded)
    if embedded:
        file_lock.acquire(settings.lock_file)
    if not pipe.supervised:
        look_at_roots(settings)
        startup.reserve(settings.host, settings.port).close()
        lock.acquire()
        if migrate_first:
            migrate.upgrade(settings)
        else:
            migrate.refuse_older(settings)
    thread_offload.use(server["offload"])
    if "thread" in server:
        engine.use_threads(server["thread"])
    executor = InProcessExecutor(settings) if embedded else _celery_executor(settings)
    stopping.raise_if_requested()
    app = build_app(settings, executor=executor, async_mode=server["async_mode"])
    app.context[ProcessFigures].slot = pipe.slot
    if not pipe.supervised:
        key_agreement.of_serving(keys_of(settings), alone=not lock.shared)
    if embedded and (problem := engine.rclone_problem(engine.rclone_path(settings.rclone))):
        raise SettingsError(f"PORTAL_RCLONE: {problem}")
    if not pipe.supervised:
        startup.first_admin(settings)
    if prepare is not None:
        prepare(settings)
    session.session.remove()
    stopping.raise_if_requested()
    executor.start()
    app.context[SocketIO].start_background_task(in_same_context(handlers.review_forever))
    if pipe.slot == 0:
        _start_removing_old_rows(app, settings)
    try:
        _serve_until_signalled(app, settings, pipe, executor, lock)
    finally:
        executor.stop()
        lock.release()
    log.info("stopped", slot=pipe.slot)


def _celery_executor(settings: Settings) -> Executor:
    # Imported here: Celery takes half a second, and a portal of one process does not need it.
    from portal.worker.executors.celery import CeleryExecutor

    return CeleryExecutor(settings)


def _serve_until_signalled(
    app: Portal,
    settings: Settings,
    pipe: SupervisorPipe,
    executor: Executor,
    lock: DatabaseLock,
) -> None:
    # Imported here: it brings eventlet's loop with it.
    from portal.realtime.fanout.acceptor import Acceptor
    from portal.realtime.fanout.server import serve as serve_fanout

    acceptor = Acceptor(settings.host, settings.port)
    options = {
        "most_requests": _MAX_REQUESTS,
        "request_timeout": _REQUEST_TIMEOUT,
        "authenticate_batch": app.context[HandshakeGuard].authenticate_batch,
        "refusal_headers": security_headers.of_every_answer(secure=settings.secure_cookies),
    }
    server = threading.Thread(
        target=serve_fanout, args=(app, acceptor), kwargs=options, name="server", daemon=True
    )
    server.start()
    pipe.ready()
    log.info("serving", url=settings.own_url, slot=pipe.slot)
    if not pipe.supervised:
        say(f"Transfer Portal on {settings.own_url}")
    while not (asked := stopping.requested()) and not pipe.supervisor_is_gone():
        time.sleep(0.1)
        if not server.is_alive():
            raise ServerEnded("The server ended unexpectedly; the log says why.")
        if lock.taken_by:
            raise Locked(f"Another portal ({lock.taken_by}) has taken the database meanwhile.")
    log.info("stopping", signal=asked.name if asked else "no supervisor")
    acceptor.close()
    executor.stop()
    server.join(_LAST_ANSWERS)  # requests that came in time get their answer


def _start_removing_old_rows(app: Portal, settings: Settings) -> None:
    for what, remove, days in (
        ("audit entries", audit.cut, settings.audit_days),
        ("logs of jobs", logs.remove_old, settings.log_days),
        ("minutes of activity", statistics.remove_old, _ACTIVITY_DAYS),
    ):
        if days:
            task = in_same_context(_remove_forever)
            app.context[SocketIO].start_background_task(task, what, remove, days)


def _remove_forever(what: str, remove: Callable[[int], int], days: int) -> None:
    while True:
        try:
            if removed := remove(days):
                log.info("old rows were removed", what=what, number=removed)
        except SQLAlchemyError as error:
            session.log_failure(log, "old rows could not be removed", error, what=what)
        finally:
            session.session.remove()
        current()[SocketIO].sleep(_REMOVE_EVERY)
