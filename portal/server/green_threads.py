"""What eventlet's threads lack on newer versions of Python."""

from __future__ import annotations

from typing import Any


def mend_join() -> None:
    """From Python 3.13 on, ``Thread.join(seconds)`` asks a handle of eventlet's, which raises a
    timeout that no caller expects, and that ends its thread, instead of returning. Call it after
    ``eventlet.monkey_patch()``."""
    from eventlet.green import thread
    from eventlet.timeout import with_timeout

    def join(handle: Any, timeout: float | None = None) -> None:
        wait = getattr(handle._greenthread, "wait", None)
        if wait is None:
            return
        if timeout is None:
            wait()
        else:
            with_timeout(max(0.0, timeout), wait, timeout_value=None)

    thread._ThreadHandle.join = join
