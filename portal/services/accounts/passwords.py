"""Hashes passwords, and decides which ones people may choose. Both are slow and run off the event
loop."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Collection, Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.runtime.thread_offload import offload
from portal.settings import Settings

#: With so many characters a password is good enough; a shorter one has to be hard to guess.
MINIMUM = 12
MAXIMUM = 1024
_HARD_TO_GUESS = 3
_TRIVIAL = 0
#: The cost of the estimate grows with the square of the length, and more characters tell nothing
#: new.
_ESTIMATED = 64

#: What people call this program.
_PRODUCT = ("the", "my", "our", "transfer", "transfers", "portal", "rclone", "login", "password")
#: Characters that are no letters, such as a year and a sign. More of them are worth something.
_LITTLE_ELSE = 8

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


def weakness(password: str, username: str, hosts: Iterable[str] = ()) -> str | None:
    """Returns why a person should not choose this password, or None. ``hosts``: names of the
    portal's machine.

    NIST SP 800-63B and OWASP ASVS 5, 6.2: the length counts, there are no rules on kinds of
    characters, and the passwords that everybody tries first are refused.
    """
    if wrong := problem(password) or offload(_weakness, password, username):
        return wrong
    names = {word for name in (username, *hosts) for word in _words(name) if len(word) > 1}
    if _is_made_of({*_PRODUCT, *names}, password):
        return "This is made of names that everybody here knows. Use something else."
    return None


def hosts_of(settings: Settings) -> set[str]:
    """Returns the names that people reach the portal by, and that of its machine."""
    address = urlsplit(settings.base_url).hostname or ""
    return {*settings.allowed_hosts, address, settings.host, socket.gethostname()}


def _words(text: str) -> list[str]:
    """Its runs of letters, in lower case: the rest is what people put behind and between words."""
    return re.findall(r"[^\W\d_]+", text.casefold())


def _is_made_of(names: Collection[str], password: str) -> bool:
    """Whether its letters are these words, one after another, and little else is in it."""
    letters = "".join(_words(password))
    if not letters or len(password) - len(letters) > _LITTLE_ELSE:
        return False
    reached = {0}
    for at in range(len(letters)):
        if at in reached:
            reached |= {at + len(name) for name in names if letters.startswith(name, at)}
    return len(letters) in reached


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
