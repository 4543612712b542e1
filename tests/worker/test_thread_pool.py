"""The threads in which a worker runs its jobs."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest

from tests.support.waiting import wait_for


@pytest.fixture
def module() -> Any:
    # Only here: Celery takes half a second to import.
    from portal.worker.executors import thread_pool

    return thread_pool


@pytest.mark.parametrize("fails", [False, True])
def test_end_of_a_job_wakes_celery_at_once_however_it_ends(
    module: Any, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    loop = Mock()
    monkeypatch.setattr(module, "get_event_loop", lambda: loop)
    goes_on = threading.Event()

    def job() -> None:
        goes_on.wait(10)
        if fails:
            raise ValueError

    pool = module.PromptThreadPool(1)
    try:
        given = pool.on_apply(job, (), {}, callback=Mock(), accept_callback=Mock())
        assert not loop.call_soon.called, "it still runs"
        goes_on.set()
        wait_for(lambda: loop.call_soon.called)
        assert given.f.done()
    finally:
        pool.on_stop()


def test_job_that_ends_after_celery_disturbs_nobody(
    module: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "get_event_loop", lambda: None)
    pool = module.PromptThreadPool(1)
    ran = threading.Event()
    pool.on_apply(ran.set, (), {}, callback=Mock(), accept_callback=Mock())
    pool.on_stop()
    assert ran.is_set()
    assert caplog.records == [], "no callback failed"
