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
    confirms_rotation,
    digest,
    is_valid,
    previous_counts,
)

#: Tokens in one query. More of them would keep pages waiting for the query.
_MAX_BATCH = 200
#: Seconds for which a poll's principal is used without a query. A session that ends in this process
#: ends it at once, and so does a message from another process; this limits it if no message comes.
_CACHE_SECONDS = 2.0
_MAX_CACHED = 10_000


class Principal(NamedTuple):
    """The person whom a live session let in, and when the session was looked up.

    ``needs_write``: something has to be written to the session, so Flask must handle the request.
    """

    user_id: int
    username: str
    role: str
    timezone: str
    session_id: int
    token: str
    needs_write: bool
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

_BY_ONE_HASH = _COLUMNS.where(LoginSession.token_hash == bindparam("token_hash"))
_TOKEN_HASHES: Any = bindparam("token_hashes", expanding=True)
_BY_HASH = _COLUMNS.where(LoginSession.token_hash.in_(_TOKEN_HASHES))
_BY_PREVIOUS_HASH = _COLUMNS.where(
    LoginSession.previous_hash.in_(_TOKEN_HASHES),
    previous_counts(bindparam("moment")),
)

Rows = dict[str, Row[*tuple[Any, ...]]]


class _Batch:
    """Digests of tokens that are looked up together."""

    def __init__(self) -> None:
        self.token_hashes: set[str] = set()
        self.found: Rows | None = None
        self.error: SQLAlchemyError | None = None


class _Lookups:
    """``next_batch`` takes tokens while another batch is being looked up."""

    def __init__(self) -> None:
        self.batch_lock = threading.Lock()
        self.query_lock = threading.Lock()
        self.next_batch: _Batch | None = None
        self.cached_principals: dict[str, Principal] = {}


def find(token: str) -> Principal | None:
    """Returns the principal of this token. Raises SQLAlchemyError if the database cannot be
    read."""
    session_epoch = publish.session_epoch()  # before the query: a session may end during it
    token_hash = digest(token)
    return _principal(_find_row(token_hash).get(token_hash), token, token_hash, session_epoch)


def find_all(tokens: Iterable[str]) -> dict[str, Principal]:
    """Returns the principal of each of these tokens, by one query. Raises as ``find`` does."""
    session_epoch = publish.session_epoch()
    token_hashes = {digest(token): token for token in tokens}
    rows = _rows(set(token_hashes)) if token_hashes else {}
    found = (
        _principal(row, token_hashes[token_hash], token_hash, session_epoch)
        for token_hash, row in rows.items()
    )
    return {each.token: each for each in found if each is not None}


def _principal(row: Any, token: str, token_hash: str, session_epoch: int) -> Principal | None:
    if row is None or not is_valid(row, row.active, row.role):
        return None
    return Principal(
        row.user_id,
        row.username,
        row.role,
        row.timezone,
        row.id,
        token,
        confirms_rotation(row, token_hash),
        session_epoch,
        time.monotonic(),
    )


def revalidate(known: Principal) -> Principal | None:
    """Returns ``known`` as it is now. It is looked up again if any session ended since, or if the
    last look-up is older than the interval in which ``drop_ended`` would find an ended one
    anyway."""
    return known if _is_current(known, REVIEW_SECONDS) else find(known.token)


def cached(token: str) -> Principal | None:
    """As ``find``, but from memory if no session has ended since and the look-up is a moment
    old."""
    cached_principals = current()[_Lookups].cached_principals
    known = cached_principals.get(token)
    if known is None or not _is_current(known, _CACHE_SECONDS):
        known = find(token)
        if len(cached_principals) >= _MAX_CACHED:
            cached_principals.clear()
        if known is None:
            cached_principals.pop(token, None)
        else:
            cached_principals[token] = known
    return known


def _is_current(known: Principal, seconds: float) -> bool:
    return (
        known.session_epoch == publish.session_epoch()
        and time.monotonic() - known.looked_at < seconds
    )


def _find_row(token_hash: str) -> Rows:
    lookups = current()[_Lookups]
    with lookups.batch_lock:
        batch = lookups.next_batch
        if batch is None or len(batch.token_hashes) >= _MAX_BATCH:
            batch = lookups.next_batch = _Batch()
        batch.token_hashes.add(token_hash)
    with lookups.query_lock:
        if batch.found is None and batch.error is None:  # the first thread looks up the whole batch
            _run(lookups, batch)
    if batch.found is None:
        raise batch.error or SQLAlchemyError("the look-up was given up")
    return batch.found


def _run(lookups: _Lookups, batch: _Batch) -> None:
    with lookups.batch_lock:
        if lookups.next_batch is batch:
            lookups.next_batch = None
    try:
        batch.found = _rows(batch.token_hashes)
    except SQLAlchemyError as error:
        batch.error = error


def _rows(token_hashes: set[str]) -> Rows:
    with read_connection() as connection:
        if len(token_hashes) == 1:
            rows = connection.execute(_BY_ONE_HASH, {"token_hash": next(iter(token_hashes))})
        else:
            rows = connection.execute(_BY_HASH, {"token_hashes": list(token_hashes)})
        found = {row.token_hash: row for row in rows}
        if missing := token_hashes - found.keys():
            rows = connection.execute(
                _BY_PREVIOUS_HASH, {"token_hashes": list(missing), "moment": now()}
            )
            found |= {row.previous_hash: row for row in rows}
    return found
