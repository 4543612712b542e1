"""Hashes passwords, and decides which ones people may choose. Both are slow and run off the event
loop."""

from __future__ import annotations

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.runtime.thread_offload import offload

#: With so many characters a password is good enough; a shorter one has to be hard to guess.
MINIMUM = 12
MAXIMUM = 1024
_HARD_TO_GUESS = 3
_TRIVIAL = 0
#: The cost of the estimate grows with the square of the length, and more characters tell nothing
#: new.
_ESTIMATED = 64

_hasher = PasswordHasher()  # argon2id with the library's parameters (RFC 9106, low memory)


def hash_password(password: str) -> str:
    return offload(_hasher.hash, password)


def is_right(password_hash: str, password: str) -> bool:
    """Returns whether the password is right. It takes the same time for an empty hash, which stands
    for an account that does not exist."""
    right = offload(_verify, password_hash or _decoy(_hasher), password[:MAXIMUM])
    return right and bool(password_hash)


def rehash_if_outdated(password_hash: str, password: str) -> str | None:
    """Returns a new hash of a password that was just verified, or None. It is needed if the
    parameters rose since the old hash was made."""
    if not _hasher.check_needs_rehash(password_hash):
        return None
    return hash_password(password[:MAXIMUM])


def generate() -> str:
    return secrets.token_urlsafe(15)


def problem(password: str) -> str | None:
    """Returns why no account can have this password, however unimportant the account, or None."""
    if not password:
        return "Enter a password."
    if len(password) > MAXIMUM:
        return f"Use at most {MAXIMUM} characters."
    return None


def weakness(password: str, username: str) -> str | None:
    """Returns why a person should not choose this password, or None.

    NIST SP 800-63B and OWASP ASVS 5, 6.2: the length counts, there are no rules on kinds of
    characters, and the passwords that everybody tries first are refused.
    """
    return problem(password) or offload(_weakness, password, username)


def _weakness(password: str, username: str) -> str | None:
    # Imported here, because it reads a list of 100,000 words, which nobody needs at the start.
    from zxcvbn import zxcvbn

    if password.lower() in _common():
        return "This is one of the most common passwords. Use another one."
    verdict = zxcvbn(password[:_ESTIMATED], user_inputs=[username, "transfer portal"])
    if verdict["score"] <= _TRIVIAL:
        return "This is too easy to guess. Use something less regular."
    if len(password) < MINIMUM and verdict["score"] < _HARD_TO_GUESS:
        return f"Use at least {MINIMUM} characters, or fewer that are harder to guess."
    return None


@lru_cache
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache
def _decoy(hasher: PasswordHasher) -> str:
    """The hash of a password that nobody has. Verifying it costs as much as verifying a real
    one."""
    return hasher.hash(secrets.token_urlsafe())
