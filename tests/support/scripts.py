"""Programs that tests write and start."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def python_program(path: Path, body: str) -> Path:
    """An executable file that runs ``body`` by this Python, wherever that lies: a line beginning
    with ``#!`` cannot name a path with a space, a shell can. Both languages read the second line,
    the one as a command and the other as the begin of a string."""
    start = f"#!/bin/sh\n''''exec {shlex.quote(sys.executable)} -S \"$0\" \"$@\" #'''\n"
    path.write_text(start + body)
    path.chmod(0o755)
    return path
