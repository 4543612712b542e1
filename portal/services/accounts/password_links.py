"""Links that set a password once: for people who were invited, and for those who forgot theirs."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import session, write
from portal.errors import Conflict, Invalid, NotFound
from portal.models import PasswordLink, User
from portal.realtime import publish
from portal.services import audit
from portal.services.accounts import api_tokens, passwords
from portal.services.accounts import users as accounts
from portal.services.accounts.sessions import digest
from portal.services.actor import Actor
from portal.services.runtime import runtime

LIFE = timedelta(hours=72)
_GONE = "This link has been used or has expired. Ask an admin for a new one."


def invite(username: str, role: str, *, actor: Actor) -> tuple[User, str]:
    """Creates a user without a password. Returns it and the token of the link that sets one. Raises
    Invalid."""
    user = accounts.create_user(username, role, None, actor=actor)
    return create(user.id, actor=actor)


def create(user_id: int, *, actor: Actor) -> tuple[User, str]:
    """Returns the token of a new link, to be shown once. An older link of the user ends. Nothing
    else changes until the link is used."""
    token = secrets.token_urlsafe(32)
    with write() as tx:
        user = accounts.locked_user(tx, user_id)
        if not user.active:
            raise Conflict(f"{user.username} is disabled. Enable the account first.")
        moment = now()
        tx.merge(
            PasswordLink(
                user_id=user.id,
                token_hash=digest(token),
                created_at=moment,
                expires_at=moment + LIFE,
            )
        )
        audit.record(tx, "user.password-link", actor, target=user.username)
        tx.commit()
    return user, token


def owner(token: str) -> User:
    """Returns the user whose password this link sets. Raises NotFound."""
    return _user_of(session(), token)


def use(token: str, password: str, *, address: str) -> User:
    """Sets the password, and ends the link, and every session and API token of the user. Raises
    Invalid and NotFound."""
    user = owner(token)
    if problem := passwords.weakness(
        password, user.username, passwords.hosts_of(runtime().settings)
    ):
        raise Invalid({"new_password": problem})
    password_hash = passwords.hash_password(password)
    with write() as tx:
        accounts.locked_user(tx, user.id)
        user = _user_of(tx, token)  # checked again: if two use the link at once, the second fails
        ended = accounts.replace_password(tx, user, password_hash, keep=None)
        api_tokens.end_all_of(tx, user.id)
        audit.record(tx, "password.set-by-link", Actor(user, address), target=user.username)
        tx.commit()
    publish.end_sessions(ended, "password_changed")
    return user


def pending(users: list[User]) -> set[int]:
    """Returns the ids of those of these users who have a link that still works."""
    ids = [user.id for user in users]
    query = select(PasswordLink.user_id).where(
        PasswordLink.user_id.in_(ids), PasswordLink.expires_at > now()
    )
    return set(session.scalars(query))


def _user_of(reading: Session, token: str) -> User:
    query = (
        select(User)
        .join(PasswordLink, PasswordLink.user_id == User.id)
        .where(
            PasswordLink.token_hash == digest(token), PasswordLink.expires_at > now(), User.active
        )
    )
    user: User | None = reading.scalar(query)
    if user is None:
        raise NotFound(_GONE)
    return user
