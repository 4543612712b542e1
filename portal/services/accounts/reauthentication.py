"""That a signed-in person is who they are, before they change how they sign in."""

from __future__ import annotations

import math

from sqlalchemy.orm import Session

from portal.db.session import write
from portal.errors import Invalid, TooMany
from portal.models import User
from portal.services.accounts import passwords, sign_in_limits


def check_password(user: User, password: str, *, address: str) -> None:
    """Raises Invalid, and TooMany as signing in does: who found an open browser must not guess."""
    count_try(user, address=address)
    # Who signs in by a provider alone has no password to type.
    if user.password_hash and not passwords.is_right(user.password_hash, password):
        raise Invalid({"current_password": "This is not your password."})


def count_try(user: User, *, address: str) -> None:
    """Before it is known to be right, since many may be under way at once."""
    with write() as tx:
        limits = sign_in_limits.limits_of(tx, user.username, address)
        wait = sign_in_limits.charge(tx, limits)
        tx.commit()
    if wait:
        raise TooMany(math.ceil(wait))


def forgive(tx: Session, user: User, *, address: str) -> None:
    """All was right; in the caller's transaction."""
    limits = sign_in_limits.limits_of(tx, user.username, address)
    sign_in_limits.forgive(tx, limits)
