"""Encrypts all secrets again with the present key; then the previous keys may go."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.db.session import write
from portal.models import Remote, SecondFactor
from portal.services import audit
from portal.services.actor import COMMAND_LINE
from portal.services.runtime import runtime
from portal.services.storage import key_agreement


@dataclass(frozen=True, slots=True)
class Rotation:
    """``encrypted``: how many secrets; ``lost``: those that no known key could decrypt."""

    encrypted: int
    lost: tuple[str, ...]


def rotate() -> Rotation:
    """Encrypts all of them or none. A secret that no known key decrypts stays as it is."""
    with write() as tx:
        factors, lost_factors = _second_factors(tx)
        remotes, lost_remotes = _remotes(tx)
        key_agreement.of_rotation(tx, runtime().keys)
        rotation = Rotation(factors + remotes, (*lost_factors, *lost_remotes))
        detail = f"{rotation.encrypted} secrets encrypted anew, {len(rotation.lost)} lost"
        audit.record(tx, "keys.rotate", COMMAND_LINE, detail=detail)
        tx.commit()
    return rotation


def _second_factors(tx: Session) -> tuple[int, list[str]]:
    done, lost = 0, []
    for factor in tx.scalars(select(SecondFactor).with_for_update()):
        secret = runtime().keys.decrypt(factor.secret)
        if secret is None:
            lost.append(f"the second factor of user {factor.user_id}")
            continue
        factor.secret = runtime().keys.encrypt(secret)
        done += 1
    return done, lost


def _remotes(tx: Session) -> tuple[int, list[str]]:
    done, lost = 0, []
    for remote in tx.scalars(select(Remote).with_for_update()):
        anew = dict(remote.secrets)
        for name, encrypted in remote.secrets.items():
            secret = runtime().keys.decrypt(encrypted)
            if secret is None:
                lost.append(f"{name} of the remote {remote.name}")
                continue
            anew[name] = runtime().keys.encrypt(secret)
            done += 1
        remote.secrets = anew
    return done, lost
