"""Figures on command: what `scripted-rclone` is to say, for pages that need more than a real one
gives within seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

SETTINGS = {"PORTAL_RCLONE": str(Path(__file__).with_name("scripted-rclone"))}

Statistics = dict[str, int]


def scanning(files: int) -> Statistics:
    return {"listed": files}


def transferring(done: int, total: int) -> Statistics:
    """Bytes; the files are all of 100 bytes."""
    return {
        "bytes": done,
        "totalBytes": total,
        "transfers": done // 100,
        "totalTransfers": total // 100,
    }


def script(folder: Path, lines: Iterable[Statistics]) -> Path:
    """A source folder whose transfer says this."""
    folder.mkdir(parents=True)
    with (folder / "statistics").open("w") as file:
        for number, stats in enumerate(lines):
            told = {**stats, "elapsedTime": 0.6 * number, "transferTime": 0.6 * number}
            file.write(json.dumps({"level": "notice", "msg": "", "stats": told}) + "\n")
    return folder


def endless(folder: Path) -> Path:
    """A transfer of an hour that has something to tell all the time."""
    return script(folder, (transferring(1000 * n, 6_000_000) for n in range(1, 6000)))
