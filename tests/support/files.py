"""Files with the names that break things, and what tells whether they arrived."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

NAMES = (
    "plain.txt",
    "two words & more.txt",
    "100% of it.txt",
    "%41%2f percent.txt",
    "Übergröße – 写真 🎞.jpg",
    unicodedata.normalize("NFD", "é combined.txt"),
    "a+b=c;d,e'f(g).txt",
    "inner folder/deeper #1/?question.txt",
    "[brackets] {braces} ~tilde$.txt",
)
MIB = 1024 * 1024


def fill(folder: Path) -> Path:
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(3000) + name.encode())
    (folder / "empty").touch()
    (folder / "large.bin").write_bytes(os.urandom(MIB))
    return folder


def sums(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of every file below."""
    return {
        unicodedata.normalize("NFC", str(path.relative_to(folder))): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
