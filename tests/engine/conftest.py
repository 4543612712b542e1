"""Real rclone on real files; a scripted one for what a real one will not do on command."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.engine import (
    Outcome,
    ProcessSettings,
    Progress,
    RcloneProcess,
    TransferOrder,
    rclone_path,
)
from tests.support.scripts import python_program
from tests.support.transfers import environments


class Bench:
    """Starts transfers and closes them all at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rclone = rclone_path(None)
        self.started: list[RcloneProcess] = []

    def transfer(
        self,
        source: Path | str = "",
        destination: Path | str = "",
        operation: str = "copy",
        bandwidth_limit: str | None = None,
        dry_run: bool = False,
        **options: Any,
    ) -> RcloneProcess:
        source = source or self.folder / "from"
        destination = destination or self.folder / "to"
        order = TransferOrder(
            7, 1, operation, str(source), str(destination), bandwidth_limit, dry_run
        )
        transfer = RcloneProcess(
            ProcessSettings(**{"rclone": self.rclone, "data_dir": self.folder, **options}), order
        )
        transfer.start()
        self.started.append(transfer)
        return transfer

    def run(self, *args: Any, **options: Any) -> tuple[Outcome, list[Progress]]:
        transfer = self.transfer(*args, **options)
        readings = [reading for reading in transfer.readings() if reading is not None]
        return transfer.outcome(), readings

    def script(self, body: str) -> None:
        """From here on rclone is this Python script."""
        head = "import json, os, signal, subprocess, sys, time\n"
        self.rclone = python_program(self.folder / "fake-rclone", head + textwrap.dedent(body))

    def wrap(self, shell: str) -> None:
        """From here on rclone is started by this shell line; `"$@"` are its arguments."""
        wrapper = self.folder / "wrapped-rclone"
        wrapper.write_text(f"#!/bin/sh\n{shell.replace('RCLONE', shlex.quote(str(self.rclone)))}\n")
        wrapper.chmod(0o755)
        self.rclone = wrapper


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "bench"
    folder.mkdir()
    bench = Bench(folder)
    yield bench
    for transfer in bench.started:
        transfer.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(3_000_000))
    (folder / "zero").touch()
    (folder / "sub" / "small").write_text("hello\n")
    return folder


@pytest.fixture
def marked(tmp_path: Path) -> Callable[[int], list[int]]:
    """Living processes that this test started for a job."""
    here = b"PORTAL_DATA=" + os.fsencode(tmp_path.resolve())

    def find(job_id: int) -> list[int]:
        wanted = f"PORTAL_JOB_ID={job_id}".encode()
        return [
            number
            for number, told in environments()
            if wanted in told and any(entry.startswith(here) for entry in told)
        ]

    return find
