"""All processes of a portal must have one secret key.

A process with another key could not read what the others have stored, and its jobs would fail one
by one.
"""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from portal.db.session import insert_into, write
from portal.errors import SettingsError
from portal.models import KeyFingerprint
from portal.services.storage.encryption import Keys

log = structlog.get_logger(__name__)

_ROW = 1
_ANOTHER_KEY = (
    "PORTAL_SECRET_KEY: the other processes of this portal have another secret key. Give all of "
    "them the same one; after a change, name the former one in PORTAL_PREVIOUS_SECRET_KEYS of each."
)


def of_serving(keys: Keys, *, alone: bool) -> None:
    """Notes the key with which the portal is served from now on. Raises SettingsError if neither
    this key nor a previous one is the noted key. A process that is ``alone`` may start anyway: its
    former key may be lost."""
    with write() as tx:
        noted = _first_or_noted(tx, keys)
        if not keys.knows(noted.fingerprint):
            if not alone:
                raise SettingsError(_ANOTHER_KEY)
            log.warning(
                "the secret key is another than before; what was stored encrypted cannot be read "
                "unless PORTAL_PREVIOUS_SECRET_KEYS names the former one"
            )
        noted.fingerprint = keys.fingerprint()
        tx.commit()


def of_worker(keys: Keys) -> None:
    """Raises SettingsError if neither the worker's key nor a previous one is the portal's."""
    with write() as tx:
        if not keys.knows(_first_or_noted(tx, keys).fingerprint):
            raise SettingsError(_ANOTHER_KEY)
        tx.commit()


def of_rotation(tx: Session, keys: Keys) -> None:
    """Notes that everything is encrypted with the present key now, if that was a key of this portal
    at all."""
    noted = tx.get(KeyFingerprint, _ROW, with_for_update=True)
    if noted is not None and keys.knows(noted.fingerprint):
        noted.fingerprint = keys.fingerprint()


def _first_or_noted(tx: Session, keys: Keys) -> KeyFingerprint:
    """The row, locked. Of several processes that start on a new database at once, one is the first
    to note its key, and the others wait to see it."""
    first = insert_into(tx, KeyFingerprint).values(id=_ROW, fingerprint=keys.fingerprint())
    tx.execute(first.on_conflict_do_nothing())
    return tx.get_one(KeyFingerprint, _ROW, with_for_update=True)
