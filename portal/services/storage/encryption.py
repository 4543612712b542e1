"""What the portal's secret key keeps: secrets at rest, and what a browser carries for a moment."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from itsdangerous import BadSignature, URLSafeTimedSerializer

_keys: tuple[str, ...] = ()


def use(key: str, previous: Sequence[str] = ()) -> None:
    """``previous`` keys still open what they sealed; nothing new is sealed by them."""
    global _keys  # noqa: PLW0603 - one process, one portal, its key known at its start
    _keys = (key, *previous)


def sealed(text: str) -> str:
    return _box().encrypt(text.encode()).decode()


def opened(token: str, *, seconds: int | None = None) -> str | None:
    """What was sealed (in the last ``seconds``); None if by a key that is no longer known."""
    try:
        return _box().decrypt(token.encode(), ttl=seconds).decode()
    except InvalidToken:
        return None


def signed(purpose: str, data: dict[str, Any]) -> str:
    """Readable by who carries it, and unchangeable."""
    return _signer(purpose).dumps(data)


def read(purpose: str, token: str, *, seconds: int) -> dict[str, Any] | None:
    """What was signed for this purpose in the last ``seconds``, or None."""
    try:
        data: dict[str, Any] = _signer(purpose).loads(token, max_age=seconds)
    except BadSignature:
        return None
    return data


def _box() -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(key))) for key in _keys])


def _derived(key: str) -> bytes:
    # One key for one use: cookies are signed with the secret key itself.
    return hmac.digest(key.encode(), b"portal secrets at rest", hashlib.sha256)


def _signer(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(_keys[0], salt=f"portal {purpose}")
