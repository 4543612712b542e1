"""Signals that ask this process to end, from its first line to its last.

A handler may run in the middle of anything, the event loop included, so it notes the signal and
nothing else. The first one counts; more of them change nothing.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from portal.errors import PortalError

#: SIGHUP comes when the terminal is closed. A job that was stopped in an orderly way goes back to
#: the queue; one whose portal just died would stay interrupted if it deletes.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Seconds after which the process ends whatever it waits for.
_PATIENCE = 9.5

_asked: list[int] = []


class StopAsked(PortalError):
    """The process was asked to end before it had begun."""


def end_at_once() -> None:
    """For the first moments, in which there is nothing to tidy up."""
    _handle(lambda *_: os._exit(os.EX_OK))


def listen(*, hangup_ends: bool = True) -> None:
    """Notes from now on what was asked. ``hangup_ends``: False where somebody else decides what
    SIGHUP means."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    _handle(_note)
    if not hangup_ends:
        signal.signal(signal.SIGHUP, lambda *_: None)


def asked() -> signal.Signals | None:
    """The first signal that asked for the end."""
    return signal.Signals(_asked[0]) if _asked else None


def go_on() -> None:
    """Between two steps of a start. Raises StopAsked."""
    if asked():
        raise StopAsked("It was asked to end before it had begun.")


def close_ears() -> None:
    """For the last moments of who listened: Python puts the default actions back before it ends,
    and one more signal would then make a failure of an orderly end."""
    if signal.getsignal(signal.SIGTERM) is _note:
        _handle(signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _note(number: int, _frame: FrameType | None) -> None:
    if not _asked:
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    _asked.append(number)


def _handle(handler: object) -> None:
    for number in _ENDING:
        # Whoever starts it by nohup wants it to outlive the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]
