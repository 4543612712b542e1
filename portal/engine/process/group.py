"""A process group of its own: signalled only while its number is surely still its own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, cast

from portal.engine.process.confined_parent import ConfinedParent
from portal.engine.process.landlock import Ruleset
from portal.engine.process.pipes import large_pipe

_LOST = 1  # exit code when the system no longer knows it


class ProcessGroup:
    """A program that leads its own session. Its stderr is `stderr`, and with `output` its stdout is
    `stdout`; it has no other channel."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        output: bool = False,
        umask: int = -1,
        rules: Ruleset | None = None,
    ) -> None:
        """Starts it; raises OSError if that fails. ``umask``: a different one for the program.
        ``rules``: all that it may do; they are closed afterwards."""
        reading, writing = large_pipe()
        out_reading, out_writing = large_pipe() if output else (-1, -1)
        self.stderr = cast(IO[bytes], os.fdopen(reading, "rb", buffering=0))
        if output:
            self.stdout = cast(IO[bytes], os.fdopen(out_reading, "rb", buffering=0))

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=out_writing if output else subprocess.DEVNULL,
                stderr=writing,
                # It keeps its own stderr open for reading: otherwise, when the portal dies, its
                # first line of log would kill it in the middle of tidying up.
                pass_fds=(reading, out_reading) if output else (reading,),
                env=environment,
                cwd="/",
                start_new_session=True,
                umask=umask,
            )

        try:
            self._parent = ConfinedParent(start, rules) if rules is not None else None
            self._process = self._parent.process if self._parent is not None else start()
        except OSError:
            self.stderr.close()
            if output:
                self.stdout.close()
            raise
        finally:
            os.close(writing)
            if output:
                os.close(out_writing)
        self.stopped = False
        self._paused = False
        self.exit_code: int | None = None
        self.ended_at = 0.0
        self._kill_at = 0.0
        # No signal may go out between reaping the leader and noting that: the number of the group
        # may belong to somebody else by then.
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, grace: float) -> None:
        """SIGTERM now, once; `kill_if_overdue()` follows it up. Of a dead group: harmless.

        A paused one gets SIGKILL: to tidy up it would have to go on, and until it hears SIGTERM it
        would transfer and delete, at ends that nobody has examined again."""
        if self._paused:
            self.kill()
            return
        with self._lock:
            if self.exit_code is None and not self.stopped:
                self.stopped = True
                self._kill_at = time.monotonic() + grace
                self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL now. Of a dead group: harmless."""
        with self._lock:
            if self.exit_code is None:
                self.stopped = True
                self._kill_at = 0.0
                self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Stops all its processes until `resume()`. Harmless if the group is dead."""
        with self._lock:
            if self.exit_code is None and not self.stopped:
                self._paused = True
                self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        with self._lock:
            if self.exit_code is None and self._paused:
                self._paused = False
                self._signal(signal.SIGCONT)

    def kill_if_overdue(self) -> None:
        """SIGKILL, if it was asked to stop and its grace is over."""
        with self._lock:
            overdue = self.stopped and time.monotonic() >= self._kill_at
            if overdue and self.exit_code is None:
                self._signal(signal.SIGKILL)

    def reap(self) -> bool:
        """Whether the leader has ended. If so it is reaped, and the rest of the group killed."""
        with self._lock:
            if self.exit_code is not None:
                return True
            code = _exit_code(self._process.pid)
            if code is None:
                return False
            # While the dead leader is not reaped, the number of its group is still its own: now
            # is the time to end whatever it left behind.
            self._signal(signal.SIGKILL)
            self._process.poll()
            self.ended_at = time.monotonic()
            self.exit_code = code
            if self._parent is not None:
                self._parent.end()
            return True

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


def _exit_code(pid: int) -> int | None:
    """None while it runs; negative for a signal. Leaves the dead process unreaped."""
    try:
        state = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        # Someone else reaped it. Popen would report success.
        return _LOST
    if state is None:
        return None
    return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status
