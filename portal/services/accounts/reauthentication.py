"""Re-authentication: asks for the password or a code again before security settings change."""

from __future__ import annotations

import math

from sqlalchemy.orm import Session

from portal.db.session import write
from portal.errors import Invalid, TooMany
from portal.services import audit, refusals
from portal.services.accounts import passwords, sign_in_limits
from portal.services.actor import Actor

WRONG_PASSWORD = "This is not your password."  # noqa: S105 - a sentence


def check_password(actor: Actor, password: str) -> None:
    """Raises Invalid if the password is wrong, and notes that. Raises TooMany as signing in does:
    somebody who finds an open browser must not be able to guess."""
    count_try(actor)
    user = actor.user
    # A person who signs in only by a provider has no password to type.
    if not user.password_hash or passwords.is_right(user.password_hash, password):
        return
    with write() as tx:
        detail = "wrong password"
        audit.record(tx, "re-authentication", actor, detail=detail, outcome="refused")
        tx.commit()
    refusals.note("wrong password", actor, into_audit=False)
    raise Invalid({"current_password": WRONG_PASSWORD})


def count_try(actor: Actor) -> None:
    """Counts the try before the password is checked, since many tries may be under way at once."""
    with write() as tx:
        limits = sign_in_limits.limits_of(tx, actor.name, actor.address)
        wait = sign_in_limits.charge(tx, limits)
        tx.commit()
    if wait:
        raise TooMany(math.ceil(wait))


def uncount_try(actor: Actor) -> None:
    """Takes back a try that was right; wrong ones stay counted."""
    with write() as tx:
        sign_in_limits.uncount(tx, sign_in_limits.limits_of(tx, actor.name, actor.address))
        tx.commit()


def forgive(tx: Session, actor: Actor) -> None:
    """Clears the counts after a right password, in the caller's transaction."""
    limits = sign_in_limits.limits_of(tx, actor.name, actor.address)
    sign_in_limits.forgive(tx, limits)
