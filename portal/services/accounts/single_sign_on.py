"""People who sign in by a provider: which user each of them is here, and which role they have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import session, write
from portal.errors import Conflict, Forbidden, Unavailable
from portal.models import Identity, Role, User, UserSettings
from portal.services import audit
from portal.services.accounts import oidc, users
from portal.services.accounts.oidc import (
    AuthorizationRequest,
    IdTokenClaims,
    Provider,
    SignInRefused,
)
from portal.services.accounts.sign_in import Proof
from portal.services.actor import Actor
from portal.services.runtime import runtime

log = structlog.get_logger(__name__)


def provider() -> Provider | None:
    """Returns the provider, or None if single sign-on is not set up."""
    return runtime().provider


class ProviderSignIn(NamedTuple):
    proof: Proof
    #: Whether the provider has asked for a second factor.
    second_step: bool


def authorization_url(redirect_uri: str) -> tuple[str, AuthorizationRequest]:
    return oidc.authorization_url(_set_up(), redirect_uri)


def enter(
    authorization: AuthorizationRequest, sent: Mapping[str, str], *, address: str
) -> ProviderSignIn:
    """Returns the user whom the provider has proven. A new person gets a new user, with the role of
    their claim.

    Only issuer and subject identify a person. A name or a mail address never does: somebody who can
    choose theirs at the provider would choose that of an admin here. Raises Forbidden.
    """
    try:
        id_token = oidc.handle_callback(_set_up(), authorization, sent)
        role = _role(id_token.claims)
    except SignInRefused as refused:
        _note_refusal("", refused.reason, address)
        raise
    if role is None:
        _note_refusal(_preferred_username(id_token), "no claim gives a role", address)
        raise Forbidden("Your account gives you no role here. Ask an admin of the portal.")
    user = _linked_user(id_token)
    if user is None:
        try:
            user = _create_user(id_token, role, address)
        except IntegrityError:  # made in another tab a moment ago
            user = _linked_user(id_token)
            if user is None:  # somebody else took the name; the next try finds another one
                raise Unavailable("Your account could not be created. Try again.") from None
    if user.active and user.role != role:
        user = _change_role(user, role, address)
    if not user.active:
        _note_refusal(user.username, "disabled", address)
        raise Forbidden("This account is disabled. Ask an admin of the portal.")
    return ProviderSignIn(Proof(user.id, user.password_hash), _has_second_step(id_token.claims))


def link(actor: Actor, authorization: AuthorizationRequest, sent: Mapping[str, str]) -> None:
    """Links the person at the provider with the user who has just typed their password."""
    id_token = oidc.handle_callback(_set_up(), authorization, sent)
    user = actor.user
    with write() as tx:
        tx.get_one(User, user.id, with_for_update={"of": User})
        other = tx.get(Identity, (id_token.issuer, id_token.subject))
        if other is not None and other.user_id != user.id:
            raise Conflict("This provider account belongs to another user of the portal.")
        tx.execute(delete(Identity).where(_belongs_to(user, id_token.issuer)))
        tx.add(Identity(issuer=id_token.issuer, subject=id_token.subject, user_id=user.id))
        _record(tx, "single-sign-on.link", actor, f"subject {id_token.subject}")
        tx.commit()


def unlink(actor: Actor) -> None:
    """Raises Conflict if the user would have no other way to sign in."""
    issuer, user = _set_up().issuer, actor.user
    with write() as tx:
        tx.get_one(User, user.id, with_for_update={"of": User})
        if not user.password_hash:
            raise Conflict("You have no password here, so this is your only way in.")
        gone = delete(Identity).where(_belongs_to(user, issuer)).returning(Identity.subject)
        subject = tx.scalar(gone)
        if subject is None:
            return
        _record(tx, "single-sign-on.unlink", actor, f"subject {subject}")
        tx.commit()


def identity_of(user: User) -> Identity | None:
    found = provider()
    if found is None:
        return None
    return session.scalar(select(Identity).where(_belongs_to(user, found.issuer)))


def _belongs_to(user: User, issuer: str) -> Any:
    return (Identity.user_id == user.id) & (Identity.issuer == issuer)


def _set_up() -> Provider:
    found = provider()
    if found is None:
        raise Forbidden("Single sign-on is not set up.")
    return found


# --- who and what -------------------------------------------------------------------------------


def _linked_user(id_token: IdTokenClaims) -> User | None:
    with write() as tx:
        row = tx.get(Identity, (id_token.issuer, id_token.subject))
        if row is not None:
            row.last_used_at = now()
        tx.commit()
    return row.user if row is not None else None


def _create_user(id_token: IdTokenClaims, role: Role, address: str) -> User:
    with write() as tx:
        user = User(
            username=_free_name(tx, _preferred_username(id_token)), role=role, password_hash=""
        )
        user.settings = UserSettings()
        tx.add(user)
        tx.flush()
        tx.add(Identity(issuer=id_token.issuer, subject=id_token.subject, user_id=user.id))
        detail = f"role {role}, by single sign-on, subject {id_token.subject}"
        _record(tx, "user.create", Actor(user, address), detail)
        tx.commit()
    return user


def _change_role(user: User, role: Role, address: str) -> User:
    try:
        return users.change_role(user.id, role, actor=Actor(address=address, alias=AUTHOR))
    except Conflict:
        # The provider cannot leave the portal without an admin.
        log.warning("single sign-on would take the last admin", user=user.username, role=str(role))
        return user


def _role(claims: Mapping[str, Any]) -> Role | None:
    asked = _set_up()
    values = _values(claims, asked.role_claim)
    found = [Role(role) for name, role in asked.roles if name == "*" or name in values]
    return max(found, key=lambda role: role.rank, default=None)


def _values(claims: Mapping[str, Any], name: str) -> set[str]:
    """Returns the texts in the claim. ``a.b`` is the claim of this name or, if there is none, ``b``
    inside ``a``."""
    value: Any = claims.get(name)
    if value is None:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, str):
        return {value}
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()


def _has_second_step(claims: Mapping[str, Any]) -> bool:
    methods = claims.get("amr")  # RFC 8176
    return _set_up().second_factor or (isinstance(methods, list) and "mfa" in methods)


def _preferred_username(id_token: IdTokenClaims) -> str:
    """Derives a user name from what the provider calls the person."""
    mail = str(id_token.claims.get("email") or "").partition("@")[0]
    text = str(id_token.claims.get("preferred_username") or mail or id_token.subject).lower()
    return re.sub(r"[^a-z0-9._-]+", "-", text).lstrip("._-")[:56].rstrip("-") or "user"


def _free_name(tx: Session, preferred: str) -> str:
    """Returns another name if a user has this one: the same name does not mean the same person."""
    taken = set(tx.scalars(select(User.username).where(User.username.startswith(preferred))))
    names = (preferred, *(f"{preferred}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


# --- the audit trail ----------------------------------------------------------------------------

#: No user can have this name.
AUTHOR = "single sign-on"


def _record(tx: Session, action: str, actor: Actor, detail: str) -> None:
    audit.record(tx, action, actor, target=actor.name, detail=detail)


def _note_refusal(name: str, reason: str, address: str) -> None:
    log.warning("single sign-on refused", user=name, reason=reason, address=address)
    with write() as tx:
        audit.record(
            tx,
            "sign-in",
            Actor(address=address, alias=name),
            detail=f"by single sign-on: {reason}",
            outcome="refused",
        )
        tx.commit()
