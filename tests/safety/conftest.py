"""Ways to lose files: real storages that lead to one folder under several names, and transfers that
would delete from it. Every test asserts that each byte still exists somewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.attempts import Attempts, Servers
from tests.support.remotes import new_remote  # noqa: F401 - a fixture of these tests too


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.stop()


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    folder = tmp_path / "data"
    folder.mkdir()
    return Attempts(folder)


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[Callable[[Path, Path], None]]:
    """Lets the second folder show the first one."""
    mounted: list[Path] = []

    def mount(shown: Path, at: Path) -> None:
        at.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "--bind", str(shown), str(at)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"bind mounts are not permitted here: {done.stderr.strip()}")
        mounted.append(at)

    yield mount
    for at in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(at)], check=True)
