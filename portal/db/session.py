"""One session a request or thread, on plain SQLAlchemy.

SQLite needs three rules under a cooperative event loop, all kept here: the write lock is taken
when a write begins (``BEGIN IMMEDIATE``: a reading transaction that later writes fails at once
when another wrote in between), SQLite itself waits only a moment for that lock (its wait freezes
the whole process), and the longer wait is ours, between tries, where others can run.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import structlog
from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    TypeDecorator,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.functions import FunctionElement

from portal.errors import SettingsError
from portal.runtime import addresses, imports, private_files
from portal.runtime.context import current

log = structlog.get_logger(__name__)

_SQLITE_WAIT = 0.05
_TIMEOUT = 10.0
#: Seconds after which PostgreSQL ends the session of a process that holds an exclusive right
#: and has gone silent.
_EXCLUSIVE_SILENCE = "20s"

#: How SQLite and PostgreSQL name a write for which there is no room. SQLite says the second of a
#: limit that is not the disk's own, such as one of a file's size, and of a broken disk.
_UNWRITABLE = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
_DISK_FULL = "53100"

#: Bytes: a small commit with the pages and the index that it touches.
_ROOM = 64 * 1024

#: Errors that a session raises while the database does not answer.
AWAY = (OperationalError, InterfaceError, PoolExhausted)

_INSERTS: dict[str, Callable[[Any], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}

#: Where a connection keeps which file it reads.
_FILE = "portal.file"


class PortalSession(Session):
    """A class of its own, so that its listeners hear of no other session."""


class Database:
    """The database of one application: an engine, and a session for each thread.

    ``opened``: connections to SQLite, whoever holds them; see ``close``.
    """

    def __init__(
        self, engine: Engine | None = None, opened: set[sqlite3.Connection] | None = None
    ) -> None:
        self.engine = engine
        self.opened = opened if opened is not None else set()
        self.sessions = scoped_session(
            sessionmaker(engine, class_=PortalSession, expire_on_commit=False)
        )
        #: See ``read_connection``.
        self.autocommit = engine and engine.execution_options(sqlite_begin="")

    def close(self) -> None:
        """Closes every connection, also those to SQLite that a thread still uses."""
        self.sessions.remove()
        if self.engine is not None:
            self.engine.dispose()
        for connection in list(self.opened):
            with suppress(sqlite3.Error):
                connection.close()
        self.opened.clear()


def database() -> Database:
    return current()[Database]


class _CurrentSession:
    """The session of this thread, on the database of the application that it works for."""

    def __call__(self) -> Session:
        return database().sessions()

    def __getattr__(self, name: str) -> Any:
        return getattr(database().sessions, name)


session = cast("scoped_session[PortalSession]", _CurrentSession())


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A time stored in UTC and read back aware, whatever the database makes of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _DatabaseTime(FunctionElement[datetime]):
    """See ``database_time``."""

    name = "database_time"
    type = UtcDateTime()
    inherit_cache = True


@compiles(_DatabaseTime, "sqlite")
def _sqlite_time(element: _DatabaseTime, compiler: Any, **options: Any) -> str:
    ago = compiler.process(element.clauses, **options)
    # In the form in which SQLAlchemy stores a time, so that both compare as text.
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', -({ago}) || ' seconds')"


@compiles(_DatabaseTime, "postgresql")
def _postgresql_time(element: _DatabaseTime, compiler: Any, **options: Any) -> str:
    ago = compiler.process(element.clauses, **options)
    return f"(statement_timestamp() - make_interval(secs => {ago}))"


@lru_cache(100)
def database_time(ago: float = 0.0) -> _DatabaseTime:
    """The time of the database's clock, so many seconds ago (negative: from now); evaluated there,
    by each statement.
    Leases are kept by it: the clocks of the machines may differ."""
    return _DatabaseTime(literal(float(ago)))


def connect(url: str, *, answer_within: float | None = None) -> Engine:
    """An engine for ``url`` with the rules of its database; from here on the application's.

    ``answer_within``: seconds that a statement on PostgreSQL may take; longer is an error.
    """
    opened: set[sqlite3.Connection] = set()
    if file := addresses.sqlite_file(url):
        _keep_private(file)
        engine = create_engine(url, connect_args={"timeout": _SQLITE_WAIT})
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "connect", lambda connection, _record: opened.add(connection))
        event.listen(engine, "close", lambda connection, _record: opened.discard(connection))
        event.listen(engine, "begin", _sqlite_begin)
    else:
        with imports.all_kept():
            from portal.db import postgres  # only here: most processes never need its driver

        engine = postgres.engine(url, answer_within=answer_within)
    session.remove()
    if (previous := database().engine) is not None:
        previous.dispose()
    current().put(Database(engine, opened))
    return engine


def close() -> None:
    """Closes every connection of this process, at its end. SQLite's newest commits are then in its
    one file, with no companions beside it, unless another process still works on it."""
    engine = database().engine
    if engine is None:
        return
    database().close()
    if file := addresses.sqlite_file(engine.url.render_as_string(hide_password=False)):
        _gather(file)


def _gather(file: Path) -> None:
    """Brings what the companions of the file hold into the file itself."""
    with suppress(sqlite3.Error), closing(_opened(file)) as connection:
        # The last one to close removes the companions, but would not say why it could not.
        blocked, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if blocked:
            log.info("another process works on the database", file=str(file))


def _opened(file: Path) -> sqlite3.Connection:
    """Never makes the file: it may have been removed on purpose."""
    return sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=1.0)


def _keep_private(file: Path) -> None:
    """SQLite gives the companions of a file the mode of the file."""
    try:
        private_files.refuse_what_is_no_file(file)
        # Nobody opens one that is there: closing it again would take SQLite's locks away.
        if not file.exists():
            private_files.make_file(file)
    except OSError as error:
        raise SettingsError(
            f"PORTAL_DATABASE_URL: the database {file} cannot be opened: {error.strerror}"
        ) from None
    for path in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))):
        private_files.close_to_others(path)


def read_connection() -> Connection:
    """A connection for one SELECT, without what ``session`` keeps about rows. On SQLite it stands
    in no transaction, whose begin and end cost more than the look."""
    autocommit = database().autocommit
    assert autocommit is not None  # noqa: S101 - connected at the start
    return autocommit.connect()


@contextmanager
def advisory_lock(right: int) -> Iterator[bool]:
    """Whether this process alone has the right (a number that names it) until the block ends.

    A process that dies or freezes meanwhile loses it: PostgreSQL ends its session.
    """
    engine = database().engine
    assert engine is not None  # noqa: S101 - connected at the start
    if engine.dialect.name == "sqlite":
        yield True  # its processes are one
        return
    with engine.begin() as connection:
        silence = func.set_config("idle_in_transaction_session_timeout", _EXCLUSIVE_SILENCE, True)
        answer = connection.execute(select(func.pg_try_advisory_xact_lock(right), silence)).one()
        yield bool(answer[0])


@contextmanager
def write() -> Iterator[Session]:
    """A write transaction, rolled back at the end of the block unless it was committed. What was
    only read before is let go.

    The caller commits, does no I/O before that, and publishes after.
    """
    tx = _begin_write()
    transaction = tx.get_transaction()
    try:
        yield tx
    finally:
        if tx.get_transaction() is transaction:
            tx.rollback()


def insert_into(tx: Session, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say what to do ``on_conflict``, which SQLAlchemy has by dialect alone."""
    return _INSERTS[tx.get_bind().dialect.name](table)


def add_to_rows(tx: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Adds each of these rows of figures to the row with the same primary key, which is inserted
    if it is not there. The rows are locked in this order."""
    tx.execute(_adding(table, tx.get_bind().dialect.name), rows)


@cache
def _adding(table: type[Base], dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = _INSERTS[dialect](table.__table__)
    keys, figures = [], {}
    for column in table.__table__.columns:
        if column.primary_key:
            keys.append(column)
        else:
            figures[column.name] = column + statement.excluded[column.name]
    return statement.on_conflict_do_update(index_elements=keys, set_=figures)


def _begin_write() -> Session:
    deadline = time.monotonic() + _TIMEOUT
    while True:
        session.rollback()
        try:
            session.connection(execution_options={"sqlite_begin": "BEGIN IMMEDIATE"})
        except OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            session.rollback()
            time.sleep(0.02)
        else:
            return session()


def reason(error: Exception) -> str:
    """Why it was away, for the log: in the words of the database, without the statement."""
    return str(getattr(error, "orig", None) or error)


def log_failure(log: Any, event: str, error: Exception, **about: object) -> None:
    """Logs what could not be done: in one line where the database is away, which is no fault of the
    program, and with the traceback otherwise."""
    if isinstance(error, AWAY):
        log.warning(event, error=reason(error), **about)
    else:
        log.error(event, exc_info=error, **about)


def has_no_room(error: Exception) -> bool:
    """Whether it is about a write that the disk did not take."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorname", "") in _UNWRITABLE
    return getattr(cause, "sqlstate", None) == _DISK_FULL


def _is_busy(error: OperationalError) -> bool:
    return isinstance(error.orig, sqlite3.OperationalError) and "locked" in str(error.orig)


def full_disk(connection: Connection) -> str | None:
    """The folder of SQLite's file if there is no room in it for the next commit."""
    path, _ = connection.connection.info.get(_FILE, ("", None))
    if not path:
        return None
    with suppress(OSError):
        disk = os.statvfs(path)
        if disk.f_bavail * disk.f_frsize < _ROOM:
            return str(Path(path).parent)
    return None


def lost_file(connection: Connection) -> str | None:
    """The path of SQLite's file if another one lies there, or none, than this connection reads."""
    path, identity = connection.connection.info.get(_FILE, ("", None))
    return path if path and _identity(path) != identity else None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sqlite_connected(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _sqlite_begin
    (path,) = (row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main")
    record.info[_FILE] = path, _identity(path)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Any) -> None:
    begin = connection.get_execution_options().get("sqlite_begin")
    if begin is None:
        # It takes no lock, so that it cannot fail, and every look at the database begins by it.
        connection.connection.driver_connection.execute("BEGIN")
    elif begin:
        connection.exec_driver_sql(begin)
