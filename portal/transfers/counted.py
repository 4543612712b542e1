"""Numbers of things in words."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """``1 file``, ``1,200 files``; with ``several`` if the plural is not made by an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
