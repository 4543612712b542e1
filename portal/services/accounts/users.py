"""Creates and changes users, their passwords and their settings."""

from __future__ import annotations

import re

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from portal.db.session import session, write
from portal.errors import Conflict, Invalid, NotFound
from portal.models import PasswordLink, Role, User, UserSettings
from portal.realtime import publish
from portal.services import audit
from portal.services.accounts import api_tokens, passwords, reauthentication, sessions
from portal.services.actor import COMMAND_LINE, Actor
from portal.services.runtime import runtime
from portal.transfers.counted import counted

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def has_users() -> bool:
    return session.scalar(select(User.id).limit(1)) is not None


def search(text: str, number: int, size: int) -> tuple[list[User], int]:
    """Returns one page of the users whose name holds ``text``, by name, and how many there are in
    all."""
    matching = User.username.contains(text.strip().lower(), autoescape=True)
    total = session.scalar(select(func.count()).select_from(User).where(matching)) or 0
    query = select(User).where(matching).order_by(User.username)
    return list(session.scalars(query.limit(size).offset((number - 1) * size))), total


def create_user(
    username: str, role: str, password: str | None, *, actor: Actor = COMMAND_LINE
) -> User:
    """Raises Invalid with one error per field; a taken name is one of them.

    Without a password nobody can sign in as the user until a link has set one. Whoever passes a
    password runs the machine, and may choose a weak one.
    """
    username = username.strip().lower()
    errors = {}
    if not USERNAME.fullmatch(username):
        errors["username"] = "Use 1 to 64 letters, digits, dots, dashes or underscores."
    if role not in tuple(Role):
        errors["role"] = "Choose viewer, operator or admin."
    if password is not None and (problem := passwords.problem(password)):
        errors["password"] = problem
    if errors:
        raise Invalid(errors)
    password_hash = passwords.hash_password(password) if password is not None else ""
    with write() as tx:
        if tx.scalar(select(User.id).where(User.username == username)) is not None:
            raise Invalid({"username": f"There is already a user named {username}."})
        user = User(username=username, role=Role(role), password_hash=password_hash)
        user.settings = UserSettings()
        tx.add(user)
        tx.flush()
        audit.record(tx, "user.create", actor, target=username, detail=f"role {role}")
        tx.commit()
    return user


def change_role(user_id: int, role: str, *, actor: Actor) -> User:
    """The user stays signed in. Open sockets are dropped, so that they come back with the new
    rights."""
    if role not in tuple(Role):
        raise Invalid({"role": "Choose viewer, operator or admin."})
    with write() as tx:
        user = locked_user(tx, user_id)
        if role != Role.ADMIN:
            _keep_an_admin(tx, user)
        old = user.role
        if old == role:
            return user
        user.role = Role(role)
        sessions.rotate_all(tx, user_id)
        audit.record(
            tx,
            "user.role",
            actor,
            target=user.username,
            detail=f"{old} to {role}",
        )
        tx.commit()
    publish.end_user(user_id, "role_changed")
    runtime().executor.look()  # the user's jobs may run now
    return user


def set_active(user_id: int, active: bool, *, actor: Actor) -> User:
    """Disabling ends every session, socket and API token of the user at once."""
    with write() as tx:
        user = locked_user(tx, user_id)
        if user.active == active:
            return user
        if not active:
            _keep_an_admin(tx, user)
            sessions.delete_all(tx, user_id, keep=None)
            tx.execute(delete(PasswordLink).where(PasswordLink.user_id == user_id))
            api_tokens.end_all_of(tx, user_id)
        user.active = active
        audit.record(
            tx,
            "user.enable" if active else "user.disable",
            actor,
            target=user.username,
        )
        tx.commit()
    if active:
        runtime().executor.look()  # the user's jobs may run again
    else:
        publish.end_user(user_id, "disabled")
    return user


def reset_password(user_id: int, *, actor: Actor) -> tuple[User, str]:
    """Returns a generated password, to be shown once. Ends every session and API token of the
    user."""
    password = passwords.generate()
    user = _reset_password(user_id, password, actor)
    return user, password


def set_password_of(username: str, password: str) -> None:
    """Sets a password from the command line, where nobody is signed in."""
    user = session.scalars(select(User).where(User.username == username)).one()
    _reset_password(user.id, password, COMMAND_LINE)


def change_password(
    actor: Actor, current: str, new: str, *, end_tokens: bool = False
) -> str | None:
    """Changes the user's own password. Ends every other session of the user, and their API tokens
    if they want it. Returns the new token of this session: the old one may have been copied.

    Raises Invalid, and TooMany as signing in does. The new password, whose strength takes long to
    estimate, is looked at only for who knows the current one."""
    user = actor.user
    if problem := passwords.problem(new):
        raise Invalid({"new_password": problem})
    if not user.password_hash:
        raise Invalid({"current_password": reauthentication.WRONG_PASSWORD})
    reauthentication.check_password(actor, current)
    reauthentication.uncount_try(actor)
    if problem := passwords.weakness(new, user.username, passwords.hosts_of(runtime().settings)):
        raise Invalid({"new_password": problem})
    password_hash, keep = passwords.hash_password(new), user.session_id or 0
    with write() as tx:
        user = locked_user(tx, user.id)
        ended = replace_password(tx, user, password_hash, keep=keep)
        fresh = sessions.renew(tx, keep)
        number = api_tokens.end_all_of(tx, user.id) if end_tokens else 0
        audit.record(tx, "password.change", actor, target=user.username, detail=_revoked(number))
        tx.commit()
    publish.end_sessions(ended, "password_changed")
    publish.reconnect_session(keep)
    return fresh


def _reset_password(user_id: int, password: str, actor: Actor) -> User:
    password_hash = passwords.hash_password(password)
    with write() as tx:
        user = locked_user(tx, user_id)
        ended = replace_password(tx, user, password_hash, keep=None)
        detail = _revoked(api_tokens.end_all_of(tx, user_id))
        audit.record(tx, "user.reset-password", actor, target=user.username, detail=detail)
        tx.commit()
    publish.end_sessions(ended, "password_changed")
    return user


def _revoked(number: int) -> str:
    return f"{counted(number, 'API token')} revoked" if number else ""


def replace_password(tx: Session, user: User, password_hash: str, *, keep: int | None) -> list[int]:
    """Replaces the password in the caller's transaction. Links that would set another one and all
    sessions end with the old password; after the commit the caller ends their sockets."""
    user.password_hash = password_hash
    tx.execute(delete(PasswordLink).where(PasswordLink.user_id == user.id))
    return sessions.delete_all(tx, user.id, keep=keep)


def locked_user(tx: Session, user_id: int) -> User:
    """Returns the user, locked until the caller's transaction ends. Raises NotFound."""
    # FOR UPDATE: if two admins demote each other at the same time, one of them must fail.
    query = select(User).where(User.id == user_id).with_for_update(of=User)
    user: User | None = tx.scalar(query)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def _keep_an_admin(tx: Session, user: User) -> None:
    if user.role != Role.ADMIN or not user.active:
        return
    admins = tx.scalars(
        select(User.id).where(User.role == Role.ADMIN, User.active).with_for_update()
    ).all()
    if len(admins) <= 1:
        raise Conflict("This is the last active admin. Make someone else an admin first.")


# --- settings -----------------------------------------------------------------------------------


def change_settings(actor: Actor, changes: dict[str, str | int]) -> None:
    """``changes``: validated columns of the user's own settings row."""
    if not changes:
        return
    user_id = actor.user.id
    with write() as tx:
        row = tx.get_one(UserSettings, user_id)
        for name, value in changes.items():
            setattr(row, name, value)
        audit.record(
            tx,
            "settings.change",
            actor,
            target=actor.name,
            detail=", ".join(f"{name}={value}" for name, value in sorted(changes.items())),
        )
        tx.commit()
    publish.user_changed()
