"""API tokens: a program that sends one acts for its user."""

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
from portal.transfers.counted import counted
from portal.transfers.names import is_name

#: The prefix by which people, logs and scanners of repositories recognise a token in the wrong
#: place.
PREFIX = "tp_"
NAME_LENGTH = 100
MAX_LIFE = timedelta(days=366)
MAX_PER_USER = 50
_HINT_LENGTH = 4
_TOUCH_EVERY = timedelta(minutes=1)
#: How long an expired token stays in the list, so that its owner learns why a program fails.
_KEPT_EXPIRED = timedelta(days=30)


def create(name: str, scope: str, expires_at: datetime, *, actor: Actor) -> tuple[ApiToken, str]:
    """Returns the new token and its text, which is shown once and stored nowhere. Raises
    Invalid."""
    if errors := _problems(name, scope, expires_at):
        raise Invalid(errors)
    text = PREFIX + secrets.token_urlsafe(32)
    with write() as tx:
        # The user is read again under the write lock: somebody may have disabled or demoted them
        # meanwhile.
        user = tx.get_one(User, actor.user.id, populate_existing=True)
        if not user.active or not user.may(Scope(scope).role):
            raise Forbidden("A token cannot do more than its user may.")
        tx.execute(delete(ApiToken).where(ApiToken.expires_at < now() - _KEPT_EXPIRED))
        if _number_of(tx, user) >= MAX_PER_USER:
            raise Invalid({"name": f"You have {MAX_PER_USER} tokens. Revoke one of them first."})
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
    """Ends one of the actor's own tokens. Raises NotFound for any other."""
    with write() as tx:
        token = tx.get(ApiToken, token_id)
        if token is None or token.user_id != actor.user.id:
            raise NotFound("There is no such token, or it has already been revoked.")
        tx.delete(token)
        detail = f"token {token.id}, scope {token.scope}"
        audit.record(tx, "token.end", actor, target=token.name, detail=detail)
        tx.commit()
    return token


def end_all_of(tx: Session, user_id: int) -> int:
    """Ends all tokens of a user, in the caller's transaction. After a disabled user is enabled
    again, none of the old tokens works. Returns how many there were."""
    whose = delete(ApiToken).where(ApiToken.user_id == user_id)
    return len(tx.scalars(whose.returning(ApiToken.id)).all())


def end_all(user_id: int, *, actor: Actor) -> int:
    """Ends all tokens of a user, for an admin. Returns how many there were."""
    with write() as tx:
        user = tx.get(User, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        number = end_all_of(tx, user_id)
        audit.record(
            tx, "token.end-all", actor, target=user.username, detail=counted(number, "token")
        )
        tx.commit()
    return number


def numbers_of(users: list[User]) -> dict[int, int]:
    """Returns how many tokens these users have, by id; those without one are left out."""
    ids = [user.id for user in users]
    query = select(ApiToken.user_id, func.count()).where(ApiToken.user_id.in_(ids))
    return {row[0]: row[1] for row in session.execute(query.group_by(ApiToken.user_id))}


def all_of(user: User) -> list[ApiToken]:
    """Returns the user's tokens, newest first."""
    query = select(ApiToken).where(ApiToken.user_id == user.id).order_by(ApiToken.id.desc())
    return list(session.scalars(query))


def live_token(text: str) -> ApiToken | None:
    """Returns the token with this text, or None unless both it and its user are good. Notes the
    use."""
    token = session.scalar(select(ApiToken).where(ApiToken.token_hash == _digest(text)))
    if token is None or token.expired or not token.user.active:
        return None
    return _touch(token)


def owner_of(text: str) -> User | None:
    """Returns whose token has this text, though it may have expired or its user be disabled."""
    token = session.scalar(select(ApiToken).where(ApiToken.token_hash == _digest(text)))
    return token.user if token is not None else None


def _touch(token: ApiToken) -> ApiToken | None:
    """Notes the use, at most once a minute. Returns the token as it is afterwards."""
    token_id, old = token.id, now() - _TOUCH_EVERY
    if token.last_used_at is not None and token.last_used_at > old:
        return token
    with write() as tx:
        unused = or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at <= old)
        tx.execute(
            update(ApiToken).where(ApiToken.id == token_id, unused).values(last_used_at=now())
        )
        tx.commit()
    # While this waited for the lock, the token may have ended or its user been disabled.
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
    if not now() < expires_at <= now() + MAX_LIFE:
        errors["expires"] = "Choose a date from today on, at most a year ahead."
    return errors


def _number_of(tx: Session, user: User) -> int:
    query = select(func.count()).select_from(ApiToken).where(ApiToken.user_id == user.id)
    return tx.scalar(query) or 0


def _digest(text: str) -> str:
    # A plain hash is enough: the token is 256 random bits, so nobody can guess it.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
