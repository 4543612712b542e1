"""Ways to lose files: real storages that lead to one folder under several names, and transfers that
would delete from it. Every test asserts that each byte still exists somewhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from portal.engine import ConfirmedPlan, LogLine, Order, Outcome, Remote, Run, rclone_path
from portal.remotes.obscure import obscured
from portal.transfers.options import Options
from tests.remotes.conftest import new_remote  # noqa: F401 - a fixture of these tests too
from tests.support.storages import Storage


class Servers:
    """Real servers, and remotes that lead to them."""

    def __init__(self) -> None:
        self._running: list[Storage] = []

    def start(self, kind: str, folder: Path, *flags: str, **more: Any) -> Storage:
        storage = Storage(kind, folder, flags=flags, **more).start()
        self._running.append(storage)
        return storage

    def stop(self) -> None:
        for storage in self._running:
            storage.stop()

    @staticmethod
    def remote(name: str, storage: Storage, **changed: str) -> Remote:
        options = storage.options(**changed)
        if storage.kind != "s3":
            options["pass"] = obscured(options["pass"])
        return Remote(name, storage.kind, options)


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.stop()


@dataclass
class Attempts:
    """Runs orders to their end, as a worker does."""

    folder: Path
    rclone: Path = field(default_factory=lambda: rclone_path(None))
    log: list[LogLine] = field(default_factory=list)
    #: Leaders of all rclones.
    begun: list[int] = field(default_factory=list)

    def run(
        self,
        operation: str,
        source: Path | str,
        destination: Path | str,
        *remotes: Remote,
        options: Options | None = None,
        **more: Any,
    ) -> Outcome:
        order = Order(
            *(7, 1, operation, str(source), str(destination), None),
            dry_run=more.pop("dry_run", False),
            remotes=remotes,
            options=options or Options(retries=0),
            confirmed=more.pop("confirmed", None),
        )
        run = Run(self.rclone, order, data_dir=self.folder, backoff=0.1, grace=2.0)
        try:
            for _ in run.readings(self.begun.append, tick=0.05):
                pass
        finally:
            run.close()
        self.log = run.take_log()[0]
        return run.outcome()

    def confirmed(
        self, operation: str, source: Path | str, destination: Path | str, *remotes: Remote
    ) -> Outcome:
        """Guarded: first the plan, then the job that keeps to it; the first that fails."""
        shown = self.run(operation, source, destination, *remotes, dry_run=True)
        if not shown.succeeded or shown.plan is None:
            return shown
        plan = shown.plan
        confirmed = ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment)
        return self.run(operation, source, destination, *remotes, confirmed=confirmed)


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


def photographs(folder: Path, files: int = 6) -> dict[str, bytes]:
    """A folder with as many files of random bytes, some of them deeper down."""
    for number in range(files):
        path = folder / (f"{number}.jpg" if number % 2 else f"2026/summer/{number}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(2000 + number))
    return kept(folder)


def kept(*folders: Path) -> dict[str, bytes]:
    """What lies there, by its name, but for what the servers keep in their home."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }


def markers(folder: Path) -> list[Path]:
    return list(folder.rglob(".transfer-portal-probe-*"))
