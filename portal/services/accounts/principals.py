"""Looks up who a request comes from, for sockets and polls, many at once.

After a restart all browsers return in the same second, and pages without a socket ask every two
seconds. Requests that arrive while a query is under way share the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from portal.db.clock import now
from portal.db.session import read_connection
from portal.models import LoginSession, User, UserSettings
from portal.realtime import publish
from portal.runtime.context import current
from portal.services.accounts.sessions import (
    REVIEW_SECONDS,
    digest,
    has_arrived,
    is_good,
)

#: Tokens in one query. More of them would keep pages waiting for the query.
_MOST_AT_ONCE = 200
#: Seconds for which a poll's principal is used without a query. A session that ends in this process
#: ends it at once, and so does a message from another process; this limits it if no message comes.
_BELIEVED_SECONDS = 2.0
_MOST_BELIEVED = 10_000


class Principal(NamedTuple):
    """The person whom a live session let in, and when the session was looked up.

    ``has_news``: something has to be written to the session, so Flask must handle the request.
    """

    user_id: int
    username: str
    role: str
    timezone: str
    session_id: int
    token: str
    has_news: bool
    session_epoch: int
    looked_at: float


_COLUMNS = (
    select(
        LoginSession.id,
        LoginSession.token_hash,
        LoginSession.previous_hash,
        LoginSession.previous_until,
        LoginSession.expires_at,
        LoginSession.last_seen_at,
        LoginSession.remember,
        LoginSession.second_step,
        LoginSession.user_id,
        User.username,
        User.role,
        User.active,
        UserSettings.timezone,
    )
    .join_from(LoginSession, User)
    .join(UserSettings)
)

_BY_ONE_MARK = _COLUMNS.where(LoginSession.token_hash == bindparam("mark"))
_MARKS: Any = bindparam("marks", expanding=True)
_BY_MARK = _COLUMNS.where(LoginSession.token_hash.in_(_MARKS))
_BY_REPLACED = _COLUMNS.where(
    LoginSession.previous_hash.in_(_MARKS),
    LoginSession.previous_until.is_(None) | (LoginSession.previous_until > bindparam("moment")),
)

Rows = dict[str, Row[*tuple[Any, ...]]]


class _Batch:
    """Digests of tokens that are looked up together."""

    def __init__(self) -> None:
        self.marks: set[str] = set()
        self.found: Rows | None = None
        self.error: SQLAlchemyError | None = None


class _Lookups:
    """``gathering`` takes tokens while another batch is being looked up."""

    def __init__(self) -> None:
        self.gather = threading.Lock()
        self.look = threading.Lock()
        self.gathering: _Batch | None = None
        self.believed: dict[str, Principal] = {}


def find(token: str) -> Principal | None:
    """Returns the principal of this token. Raises SQLAlchemyError if the database cannot be
    read."""
    session_epoch = publish.session_epoch()  # before the query: a session may end during it
    mark = digest(token)
    return _principal(_look(mark).get(mark), token, mark, session_epoch)


def find_all(tokens: Iterable[str]) -> dict[str, Principal]:
    """Returns the principal of each of these tokens, by one query. Raises as ``find`` does."""
    session_epoch = publish.session_epoch()
    marks = {digest(token): token for token in tokens}
    rows = _rows(set(marks)) if marks else {}
    found = (_principal(row, marks[mark], mark, session_epoch) for mark, row in rows.items())
    return {each.token: each for each in found if each is not None}


def _principal(row: Any, token: str, mark: str, session_epoch: int) -> Principal | None:
    if row is None or not is_good(row, row.active, row.role):
        return None
    return Principal(
        row.user_id,
        row.username,
        row.role,
        row.timezone,
        row.id,
        token,
        has_arrived(row, mark),
        session_epoch,
        time.monotonic(),
    )


def revalidate(known: Principal) -> Principal | None:
    """Returns ``known`` as it is now. It is looked up again if any session ended since, or if the
    last look-up is older than the interval in which ``drop_ended`` would find an ended one
    anyway."""
    return known if _holds(known, REVIEW_SECONDS) else find(known.token)


def cached(token: str) -> Principal | None:
    """As ``find``, but from memory if no session has ended since and the look-up is a moment
    old."""
    believed = current()[_Lookups].believed
    known = believed.get(token)
    if known is None or not _holds(known, _BELIEVED_SECONDS):
        known = find(token)
        if len(believed) >= _MOST_BELIEVED:
            believed.clear()
        if known is None:
            believed.pop(token, None)
        else:
            believed[token] = known
    return known


def _holds(known: Principal, seconds: float) -> bool:
    return (
        known.session_epoch == publish.session_epoch()
        and time.monotonic() - known.looked_at < seconds
    )


def _look(mark: str) -> Rows:
    lookups = current()[_Lookups]
    with lookups.gather:
        batch = lookups.gathering
        if batch is None or len(batch.marks) >= _MOST_AT_ONCE:
            batch = lookups.gathering = _Batch()
        batch.marks.add(mark)
    with lookups.look:
        if batch.found is None and batch.error is None:  # the first thread looks up the whole batch
            _run(lookups, batch)
    if batch.found is None:
        raise batch.error or SQLAlchemyError("the look-up was given up")
    return batch.found


def _run(lookups: _Lookups, batch: _Batch) -> None:
    with lookups.gather:
        if lookups.gathering is batch:
            lookups.gathering = None
    try:
        batch.found = _rows(batch.marks)
    except SQLAlchemyError as error:
        batch.error = error


def _rows(marks: set[str]) -> Rows:
    with read_connection() as connection:
        if len(marks) == 1:
            rows = connection.execute(_BY_ONE_MARK, {"mark": next(iter(marks))})
        else:
            rows = connection.execute(_BY_MARK, {"marks": list(marks)})
        found = {row.token_hash: row for row in rows}
        if missing := marks - found.keys():
            rows = connection.execute(_BY_REPLACED, {"marks": list(missing), "moment": now()})
            found |= {row.previous_hash: row for row in rows}
    return found
