"""Mounts of a test, where root permits them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

import pytest


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount is possible here: {done.stderr.strip()}")


class Mounts:
    """All of them are gone at its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._points: list[Path] = []

    def __enter__(self) -> Mounts:
        if os.geteuid() != 0:
            pytest.skip("only root can mount")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for point in reversed(self._points):
            subprocess.run(["umount", "-l", point], capture_output=True, check=False)

    def bind(self, folder: Path, point: Path) -> None:
        self._mount(point, "--bind", folder)

    def memory(self, point: Path, size: str = "8m") -> None:
        self._mount(point, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def disk(self, image: Path, point: Path) -> None:
        """A disk of its own, made at the first use of this image."""
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(8 * 1024 * 1024)
            _run("mkfs.ext4", "-q", image)
        self._mount(point, "-o", "loop", image)

    def away(self, point: Path) -> None:
        """As when somebody pulls the plug."""
        _run("umount", "-l", point)
        self._points.remove(point)

    def _mount(self, point: Path, *how: str | Path) -> None:
        point.mkdir(parents=True, exist_ok=True)
        _run("mount", *how, point)
        self._points.append(point)
