"""The pool of threads in which a worker runs its jobs."""

from __future__ import annotations

from typing import Any

from celery.concurrency.thread import TaskPool
from kombu.asynchronous import get_event_loop


class PromptThreadPool(TaskPool):
    """Wakes Celery when a job ends. While all slots are taken Celery takes no message, and it
    checks only once a second whether one is free."""

    def on_apply(self, *arguments: Any, **options: Any) -> Any:
        given = super().on_apply(*arguments, **options)
        given.f.add_done_callback(_wake)
        return given


def _wake(_ended: object) -> None:
    loop = get_event_loop()
    if loop is not None:
        wake: Any = loop.call_soon  # a library without types
        wake(int)  # any function that does nothing: the loop turns once
