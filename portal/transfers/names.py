"""The rules of names (of files, folders, jobs, patterns, tokens), and how a name is shown.

A character is refused only if it makes two names look alike, or breaks the line of a name:

* control characters, line and paragraph separators: Unicode's general categories Cc, Zl and Zp.
  POSIX advises against the first (it defines a portable filename without them), and rclone writes
  pictures in their place (``Ctl`` and ``Del`` of its encodings);
* surrogates (Cs): how Python carries bytes that are not UTF-8. No field, row or page can hold one;
* bidi controls: Unicode's property Bidi_Control (UAX 9, PropList.txt). They turn the text after
  them around, so that ``exe.gpj`` is read as ``jpg.exe``: see Unicode TR 36 and "Trojan Source".

Everything else is a name like any other: every space (U+3000, U+00A0), joiners and variation
selectors (emoji are made of them), private use, and characters that are newer than Python's own
table. ``str.isprintable()`` refuses all of these, so it is no test for a name.
"""

from __future__ import annotations

import re

#: PropList.txt of Unicode: the letter, left-to-right and right-to-left marks; embeddings and
#: overrides; isolates.
BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

#: The categories that break a line. No version of Unicode may add to them, so that they stand here
#: as they are: to ask Python's table for each character takes long at every start of a process.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_NO_LINE = re.compile(f"[{_CONTROLS}]")
_NO_NAME = re.compile(f"[{_CONTROLS}{''.join(sorted(BIDI_CONTROLS))}]")


def is_line(text: str) -> bool:
    """Whether it is one line of text. Passwords need no more: nobody is shown them."""
    return _NO_LINE.search(text) is None


def is_name(text: str) -> bool:
    """Whether it can be shown as it is, and cannot be mistaken for another name."""
    return _NO_NAME.search(text) is None


def visible(text: str) -> str:
    """The text with all that a name must not contain escaped, as ``\\x1b`` or ``\\u202e``."""
    # At a glance, for nearly all texts: what Python can print holds none of these. (Much of what it
    # cannot print is a name all the same.)
    return text if text.isprintable() else _NO_NAME.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
