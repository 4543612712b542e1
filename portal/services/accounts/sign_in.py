"""Signing in and out."""

from __future__ import annotations

import math
from typing import NamedTuple

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import write
from portal.errors import TooMany
from portal.models import LoginSession, User
from portal.realtime import publish
from portal.services import audit, refusals
from portal.services.accounts import (
    passwords,
    second_factor,
    sessions,
    sign_in_limits,
)
from portal.services.actor import Actor

log = structlog.get_logger(__name__)


class Proof(NamedTuple):
    """The user whose password was right, and the hash that it matched."""

    user_id: int
    password_hash: str


def prove(username: str, password: str, *, address: str) -> Proof | None:
    """Checks name and password. Returns None for an unknown user, a disabled one and a wrong
    password: they cost the same hash, the same queries and the same answer. Raises TooMany if the
    next try has to wait."""
    username = username.replace("\0", "").lower()
    with write() as tx:
        limits = sign_in_limits.limits_of(tx, username, address)
        wait = sign_in_limits.charge(tx, limits)
        known = tx.execute(
            select(User.id, User.password_hash, User.active).where(User.username == username)
        ).first()
        tx.commit()
    if wait:
        log.warning("sign-in has to wait", user=username[:64], address=address, seconds=wait)
        raise TooMany(math.ceil(wait))
    right = passwords.is_right(known.password_hash if known else "", password)
    if known is None or not known.active or not right:
        with write() as tx:
            unknown = Actor(address=address, alias=username)
            audit.record(tx, "sign-in", unknown, outcome="refused")
            tx.commit()
        refusals.note("wrong sign-in", Actor(address=address))
        return None
    return Proof(known.id, _with_present_cost(known.id, known.password_hash, password))


def admit(
    proof: Proof,
    *,
    remember: bool,
    address: str,
    user_agent: str,
    replaces: int | None = None,
    way: str = "",
    second_step: bool = False,
) -> str | None:
    """Begins a session and returns its token. Returns None if the user was disabled or the password
    changed since the proof: a session that a reset has ended must not begin again.

    ``replaces``: the session that this browser had until now. It ends with the sign-in: its cookie
    is overwritten, so nobody could sign out of it any more. ``way``: the way of signing in, if it
    was not by a password alone, in the words of the audit trail. Without ``second_step`` a user who
    has a second factor, or whose role demands one, is not let in.
    """
    with write() as tx:
        user = tx.get(User, proof.user_id, with_for_update={"of": User})
        if user is None or not user.active or user.password_hash != proof.password_hash:
            return None
        if not second_step and second_factor.next_step(tx, user):
            return None
        _record_sign_in(tx, user, address)
        token = sessions.begin(
            tx,
            user,
            remember=remember,
            address=address,
            user_agent=user_agent,
            second_step=second_step,
        )
        gone = (LoginSession.expires_at < now()) | (LoginSession.id == (replaces or 0))
        tx.execute(delete(LoginSession).where(gone))
        audit.record(tx, "sign-in", Actor(user, address), detail=way)
        tx.commit()
    publish.end_sessions([replaces] if replaces else [], "logout")
    return token


def sign_out(actor: Actor) -> None:
    """Ends the session that the user was loaded by, and its sockets."""
    session_id = actor.user.session_id
    with write() as tx:
        tx.execute(delete(LoginSession).where(LoginSession.id == session_id))
        audit.record(tx, "sign-out", actor)
        tx.commit()
    publish.end_sessions([session_id] if session_id else [], "logout")


def _record_sign_in(tx: Session, user: User, address: str) -> None:
    limits = sign_in_limits.limits_of(tx, user.username, address)
    sign_in_limits.forgive(tx, limits)
    sign_in_limits.remember_address(tx, user.id, address)
    user.last_sign_in_at = now()


def _with_present_cost(user_id: int, password_hash: str, password: str) -> str:
    better = passwords.rehash_if_outdated(password_hash, password)
    if better is None:
        return password_hash
    with write() as tx:
        # Replaces only the hash that was proven: the password may have been changed meanwhile.
        same = (User.id == user_id) & (User.password_hash == password_hash)
        stored = update(User).where(same).values(password_hash=better).returning(User.password_hash)
        now_stored = tx.scalar(stored)
        if now_stored is None:
            now_stored = tx.scalar(select(User.password_hash).where(User.id == user_id))
        tx.commit()
    # Another sign-in may have stored its own new hash of the same password.
    same_password = now_stored == better or passwords.is_right(now_stored or "", password)
    return now_stored if now_stored and same_password else password_hash
