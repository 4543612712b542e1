"""Handles the signals that ask this process to end, from its first line to its last.

A handler may run in the middle of anything, even of the event loop, so it only notes the signal.
The first signal counts; further ones change nothing.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from portal.errors import PortalError

#: SIGHUP comes when the terminal is closed. After an orderly stop the job goes back to the queue;
#: if the portal just died, a job that deletes files would stay interrupted.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds after which the process ends, whatever it is waiting for.
_TIMEOUT = 9.5

_received: list[int] = []


class StopRequested(PortalError):
    """The process was asked to end during its start."""


def exit_at_first_signal() -> None:
    """Ends the process at the first signal. It is for the first moments, when there is nothing to
    clean up."""
    _handle(lambda *_: os._exit(os.EX_OK))


def install_handlers(*, hangup_ends: bool = True) -> None:
    """Notes the signals from now on. ``hangup_ends``: False if somebody else decides what SIGHUP
    means."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    _handle(_note)
    if not hangup_ends:
        signal.signal(signal.SIGHUP, lambda *_: None)


def requested() -> signal.Signals | None:
    """Returns the first signal that asked the process to end."""
    return signal.Signals(_received[0]) if _received else None


def raise_if_requested() -> None:
    """Called between two steps of a start. Raises StopAsked."""
    if requested():
        raise StopRequested("It was asked to end before it had begun.")


def ignore_signals() -> None:
    """Ignores signals in the last moments of a process that listened. Python restores the default
    actions before it ends, and a further signal would then make an orderly end look like a
    failure."""
    if signal.getsignal(signal.SIGTERM) is _note:
        _handle(signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _note(number: int, _frame: FrameType | None) -> None:
    if not _received:
        signal.setitimer(signal.ITIMER_REAL, _TIMEOUT)
    _received.append(number)


def _handle(handler: object) -> None:
    for number in _STOP_SIGNALS:
        # Somebody who starts the process by nohup wants it to outlive the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]
