"""One portal a database: a portal of one process beside another portal would declare the other's
jobs interrupted, and run them a second time.

A portal of one process holds the database alone. The processes of a portal of several hold it
together. The lock lies in the database itself, so that neither another data folder nor another name
of the database leads around it.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from portal.errors import SettingsError
from portal.runtime import addresses, file_lock, private_files
from portal.runtime.file_lock import Locked

log = structlog.get_logger(__name__)

#: Of PostgreSQL's advisory locks: any number that nobody else uses. The other half of the key is
#: the schema, of which one database may have several.
_CLASS = 1_886_351_988
_KEY = f"{_CLASS}, hashtext(coalesce(current_schema(), ''))"
_HOLDER = text(
    f"""
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = {_CLASS}
    AND objid = (hashtext(coalesce(current_schema(), ''))::bigint & 4294967295)::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """  # noqa: S608 - a number of ours
)
#: Seconds: between two looks whether the lock is still held; for an answer; and until PostgreSQL
#: has noticed that a process which held it is dead.
_CHECK_EVERY = 2.0
_ANSWER_WITHIN = 5.0
_TIMEOUT = 3.0
_REMEDY = "Stop it first, or give this one its own PORTAL_DATABASE_URL."


class DatabaseLock:
    """``alone``: whether this is a portal of one process."""

    def __init__(self, url: str, *, alone: bool) -> None:
        self._url = url
        self._alone = alone
        self._connection: Connection | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="database lock", daemon=True)
        #: Whether other processes of the portal held it when this one took it.
        self.shared = False
        #: The other portal that has taken it meanwhile; empty while it is ours.
        self.taken_by = ""

    def acquire(self) -> None:
        """Holds it until ``release``, or until the process ends. Raises Locked."""
        if file := addresses.sqlite_file(self._url):
            _lock_file(file)
            return
        engine = self._engine()
        deadline = time.monotonic() + _TIMEOUT
        while not self._take(engine):
            if time.monotonic() > deadline:
                holder = self._holder()
                self._disconnect()
                raise Locked(f"Another portal ({holder}) uses this database. {_REMEDY}")
            time.sleep(0.2)
        assert self._connection is not None  # noqa: S101 - it has just taken it
        self.shared = len(self._connection.scalars(_HOLDER).all()) > 1
        self._thread.start()

    def release(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        self._disconnect()

    # --- PostgreSQL -----------------------------------------------------------------------------

    def _engine(self) -> Engine:
        from portal.db import postgres  # only here: most portals never need its driver

        return postgres.engine(self._url, answer_within=_ANSWER_WITHIN)

    def _take(self, engine: Engine) -> bool:
        if self._connection is None:
            made = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection = made
            name = f"Transfer Portal on {platform.node()}, process {os.getpid()}"[:63]
            for setting, value in (
                ("application_name", name),
                # So that the lock of a machine that is gone does not stay for hours.
                ("tcp_keepalives_idle", "10"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
            ):
                made.execute(
                    text("SELECT set_config(:setting, :value, false)"),
                    {"setting": setting, "value": value},
                )
        how = "pg_try_advisory_lock" if self._alone else "pg_try_advisory_lock_shared"
        return bool(self._connection.scalar(text(f"SELECT {how}({_KEY})")))

    def _holder(self) -> str:
        assert self._connection is not None  # noqa: S101 - it has just refused
        found = self._connection.scalars(_HOLDER).first()
        return (found or "").removeprefix("Transfer Portal ") or "unknown"

    def _watch(self) -> None:
        """The lock ends with its connection: after a restart of PostgreSQL it is taken again."""
        engine = self._engine()
        while not self._ended.wait(_CHECK_EVERY):
            try:
                if self._connection is not None:
                    self._connection.execute(text("SELECT 1"))
                elif not self._take(engine):
                    self.taken_by = self._holder()
                    log.error("another portal has taken the database", holder=self.taken_by)
                    return
            except SQLAlchemyError:
                self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
            with suppress(SQLAlchemyError):
                connection.close()


def _lock_file(file: Path) -> None:
    """Locks the file itself, whatever its name. SQLite's own locks are of another kind. The
    descriptor is never closed, because closing it would drop SQLite's locks of this process."""
    try:
        private_files.make_file(file)
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(
            f"PORTAL_DATABASE_URL: the database {file} cannot be opened: {error.strerror}"
        ) from None
    if not file_lock.take(descriptor):
        os.close(descriptor)
        raise Locked(f"Another portal uses the database {file}. {_REMEDY}")
