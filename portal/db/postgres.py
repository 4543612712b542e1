"""How PostgreSQL is reached, and what happens while it does not answer.

A restart of it is ridden through: whoever needs a new connection tries again for a moment. Once
that moment has passed, everybody fails at once until it is back, so that a portal without its
database says so instead of hanging. No connection is handed out before it has answered. An outage
whose end nobody noticed is forgotten, so that the next restart is ridden through as well.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
import structlog
from psycopg.errors import _WaitTimeout as _Silence
from sqlalchemy import Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import OperationalError

log = structlog.get_logger(__name__)

#: Connections a process keeps, and how many more it may open; a pool never holds what it opened
#: beyond. Whoever finds none free waits so many seconds.
POOL_SIZE = 5
POOL_OVERFLOW = 10
_POOL_TIMEOUT = 5.0
#: Seconds for which new connections are tried again after the first that failed.
_RESTART = 5.0
_TRY_EVERY = 0.1
#: Seconds without a failure after which the next one is of another outage. The processes of
#: the scale-out mode look oftener than that while they know of one.
_FORGOTTEN = 5.0
#: Seconds for one attempt to connect, if nobody refuses it.
_CONNECT_TIMEOUT = 3
#: After so long PostgreSQL ends a session that stands idle in a transaction. No living process does
#: that; a frozen one would hold the rows that it has written, and with them all the others.
IDLE_IN_TRANSACTION = "15s"
#: How PostgreSQL ends a session, or refuses to write, though psycopg calls it an internal error: a
#: transaction that stood idle, as that of a process that was frozen; one that took too long; and a
#: server that only reads since another one has taken its place.
_ENDED = frozenset({"25P03", "25P04", "25006"})
#: Where a connection's record keeps the pool that it belongs to.
_POOL = "portal.pool"


def engine(url: str, *, answer_within: float | None = None) -> Engine:
    """``answer_within``: seconds after which a statement without an answer is an OperationalError
    and its connection is closed; None waits for ever."""
    made = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=_POOL_TIMEOUT,
        connect_args={"connect_timeout": _CONNECT_TIMEOUT},
    )
    connecting = _Connecting(made, answer_within)
    event.listen(made, "do_connect", connecting)
    event.listen(made, "handle_error", _ended_session)
    event.listen(made, "checkout", connecting.answered)
    event.listen(made, "checkin", connecting.returned)
    return made


def _ended_session(context: ExceptionContext) -> OperationalError | None:
    """Callers see this as a database that was away; the next connection works."""
    cause = context.original_exception
    if not isinstance(cause, psycopg.Error) or cause.sqlstate not in _ENDED:
        return None
    context.is_disconnect = True
    return OperationalError(
        context.statement, context.parameters, cause, connection_invalidated=True
    )


class _Connecting:
    def __init__(self, engine: Engine, answer_within: float | None) -> None:
        self._engine = engine
        self._kind = _connection_class(answer_within) if answer_within else psycopg.Connection
        self._outage = Outage()

    def __call__(
        self, _dialect: object, record: Any, _arguments: object, options: dict[str, Any]
    ) -> Any:
        record.info[_POOL] = self._engine.pool
        while True:
            begun = time.monotonic()
            try:
                made = self._kind.connect(**options)
                _limit_idle(made)
            except psycopg.OperationalError as error:
                self._outage.failed(str(error), begun, time.monotonic())
                if self._outage.is_long or record.info[_POOL] is not self._engine.pool:
                    raise
                time.sleep(_TRY_EVERY)
            else:
                self._outage.ended()
                return made

    def answered(self, _connection: object, _record: object, _proxy: object) -> None:
        """A connection that was open already proves that the database answers, too."""
        self._outage.ended()

    def returned(self, connection: psycopg.Connection[Any] | None, record: Any) -> None:
        """Closes what comes back after the engine was disposed of: nobody would ever take it."""
        if connection is not None and record.info.get(_POOL) is not self._engine.pool:
            connection.close()


class Outage:
    """Records that the database does not answer, for this process."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._failed_at = 0.0
        self._reported = False

    @property
    def is_long(self) -> bool:
        """Longer than a restart takes."""
        return self._since is not None and self._failed_at - self._since > _RESTART

    def failed(self, reason: str, begun: float, ended: float) -> None:
        """Notes when an attempt began and when it failed, see ``time.monotonic``."""
        if self._since is None or begun - self._failed_at > _FORGOTTEN:
            self._since = ended
        self._failed_at = ended
        if not self._reported:
            self._reported = True
            log.warning("the database does not answer", error=reason)

    def ended(self) -> None:
        self._since = None
        if self._reported:
            self._reported = False
            log.info("the database answers again")


def _limit_idle(connection: psycopg.Connection[Any]) -> None:
    connection.autocommit = True
    connection.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
        [IDLE_IN_TRANSACTION],
    )
    connection.autocommit = False


def _connection_class(seconds: float) -> type[psycopg.Connection[Any]]:
    class ImpatientConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout or seconds)
            except _Silence:
                # What the server says later belongs to no statement any more.
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {seconds:g} s") from None

    return ImpatientConnection
