"""Reaps orphans where the portal is process 1 of a container.

Each rclone with a remote leaves a child behind when it ends, see ``egress_proxy``. The kernel gives
the child to process 1, and it stays a zombie until process 1 reaps it. The portal waits for its own
children by their ids, and a reaper in the same process would take their exit codes. Therefore a
process of its own stands in front, which only reaps and hands on signals.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal

from portal.runtime import stopping

_PR_SET_PDEATHSIG = 1
_PR_GET_CHILD_SUBREAPER = 37
_HANDED_ON = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
}


def begin(arguments: list[str]) -> bool:
    """Runs before anything else; returns whether this process itself will serve."""
    _open_standard_streams()
    command = arguments[0] if arguments else ""
    if command not in ("run", "demo", "worker"):
        return False
    run_in_child_of_process_one()
    stopping.exit_at_first_signal()
    return command != "worker" and _is_only_process(arguments)


def _is_only_process(arguments: list[str]) -> bool:
    """False for ``--processes 2`` and more: then this process supervises, and others serve."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--processes", nargs="?", default="1", const="")
    processes = parser.parse_known_args(arguments)[0].processes
    return processes.isdecimal() and int(processes) == 1


def _open_standard_streams() -> None:
    """Opens those that were closed before the start. Otherwise the next file, such as the database,
    would get the number 2, and error messages of libraries would be written into it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def run_in_child_of_process_one() -> None:
    """If this process gets orphans, as process 1 does: returns in a child. Otherwise returns at
    once."""
    libc = ctypes.CDLL(None)
    if os.getpid() != 1 and not _adopts_orphans(libc):
        return
    handled = {*_HANDED_ON, signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)  # none is lost between here and sigwait
    parent = os.getpid()
    child = os.fork()
    if child:
        _reap_until_ended(child, handled)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)


def _adopts_orphans(libc: ctypes.CDLL) -> bool:
    answer = ctypes.c_int(0)
    return libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer)) == 0 and bool(answer.value)


def _reap_until_ended(portal: int, handled: set[signal.Signals]) -> None:
    while True:
        number = signal.sigwait(handled)
        if number != signal.SIGCHLD:
            os.kill(portal, number)  # it is there: only this process reaps it
            continue
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == portal:
                code = os.waitstatus_to_exitcode(ended[1])
                os._exit(code if code >= 0 else 128 - code)
