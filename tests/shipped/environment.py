"""What `make run` installs: an environment of the runtime requirements and nothing else.

Tests that start processes of the product start them in it, so that no package which only
development brings can hide one that is missing. Run as a program, it is made before any test
starts. It lies in the environment of development, one for each state of the requirements.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
DEVELOPMENT = ROOT / "requirements-dev.txt"
_PIN = re.compile(r"(?m)^([\w.-]+)==")
_PLACE = Path(sys.prefix) / "shipped"


@functools.cache
def folder() -> Path:
    """The environment, made if it is not there; another run that makes it is waited for."""

    def make(made: Path) -> None:
        install(made, "--require-hashes", "-r", str(REQUIREMENTS))

    return _made_once(REQUIREMENTS.read_text(), make)


@functools.cache
def extra(name: str) -> Path:
    """A folder with the packages that this extra of the portal brings, and nothing else."""
    pinned = "".join(_pins(_needed_by(name)))

    def make(made: Path) -> None:
        made.mkdir()
        (made / "requirements.txt").write_text(pinned)
        options = ["--no-deps", "--require-hashes", "-r", str(made / "requirements.txt")]
        _pip(python(), "--target", str(made), *options)

    return _made_once(pinned, make)


def python() -> str:
    """The interpreter with the packages that ship."""
    return str(folder() / "bin" / "python")


def environment(given: Mapping[str, str] = os.environ, *extras: str) -> dict[str, str]:
    """The variables for a process of ``python()``: it has these extras."""
    found = {name: value for name, value in given.items() if name != "PYTHONPATH"}
    paths = [extra(name) for name in extras]
    if paths:
        found["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    return found


def install(made: Path, *requirements: str) -> None:
    """A new environment with these. As in the Makefile nothing is resolved: the lock names all."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(made)], check=True)
    _pip(str(made / "bin" / "python"), "--no-deps", *requirements)


def _pip(interpreter: str, *options: str) -> None:
    pip = [interpreter, "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *options], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def _made_once(state: str, make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` makes of this state; another run that is at it is waited for."""
    mark = hashlib.sha256(f"{sys.version}\n{state}".encode()).hexdigest()[:12]
    made = _PLACE / mark
    _PLACE.mkdir(exist_ok=True)
    with (_PLACE / f"{mark}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "complete").exists():
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            (made / "complete").touch()  # Last, so that half of one is never taken for it.
    return made


def _needed_by(name: str) -> set[str]:
    """Names of all packages that the extra needs and that do not ship without it."""
    from packaging.requirements import Requirement  # only here: that of development

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shipped = {_normal(found) for found in _PIN.findall(REQUIREMENTS.read_text())}
    wanted = [Requirement(text) for text in project["optional-dependencies"][name]]
    needed: set[str] = set()
    while wanted:
        one = wanted.pop()
        if _normal(one.name) in needed | shipped:
            continue
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            needed.add(_normal(one.name))
            wanted += map(Requirement, metadata.requires(one.name) or ())
    return needed


def _pins(names: set[str]) -> Iterator[str]:
    """Their lines of the lock of development, with the hashes."""
    for block in re.split(r"(?m)^(?=[\w.-]+==)", DEVELOPMENT.read_text()):
        found = _PIN.match(block)
        if found and _normal(found[1]) in names:
            yield block


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    folder()
    extra("oidc")
