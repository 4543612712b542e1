"""How PostgreSQL is reached, and what happens while it does not answer.

A restart of it is ridden through: whoever needs a new connection tries again for a moment. Once
that moment has passed, everybody fails at once until it is back, so that a portal without its
database says so instead of hanging. No connection is handed out before it has answered.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
import structlog
from psycopg.errors import _WaitTimeout as _Silence
from sqlalchemy import Engine, create_engine, event

log = structlog.get_logger(__name__)

#: Connections a process keeps, and how many more it may open; a pool never holds what it opened
#: beyond. Whoever finds none free waits so many seconds.
POOL_SIZE = 5
POOL_OVERFLOW = 10
_POOL_PATIENCE = 5.0
#: Seconds for which new connections are tried again after the first that failed.
_RESTART = 5.0
_TRY_EVERY = 0.1
#: Seconds for one attempt to connect, if nobody refuses it.
_CONNECT_PATIENCE = 3


def engine(url: str, *, answer_within: float | None = None) -> Engine:
    """``answer_within``: seconds after which a statement without an answer is an OperationalError
    and its connection is closed; None waits for ever."""
    made = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=_POOL_PATIENCE,
        connect_args={"connect_timeout": _CONNECT_PATIENCE},
    )
    event.listen(made, "do_connect", _Connecting(answer_within))
    return made


class _Connecting:
    def __init__(self, answer_within: float | None) -> None:
        self._kind = _impatient(answer_within) if answer_within else psycopg.Connection
        self._away_since: float | None = None

    def __call__(
        self, _dialect: object, _record: object, _arguments: object, options: dict[str, Any]
    ) -> Any:
        while True:
            try:
                made = self._kind.connect(**options)
            except psycopg.OperationalError as error:
                if self._has_been_away_for_long(error):
                    raise
                time.sleep(_TRY_EVERY)
            else:
                if self._away_since is not None:
                    log.info("the database answers again")
                    self._away_since = None
                return made

    def _has_been_away_for_long(self, error: Exception) -> bool:
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("the database does not answer", error=str(error))
        return time.monotonic() - self._away_since > _RESTART


def _impatient(seconds: float) -> type[psycopg.Connection[Any]]:
    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout or seconds)
            except _Silence:
                # What the server says later belongs to no statement any more.
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {seconds:g} s") from None

    return Impatient
