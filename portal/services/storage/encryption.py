"""Encrypts secrets at rest, and signs data that a browser carries for a moment."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from itsdangerous import BadSignature, URLSafeTimedSerializer


@dataclass(frozen=True)
class Keys:
    """``previous`` keys only decrypt."""

    present: str = field(repr=False)
    previous: tuple[str, ...] = field(default=(), repr=False)

    def encrypt(self, text: str) -> str:
        return self._box().encrypt(text.encode()).decode()

    def decrypt(self, token: str, *, seconds: int | None = None) -> str | None:
        """Returns what was encrypted (in the last ``seconds``). Returns None if the key is no
        longer known."""
        try:
            return self._box().decrypt(token.encode(), ttl=seconds).decode()
        except InvalidToken:
            return None

    def sign(self, purpose: str, data: dict[str, Any]) -> str:
        """Signs a text: the browser that carries it can read it and cannot change it."""
        return self._signer(purpose).dumps(data)

    def verify(self, purpose: str, token: str, *, seconds: int) -> dict[str, Any] | None:
        """Returns what was signed for this purpose in the last ``seconds``, or None."""
        try:
            data: dict[str, Any] = self._signer(purpose).loads(token, max_age=seconds)
        except BadSignature:
            return None
        return data

    def fingerprint(self) -> str:
        """Tells the present key from others without revealing it."""
        return _fingerprint(self.present)

    def knows(self, fingerprint: str) -> bool:
        """Returns whether this is the fingerprint of the present key or of a previous one."""
        return fingerprint in map(_fingerprint, (self.present, *self.previous))

    def _box(self) -> MultiFernet:
        keys = (self.present, *self.previous)
        return MultiFernet([Fernet(base64.urlsafe_b64encode(_derive_key(key))) for key in keys])

    def _signer(self, purpose: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.present, salt=f"portal {purpose}")


def _derive_key(key: str) -> bytes:
    # One key for each use: cookies are signed with the secret key itself.
    return hmac.digest(key.encode(), b"portal secrets at rest", hashlib.sha256)


def _fingerprint(key: str) -> str:
    return hmac.digest(key.encode(), b"portal key fingerprint", hashlib.sha256).hex()
