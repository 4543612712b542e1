"""The second step of signing in: turns it on and off, checks it, resets it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import pyotp
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal.db.session import session, write
from portal.errors import Conflict, Invalid, NotFound
from portal.models import LoginSession, RecoveryCode, SecondFactor, User
from portal.realtime import publish
from portal.services import audit, refusals
from portal.services.accounts import one_time_codes, reauthentication, sessions
from portal.services.actor import Actor
from portal.services.runtime import runtime

ISSUER = "Transfer Portal"
PROPOSAL_SECONDS = 3600
_WRONG = "This code is wrong or has been used. Wait for the next one."


class Setup(NamedTuple):
    """The values that the user enters in an authenticator app. They are shown until a code proves
    them."""

    secret: str
    address: str


class FactorState(NamedTuple):
    enabled: bool
    demanded: bool
    codes_left: int


def state(user: User) -> FactorState:
    left = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user.id)
    return FactorState(
        enabled=is_enabled(session(), user.id),
        demanded=runtime().session_policy.demands_second_step(user.role),
        codes_left=session.scalar(left) or 0,
    )


def next_step(reading: Session, user: User) -> str:
    """Returns what has to follow the password: ``code``, ``enrol``, or an empty string for
    nothing."""
    if is_enabled(reading, user.id):
        return "code"
    return "enrol" if runtime().session_policy.demands_second_step(user.role) else ""


def next_step_of(user: User) -> str:
    return next_step(session(), user)


def is_enabled(reading: Session, user_id: int) -> bool:
    query = select(SecondFactor.user_id).where(SecondFactor.user_id == user_id)
    return reading.scalar(query) is not None


def owners(users: list[User]) -> set[int]:
    """Returns the ids of those of these users who have a second factor."""
    ids = [user.id for user in users]
    query = select(SecondFactor.user_id).where(SecondFactor.user_id.in_(ids))
    return set(session.scalars(query))


# --- setting up ---------------------------------------------------------------------------------


def proposal(user: User) -> str:
    """Returns a new secret, encrypted. The browser that asked carries it until a code proves it.

    The server does not store it: somebody who knows only the password could look at it, and wait
    until its owner enables it.
    """
    return runtime().keys.encrypt(f"{user.id} {pyotp.random_base32()}")


def setup(user: User, proposed: str) -> Setup | None:
    """Returns what to scan, or None if nothing was proposed or the proposal has expired."""
    owner, _, secret = (runtime().keys.decrypt(proposed, seconds=PROPOSAL_SECONDS) or "").partition(
        " "
    )
    if owner != str(user.id) or is_enabled(session(), user.id):
        return None
    address = pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name=ISSUER)
    return Setup(secret, address)


def enable(actor: Actor, proposed: str, code: str, password: str | None) -> list[str]:
    """Enables the proposed factor and ends the user's other sessions. Returns the recovery codes.

    ``password`` is None in the middle of signing in, where it was just verified. Raises Invalid,
    TooMany, and Conflict if there is nothing to enable.
    """
    user = actor.user
    if password is None:
        reauthentication.count_try(actor)
    else:
        reauthentication.check_password(actor, password)
    to_prove = setup(user, proposed)
    with write() as tx:
        tx.get_one(User, user.id, with_for_update={"of": User})
        if to_prove is None or is_enabled(tx, user.id):
            raise Conflict("There is nothing to turn on here. Start again from your settings.")
        row = SecondFactor(
            user_id=user.id, secret=runtime().keys.encrypt(to_prove.secret), last_step=0
        )
        tx.add(row)
        tx.flush()
        if not one_time_codes.take_code(tx, row, code):
            _refuse(actor, "second-factor.enable")
        codes = one_time_codes.new_codes(tx, user.id)
        ended = _shut_others(tx, user)
        reauthentication.forgive(tx, actor)
        audit.record(tx, "second-factor.enable", actor, target=actor.name)
        tx.commit()
    publish.end_sessions(ended, "logout")
    return codes


# --- using --------------------------------------------------------------------------------------


def check(actor: Actor, code: str) -> str:
    """Uses up a code or a recovery code. Returns which of them it was, in the words of the audit
    trail. Raises Invalid, and TooMany if the next try has to wait."""
    reauthentication.count_try(actor)
    with write() as tx:
        kind = one_time_codes.take(tx, actor.user.id, code)
        if kind is None:
            _refuse(actor, "sign-in")
        reauthentication.forgive(tx, actor)
        tx.commit()
    return kind


def renew_codes(actor: Actor, code: str, password: str) -> list[str]:
    """Returns new recovery codes. The old ones stop working."""
    with _change(actor, code, password, "second-factor.codes") as tx:
        codes = one_time_codes.new_codes(tx, actor.user.id)
        audit.record(tx, "second-factor.codes", actor, target=actor.name)
        tx.commit()
    return codes


def disable(actor: Actor, code: str, password: str) -> None:
    """Disables the factor and ends the user's other sessions. Raises Conflict if the role demands a
    factor."""
    if runtime().session_policy.demands_second_step(actor.user.role):
        raise Conflict("Your role needs a second factor. An admin can reset it for a new device.")
    with _change(actor, code, password, "second-factor.disable") as tx:
        one_time_codes.remove(tx, actor.user.id)
        ended = _shut_others(tx, actor.user)
        audit.record(tx, "second-factor.disable", actor, target=actor.name)
        tx.commit()
    publish.end_sessions(ended, "logout")


def reset(user_id: int, *, actor: Actor) -> User:
    """Removes the factor of somebody who lost device and codes. Only admins do this. Ends every
    session of that user."""
    if actor.account is not None and actor.account.id == user_id:
        # Otherwise anybody at an admin's open browser could remove that admin's factor.
        raise Conflict("Turn off your own second factor in your settings, with a code.")
    with write() as tx:
        user = tx.get(User, user_id, with_for_update={"of": User})
        if user is None:
            raise NotFound("There is no such user.")
        if not one_time_codes.remove(tx, user_id):
            raise Conflict(f"{user.username} has no second factor.")
        ended = sessions.delete_all(tx, user_id, keep=None)
        audit.record(tx, "second-factor.reset", actor, target=user.username)
        tx.commit()
    publish.end_sessions(ended, "logout")
    return user


@contextmanager
def _change(actor: Actor, code: str, password: str, action: str) -> Iterator[Session]:
    """Opens the write transaction of a change to an enabled factor, after password and code were
    checked."""
    user = actor.user
    if not is_enabled(session(), user.id):
        raise Conflict("Your second factor is off.")
    reauthentication.check_password(actor, password)
    with write() as tx:
        tx.get_one(User, user.id, with_for_update={"of": User})
        if one_time_codes.take(tx, user.id, code) is None:
            _refuse(actor, action)
        reauthentication.forgive(tx, actor)
        yield tx


def _refuse(actor: Actor, action: str) -> NoReturn:
    """Notes the refusal in a transaction of its own, for the caller's is rolled back."""
    with write() as tx:
        audit.record(
            tx,
            action,
            actor,
            target=actor.name,
            detail="wrong code",
            outcome="refused",
        )
        tx.commit()
    refusals.note("wrong code", actor, into_audit=False)
    raise Invalid({"code": _WRONG})


def _shut_others(tx: Session, user: User) -> list[int]:
    """Ends all sessions but this one, which a code has just proven. This one gets another token."""
    mine = LoginSession.id == (user.session_id or 0)
    tx.execute(update(LoginSession).where(mine).values(second_step=True))
    ended = sessions.delete_all(tx, user.id, keep=user.session_id)
    sessions.rotate_all(tx, user.id)
    return ended
