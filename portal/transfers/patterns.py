"""The grammar of patterns: a subset of rclone's, in which each pattern means one thing."""

from __future__ import annotations

from portal.transfers.names import is_name

PATTERN_LENGTH = 500


def problem(pattern: str) -> str:
    """Why rclone would not take the pattern, or not as it is meant; empty if it is a good one."""
    if len(pattern) > PATTERN_LENGTH:
        return f"it is longer than {PATTERN_LENGTH} characters."
    if not is_name(pattern):
        return "it has a line break or a control character."
    if "***" in pattern:
        return "use * or **, never three stars in a row."
    if "{{" in pattern:
        return "regular expressions are not supported; use *, ?, [a-z] and {jpg,png}."
    return _Brackets(pattern).problem()


class _Brackets:
    """Reads a pattern once from left to right and checks that brackets are closed."""

    def __init__(self, pattern: str) -> None:
        self._rest = list(pattern)
        self._open = False

    def problem(self) -> str:
        while self._rest:
            problem = self._step(self._rest.pop(0))
            if problem:
                return problem
        return "the { is never closed." if self._open else ""

    def _step(self, sign: str) -> str:
        if sign == "\\":
            return self._escape()
        if sign == "[":
            return self._class()
        if sign == "]":
            return "the ] has no [ before it."
        if sign == "{":
            nested, self._open = self._open, True
            return "a { is inside another." if nested else ""
        if sign == "}":
            opened, self._open = self._open, False
            return "" if opened else "the } has no { before it."
        return ""

    def _escape(self) -> str:
        # rclone hands the pair on to its regular expressions, where letters mean other things.
        following = self._rest.pop(0) if self._rest else ""
        if not following.isascii() or following.isalnum() or not following.strip():
            return "a backslash must be followed by a punctuation character."
        return ""

    def _class(self) -> str:
        if "]" not in self._rest:
            return "the [ is never closed."
        end = self._rest.index("]")
        signs, self._rest = self._rest[:end], self._rest[end + 1 :]
        if signs[:1] == ["!"]:
            return "use [^…] for every character but these."
        inner = "".join(signs[1:] if signs[:1] == ["^"] else signs)
        if not inner:
            return "the brackets [ ] are empty."
        if any(sign in inner for sign in "[\\{}*?/^!&~"):
            return "only plain characters and ranges such as a-z are allowed between [ and ]."
        return _ranges(inner)


def _ranges(inner: str) -> str:
    body = inner.removeprefix("-").removesuffix("-")
    position = 0
    while position < len(body):
        if body[position] == "-":
            return "a - between [ and ] must be first, last, or part of a range."
        if body[position + 1 : position + 2] == "-":
            if body[position] > body[position + 2]:
                return f"the range {body[position : position + 3]} runs backwards."
            position += 2
        position += 1
    return ""
