"""Tokens by which programs act for a user."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from portal.db.clock import iso, now
from portal.db.session import session, write
from portal.errors import Forbidden, Invalid, NotFound
from portal.models import ApiToken, Scope, User
from portal.services import audit
from portal.services.actor import Actor
from portal.transfers.names import is_name

#: By it people, logs and scanners of repositories recognise a token that lies where it should not.
PREFIX = "tp_"
NAME_LENGTH = 100
LONGEST_LIFE = timedelta(days=366)
MOST_OF_ONE_USER = 50
_HINT_LENGTH = 4
_TOUCH_EVERY = timedelta(minutes=1)
#: How long an expired token stays in the list, so that its owner learns why a program fails.
_KEPT_EXPIRED = timedelta(days=30)


def create(name: str, scope: str, expires_at: datetime, *, actor: Actor) -> tuple[ApiToken, str]:
    """The token and its text, which is shown once and stored nowhere. Raises Invalid."""
    if errors := _problems(name, scope, expires_at):
        raise Invalid(errors)
    text = PREFIX + secrets.token_urlsafe(32)
    with write() as tx:
        # Read again under the write lock: a disabling or demotion at the same time comes first.
        user = tx.get_one(User, actor.user.id, populate_existing=True)
        if not user.active or not user.may(Scope(scope).role):
            raise Forbidden("A token cannot do more than its user may.")
        tx.execute(delete(ApiToken).where(ApiToken.expires_at < now() - _KEPT_EXPIRED))
        if _number_of(tx, user) >= MOST_OF_ONE_USER:
            raise Invalid(
                {"name": f"You have {MOST_OF_ONE_USER} tokens. Revoke one of them first."}
            )
        token = ApiToken(
            token_hash=_digest(text),
            user_id=user.id,
            name=name,
            scope=Scope(scope),
            hint=text[-_HINT_LENGTH:],
            expires_at=expires_at,
        )
        tx.add(token)
        tx.flush()
        detail = f"token {token.id}, scope {scope}, until {iso(expires_at)}"
        audit.record(tx, "token.create", actor, target=name, detail=detail)
        tx.commit()
    return token, text


def end(token_id: int, *, actor: Actor) -> ApiToken:
    """Ends one of the actor's own; another user's is NotFound."""
    with write() as tx:
        token = tx.get(ApiToken, token_id)
        if token is None or token.user_id != actor.user.id:
            raise NotFound("There is no such token, or it has already been revoked.")
        tx.delete(token)
        detail = f"token {token.id}, scope {token.scope}"
        audit.record(tx, "token.end", actor, target=token.name, detail=detail)
        tx.commit()
    return token


def end_all_of(tx: Session, user_id: int) -> None:
    """In the caller's transaction: a user who was disabled has no tokens when they come back."""
    tx.execute(delete(ApiToken).where(ApiToken.user_id == user_id))


def all_of(user: User) -> list[ApiToken]:
    """Newest first."""
    query = select(ApiToken).where(ApiToken.user_id == user.id).order_by(ApiToken.id.desc())
    return list(session.scalars(query))


def live_token(text: str) -> ApiToken | None:
    """The token of this text with its user, while both are good. Notes that it was used."""
    token = session.scalar(select(ApiToken).where(ApiToken.token_hash == _digest(text)))
    if token is None or token.expired or not token.user.active:
        return None
    return _touched(token)


def _touched(token: ApiToken) -> ApiToken | None:
    """The token after its use was noted, at most once a minute."""
    token_id, old = token.id, now() - _TOUCH_EVERY
    if token.last_used_at is not None and token.last_used_at > old:
        return token
    with write() as tx:
        unused = or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at <= old)
        tx.execute(
            update(ApiToken).where(ApiToken.id == token_id, unused).values(last_used_at=now())
        )
        tx.commit()
    # It may have ended, and its user been disabled, while this waited for the lock.
    found = session.get(ApiToken, token_id, populate_existing=True)
    return found if found is not None and found.user.active else None


def _problems(name: str, scope: str, expires_at: datetime) -> dict[str, str]:
    errors = {}
    if not name.strip():
        errors["name"] = "Enter a name for the token."
    elif len(name) > NAME_LENGTH:
        errors["name"] = f"Use at most {NAME_LENGTH} characters."
    elif not is_name(name):
        errors["name"] = "Leave out line breaks and control characters."
    if scope not in tuple(Scope):
        errors["scope"] = "Choose read, operate or admin."
    if not now() < expires_at <= now() + LONGEST_LIFE:
        errors["expires"] = "Choose a date from today on, at most a year ahead."
    return errors


def _number_of(tx: Session, user: User) -> int:
    query = select(func.count()).select_from(ApiToken).where(ApiToken.user_id == user.id)
    return tx.scalar(query) or 0


def _digest(text: str) -> str:
    # A plain hash is enough: the token is 256 random bits, there is nothing to guess.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
