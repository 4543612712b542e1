"""Re-authentication: asks for the password or a code again before security settings change."""

from __future__ import annotations

import math

from sqlalchemy.orm import Session

from portal.db.session import write
from portal.errors import Invalid, TooMany
from portal.services.accounts import passwords, sign_in_limits
from portal.services.actor import Actor


def check_password(actor: Actor, password: str) -> None:
    """Raises Invalid if the password is wrong. Raises TooMany as signing in does: somebody who
    finds an open browser must not be able to guess."""
    count_try(actor)
    user = actor.user
    # A person who signs in only by a provider has no password to type.
    if user.password_hash and not passwords.is_right(user.password_hash, password):
        raise Invalid({"current_password": "This is not your password."})


def count_try(actor: Actor) -> None:
    """Counts the try before the password is checked, since many tries may be under way at once."""
    with write() as tx:
        limits = sign_in_limits.limits_of(tx, actor.name, actor.address)
        wait = sign_in_limits.charge(tx, limits)
        tx.commit()
    if wait:
        raise TooMany(math.ceil(wait))


def forgive(tx: Session, actor: Actor) -> None:
    """Clears the counts after a right password, in the caller's transaction."""
    limits = sign_in_limits.limits_of(tx, actor.name, actor.address)
    sign_in_limits.forgive(tx, limits)
