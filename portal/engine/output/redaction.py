"""Removes credentials from texts for people: more people read a log than may know a password.

Only texts are redacted, never the lines of rclone's protocol: a password such as ``2048`` may
also be a size or a part of a name, and a line without it could not be read any more.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"

#: Read first, at a glance: nearly every line has none of these, and is left as it is. For texts
#: without capitals: to ignore case here would take seven times as long.
_SUSPECT = re.compile(
    r"pass|secret|token|key|auth|sig|credential|bearer|cookie|://[^/\s]*@|akia|asia|private"
)
_WORD = (
    # Starts at the beginning of a word; otherwise a long name would be tried from each of its
    # parts.
    r"(?<![\w.-])[\w.-]*(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|account[_-]?key|private[_-]?key|authorization|signature|credentials?|cookie|x-amz-[\w-]+|sig)"
)
#: A quoted value to its closing quote; any other to the next space, quote or ampersand, which is
#: rather too much than too little.
_VALUE = (
    r"""(?:\\?"[^"]*"?|'[^']*'?"""
    r"""|(?:(?:Bearer|Basic|Digest|AWS4-HMAC-SHA256)\s+)?[^\s&"'{\[(][^\s&"']*)"""
)
_RULES = (
    (re.compile(rf"""({_WORD}\\?["']?\s*[=:]\s*){_VALUE}""", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"\b((?:Bearer|Basic)\s+)[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    # The password of an address that begins with a user and theirs.
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\g<1>{MASK}@"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), MASK),
)


def redact_credentials(text: str) -> str:
    """The text with every value that its name or its form gives away as a credential left out."""
    if _SUSPECT.search(text.casefold()):
        for rule, instead in _RULES:
            text = rule.sub(instead, text)
    return text


# --- secrets that are known ---------------------------------------------------------------------

_SHORTEST = 4  # shorter ones would mask innocent words
#: A longer one (a key) is looked for in its usual spellings only.
_MAX_LENGTH = 200
#: Without one of these a text spells every character as it is.
_SPELLED = re.compile(r"[\\%&]")


class SecretRedactor:
    """Masks the secrets of remotes, however they are spelled (in an address, in JSON within JSON,
    with some characters escaped and others not), and all that looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = [secret for secret in secrets if len(secret) >= _SHORTEST]
        forms = {form for secret in known for form in _forms(secret)}
        # The longest first: otherwise the end of a longer one would remain.
        self._forms = sorted(forms, key=len, reverse=True)
        spellings = [
            _spellings(secret)
            for secret in sorted(known, key=len, reverse=True)
            if len(secret) <= _MAX_LENGTH
        ]
        self._spellings = re.compile("|".join(spellings)) if spellings else None

    def redact(self, text: str) -> str:
        """Redacts words: a message, an error, the name of a side."""
        return redact_credentials(self.without_secrets(text) if self._forms else text)

    def without_secrets(self, text: str) -> str:
        """Redacts names of files, many of which look like credentials."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        if self._spellings is not None and _SPELLED.search(text):
            text = self._spellings.sub(MASK, text)
        return text


def _forms(secret: str) -> set[str]:
    """The secret as it is, in an address, in HTML, and each of these in JSON."""
    plain = {
        secret,
        html.escape(secret),
        html.escape(secret, quote=False),
        quote(secret, errors="replace"),
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    written = {
        json.dumps(text, ensure_ascii=escaped)[1:-1] for text in plain for escaped in (False, True)
    }
    return plain | written


#: Control characters that JSON and Go escape by a letter.
_SHORT = {"\n": "n", "\t": "t", "\r": "r", "\b": "b", "\f": "f"}


def _spellings(secret: str) -> str:
    """A pattern of the secret with each of its characters spelled in any way of these."""
    return "".join(f"(?:{'|'.join(_ways(character))})" for character in secret)


def _ways(character: str) -> list[str]:
    code, written = ord(character), character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    escaped = "".join(
        rf"\\+u(?i:{units[at]:02x}{units[at + 1]:02x})" for at in range(0, len(units), 2)
    )
    ways = [
        rf"\\*{re.escape(character)}" if not character.isalnum() else re.escape(character),
        escaped,
        rf"\\+U(?i:{code:08x})",
        "".join(rf"\\+x(?i:{byte:02x})" for byte in written),
        "".join(rf"%(?:25)*(?i:{byte:02x})" for byte in written),
        rf"&#0*{code};",
        rf"&#[xX]0*(?i:{code:x});",
    ]
    if character == "\\":
        ways[0] = r"\\+"
    if (entity := html.escape(character)) != character:
        ways.append(entity)
    if character == " ":
        ways.append(r"\+")
    if character in _SHORT:
        ways.append(rf"\\+{_SHORT[character]}")
    return ways
