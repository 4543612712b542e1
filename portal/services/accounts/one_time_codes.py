"""Codes that work once: those of an authenticator app (RFC 6238), and recovery codes.

All functions act in the caller's transaction.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

import pyotp
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.models import RecoveryCode, SecondFactor
from portal.services.runtime import runtime

RECOVERY_CODES = 10
_STEP_SECONDS = 30
#: The code of the step before is accepted too, because people are slow; that of the step after is
#: not: whoever sees it has longer to use it.
_DRIFT = (0, -1)
_CODE = re.compile(r"\d{6}")
#: 120 random bits in six groups of four.
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 24


def take(tx: Session, user_id: int, text: str) -> str | None:
    """Uses the code up. Returns its kind in the words of the audit trail, or None if the code is
    wrong."""
    row = tx.get(SecondFactor, user_id)
    if row is None:
        return None
    if take_code(tx, row, text):
        return "by code"
    return "by recovery code" if _take_recovery_code(tx, user_id, text) else None


def take_code(tx: Session, row: SecondFactor, text: str) -> bool:
    """Returns whether this is a code of the app, and neither it nor a later one has been used."""
    code = re.sub(r"\s", "", text)
    secret = runtime().keys.decrypt(row.secret)
    # The check for ASCII is needed because \d matches the digits of every script.
    if secret is None or not code.isascii() or not _CODE.fullmatch(code):
        return False
    totp, present = pyotp.TOTP(secret), int(now().timestamp()) // _STEP_SECONDS
    steps = [present + drift for drift in _DRIFT]
    step = next((s for s in steps if hmac.compare_digest(totp.generate_otp(s), code)), None)
    if step is None:
        return False
    # If two requests use one code at the same time, one of them changes no row.
    unused = (SecondFactor.user_id == row.user_id) & (SecondFactor.last_step < step)
    taken = update(SecondFactor).where(unused).values(last_step=step)
    return tx.execute(taken.returning(SecondFactor.user_id)).first() is not None


def _take_recovery_code(tx: Session, user_id: int, text: str) -> bool:
    code_hash = _digest(re.sub(r"[^a-z2-7]", "", text.lower()))
    code = (RecoveryCode.user_id == user_id) & (RecoveryCode.code_hash == code_hash)
    gone = delete(RecoveryCode).where(code).returning(RecoveryCode.user_id)
    return tx.execute(gone).first() is not None


def new_codes(tx: Session, user_id: int) -> list[str]:
    """Replaces all older recovery codes by new ones. Only their hashes are stored."""
    tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = [
        "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(RECOVERY_CODES)
    ]
    tx.add_all(RecoveryCode(user_id=user_id, code_hash=_digest(code)) for code in codes)
    return ["-".join(re.findall("....", code)) for code in codes]


def _digest(code: str) -> str:
    # A plain hash is enough: nobody can guess 120 random bits, nor compute them from it.
    return hashlib.sha256(code.encode()).hexdigest()


def remove(tx: Session, user_id: int) -> bool:
    """Removes the user's second factor and codes. Returns whether there was a factor."""
    tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    gone = delete(SecondFactor).where(SecondFactor.user_id == user_id)
    return tx.execute(gone.returning(SecondFactor.user_id)).first() is not None
