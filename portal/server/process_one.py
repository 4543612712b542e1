"""What process 1 of a container owes to the processes that nobody waits for.

Each rclone with a remote leaves a child behind when it ends, see ``gate``. The kernel gives it to
process 1, and it stays a zombie until that one reaps it. The portal waits for its own children by
name, so that the two would take each other's: a process of its own stays in front and does nothing
but reap and hand on signals.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal

from portal.runtime import stopping

_PR_SET_PDEATHSIG = 1
_PR_GET_CHILD_SUBREAPER = 37
_HANDED_ON = {
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2),
}


_SERVERS = (["run"], ["demo"])
_WORKER = (["worker"],)
#: More serving processes than one, which others do then.
_SEVERAL = re.compile(r"--processes[ =](?!0*1( |$))")


def begin(arguments: list[str]) -> bool:
    """The first thing of all, by the command line: whether this very process is to serve."""
    _open_standard_streams()
    if arguments[:1] not in (*_SERVERS, *_WORKER):
        return False
    step_aside()
    stopping.end_at_once()
    return arguments[:1] in _SERVERS and not _SEVERAL.search(" ".join(arguments))


def _open_standard_streams() -> None:
    """Where one was closed before the start, the next file would get its number, the database say,
    and whatever a library writes to standard error would go there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def step_aside() -> None:
    """Returns in a child where this is process 1, or one that orphans are given to; and at once
    where it is neither."""
    libc = ctypes.CDLL(None)
    if os.getpid() != 1 and not _adopts_orphans(libc):
        return
    heard = {*_HANDED_ON, signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)  # none is lost between here and sigwait
    parent = os.getpid()
    child = os.fork()
    if child:
        _reap_until_ended(child, heard)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)


def _adopts_orphans(libc: ctypes.CDLL) -> bool:
    answer = ctypes.c_int(0)
    return libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer)) == 0 and bool(answer.value)


def _reap_until_ended(portal: int, heard: set[signal.Signals]) -> None:
    while True:
        number = signal.sigwait(heard)
        if number != signal.SIGCHLD:
            os.kill(portal, number)  # it is there: only this process reaps it
            continue
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == portal:
                code = os.waitstatus_to_exitcode(ended[1])
                os._exit(code if code >= 0 else 128 - code)
