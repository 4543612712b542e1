"""Files that must not get lost, and what is left of them."""

from __future__ import annotations

import os
from pathlib import Path


def photographs(folder: Path, files: int = 6) -> dict[str, bytes]:
    """A folder with as many files of random bytes, some of them deeper down."""
    for number in range(files):
        path = folder / (f"{number}.jpg" if number % 2 else f"2026/summer/{number}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(2000 + number))
    return kept(folder)


def kept(*folders: Path) -> dict[str, bytes]:
    """What lies there, by its name, but for what the servers keep in their home."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }


def markers(folder: Path) -> list[Path]:
    return list(folder.rglob(".transfer-portal-probe-*"))
