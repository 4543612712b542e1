"""Finds rclone and checks that it can be trusted with files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import NamedTuple

from portal.engine.errors import EngineError

# Older ones let a source name escape the destination folder, and leave a truncated file under
# its final name when they are stopped.
OLDEST = (1, 75, 0)
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TIMEOUT = 20.0
#: Seconds for which one that is unfit is not started again.
_RECHECK_AFTER = 5.0


class _CheckResult(NamedTuple):
    at: float
    problem: str | None


#: By path and what the file there is; few ever lie at one path.
_results: dict[tuple[Path, object], _CheckResult] = {}


def rclone_path(configured: Path | None) -> Path:
    """The configured binary, or the one that the Python package ships next to the interpreter."""
    return configured or Path(sysconfig.get_path("scripts")) / "rclone"


def setpriv_path() -> str:
    """setpriv of util-linux; raises EngineError if the machine has none."""
    found = shutil.which("setpriv", path=SEARCH_PATH)
    if found is None:
        raise EngineError(
            "setpriv is missing, which ends rclone when the portal dies. "
            "Install util-linux (Debian, Ubuntu: apt-get install util-linux)."
        )
    return found


def ensure_executable(path: Path) -> None:
    """Raises EngineError unless a program can be started from this path."""
    if not path.is_file():
        raise EngineError(f"rclone is missing: there is no file {path}.")
    if not os.access(path, os.X_OK):
        raise EngineError(f"rclone cannot be started: {path} is not executable.")


def check_rclone(path: Path) -> str:
    """The version, such as "1.75.2"; raises EngineError that names what is wrong."""
    ensure_executable(path)
    output = _ask_version(path)
    found = re.search(r"^rclone v((\d+)\.(\d+)\.(\d+)\S*)", output, re.MULTILINE)
    if found is None:
        raise EngineError(f"{path} does not answer as rclone does.")
    version = found[1]
    if tuple(int(part) for part in found.group(2, 3, 4)) < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        raise EngineError(f"rclone {version} at {path} is too old: {wanted} or newer is needed.")
    return version


def rclone_problem(path: Path) -> str | None:
    """A sentence about what is wrong with the rclone at this path now. It is started once for each
    version of the file, and again every few seconds while it is unfit."""
    try:
        found = path.stat()
    except OSError:
        identity = None
    else:
        identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
    known = _results.get((path, identity))
    if known is None or (known.problem and time.monotonic() > known.at + _RECHECK_AFTER):
        try:
            check_rclone(path)
        except EngineError as error:
            known = _CheckResult(time.monotonic(), str(error))
        else:
            known = _CheckResult(time.monotonic(), None)
        _results[path, identity] = known
    return known.problem


def _ask_version(path: Path) -> str:
    # Through setpriv: this finds a setpriv without --pdeathsig (busybox).
    command = [setpriv_path(), "--pdeathsig", "TERM", "--", str(path), "version", "--config", ""]
    environment = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8"}
    try:
        answer = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{path} did not tell its version in {_TIMEOUT:.0f} s.") from error
    except OSError as error:
        raise EngineError(f"rclone cannot be started: {error.strerror}.") from error
    if answer.returncode != 0:
        output = answer.stderr.decode("utf-8", "replace").strip()[-300:]
        raise EngineError(f"rclone at {path} cannot be run: {output or 'it gave no reason'}")
    return answer.stdout.decode("utf-8", "replace")
