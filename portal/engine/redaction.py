"""What looks like a credential, masked: more people read a log than a password is meant for."""

from __future__ import annotations

import re

MASK = "***"

#: Read first, at a glance: nearly every line has none of these, and is left as it is.
_SUSPECT = re.compile(
    r"pass|secret|token|key|auth|sig|credential|bearer|cookie|://[^/\s]*@|AKIA|ASIA|PRIVATE",
    re.IGNORECASE,
)
_WORD = (
    # From the begin of a word on, or a long name of many parts would be tried from each of them.
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


def masked(text: str) -> str:
    """The text with every value that its name or its form gives away as a credential left out."""
    if _SUSPECT.search(text):
        for rule, instead in _RULES:
            text = rule.sub(instead, text)
    return text
