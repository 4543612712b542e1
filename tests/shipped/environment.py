"""What `make run` installs: an environment of the runtime requirements and nothing else.

Tests that start processes of the product start them in it, so that no package which only
development brings can hide one that is missing. Run as a program, it is made before any test
starts. It lies in the environment of development, one for each state of the requirements.

In a run that measures coverage its processes find one package more, ``coverage``, which needs no
other and of which the portal knows nothing.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
_PLACE = Path(sys.prefix) / "shipped"
_START_MEASURING = "import coverage\ncoverage.process_startup()\n"


@functools.cache
def folder() -> Path:
    """The environment, made if it is not there; another run that makes it is waited for."""
    state = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    made = _PLACE / state
    _PLACE.mkdir(exist_ok=True)
    with (_PLACE / f"{state}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "complete").exists():
            install(made, "--require-hashes", "-r", str(REQUIREMENTS))
            _prepare_measuring(made / "measuring")
            (made / "complete").touch()  # Last, so that half of one is never taken for it.
    return made


def python() -> str:
    """The interpreter with the packages that ship."""
    return str(folder() / "bin" / "python")


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a process of ``python()``: it is measured where those of the tests are."""
    found = {name: value for name, value in given.items() if name != "PYTHONPATH"}
    if {"COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"} & found.keys():
        found["PYTHONPATH"] = str(folder() / "measuring")
    return found


def install(made: Path, *requirements: str) -> None:
    """A new environment with these. As in the Makefile nothing is resolved: the lock names all."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(made)], check=True)
    pip = [str(made / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-input"]
    options = ["--disable-pip-version-check", "--no-deps", *requirements]
    done = subprocess.run([*pip, *options], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def _prepare_measuring(place: Path) -> None:
    """A folder that is searched before all others, with ``coverage`` alone."""
    place.mkdir()
    found = find_spec("coverage")
    assert found is not None
    assert found.submodule_search_locations is not None
    (place / "coverage").symlink_to(found.submodule_search_locations[0])
    (place / "sitecustomize.py").write_text(_START_MEASURING)


if __name__ == "__main__":
    folder()
