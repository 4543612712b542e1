"""The second step of signing in: turned on and off, asked for, reset."""

from __future__ import annotations

import math
from typing import NamedTuple, NoReturn

import pyotp
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal import live
from portal.clock import now
from portal.database import begin_write, session
from portal.errors import Conflict, Invalid, NotFound, TooMany
from portal.models import LoginSession, RecoveryCode, SecondFactor, User
from portal.services import (
    audit,
    one_time_codes,
    passwords,
    sealing,
    sessions,
    sign_in_limits,
)

ISSUER = "Transfer Portal"
_WRONG = "This code is wrong or was used already. Wait for the next one."


class Setup(NamedTuple):
    """What an app has to be told; shown until the factor is in force, and never again."""

    secret: str
    address: str


class State(NamedTuple):
    enabled: bool
    demanded: bool
    codes_left: int


def state(user: User) -> State:
    left = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user.id)
    return State(
        enabled=is_enabled(session(), user.id),
        demanded=sessions.demands_second_step(user.role),
        codes_left=session.scalar(left) or 0,
    )


def next_step(reading: Session, user: User) -> str:
    """What a password is not enough for: to type a ``code``, or first to ``enrol``. Else empty."""
    if is_enabled(reading, user.id):
        return "code"
    return "enrol" if sessions.demands_second_step(user.role) else ""


def is_enabled(reading: Session, user_id: int) -> bool:
    enabled = SecondFactor.enabled_at.is_not(None)
    query = select(SecondFactor.user_id).where(SecondFactor.user_id == user_id, enabled)
    return reading.scalar(query) is not None


# --- setting up ---------------------------------------------------------------------------------


def begin(user: User) -> Setup:
    """What there is to scan: the same until it is enabled. Raises Conflict if it is already."""
    writing = begin_write()
    writing.get_one(User, user.id, with_for_update={"of": User})
    row = writing.get(SecondFactor, user.id)
    if row is not None and row.enabled_at is not None:
        writing.rollback()
        raise Conflict("Your second factor is on already.")
    secret = sealing.opened(row.secret) if row is not None else None
    if secret is None:
        secret = pyotp.random_base32()
        writing.merge(SecondFactor(user_id=user.id, secret=sealing.sealed(secret), last_step=0))
    writing.commit()
    return Setup(
        secret, pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name=ISSUER)
    )


def enable(user: User, code: str, password: str | None, *, address: str) -> list[str]:
    """Puts the factor in force and ends the user's other sessions. Gives the recovery codes.

    ``password`` is None right after it was proven, in the middle of signing in. Raises Invalid,
    TooMany, and Conflict if there is nothing to enable.
    """
    _prove(user, password, address)
    writing = begin_write()
    writing.get_one(User, user.id, with_for_update={"of": User})
    row = writing.get(SecondFactor, user.id)
    if row is None or row.enabled_at is not None:
        writing.rollback()
        raise Conflict("There is nothing to turn on here. Begin again from your settings.")
    if not one_time_codes.take_code(writing, row, code):
        _refuse(writing, user, "second-factor.enable", address)
    row.enabled_at = now()
    codes = one_time_codes.new_codes(writing, user.id)
    ended = _shut_others(writing, user)
    _forgive(writing, user, address)
    audit.record(writing, "second-factor.enable", actor=user, target=user.username, address=address)
    writing.commit()
    live.end_sessions(ended, "logout")
    return codes


# --- using --------------------------------------------------------------------------------------


def check(user: User, code: str, *, address: str) -> str:
    """Takes a code or a recovery code, once; says which in the words of the audit trail. Raises
    Invalid, and TooMany where the next try has to wait."""
    _count_try(user, address)
    writing = begin_write()
    kind = one_time_codes.take(writing, user.id, code)
    if kind is None:
        _refuse(writing, user, "sign-in", address)
    _forgive(writing, user, address)
    writing.commit()
    return kind


def renew_codes(user: User, code: str, password: str, *, address: str) -> list[str]:
    """New recovery codes; the old ones are worth nothing."""
    writing = _change(user, code, password, "second-factor.codes", address)
    codes = one_time_codes.new_codes(writing, user.id)
    audit.record(writing, "second-factor.codes", actor=user, target=user.username, address=address)
    writing.commit()
    return codes


def disable(user: User, code: str, password: str, *, address: str) -> None:
    """Ends the user's other sessions too. Raises Conflict where the role demands the factor."""
    if sessions.demands_second_step(user.role):
        raise Conflict("Your role needs a second factor. An admin can reset it for a new device.")
    writing = _change(user, code, password, "second-factor.disable", address)
    one_time_codes.remove(writing, user.id)
    ended = _shut_others(writing, user)
    audit.record(
        writing, "second-factor.disable", actor=user, target=user.username, address=address
    )
    writing.commit()
    live.end_sessions(ended, "logout")


def reset(user_id: int, *, actor: User | None, address: str) -> User:
    """For somebody who lost device and codes: an admin's act. Every session of theirs ends."""
    writing = begin_write()
    user = writing.get(User, user_id, with_for_update={"of": User})
    if user is None:
        writing.rollback()
        raise NotFound("There is no such user.")
    if not one_time_codes.remove(writing, user_id):
        writing.rollback()
        raise Conflict(f"{user.username} has no second factor.")
    ended = sessions.delete_all(writing, user_id, keep=None)
    audit.record(writing, "second-factor.reset", actor=actor, target=user.username, address=address)
    writing.commit()
    live.end_sessions(ended, "logout")
    return user


def _change(user: User, code: str, password: str, action: str, address: str) -> Session:
    """The write transaction of an act on a factor in force, once both proofs were given."""
    if not is_enabled(session(), user.id):
        raise Conflict("Your second factor is off.")
    _prove(user, password, address)
    writing = begin_write()
    writing.get_one(User, user.id, with_for_update={"of": User})
    if one_time_codes.take(writing, user.id, code) is None:
        _refuse(writing, user, action, address)
    _forgive(writing, user, address)
    return writing


# --- proofs -------------------------------------------------------------------------------------


def _prove(user: User, password: str | None, address: str) -> None:
    """Counts one try, as signing in does: who found an open browser must not guess here."""
    _count_try(user, address)
    # Who signs in by a provider alone has no password to type.
    if password is None or not user.password_hash:
        return
    if not passwords.is_right(user.password_hash, password):
        raise Invalid({"current_password": "This is not your password."})


def _count_try(user: User, address: str) -> None:
    writing = begin_write()
    wait = sign_in_limits.charge(writing, sign_in_limits.limits_of(writing, user.username, address))
    writing.commit()
    if wait:
        raise TooMany(math.ceil(wait))


def _forgive(writing: Session, user: User, address: str) -> None:
    limits = sign_in_limits.limits_of(writing, user.username, address)
    sign_in_limits.forgive(writing, limits)


def _refuse(writing: Session, user: User, action: str, address: str) -> NoReturn:
    writing.rollback()
    writing = begin_write()
    audit.record(
        writing,
        action,
        actor=user,
        target=user.username,
        detail="wrong code",
        outcome="refused",
        address=address,
    )
    writing.commit()
    raise Invalid({"code": _WRONG})


def _shut_others(writing: Session, user: User) -> list[int]:
    """Ends all sessions but this one, which a code has just proven; it gets another token."""
    mine = LoginSession.id == (user.session_id or 0)
    writing.execute(update(LoginSession).where(mine).values(second_step=True))
    ended = sessions.delete_all(writing, user.id, keep=user.session_id)
    sessions.rotate_all(writing, user.id)
    return ended
