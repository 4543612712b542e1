"""Storages that freeze or die in mid-transfer: told soon, given up in time, tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.engine.answers import questions
from portal.settings import Settings
from portal.transfers.options import Options
from tests.storages.servers import KINDS, Server
from tests.support.transfers import MIB, fill, rclones, status_of, stored
from tests.support.waiting import wait_for

PATIENCE = 9.0
#: A third of it, until the buffers of the kernel are full, and what a busy machine takes to look.
TOLD = 3.0 + 15.0
#: Seconds that the storage gets for each answer to what is asked before a try: a quarter of what
#: it really gets.
ANSWER = 5.0
QUESTIONS = 2 * ANSWER
#: Before the second try: as long as somebody who looks now and then needs to see it.
BACKOFF = 3.0


@pytest.fixture
def server(kind: str, tmp_path: Path) -> Iterator[Server]:
    if reason := KINDS[kind].missing():
        pytest.skip(reason)
    with Server(KINDS[kind], tmp_path / "server") as running:
        yield running
        running.thaw()


@pytest.fixture
def begin(
    execute: Callable[..., None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    monkeypatch.setattr(questions, "_TIMEOUT", ANSWER)
    threads = []

    def run(job_id: int) -> None:
        changed = {"storage_patience_seconds": PATIENCE}
        kwargs = {"backoff": BACKOFF, **changed}
        threads.append(threading.Thread(target=execute, args=(job_id,), kwargs=kwargs))
        threads[-1].start()

    yield run
    for thread in threads:
        thread.join(60)
    assert rclones(settings.data_dir) == []


@pytest.mark.parametrize("kind", ["azure", "smb", "google", "ftp", "webdav", "sftp with a shell"])
@pytest.mark.parametrize("how", ["freezes", "dies"])
def test_upload_to_a_storage_that_falls_silent_is_reported_and_given_up(
    server: Server, how: str, new_remote: Any, new_job: Any, begin: Any, root: Path
) -> None:
    new_remote("nas", server.kind.backend, server.options())
    job_id = new_job(
        source=fill(root / "from", 6 * MIB, 6),
        destination=f"nas:{server.kind.top}to",
        destination_remote_id=1,
        bandwidth_limit="4M",
        options=Options(retries=1),
    )
    begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB, 20)
    if how == "freezes":
        server.freeze()
        wait_for(lambda: stored(job_id).trouble, TOLD)
        assert stored(job_id).trouble == "Nothing arrives from nas; trying again"
    else:
        server.stop()
    wait_for(lambda: "; try 2 of 2" in (stored(job_id).trouble or ""), PATIENCE + TOLD)
    wait_for(lambda: status_of(job_id) == "failed", BACKOFF + QUESTIONS + PATIENCE + TOLD)
    error = stored(job_id).error or ""
    assert "Check the errors" not in error, error
    assert stored(job_id).trouble is None
