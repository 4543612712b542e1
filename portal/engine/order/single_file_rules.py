"""Filter rules that leave out every file but one."""

from __future__ import annotations

#: Regular expressions may be nested only so deep.
_PIECE = 100


def rules(name: str) -> list[str]:
    """Lines of a filter that leave out every folder, and every file but this one. They come first;
    what others say of the file itself still holds."""
    return ["- /*/**", f"- /{{{{{_all_but(name)}}}}}"]


def _all_but(name: str) -> str:
    """A regular expression for every text except the name. rclone's expressions have no "not"."""
    texts = []
    for begin in range(0, len(name), _PIECE):
        before = "".join(map(_literal, name[:begin]))
        texts.append(f"{before}{_differing_from(name[begin : begin + _PIECE])}")
    texts.append(f"{''.join(map(_literal, name))}.+")
    return f"(?s:{'|'.join(texts)})"


def _differing_from(piece: str) -> str:
    """Every text that ends within this piece, or turns away from it there."""
    found = ""
    for character in reversed(piece):
        inner = f"|{_literal(character)}{found}" if found else ""
        found = f"(?:|[^{_literal(character)}].*{inner})"
    return found


def _literal(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"
