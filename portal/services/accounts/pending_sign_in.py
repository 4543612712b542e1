"""A sign-in between password and code: a signed token, which by itself lets nobody in."""

from __future__ import annotations

from typing import NamedTuple

from portal.db.session import session
from portal.models import User
from portal.services.accounts.sessions import digest
from portal.services.accounts.sign_in import Proof
from portal.services.runtime import runtime

#: Seconds that somebody has to find their phone.
SECONDS = 600
_PURPOSE = "second step of signing in"


class PendingSignIn(NamedTuple):
    user: User
    proof: Proof
    remember: bool
    way: str


def issue(proof: Proof, *, remember: bool, way: str) -> str:
    # The hash itself never leaves the server, not even to its owner.
    password_digest = digest(proof.password_hash)
    data = {
        "user": proof.user_id,
        "password_digest": password_digest,
        "remember": remember,
        "way": way,
    }
    return runtime().keys.sign(_PURPOSE, data)


def load(token: str) -> PendingSignIn | None:
    """Returns the user who has to take the second step. Returns None if it took too long, or if the
    user was disabled or got another password meanwhile."""
    data = runtime().keys.verify(_PURPOSE, token, seconds=SECONDS)
    user = session.get(User, data["user"]) if data else None
    if data is None or user is None or not user.active:
        return None
    if digest(user.password_hash) != data.get("password_digest"):
        return None
    return PendingSignIn(user, Proof(user.id, user.password_hash), data["remember"], data["way"])
