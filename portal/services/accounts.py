"""Users, their settings and their sign-ins."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from datetime import timedelta
from typing import Any, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Row, bindparam, delete, or_, select
from sqlalchemy.orm import Session

from portal import live
from portal.clock import now
from portal.database import begin_write, session
from portal.errors import Conflict, Invalid, NotFound
from portal.models import LoginSession, Role, User, UserSettings
from portal.offload import offload
from portal.services import audit

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MINIMUM_PASSWORD = 8
MAXIMUM_PASSWORD = 1024
SESSION_LIFE = timedelta(hours=24)
REMEMBERED_LIFE = timedelta(days=14)
IDLE_LIFE = timedelta(hours=8)
_TOUCH_EVERY = timedelta(minutes=1)
#: How often the sessions of open sockets are looked at again, should no word of an end have come.
REVIEW_SECONDS = 5.0

_hasher = PasswordHasher()  # argon2id with the library's parameters (RFC 9106, low memory)
_nobody = _hasher.hash(secrets.token_urlsafe())


# --- signing in and out -------------------------------------------------------------------------


def sign_in(
    username: str,
    password: str,
    *,
    remember: bool,
    address: str,
    user_agent: str,
    replaces: int | None = None,
) -> str | None:
    """The token of a new session, or None. Unknown, disabled and wrong cost the same hash.

    ``replaces``: the session that this browser had until now. It ends with the sign-in, since
    its cookie is overwritten and nobody could sign out of it any more.
    """
    user = session.scalar(select(User).where(User.username == username.lower()))
    right = offload(_verify, user.password_hash if user else _nobody, password[:MAXIMUM_PASSWORD])
    writing = begin_write()
    user = writing.get(User, user.id) if user else None
    if user is None or not user.active or not right:
        audit.record(writing, "sign-in", name=username, outcome="refused", address=address)
        writing.commit()
        return None
    token = secrets.token_urlsafe(32)
    writing.add(
        LoginSession(
            token_hash=_digest(token),
            user_id=user.id,
            expires_at=now() + (REMEMBERED_LIFE if remember else SESSION_LIFE),
            address=address,
            user_agent=user_agent[:255],
            remember=remember,
        )
    )
    audit.record(writing, "sign-in", actor=user, address=address)
    writing.execute(
        delete(LoginSession).where(
            or_(LoginSession.expires_at < now(), LoginSession.id == (replaces or 0))
        )
    )
    writing.commit()
    live.end_sessions([replaces] if replaces else [], "logout")
    return token


def live_session(token: str) -> LoginSession | None:
    """The session of this token, while it and its user are good; with its user, in one query."""
    row = session.scalar(
        select(LoginSession).where(LoginSession.token_hash == _digest(token)),
    )
    return row if row is not None and _is_good(row, row.user.active) else None


class Caller(NamedTuple):
    """Whom a live session let in, and when that was looked up."""

    user_id: int
    username: str
    role: str
    session_id: int
    token: str
    endings: int
    looked_at: float


_CALLER = (
    select(
        LoginSession.id,
        LoginSession.expires_at,
        LoginSession.last_seen_at,
        LoginSession.remember,
        LoginSession.user_id,
        User.username,
        User.role,
        User.active,
    )
    .join_from(LoginSession, User)
    .where(LoginSession.token_hash == bindparam("digest"))
)


def caller(token: str) -> Caller | None:
    """What a socket needs of ``live_session``, cheaply: after a restart everybody comes at once."""
    endings = live.endings()  # before the look, so that an ending during it counts
    row = session.connection().execute(_CALLER, {"digest": _digest(token)}).first()
    if row is None or not _is_good(row, row.active):
        return None
    return Caller(row.user_id, row.username, row.role, row.id, token, endings, time.monotonic())


def same_caller(known: Caller) -> Caller | None:
    """``known`` as of now. Looked up again if any session ended since, or if the look is older
    than what ``drop_ended_sessions`` would find by itself."""
    fresh = time.monotonic() - known.looked_at < REVIEW_SECONDS
    if fresh and known.endings == live.endings():
        return known
    return caller(known.token)


def drop_ended_sessions(ids: set[int]) -> None:
    """Closes the sockets of those of these sessions that no longer open the door."""
    if not ids:
        return
    rows = session.scalars(select(LoginSession).where(LoginSession.id.in_(ids)))
    good = {row.id for row in rows if _is_good(row, row.user.active)}
    live.end_sessions(ids - good, "expired")


def touch(session_id: int) -> None:
    """Notes that a person was here, at most once a minute."""
    row = session.get(LoginSession, session_id)
    if row is None or now() - row.last_seen_at < _TOUCH_EVERY:
        return
    writing = begin_write()
    row = writing.get(LoginSession, session_id)
    if row is not None:
        row.last_seen_at = now()
    writing.commit()


def sign_out(user: User, *, address: str) -> None:
    """Ends the session ``user`` was loaded by, and its sockets."""
    session_id = user.session_id
    writing = begin_write()
    writing.execute(delete(LoginSession).where(LoginSession.id == session_id))
    audit.record(writing, "sign-out", actor=user, address=address)
    writing.commit()
    live.end_sessions([session_id] if session_id else [], "logout")


def _is_good(row: LoginSession | Row[*tuple[Any, ...]], active: bool) -> bool:
    moment = now()
    idle = not row.remember and moment - row.last_seen_at > IDLE_LIFE
    return bool(active and row.expires_at > moment and not idle)


def _digest(token: str) -> str:
    # A plain hash is enough: the token is 256 random bits, there is nothing to guess.
    return hashlib.sha256(token.encode()).hexdigest()


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


# --- users --------------------------------------------------------------------------------------


def has_users() -> bool:
    return session.scalar(select(User.id).limit(1)) is not None


def all_users() -> list[User]:
    return list(session.scalars(select(User).order_by(User.username)))


def generated_password() -> str:
    return secrets.token_urlsafe(15)


def create_user(
    username: str, role: str, password: str, *, actor: User | None = None, address: str = ""
) -> User:
    """Raises Invalid with one error a field; a taken name is one of them."""
    username = username.strip().lower()
    errors = {}
    if not USERNAME.fullmatch(username):
        errors["username"] = "Use 1 to 64 letters, digits, dots, dashes or underscores."
    if role not in tuple(Role):
        errors["role"] = "Choose viewer, operator or admin."
    if problem := password_problem(password):
        errors["password"] = problem
    if errors:
        raise Invalid(errors)
    password_hash = offload(_hasher.hash, password)
    writing = begin_write()
    if writing.scalar(select(User.id).where(User.username == username)) is not None:
        writing.rollback()
        raise Invalid({"username": f"There is already a user {username}."})
    user = User(username=username, role=Role(role), password_hash=password_hash)
    user.settings = UserSettings()
    writing.add(user)
    writing.flush()
    audit.record(
        writing, "user.create", actor=actor, target=username, detail=f"role {role}", address=address
    )
    writing.commit()
    return user


def password_problem(password: str) -> str | None:
    if len(password) < MINIMUM_PASSWORD:
        return f"Use at least {MINIMUM_PASSWORD} characters."
    if len(password) > MAXIMUM_PASSWORD:
        return f"Use at most {MAXIMUM_PASSWORD} characters."
    return None


def change_role(user_id: int, role: str, *, actor: User, address: str) -> User:
    """The user stays signed in; open sockets are dropped, so that they return with new rights."""
    if role not in tuple(Role):
        raise Invalid({"role": "Choose viewer, operator or admin."})
    writing = begin_write()
    user = _user_or_404(writing, user_id)
    if role != Role.ADMIN:
        _keep_an_admin(writing, user)
    old = user.role
    if old == role:
        writing.rollback()
        return user
    user.role = Role(role)
    audit.record(
        writing,
        "user.role",
        actor=actor,
        target=user.username,
        detail=f"{old} to {role}",
        address=address,
    )
    writing.commit()
    live.end_user(user_id, "role_changed")
    return user


def set_active(user_id: int, active: bool, *, actor: User, address: str) -> User:
    """Disabling ends every session and socket of the user at once."""
    writing = begin_write()
    user = _user_or_404(writing, user_id)
    if user.active == active:
        writing.rollback()
        return user
    if not active:
        _keep_an_admin(writing, user)
        writing.execute(delete(LoginSession).where(LoginSession.user_id == user_id))
    user.active = active
    audit.record(
        writing,
        "user.enable" if active else "user.disable",
        actor=actor,
        target=user.username,
        address=address,
    )
    writing.commit()
    if not active:
        live.end_user(user_id, "disabled")
    return user


def reset_password(user_id: int, *, actor: User, address: str) -> tuple[User, str]:
    """A generated password, to be shown once. Ends every session of the user."""
    password = generated_password()
    user = _set_password(user_id, password, "user.reset-password", actor, address, keep=None)
    return user, password


def set_password_of(username: str, password: str) -> None:
    """From the command line, where nobody is signed in."""
    user = session.scalars(select(User).where(User.username == username)).one()
    _set_password(user.id, password, "user.reset-password", None, "", keep=None)


def change_password(user: User, current: str, new: str, *, address: str) -> None:
    """A user's own. Ends every other session of the user."""
    errors: dict[str, str] = {}
    if not offload(_verify, user.password_hash, current[:MAXIMUM_PASSWORD]):
        errors |= {"current_password": "This is not your password."}
    if problem := password_problem(new):
        errors["new_password"] = problem
    if errors:
        raise Invalid(errors)
    _set_password(user.id, new, "password.change", user, address, keep=user.session_id)


def _set_password(
    user_id: int, password: str, action: str, actor: User | None, address: str, *, keep: int | None
) -> User:
    password_hash = offload(_hasher.hash, password)
    writing = begin_write()
    user = _user_or_404(writing, user_id)
    user.password_hash = password_hash
    others = list(
        writing.scalars(
            select(LoginSession.id).where(
                LoginSession.user_id == user_id, LoginSession.id != (keep or 0)
            )
        )
    )
    writing.execute(delete(LoginSession).where(LoginSession.id.in_(others)))
    audit.record(writing, action, actor=actor, target=user.username, address=address)
    writing.commit()
    live.end_sessions(others, "password_changed")
    return user


def _user_or_404(writing: Session, user_id: int) -> User:
    # FOR UPDATE: two admins who demote each other at once must not both succeed.
    query = select(User).where(User.id == user_id).with_for_update(of=User)
    user: User | None = writing.scalar(query)
    if user is None:
        writing.rollback()
        raise NotFound("There is no such user.")
    return user


def _keep_an_admin(writing: Session, user: User) -> None:
    if user.role != Role.ADMIN or not user.active:
        return
    admins = writing.scalars(
        select(User.id).where(User.role == Role.ADMIN, User.active).with_for_update()
    ).all()
    if len(admins) <= 1:
        writing.rollback()
        raise Conflict("This is the last active admin. Make somebody else an admin first.")


# --- settings -----------------------------------------------------------------------------------


def change_settings(user: User, changes: dict[str, str | int], *, address: str) -> None:
    """``changes``: validated columns of the user's own settings row."""
    if not changes:
        return
    user_id = user.id
    writing = begin_write()
    row = writing.get_one(UserSettings, user_id)
    for name, value in changes.items():
        setattr(row, name, value)
    audit.record(
        writing,
        "settings.change",
        actor=user,
        target=user.username,
        detail=", ".join(f"{name}={value}" for name, value in sorted(changes.items())),
        address=address,
    )
    writing.commit()
