"""One serving process, from its lock to its orderly end."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from portal import engine
from portal.app import build_app
from portal.db import migrate, session
from portal.db.instance_lock import DatabaseLock
from portal.errors import PortalError
from portal.realtime.extensions import socketio
from portal.runtime import (
    file_lock,
    resources,
    stopping,
    thread_offload,
)
from portal.runtime.file_lock import Locked
from portal.runtime.logging import say
from portal.server import startup
from portal.server.supervisor_pipe import Lifeline
from portal.services import audit
from portal.services.jobs import logs, statistics
from portal.settings import Settings, SettingsError
from portal.web.sockets import handlers
from portal.worker.executors import Executor
from portal.worker.executors.in_process import InProcessExecutor
from portal.worker.roots import look_at_roots

log = structlog.get_logger(__name__)

_MOST_REQUESTS = 1_000
_REQUEST_TIMEOUT = 65.0
#: Seconds in which requests that were under way at the end are answered.
_LAST_ANSWERS = 1.5
_REMOVE_EVERY = 3600.0
#: Of which the minutes are kept. Nothing looks further back than two days, in any time zone.
_ACTIVITY_DAYS = 32


class ServerEnded(PortalError):
    """It should serve for ever."""


def serve(
    settings: Settings,
    server: dict[str, Any],
    *,
    migrate_first: bool = True,
    prepare: Callable[[Settings], None] | None = None,
    lifeline: Lifeline | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP. ``prepare`` runs once the database is ready;
    ``lifeline`` leads to the supervisor, which has seen to address, database and first user."""
    lifeline = lifeline or Lifeline()
    stopping.listen(hangup_ends=not lifeline.supervised)
    settings.prepare()
    resources.refuse_incomplete()
    settings.signing_key()
    embedded = not settings.scale_out
    held = DatabaseLock(settings.database_url, alone=embedded)
    if embedded:
        file_lock.acquire(settings.lock_file)
    if not lifeline.supervised:
        look_at_roots(settings)
        startup.reserve(settings.host, settings.port).close()
        held.acquire()
        if migrate_first:
            migrate.upgrade(settings)
        else:
            migrate.refuse_older(settings)
    thread_offload.use(server["offload"])
    if "thread" in server:
        engine.use_threads(server["thread"])
    executor = InProcessExecutor(settings) if embedded else _celery_executor(settings)
    stopping.go_on()
    app = build_app(settings, executor=executor, async_mode=server["async_mode"])
    app.extensions["slot"] = lifeline.slot
    if embedded and (problem := engine.rclone_problem(engine.rclone_path(settings.rclone))):
        raise SettingsError(f"PORTAL_RCLONE: {problem}")
    if not lifeline.supervised:
        startup.first_admin(settings)
    if prepare is not None:
        prepare(settings)
    session.session.remove()
    stopping.go_on()
    executor.start()
    socketio.start_background_task(handlers.review_forever)
    if lifeline.slot == 0:
        _remove_what_is_old(settings)
    try:
        _serve_until_signalled(app, settings, lifeline, executor, held)
    finally:
        executor.stop()
        held.release()
    log.info("stopped", slot=lifeline.slot)
    # Else the interpreter goes through all that was ever imported, several times, before it ends.
    gc.freeze()


def _celery_executor(settings: Settings) -> Executor:
    # Only here: Celery takes half a second to import, and one process alone needs none.
    from portal.worker.executors.celery import CeleryExecutor

    return CeleryExecutor(settings)


def _serve_until_signalled(
    app: Flask,
    settings: Settings,
    lifeline: Lifeline,
    executor: Executor,
    held: DatabaseLock,
) -> None:
    # Only here: importing it brings the cooperative loop with it.
    from portal.realtime.fanout.acceptor import Door
    from portal.realtime.fanout.server import serve as serve_fanout

    door = Door(settings.host, settings.port)
    options = {
        "most_requests": _MOST_REQUESTS,
        "request_timeout": _REQUEST_TIMEOUT,
        "look_ahead": app.extensions["look_ahead"],
    }
    server = threading.Thread(
        target=serve_fanout, args=(app, door), kwargs=options, name="server", daemon=True
    )
    server.start()
    lifeline.ready()
    log.info("serving", url=settings.own_url, slot=lifeline.slot)
    if not lifeline.supervised:
        say(f"Transfer Portal on {settings.own_url}")
    while not (asked := stopping.asked()) and not lifeline.is_cut():
        time.sleep(0.1)
        if not server.is_alive():
            raise ServerEnded("The server ended by itself; the log says why.")
        if held.lost_to:
            raise Locked(f"Another portal ({held.lost_to}) has taken the database meanwhile.")
    log.info("stopping", signal=asked.name if asked else "no supervisor")
    door.close()
    executor.stop()
    server.join(_LAST_ANSWERS)  # so that nobody who asked in time is left without an answer


def _remove_what_is_old(settings: Settings) -> None:
    for what, remove, days in (
        ("audit entries", audit.cut, settings.audit_days),
        ("logs of jobs", logs.remove_old, settings.log_days),
        ("minutes of activity", statistics.remove_old, _ACTIVITY_DAYS),
    ):
        if days:
            socketio.start_background_task(_remove_forever, what, remove, days)


def _remove_forever(what: str, remove: Callable[[int], int], days: int) -> None:
    while True:
        try:
            if removed := remove(days):
                log.info("what was too old was removed", what=what, number=removed)
        except SQLAlchemyError:
            log.exception("what is too old could not be removed", what=what)
        finally:
            session.session.remove()
        socketio.sleep(_REMOVE_EVERY)
