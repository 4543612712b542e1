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
#: A whole word before a sign that a value follows. It is never tried from its middle, nor again
#: with fewer characters: a storage may answer with a word of a megabyte.
_NAMED = re.compile(r"""(?<![\w.-])([\w.-]++)\\?+["']?+\s*+[=:]\s*+""")
#: The end of such a word.
_NAME = re.compile(
    r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|account[_-]?key|private[_-]?key|authorization|signature|credentials?|cookie|sig)\Z",
    re.IGNORECASE,
)
_LONGEST_NAME = 20
_AMAZON = "x-amz-"
#: A quoted value to its closing quote; any other to the next space, quote or ampersand, which is
#: rather too much than too little.
_VALUE = re.compile(
    r"""\\?"[^"]*"?|'[^']*'?"""
    r"""|(?:(?:Bearer|Basic|Digest|AWS4-HMAC-SHA256)\s+)?[^\s&"'{\[(][^\s&"']*""",
    re.IGNORECASE,
)
_RULES = (
    (re.compile(r"\b((?:Bearer|Basic)\s+)[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE), rf"\g<1>{MASK}"),
    # The password of an address that begins with a user and theirs.
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\g<1>{MASK}@"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), MASK),
)


def redact_credentials(text: str) -> str:
    """The text with every value that its name or its form gives away as a credential left out."""
    if _SUSPECT.search(text.casefold()):
        text = _without_named(text)
        for rule, instead in _RULES:
            text = rule.sub(instead, text)
    return text


def _without_named(text: str) -> str:
    parts, kept, start = [], 0, 0
    while found := _NAMED.search(text, start):
        value = _VALUE.match(text, found.end()) if _names_a_credential(found[1]) else None
        if value is None:
            start = found.end(1)
            continue
        parts += [text[kept : found.end()], MASK]
        kept = start = value.end()
    return "".join([*parts, text[kept:]])


def _names_a_credential(word: str) -> bool:
    if _NAME.search(word[-_LONGEST_NAME:]):
        return True
    _, amazon, rest = word.rpartition(".")[2].lower().partition(_AMAZON)
    return bool(amazon and rest)


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
    """A pattern of the secret with each of its characters spelled in any way of these. Backslashes
    are taken all at once, and only from the first of several: a text of nothing else is read
    once."""
    parts, after = [], ""
    for run in re.findall(r"\\+|[^\\]", secret):
        first = "" if after else r"(?<!\\)"
        begin = first + (r"\\*+" if after == "\\" else r"\\++")
        ways = [*_escaped_ways(run[0], begin), *_other_ways(run[0])]
        if run[0] == "\\":
            number = len(run)
            ways = [rf"{first}\\{{{number},}}+", f"(?:{'|'.join(ways)}){{{number}}}"]
        else:
            ways += [re.escape(run), *([] if run.isalnum() else [begin + re.escape(run)])]
        parts.append(f"(?:{'|'.join(ways)})")
        after = run[0]
    return "".join(parts)


def _escaped_ways(character: str, begin: str) -> list[str]:
    """Those that begin with backslashes, or with ``begin``."""
    code, written = ord(character), character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    ways = [
        "".join(
            rf"{begin}u(?i:{units[at]:02x}{units[at + 1]:02x})" for at in range(0, len(units), 2)
        ),
        rf"{begin}U(?i:{code:08x})",
        "".join(rf"{begin}x(?i:{byte:02x})" for byte in written),
    ]
    if character in _SHORT:
        ways.append(rf"{begin}{_SHORT[character]}")
    return ways


def _other_ways(character: str) -> list[str]:
    code, written = ord(character), character.encode("utf-8", "surrogatepass")
    ways = [
        "".join(rf"%(?:25)*(?i:{byte:02x})" for byte in written),
        rf"&#0*{code};",
        rf"&#[xX]0*(?i:{code:x});",
    ]
    if (entity := html.escape(character)) != character:
        ways.append(entity)
    if character == " ":
        ways.append(r"\+")
    return ways
