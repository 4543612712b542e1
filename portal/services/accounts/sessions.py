"""Sessions of signed-in browsers: how they begin, how long they are good, and how they end."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, delete, select, update
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import session, write
from portal.errors import NotFound
from portal.models import LoginSession, Role, User
from portal.realtime import publish
from portal.services import audit
from portal.services.actor import Actor
from portal.services.runtime import runtime
from portal.transfers.counted import counted

_TOUCH_EVERY = timedelta(minutes=1)
#: Seconds between two checks of the sessions of open sockets. They find the ends of which no
#: message came.
REVIEW_SECONDS = 5.0
#: Requests with the old token may still be under way when the new one arrives.
_PREVIOUS_TOKEN_LIFE = timedelta(seconds=30)
#: If a new token has not come back for so long, the answer that carried it was lost.
_RESEND_AFTER = timedelta(seconds=30)


def digest(token: str) -> str:
    # A plain hash is enough: the token is 256 random bits, so nobody can guess it.
    return hashlib.sha256(token.encode()).hexdigest()


def begin(
    tx: Session,
    user: User,
    *,
    remember: bool,
    address: str,
    user_agent: str,
    second_step: bool = False,
) -> str:
    """Returns the token of a new session, in the caller's transaction."""
    token, policy = secrets.token_urlsafe(32), runtime().session_policy
    tx.add(
        LoginSession(
            token_hash=digest(token),
            user_id=user.id,
            expires_at=now() + (policy.remembered if remember else policy.longest),
            address=address,
            user_agent=user_agent[:255],
            remember=remember,
            second_step=second_step,
        )
    )
    return token


# --- looking up ---------------------------------------------------------------------------------


def live_session(token: str) -> LoginSession | None:
    """Returns the session of this token together with its user, by one query; None unless both are
    good."""
    token_hash = digest(token)
    row = session.scalar(select(LoginSession).where(LoginSession.token_hash == token_hash))
    if row is None:
        previous = LoginSession.previous_hash == token_hash
        row = session.scalar(select(LoginSession).where(previous, previous_counts(now())))
    return row if row is not None and is_valid(row, row.user.active, row.user.role) else None


def previous_counts(moment: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Condition: the previous token still counts, because it was replaced a moment ago or its
    replacement has never arrived."""
    return LoginSession.previous_until.is_(None) | (LoginSession.previous_until > moment)


def is_valid(row: LoginSession | Row[*tuple[Any, ...]], active: bool, role: str) -> bool:
    """Whether the session lets its user in now. Pages, polls and sockets all ask here."""
    moment, policy = now(), runtime().session_policy
    may_idle = row.remember or (policy.viewers_idle and role == Role.VIEWER)
    idle = not may_idle and moment - row.last_seen_at > policy.idle
    enough = row.second_step or not policy.demands_second_step(role)
    return bool(active and enough and row.expires_at > moment and not idle)


# --- presence and rotation ----------------------------------------------------------------------


def touch(session_id: int | None, token: str, *, person: bool) -> str | None:
    """Notes that this token came, and whether a person sent it (at most once a minute).

    Returns a new token if this one is due to be replaced. Only a page that a person asked for gets
    one. The old token stays good until the new one has come back, because an answer can get lost.
    """
    row = session.get(LoginSession, session_id) if session_id else None
    if row is None or not _needs_touch(row, digest(token), person, now()):
        return None
    with write() as tx:
        row = tx.get(LoginSession, session_id, with_for_update={"of": LoginSession})
        fresh = _note(row, digest(token), person, now()) if row is not None else None
        tx.commit()
    return fresh


def renew(tx: Session, session_id: int) -> str | None:
    """Gives the session a new token, in the caller's transaction. The old one is worth nothing from
    then on: somebody may have copied it. Returns None if the session has ended."""
    token = secrets.token_urlsafe(32)
    renewed = update(LoginSession).where(LoginSession.id == session_id)
    renewed = renewed.values(
        token_hash=digest(token),
        previous_hash=None,
        previous_until=None,
        rotated_at=now(),
        rotation_due_at=None,
    )
    found = tx.execute(renewed.returning(LoginSession.id)).first()
    return token if found is not None else None


def rotate_all(tx: Session, user_id: int) -> None:
    """Gives each session of this user a new token at its next page, in the caller's transaction."""
    whose = LoginSession.user_id == user_id
    tx.execute(update(LoginSession).where(whose).values(rotation_due_at=now()))


def _needs_touch(row: LoginSession, token_hash: str, person: bool, moment: datetime) -> bool:
    return (
        confirms_rotation(row, token_hash)
        or (person and moment - row.last_seen_at >= _TOUCH_EVERY)
        or (person and _is_due(row, token_hash, moment))
    )


def _note(row: LoginSession, token_hash: str, person: bool, moment: datetime) -> str | None:
    if confirms_rotation(row, token_hash):
        row.previous_until = moment + _PREVIOUS_TOKEN_LIFE
        if row.rotated_at and row.rotation_due_at and row.rotation_due_at <= row.rotated_at:
            row.rotation_due_at = None
    if not person:
        return None
    if moment - row.last_seen_at >= _TOUCH_EVERY:
        row.last_seen_at = moment
    if not _is_due(row, token_hash, moment):
        return None
    token = secrets.token_urlsafe(32)
    row.previous_hash, row.previous_until = token_hash, None
    row.token_hash, row.rotated_at = digest(token), moment
    return token


def confirms_rotation(row: LoginSession | Row[*tuple[Any, ...]], token_hash: str) -> bool:
    """Returns whether the request carries the new token for the first time."""
    return (
        row.previous_hash is not None
        and row.previous_until is None
        and row.token_hash == token_hash
    )


def _is_due(row: LoginSession, token_hash: str, moment: datetime) -> bool:
    if row.rotation_due_at is None:
        return False
    if row.token_hash == token_hash:
        return not confirms_rotation(row, token_hash) or (
            row.rotated_at is not None and row.rotation_due_at > row.rotated_at
        )
    return row.rotated_at is not None and moment - row.rotated_at > _RESEND_AFTER


# --- ending -------------------------------------------------------------------------------------


def of_user(user_id: int) -> list[LoginSession]:
    """Returns the sessions that are still good, the latest visit first."""
    query = select(LoginSession).where(LoginSession.user_id == user_id)
    rows = session.scalars(query.order_by(LoginSession.last_seen_at.desc(), LoginSession.id))
    return [row for row in rows if is_valid(row, row.user.active, row.user.role)]


def end(user: User, session_id: int, *, actor: Actor) -> None:
    """Ends one session of ``user``, and its sockets. Raises NotFound if it is not theirs."""
    with write() as tx:
        whose = (LoginSession.id == session_id) & (LoginSession.user_id == user.id)
        if tx.scalar(delete(LoginSession).where(whose).returning(LoginSession.id)) is None:
            raise NotFound("There is no such session. It may have expired.")
        audit.record(tx, "session.end", actor, target=user.username)
        tx.commit()
    publish.end_sessions([session_id], "logout")


def end_others(user: User, *, keep: int | None, actor: Actor) -> int:
    """Ends all sessions of ``user`` but ``keep``. Returns how many there were."""
    with write() as tx:
        ended = delete_all(tx, user.id, keep=keep)
        if ended:
            audit.record(
                tx,
                "session.end-all",
                actor,
                target=user.username,
                detail=counted(len(ended), "session"),
            )
        tx.commit()
    publish.end_sessions(ended, "logout")
    return len(ended)


def delete_all(tx: Session, user_id: int, *, keep: int | None) -> list[int]:
    """Deletes the sessions in the caller's transaction. After the commit the caller ends their
    sockets."""
    whose = (LoginSession.user_id == user_id) & (LoginSession.id != (keep or 0))
    return list(tx.scalars(delete(LoginSession).where(whose).returning(LoginSession.id)))


_VALIDITY_COLUMNS = select(
    LoginSession.id,
    LoginSession.expires_at,
    LoginSession.last_seen_at,
    LoginSession.remember,
    LoginSession.second_step,
    User.active,
    User.role,
).join_from(LoginSession, User)


def drop_ended(ids: set[int]) -> None:
    """Closes the sockets of those of these sessions that are no longer good."""
    if not ids:
        return
    rows = session.execute(_VALIDITY_COLUMNS.where(LoginSession.id.in_(ids)))
    good = {row.id for row in rows if is_valid(row, row.active, row.role)}
    publish.end_sessions(ids - good, "expired")
